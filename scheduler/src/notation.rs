//! Blocks as short text, for tests.
//!
//! Transactions are separated by `|`. A word is `R`, `W` or `D` (read, write,
//! delta) and a place, or `#` and the gas. Places: `a` the balance of account a;
//! `a.3` slot 3 of account a, of unknown origin; `a.3p` the same, of plain
//! origin; `a.3m0` the same, from the mapping at slot 0; `a[0]` that mapping as a
//! scope; `a[]` the contract as a scope; `*` everything.

use alloy_primitives::{Address, U256};
use forewave_analyzer::{
    AccessKind, AccessSetBuilder, KeyOrigin, Location, PredictedAccess, Scope, WidenedAccess,
};

/// The predictions of a block.
pub(crate) fn block(text: &str) -> Vec<PredictedAccess> {
    text.split('|').map(transaction).collect()
}

fn transaction(text: &str) -> PredictedAccess {
    let mut set = AccessSetBuilder::new();
    let (mut widened, mut origins, mut gas) = (Vec::new(), Vec::new(), 0);
    for word in text.split_whitespace() {
        let (kind, place) = word.split_at(1);
        let kind = match kind {
            "R" => AccessKind::Read,
            "W" => AccessKind::Write,
            "D" => AccessKind::Delta,
            _ => {
                gas = place.parse().unwrap();
                continue;
            }
        };
        if let Some(scope) = scope(place) {
            widened.push(WidenedAccess { scope, kind });
        } else if let Some((account, key)) = place.split_once('.') {
            let address = address(account);
            let (key, origin) = match (key.split_once('m'), key.strip_suffix('p')) {
                (Some((key, slot)), _) => (key, Some(KeyOrigin::Mapping(number(slot)))),
                (None, Some(key)) => (key, Some(KeyOrigin::Plain)),
                (None, None) => (key, None),
            };
            set.add(kind, Location::Storage(address, number(key)));
            origins.extend(origin.map(|origin| (address, number(key), origin)));
        } else {
            set.add(kind, Location::Balance(address(place)));
        }
    }
    PredictedAccess::exact(set.build(), gas).with_widened(widened).with_origins(origins)
}

fn scope(place: &str) -> Option<Scope> {
    if place == "*" {
        return Some(Scope::Everything);
    }
    let (account, slot) = place.strip_suffix(']')?.split_once('[')?;
    let address = address(account);
    Some(match slot {
        "" => Scope::Contract { address },
        slot => Scope::Mapping { address, slot: number(slot) },
    })
}

fn address(letter: &str) -> Address {
    Address::repeat_byte(letter.as_bytes()[0])
}

fn number(digits: &str) -> U256 {
    digits.parse().unwrap()
}
