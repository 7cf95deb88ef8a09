//! A fault of an access list as fields, for machines: `forewave bal --json`.

use alloy_eips::eip7928::{
    BlockAccessIndex, BlockAccessListChangeKind, BlockAccessListValidationError,
};
use alloy_primitives::{Address, B256, U256};
use forewave_analyzer::TxIndex;
use serde::Serialize;

use super::{EntryAt, ListFault, Listed, Touching};

/// What kind of entry or rule a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Something comes after what it must come before.
    Order,
    /// Something is there twice.
    Duplicate,
    /// A slot is listed as changed, with no change.
    Empty,
    /// An index that the block does not have.
    Index,
    /// More accounts and slots than the gas limit allows.
    Size,
    /// More reads than the gas that is left can pay for.
    Unaffordable,
    /// An account that is missing, or not touched.
    Account,
    /// A balance.
    Balance,
    /// A nonce.
    Nonce,
    /// A code.
    Code,
    /// What a slot is changed to.
    Storage,
    /// A slot that is read and not changed.
    StorageRead,
}

/// A transaction of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FaultTx {
    /// Its position.
    pub tx: TxIndex,
    /// Its hash.
    pub hash: B256,
}

/// A fault of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// What is wrong.
    pub kind: FaultKind,
    /// The account, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Address>,
    /// The slot, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<U256>,
    /// The index in the list, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The transaction of that index.
    #[serde(flatten)]
    pub tx: Option<FaultTx>,
    /// What the list has: null if it has no entry.
    pub found: Option<String>,
    /// What it must have: null if it must have no entry, or that is not known.
    pub expected: Option<String>,
    /// The transactions that touch what the fault is about, in block order.
    pub touched_by: Vec<FaultTx>,
    /// The same in words.
    pub text: String,
}

impl FaultReport {
    /// A fault of the list of a block whose transactions have these hashes.
    pub fn new(fault: &ListFault, touching: &Touching, hashes: &[B256]) -> Self {
        let of_tx = |tx: TxIndex| hashes.get(tx.index()).map(|&hash| FaultTx { tx, hash });
        let Fields { kind, account, slot, index, tx, found, expected } = Fields::of(fault);
        let tx = tx.or_else(|| index.and_then(transaction));
        Self {
            kind,
            account,
            slot,
            index: index.map(BlockAccessIndex::get),
            tx: tx.and_then(of_tx),
            found,
            expected,
            touched_by: touching.transactions(fault).iter().copied().filter_map(of_tx).collect(),
            text: fault.to_string(),
        }
    }
}

/// The transaction that an index stands for, if the block has so many.
fn transaction(index: BlockAccessIndex) -> Option<TxIndex> {
    let position = usize::try_from(index.get().checked_sub(1)?).ok()?;
    Some(TxIndex::new(position))
}

/// What a fault says.
struct Fields {
    kind: FaultKind,
    account: Option<Address>,
    slot: Option<U256>,
    index: Option<BlockAccessIndex>,
    /// Where no index says it.
    tx: Option<TxIndex>,
    found: Option<String>,
    expected: Option<String>,
}

impl Fields {
    const fn new(kind: FaultKind) -> Self {
        let (account, slot, index, tx) = (None, None, None, None);
        Self { kind, account, slot, index, tx, found: None, expected: None }
    }

    fn of(fault: &ListFault) -> Self {
        match fault {
            ListFault::Shape(fault) => Self::of_shape(fault),
            ListFault::TooLarge { items, items_max } => Self {
                found: Some(items.to_string()),
                expected: Some(items_max.to_string()),
                ..Self::new(FaultKind::Size)
            },
            ListFault::Unaffordable { after, reads, gas_left } => Self {
                tx: *after,
                found: Some(reads.to_string()),
                expected: Some(ListFault::affordable(*gas_left).to_string()),
                ..Self::new(FaultKind::Unaffordable)
            },
            ListFault::Account { address, is_touched } => {
                let listed = |is_there: bool| is_there.then(|| "an account".to_owned());
                Self {
                    account: Some(*address),
                    found: listed(!is_touched),
                    expected: listed(*is_touched),
                    ..Self::new(FaultKind::Account)
                }
            }
            ListFault::Entry { address, at, given, made } => {
                let (kind, slot, index) = match *at {
                    EntryAt::Balance(index) => (FaultKind::Balance, None, Some(index)),
                    EntryAt::Nonce(index) => (FaultKind::Nonce, None, Some(index)),
                    EntryAt::Code(index) => (FaultKind::Code, None, Some(index)),
                    EntryAt::Slot(slot, Some(index)) => {
                        (FaultKind::Storage, Some(slot), Some(index))
                    }
                    EntryAt::Slot(slot, None) => (FaultKind::StorageRead, Some(slot), None),
                };
                let value = |listed: &Option<Listed>| listed.as_ref().map(value);
                let (found, expected) = (value(given), value(made));
                let account = Some(*address);
                Self { account, slot, index, found, expected, ..Self::new(kind) }
            }
        }
    }

    fn of_shape(fault: &BlockAccessListValidationError) -> Self {
        use BlockAccessListValidationError as Shape;
        let of = |kind, address| Self { account: Some(address), ..Self::new(kind) };
        match *fault {
            Shape::DuplicateAccount { address } => of(FaultKind::Duplicate, address),
            Shape::AccountsOutOfOrder { address, .. } => of(FaultKind::Order, address),
            Shape::DuplicateStorageKey { address, slot } => {
                Self { slot: Some(slot), ..of(FaultKind::Duplicate, address) }
            }
            Shape::StorageKeysOutOfOrder { address, slot, .. } => {
                Self { slot: Some(slot), ..of(FaultKind::Order, address) }
            }
            Shape::EmptyStorageChanges { address, slot } => {
                Self { slot: Some(slot), ..of(FaultKind::Empty, address) }
            }
            Shape::DuplicateBlockAccessIndex { address, kind, index } => Self {
                found: Some(changes(kind)),
                index: Some(index),
                ..of(FaultKind::Duplicate, address)
            },
            Shape::ChangeIndicesOutOfOrder { address, kind, index, .. } => Self {
                found: Some(changes(kind)),
                index: Some(index),
                ..of(FaultKind::Order, address)
            },
            Shape::BlockAccessIndexOutOfRange { address, kind, index }
            | Shape::BlockAccessIndexExceedsBlock { address, kind, index, .. } => Self {
                found: Some(changes(kind)),
                index: Some(index),
                ..of(FaultKind::Index, address)
            },
        }
    }
}

/// The list of changes that something is in.
fn changes(kind: BlockAccessListChangeKind) -> String {
    format!("{kind} changes")
}

/// What a list says at an entry, in full.
fn value(listed: &Listed) -> String {
    match listed {
        Listed::Value(value) => format!("{value:#x}"),
        Listed::Code(code) => code.to_string(),
        Listed::Read => "read".to_owned(),
    }
}
