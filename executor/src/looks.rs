//! Which part of which account a transaction looked at.
//!
//! A loaded account is not yet a dependence on all of it: calling a contract
//! looks at its code, not at its balance.

use bitflags::bitflags;
use hashbrown::HashMap;
use revm::primitives::{Address, U256, map::DefaultHashBuilder};

bitflags! {
    /// The parts of an account that a transaction looked at.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Looked: u8 {
        const BALANCE = 1;
        const NONCE = 2;
        const CODE = 4;
        /// Whether it is empty in the sense of EIP-161, and nothing more.
        const EMPTINESS = 8;
        /// Whether it exists, and if so whether it is empty, and nothing more:
        /// before EIP-161 a touch keeps an empty account that exists as it is.
        const EXISTENCE = 16;
        /// Whether its balance covers what is paid from it, and nothing more.
        const COVER = 32;
    }
}

/// Accounts up to which a list is searched faster than a map.
const LISTED_ACCOUNTS_MAX: usize = 16;

/// What was looked at of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) looked: Looked,
    /// The least balance before the transaction from which all payments can be made.
    pub(crate) cover: U256,
}

/// What was looked at so far, by account: a list, and a map once it is long.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    listed: Vec<(Address, Look)>,
    positions: HashMap<Address, usize, DefaultHashBuilder>,
}

impl Looks {
    pub(crate) fn add(&mut self, address: Address, looked: Looked) {
        self.add_look(address, Look { looked, cover: U256::ZERO });
    }

    /// Adds that it was looked whether the balance covers a payment, for which the account must
    /// have had so much before the transaction.
    pub(crate) fn add_cover(&mut self, address: Address, cover: U256) {
        self.add_look(address, Look { looked: Looked::COVER, cover });
    }

    fn add_look(&mut self, address: Address, look: Look) {
        if let Some(position) = self.position(address) {
            let known = &mut self.listed[position].1;
            known.looked |= look.looked;
            known.cover = known.cover.max(look.cover);
            return;
        }
        self.listed.push((address, look));
        match self.listed.len() {
            ..LISTED_ACCOUNTS_MAX => {}
            LISTED_ACCOUNTS_MAX => {
                let positions = self.listed.iter().enumerate();
                self.positions
                    .extend(positions.map(|(position, (address, _))| (*address, position)));
            }
            len => {
                self.positions.insert(address, len - 1);
            }
        }
    }

    pub(crate) fn at(&self, address: Address) -> Looked {
        self.look(address).looked
    }

    pub(crate) fn look(&self, address: Address) -> Look {
        self.position(address).map_or(Look::default(), |position| self.listed[position].1)
    }

    pub(crate) fn clear(&mut self) {
        self.listed.clear();
        self.positions.clear();
    }

    fn position(&self, address: Address) -> Option<usize> {
        if self.positions.is_empty() {
            return self.listed.iter().position(|(listed, _)| *listed == address);
        }
        self.positions.get(&address).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_add_up_in_a_short_list_and_in_a_long_one() {
        let mut looks = Looks::default();
        for round in [Looked::CODE, Looked::NONCE] {
            for n in 0..2 * LISTED_ACCOUNTS_MAX {
                let address = Address::left_padding_from(&[u8::try_from(n).unwrap()]);
                assert_eq!(looks.at(address), looked_before(round));
                looks.add(address, round);
                assert!(looks.at(address).contains(round));
            }
        }
        looks.clear();
        assert_eq!(looks.at(Address::ZERO), Looked::empty());
    }

    fn looked_before(round: Looked) -> Looked {
        if round == Looked::NONCE { Looked::CODE } else { Looked::empty() }
    }
}
