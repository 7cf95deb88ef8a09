//! Which part of which account a transaction looked at.
//!
//! A loaded account is not yet a dependence on all of it: calling a contract
//! looks at its code, not at its balance.

use bitflags::bitflags;
use hashbrown::HashMap;
use revm::primitives::{Address, map::DefaultHashBuilder};

bitflags! {
    /// The parts of an account that a transaction looked at.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Looked: u8 {
        const BALANCE = 1;
        const NONCE = 2;
        const CODE = 4;
        /// Whether it is empty in the sense of EIP-161, and nothing more.
        const EMPTINESS = 8;
        /// Whether it exists, and nothing more.
        const EXISTENCE = 16;
    }
}

/// What was looked at so far, by account.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    accounts: HashMap<Address, Looked, DefaultHashBuilder>,
}

impl Looks {
    pub(crate) fn add(&mut self, address: Address, looked: Looked) {
        *self.accounts.entry(address).or_default() |= looked;
    }

    pub(crate) fn clear(&mut self) {
        self.accounts.clear();
    }

    pub(crate) fn at(&self, address: Address) -> Looked {
        self.accounts.get(&address).copied().unwrap_or_default()
    }
}
