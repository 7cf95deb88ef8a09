//! What one transaction is found to touch, while it is evaluated.

use hashbrown::{HashMap, hash_map::Entry};
use revm::primitives::{Address, StorageKey, map::DefaultHashBuilder};

use super::data::Value;
use crate::{
    AccessKind, Location,
    keys::{AddressKey, WordKey},
};

/// A use of a location, as bits: which, and that some run makes it for certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses(u8);

impl Uses {
    const fn bit(kind: AccessKind) -> u8 {
        match kind {
            AccessKind::Read => 1,
            AccessKind::Write => 2,
            AccessKind::Delta => 4,
        }
    }

    const fn add(&mut self, kind: AccessKind, is_must: bool) {
        let bit = Self::bit(kind);
        self.0 |= bit | if is_must { bit << 3 } else { 0 };
    }

    pub(super) const fn has(self, kind: AccessKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Whether the set of this kind has it: what is written is not credited as well.
    pub(super) const fn counts(self, kind: AccessKind) -> bool {
        self.has(kind) && !(matches!(kind, AccessKind::Delta) && self.has(AccessKind::Write))
    }

    /// Whether only some runs make a use of it.
    pub(super) const fn has_may(self) -> bool {
        self.0 >> 3 != self.0 & 7
    }

    pub(super) const fn is_must(self, kind: AccessKind) -> bool {
        self.0 & Self::bit(kind) << 3 != 0
    }
}

/// A slot, as far as the transaction has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotUse {
    pub(super) address: Address,
    pub(super) key: StorageKey,
    /// The declared slot of its mapping, where that is known.
    pub(super) scope: Option<StorageKey>,
    pub(super) uses: Uses,
    /// What it holds now, once it was asked for.
    pub(super) value: Option<Value>,
    /// Whether the transaction has stored to it.
    pub(super) is_stored: bool,
}

/// A balance, nonce or code.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldUse {
    pub(super) location: Location,
    pub(super) uses: Uses,
}

/// The uses of one transaction. Slots are found by key, fields by a short search.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) slots: Vec<SlotUse>,
    positions: HashMap<(AddressKey, WordKey), u32, DefaultHashBuilder>,
    pub(super) fields: Vec<FieldUse>,
    field_positions: HashMap<(u8, AddressKey), u32, DefaultHashBuilder>,
}

/// Fields up to which a list is searched faster than a map.
const LISTED_FIELDS_MAX: usize = 24;

/// Slots up to which a list is searched faster than a map.
const LISTED_SLOTS_MAX: usize = 12;

impl Record {
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.positions.clear();
        self.fields.clear();
        self.field_positions.clear();
    }

    /// The position of a slot, which is new if it was not used before.
    pub(super) fn slot(&mut self, address: Address, key: StorageKey) -> usize {
        let count = self.slots.len();
        if count <= LISTED_SLOTS_MAX {
            let found = self.slots.iter().position(|it| it.key == key && it.address == address);
            if let Some(position) = found {
                return position;
            }
            if count == LISTED_SLOTS_MAX {
                for (slot, at) in self.slots.iter().zip(0..) {
                    self.positions.insert((AddressKey(slot.address), WordKey(slot.key)), at);
                }
            }
        }
        let position = u32::try_from(count).unwrap_or(u32::MAX);
        if count >= LISTED_SLOTS_MAX {
            match self.positions.entry((AddressKey(address), WordKey(key))) {
                Entry::Occupied(known) => return *known.get() as usize,
                Entry::Vacant(new) => new.insert(position),
            };
        }
        let (uses, value, scope) = (Uses::default(), None, None);
        self.slots.push(SlotUse { address, key, scope, uses, value, is_stored: false });
        count
    }

    pub(super) fn use_slot(&mut self, position: usize, kind: AccessKind, is_must: bool) {
        self.slots[position].uses.add(kind, is_must);
    }

    pub(super) fn use_field(&mut self, location: Location, kind: AccessKind, is_must: bool) {
        let count = self.fields.len();
        if count <= LISTED_FIELDS_MAX {
            if let Some(field) = self.fields.iter_mut().find(|field| field.location == location) {
                field.uses.add(kind, is_must);
                return;
            }
            if count == LISTED_FIELDS_MAX {
                for (field, at) in self.fields.iter().zip(0..) {
                    self.field_positions.insert(field_key(&field.location), at);
                }
            }
        }
        if count >= LISTED_FIELDS_MAX {
            let position = u32::try_from(count).unwrap_or(u32::MAX);
            match self.field_positions.entry(field_key(&location)) {
                Entry::Occupied(known) => {
                    self.fields[*known.get() as usize].uses.add(kind, is_must);
                    return;
                }
                Entry::Vacant(new) => new.insert(position),
            };
        }
        let mut uses = Uses::default();
        uses.add(kind, is_must);
        self.fields.push(FieldUse { location, uses });
    }
}

fn field_key(location: &Location) -> (u8, AddressKey) {
    let kind = match location {
        Location::Balance(_) => 0,
        Location::Nonce(_) => 1,
        Location::Code(_) => 2,
        Location::Storage(..) => 3,
    };
    (kind, AddressKey(location.address()))
}
