//! Accounts and slots as numbers: what results name them by, so that looking at one takes an
//! index and no hash.

use hashbrown::HashMap;
use revm::primitives::{
    Address, StorageKey,
    map::{DefaultHashBuilder, FbBuildHasher},
};

/// An account, numbered in the order in which accounts were first met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountPlace(u32);

/// A slot of an account, numbered likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotPlace(u32);

impl AccountPlace {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl SlotPlace {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Every account and slot that has a number. None is taken away.
#[derive(Debug, Default)]
pub(crate) struct Places {
    accounts: Vec<Address>,
    slots: Vec<(AccountPlace, StorageKey)>,
    by_address: HashMap<Address, AccountPlace, FbBuildHasher<20>>,
    by_key: HashMap<(AccountPlace, StorageKey), SlotPlace, DefaultHashBuilder>,
}

impl Places {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len() + self.slots.len()
    }

    /// The number of an account, which gets one if it has none.
    pub(crate) fn account(&mut self, address: Address) -> AccountPlace {
        *self.by_address.entry(address).or_insert_with(|| {
            self.accounts.push(address);
            AccountPlace(last_of(self.accounts.len()))
        })
    }

    /// The number of a slot.
    pub(crate) fn slot(&mut self, account: AccountPlace, key: StorageKey) -> SlotPlace {
        *self.by_key.entry((account, key)).or_insert_with(|| {
            self.slots.push((account, key));
            SlotPlace(last_of(self.slots.len()))
        })
    }

    /// The account of a number.
    pub(crate) fn address_of(&self, place: AccountPlace) -> Address {
        self.accounts[place.index()]
    }

    /// The slot of a number.
    pub(crate) fn slot_of(&self, place: SlotPlace) -> (AccountPlace, StorageKey) {
        self.slots[place.index()]
    }
}

/// The last of so many.
fn last_of(len: usize) -> u32 {
    u32::try_from(len - 1).expect("memory holds fewer than 2^32 places")
}
