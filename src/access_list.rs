//! Judges a block's access list (EIP-7928) against the one that executing the block made: every entry in which
//! they differ, by account, slot and index.
//!
//! ```text
//! given list ── shape: order, duplicates, indices, size ──> first fault of shape
//!     └──────── entries, against the list that was made ──> every entry that is wrong
//! ```

mod early;
mod report;
mod touching;

use core::fmt;
use std::collections::BTreeMap;

use alloy_eips::eip7928::{
    AccountChanges, BlockAccessIndex, BlockAccessListValidationError, constants::ITEM_COST,
    total_bal_items, validate_block_access_list,
};
use alloy_primitives::{Address, Bytes, U256};
use forewave_analyzer::{Block, TxIndex};

pub use self::{
    early::unaffordable_reads,
    report::{FaultKind, FaultReport, FaultTx},
    touching::Touching,
};

/// What is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListFault {
    /// It is out of order, names something twice, or an index that the block does not have.
    Shape(BlockAccessListValidationError),
    /// It holds more than the block's gas can touch.
    TooLarge {
        /// Accounts and slots in it.
        items: u64,
        /// The most that the gas limit of the block allows.
        items_max: u64,
    },
    /// It names more reads than the gas that is left can pay for, so that it can be rejected
    /// while the block still executes.
    Unaffordable {
        /// The last transaction that has to run to know it; none if none has to.
        after: Option<TxIndex>,
        /// Slots that it names as read, that the transactions so far have not read.
        reads: u64,
        /// What they leave of the block's gas limit.
        gas_left: u64,
    },
    /// An account is in only one of the two.
    Account {
        /// The account.
        address: Address,
        /// Whether executing the block touches it.
        is_touched: bool,
    },
    /// An entry of an account is not what executing the block makes it.
    Entry {
        /// The account.
        address: Address,
        /// Which entry.
        at: EntryAt,
        /// What the list says.
        given: Option<Listed>,
        /// What it must say.
        made: Option<Listed>,
    },
}

impl ListFault {
    /// Whether it is about something that is touched at an index which the fault does not say.
    pub const fn is_without_index(&self) -> bool {
        matches!(
            self,
            Self::Account { is_touched: true, .. } | Self::Entry { at: EntryAt::Slot(_, None), .. }
        )
    }

    /// The reads that so much gas can pay for.
    pub const fn affordable(gas: u64) -> u64 {
        gas / ITEM_COST as u64
    }
}

/// An entry of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryAt {
    /// What its balance is after an index.
    Balance(BlockAccessIndex),
    /// What its nonce is after an index.
    Nonce(BlockAccessIndex),
    /// What its code is after an index.
    Code(BlockAccessIndex),
    /// What a slot is after an index; without one, that the slot is only read.
    Slot(U256, Option<BlockAccessIndex>),
}

/// What a list says at an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A balance, a nonce, or what a slot holds.
    Value(U256),
    /// Code.
    Code(Bytes),
    /// The slot is read, and changed nowhere.
    Read,
}

/// The size of a list and the most that it may be: accounts and slots, by the gas limit of its block.
pub fn list_items(list: &[AccountChanges], gas_limit: u64) -> (u64, u64) {
    (total_bal_items(list), gas_limit / ITEM_COST as u64)
}

/// What is wrong with the list `given` for a block whose execution made the list `made`: a
/// fault of its shape, or every entry that differs, in the order of the lists.
pub fn judge_access_list(
    block: &Block,
    given: &[AccountChanges],
    made: &[AccountChanges],
) -> Vec<ListFault> {
    if let Err(fault) = validate_block_access_list(given, block.transactions.len()) {
        return vec![ListFault::Shape(fault)];
    }
    let (items, items_max) = list_items(given, block.env.gas_limit);
    if items > items_max {
        return vec![ListFault::TooLarge { items, items_max }];
    }
    let accounts =
        join(given.iter().map(|one| (one.address, one)), made.iter().map(|one| (one.address, one)));
    let mut faults = Vec::new();
    for (address, sides) in accounts {
        let (Some(given), Some(made)) = sides else {
            faults.push(ListFault::Account { address, is_touched: sides.1.is_some() });
            continue;
        };
        let entries = join(entries(given), entries(made));
        let differing = entries.into_iter().filter(|(_, (given, made))| given != made);
        faults.extend(differing.map(|(at, (given, made))| ListFault::Entry {
            address,
            at,
            given,
            made,
        }));
    }
    faults
}

/// What two sides say by the same key.
fn join<K: Ord, V>(
    given: impl Iterator<Item = (K, V)>,
    made: impl Iterator<Item = (K, V)>,
) -> BTreeMap<K, (Option<V>, Option<V>)> {
    let mut joined: BTreeMap<K, (Option<V>, Option<V>)> =
        given.map(|(key, value)| (key, (Some(value), None))).collect();
    for (key, value) in made {
        joined.entry(key).or_insert((None, None)).1 = Some(value);
    }
    joined
}

/// Every entry of an account.
fn entries(account: &AccountChanges) -> impl Iterator<Item = (EntryAt, Listed)> {
    let balances = account.balance_changes.iter().map(|change| {
        (EntryAt::Balance(change.block_access_index), Listed::Value(change.post_balance))
    });
    let nonces = account.nonce_changes.iter().map(|change| {
        (EntryAt::Nonce(change.block_access_index), Listed::Value(U256::from(change.new_nonce)))
    });
    let codes = account.code_changes.iter().map(|change| {
        (EntryAt::Code(change.block_access_index), Listed::Code(change.new_code.clone()))
    });
    let changed = account.storage_changes.iter().flat_map(|slot| {
        slot.changes.iter().map(|change| {
            let at = EntryAt::Slot(slot.slot, Some(change.block_access_index));
            (at, Listed::Value(change.new_value))
        })
    });
    let read = account.storage_reads.iter().map(|slot| (EntryAt::Slot(*slot, None), Listed::Read));
    balances.chain(nonces).chain(codes).chain(changed).chain(read)
}

/// An index of a block's list in words.
#[derive(Clone, Copy, Debug)]
pub struct IndexInWords(pub BlockAccessIndex);

impl fmt::Display for IndexInWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get().checked_sub(1) {
            None => f.write_str("index 0 (before the transactions)"),
            Some(tx) => {
                let tx = TxIndex::new(usize::try_from(tx).unwrap_or(usize::MAX));
                write!(f, "index {} ({tx})", self.0.get())
            }
        }
    }
}

impl fmt::Display for EntryAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Balance(index) => write!(f, "balance at {}", IndexInWords(index)),
            Self::Nonce(index) => write!(f, "nonce at {}", IndexInWords(index)),
            Self::Code(index) => write!(f, "code at {}", IndexInWords(index)),
            Self::Slot(slot, Some(index)) => write!(f, "slot {slot:#x} at {}", IndexInWords(index)),
            Self::Slot(slot, None) => write!(f, "slot {slot:#x}"),
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value:#x}"),
            Self::Code(code) => write!(f, "{} bytes of code", code.len()),
            Self::Read => f.write_str("a read"),
        }
    }
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(fault) => write!(f, "{fault}"),
            Self::TooLarge { items, items_max } => write!(
                f,
                "the list has {items} accounts and slots, the block's gas limit allows {items_max}"
            ),
            Self::Unaffordable { after, reads, gas_left } => {
                let most = Self::affordable(*gas_left);
                let reads =
                    format!("{reads} reads of the list are not made, {most} can be paid for");
                match after {
                    Some(tx) => write!(f, "could be rejected after {tx}: {reads}"),
                    None => write!(f, "could be rejected before any transaction: {reads}"),
                }
            }
            Self::Account { address, is_touched: true } => {
                write!(f, "{address}: not in the list, but executing the block touches it")
            }
            Self::Account { address, is_touched: false } => {
                write!(f, "{address}: in the list, but executing the block does not touch it")
            }
            Self::Entry { address, at, given, made } => {
                write!(f, "{address}: {at}: ")?;
                match (given, made) {
                    (Some(given), Some(made)) => write!(f, "the list has {given}, must be {made}"),
                    (Some(given), None) => write!(f, "the list has {given}, must not be there"),
                    (None, Some(made)) => write!(f, "the list has no entry, must be {made}"),
                    (None, None) => Ok(()),
                }
            }
        }
    }
}
