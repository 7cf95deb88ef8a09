//! What is asked for -> which transactions and hazards are drawn.

use core::{fmt, ops::RangeInclusive, str::FromStr};

use alloy_primitives::Address;
use forewave_analyzer::{Location, Scope, TxIndex};
use forewave_scheduler::Hazard;

use crate::explain::Explained;

/// Which transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// One, all that it conflicts with, what it waits for and what waits for it.
    Tx(TxIndex),
    /// Those that are sent by an account, call it, or touch it.
    Address(Address),
}

/// Neither a transaction nor an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a transaction of the block (`12`, `tx12`) nor an address")]
pub struct UnknownFilter(String);

impl FromStr for Only {
    type Err = UnknownFilter;

    fn from_str(text: &str) -> Result<Self, UnknownFilter> {
        if text.len() == 42 && text.starts_with("0x") {
            return text.parse().map(Self::Address).map_err(|_| UnknownFilter(text.to_owned()));
        }
        let digits = text.strip_prefix("tx").unwrap_or(text);
        let number: Option<u32> = digits.parse().ok().filter(|_| !digits.starts_with('+'));
        number
            .map(|number| Self::Tx(TxIndex::new(number as usize)))
            .ok_or_else(|| UnknownFilter(text.to_owned()))
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tx(tx) => write!(f, "{tx} and what it conflicts with"),
            Self::Address(address) => write!(f, "what touches {address}"),
        }
    }
}

/// What is drawn; by default everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these transactions.
    pub only: Option<Only>,
    /// Only these hazards; all if empty.
    pub hazards: Vec<Hazard>,
    /// Only these waves.
    pub waves: Option<RangeInclusive<usize>>,
    /// Only transactions of at least so much estimated gas.
    pub min_gas: Option<u64>,
}

impl Filter {
    /// Whether everything is drawn.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a hazard is drawn.
    pub fn wants(&self, hazard: Hazard) -> bool {
        self.hazards.is_empty() || self.hazards.contains(&hazard)
    }

    /// Whether each transaction is drawn, given the wave of each.
    pub(crate) fn shown(&self, block: &Explained<'_>, waves: &[usize]) -> Vec<bool> {
        let graph = block.plan.graph();
        let mut shown: Vec<bool> = match self.only {
            None => vec![true; graph.len()],
            Some(Only::Tx(tx)) => around(block, tx),
            Some(Only::Address(address)) => {
                graph.transactions().map(|tx| touches(block, tx, address)).collect()
            }
        };
        for tx in graph.transactions() {
            let in_waves = self.waves.as_ref().is_none_or(|it| it.contains(&waves[tx.index()]));
            let is_large = self.min_gas.is_none_or(|least| graph.gas(tx) >= least);
            shown[tx.index()] &= in_waves && is_large;
        }
        shown
    }
}

/// A transaction, its conflicts, and all before and after it.
fn around(block: &Explained<'_>, tx: TxIndex) -> Vec<bool> {
    let graph = block.plan.graph();
    let mut shown = vec![false; graph.len()];
    if tx.index() >= graph.len() {
        return shown;
    }
    let direct = graph.conflicts_before(tx).chain(graph.conflicts_after(tx));
    for other in direct.chain([tx]) {
        shown[other.index()] = true;
    }
    for earlier in graph.ancestors(tx).iter() {
        shown[earlier.index()] = true;
    }
    let mut after = vec![tx];
    let mut seen = vec![false; graph.len()];
    while let Some(next) = after.pop() {
        shown[next.index()] = true;
        if !core::mem::replace(&mut seen[next.index()], true) {
            after.extend(graph.successors(next));
        }
    }
    shown
}

fn touches(block: &Explained<'_>, tx: TxIndex, address: Address) -> bool {
    let env = &block.input.block.transactions[tx.index()];
    let prediction = &block.plan.predictions()[tx.index()];
    let of = |location: &Location| location.address() == address;
    let covers = |scope: Scope| match scope {
        Scope::Mapping { address: of, .. } | Scope::Contract { address: of } => of == address,
        Scope::Everything => false,
    };
    env.caller == address
        || env.kind.to() == Some(&address)
        || prediction.set().iter().any(|(_, location)| of(location))
        || prediction.widened().iter().any(|widened| covers(widened.scope))
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.only.map(|only| only.to_string()));
        if !self.hazards.is_empty() {
            let names: Vec<String> = self.hazards.iter().map(Hazard::to_string).collect();
            parts.push(names.join(", "));
        }
        if let Some(waves) = &self.waves {
            let (first, last) = (waves.start(), waves.end());
            parts.push(if first == last {
                format!("wave {first}")
            } else {
                format!("waves {first} to {last}")
            });
        }
        parts.extend(self.min_gas.map(|gas| format!("at least {gas} gas")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_or_an_address_is_told_by_its_form() {
        let tx = |number| Ok(Only::Tx(TxIndex::new(number)));
        let text = "0x00000000000000000000000000000000000000aa";
        assert_eq!("12".parse::<Only>(), tx(12));
        assert_eq!("tx0".parse::<Only>(), tx(0));
        assert_eq!(text.parse::<Only>(), Ok(Only::Address(text.parse().unwrap())));
        for wrong in ["", "tx", "+1", "-1", "0x12", "99999999999", &text.replace('a', "g")] {
            assert_eq!(wrong.parse::<Only>(), Err(UnknownFilter(wrong.to_owned())));
        }
    }
}
