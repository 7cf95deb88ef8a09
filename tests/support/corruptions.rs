//! From an account's entry in a block's access list (EIP-7928) to every way in which a single thing of it can
//! be wrong, each with the place that a fault must name.
//!
//! ```text
//! entry ── edits ──> Edit, Edit, ... ── apply ──> what stands in its place, and where it is wrong
//! ```
//!
//! The entries of accounts are judged independently of each other, and so are the changes of a balance,
//! a nonce, code and each slot. So long entries are cut into [`parts`] first, without which
//! all edits of all of them would take the square of their length.

use alloy_eips::eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessListValidationError as Shape,
    CodeChange, NonceChange, SlotChanges, StorageChange,
};
use alloy_primitives::{Address, Bytes, U256};
use forewave::{EntryAt, ListFault};

/// Changes, slots or reads in a part, at most.
const PART_MAX: usize = 8;

/// One of an account's lists of changes; a slot by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    Balance,
    Nonce,
    Code,
    Slot(usize),
}

/// What becomes of a list of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeEdit {
    Drop(usize),
    Alter(usize),
    Repeat(usize),
    /// Trades places with the next.
    Swap(usize),
    /// Takes another index.
    Move(usize, u64),
    /// One more, at this index.
    Add(u64),
}

/// What becomes of an account's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Changes(Changes, ChangeEdit),
    /// The account is not in the list.
    DropAccount,
    /// An account that the block does not touch is in the list.
    AddAccount,
    RepeatAccount,
    DropSlot(usize),
    RepeatSlot(usize),
    SwapSlots(usize),
    /// Another slot in its place.
    RenameSlot(usize),
    /// The slot is said to be only read.
    ReadInstead(usize),
    /// The slot is said to be only read as well.
    ReadToo(usize),
    AddSlot,
    DropRead(usize),
    RepeatRead(usize),
    SwapReads(usize),
    RenameRead(usize),
    /// The slot that is only read is said to change.
    ChangeInstead(usize),
    AddRead,
}

/// Where a list is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) slot: Option<U256>,
    pub(crate) index: Option<u64>,
}

/// The entry cut into parts that each hold few things, and together everything.
pub(crate) fn parts(account: &AccountChanges) -> Vec<AccountChanges> {
    let empty = || AccountChanges::new(account.address);
    let changes = account.balance_changes.chunks(PART_MAX);
    let balances = changes.map(|part| AccountChanges { balance_changes: part.into(), ..empty() });
    let changes = account.nonce_changes.chunks(PART_MAX);
    let nonces = changes.map(|part| AccountChanges { nonce_changes: part.into(), ..empty() });
    let changes = account.code_changes.chunks(PART_MAX);
    let codes = changes.map(|part| AccountChanges { code_changes: part.into(), ..empty() });
    let slots = account.storage_changes.iter().flat_map(|slot| {
        let changes = slot.changes.chunks(PART_MAX);
        changes.map(|part| {
            let storage_changes = vec![SlotChanges::new(slot.slot, part.into())];
            AccountChanges { storage_changes, ..empty() }
        })
    });
    let read = account.storage_reads.chunks(PART_MAX);
    let reads = read.map(|part| AccountChanges { storage_reads: part.into(), ..empty() });
    let pairs = account.storage_changes.windows(2).map(|pair| {
        let first = |slot: &SlotChanges| SlotChanges::new(slot.slot, slot.changes[..1].into());
        AccountChanges { storage_changes: pair.iter().map(first).collect(), ..empty() }
    });
    let entries = account.storage_changes.iter().map(|slot| slot.changes.len()).sum::<usize>()
        + account.balance_changes.len()
        + account.nonce_changes.len()
        + account.code_changes.len()
        + account.storage_reads.len();
    if entries <= PART_MAX {
        return vec![account.clone()];
    }
    balances.chain(nonces).chain(codes).chain(slots).chain(reads).chain(pairs).collect()
}

/// Every edit of an account's entry, in a block whose last index is `last`.
pub(crate) fn edits(account: &AccountChanges, last: u64) -> Vec<Edit> {
    let mut edits = vec![Edit::DropAccount, Edit::AddAccount, Edit::RepeatAccount];
    edits.extend([Edit::AddSlot, Edit::AddRead]);
    let mut of_changes = |changes, indices: Vec<u64>| {
        edits.extend(change_edits(&indices, last).map(|edit| Edit::Changes(changes, edit)));
    };
    of_changes(Changes::Balance, indices(&account.balance_changes));
    of_changes(Changes::Nonce, indices(&account.nonce_changes));
    of_changes(Changes::Code, indices(&account.code_changes));
    for (position, slot) in account.storage_changes.iter().enumerate() {
        of_changes(Changes::Slot(position), indices(&slot.changes));
    }
    let whole = [Edit::DropSlot, Edit::RepeatSlot, Edit::RenameSlot];
    let whole = whole.into_iter().chain([Edit::ReadInstead, Edit::ReadToo]);
    let slots = account.storage_changes.len();
    edits.extend(whole.flat_map(|edit| (0..slots).map(edit)));
    edits.extend((1..slots).map(|next| Edit::SwapSlots(next - 1)));
    let whole = [Edit::DropRead, Edit::RepeatRead, Edit::RenameRead, Edit::ChangeInstead];
    let reads = account.storage_reads.len();
    edits.extend(whole.into_iter().flat_map(|edit| (0..reads).map(edit)));
    edits.extend((1..reads).map(|next| Edit::SwapReads(next - 1)));
    edits
}

/// Every edit of the changes at these indices.
fn change_edits(indices: &[u64], last: u64) -> impl Iterator<Item = ChangeEdit> {
    let each = indices.iter().enumerate().flat_map(move |(position, index)| {
        let edits = [ChangeEdit::Drop, ChangeEdit::Alter, ChangeEdit::Repeat];
        let others = [index.checked_sub(1), Some(index + 1), Some(last + 1), Some(1 << 32)];
        let moves = others.into_iter().flatten();
        let moves = moves.map(move |other| ChangeEdit::Move(position, other));
        edits.map(|edit| edit(position)).into_iter().chain(moves)
    });
    let swaps = (1..indices.len()).map(|next| ChangeEdit::Swap(next - 1));
    let added = (0..=last).find(|index| !indices.contains(index));
    let added = added.into_iter().chain([last + 1]).map(ChangeEdit::Add);
    each.chain(swaps).chain(added)
}

/// What stands in the place of the account's entry after an edit, and where that is wrong.
pub(crate) fn apply(account: &AccountChanges, edit: Edit) -> (Vec<AccountChanges>, Place) {
    let address = account.address;
    let place = |slot, index| Place { address, slot, index };
    let mut edited = account.clone();
    let (slots, reads) = (&mut edited.storage_changes, &mut edited.storage_reads);
    let place = match edit {
        Edit::Changes(Changes::Balance, edit) => {
            place(None, Some(change(&mut edited.balance_changes, edit)))
        }
        Edit::Changes(Changes::Nonce, edit) => {
            place(None, Some(change(&mut edited.nonce_changes, edit)))
        }
        Edit::Changes(Changes::Code, edit) => {
            place(None, Some(change(&mut edited.code_changes, edit)))
        }
        Edit::Changes(Changes::Slot(position), edit) => {
            let slot = &mut slots[position];
            let index = change(&mut slot.changes, edit);
            // A slot that lost its only change is at fault as a whole.
            place(Some(slot.slot), (!slot.changes.is_empty()).then_some(index))
        }
        Edit::DropAccount => return (Vec::new(), place(None, None)),
        Edit::AddAccount => return with_stranger(account),
        Edit::RepeatAccount => return (vec![edited.clone(), edited], place(None, None)),
        Edit::DropSlot(position) => place(Some(slots.remove(position).slot), None),
        Edit::RepeatSlot(position) => {
            slots.insert(position, slots[position].clone());
            place(Some(slots[position].slot), None)
        }
        Edit::SwapSlots(position) => {
            slots.swap(position, position + 1);
            place(Some(slots[position + 1].slot), None)
        }
        Edit::RenameSlot(position) => {
            let renamed = SlotChanges::new(absent(account), slots.remove(position).changes);
            insert_slot(slots, renamed.clone());
            place(Some(renamed.slot), None)
        }
        Edit::ReadInstead(position) => {
            let slot = slots.remove(position).slot;
            insert_read(reads, slot);
            place(Some(slot), None)
        }
        Edit::ReadToo(position) => {
            insert_read(reads, slots[position].slot);
            place(Some(slots[position].slot), None)
        }
        Edit::AddSlot => {
            insert_slot(slots, changed(absent(account)));
            place(Some(absent(account)), Some(1))
        }
        Edit::DropRead(position) => place(Some(reads.remove(position)), None),
        Edit::RepeatRead(position) => {
            reads.insert(position, reads[position]);
            place(Some(reads[position]), None)
        }
        Edit::SwapReads(position) => {
            reads.swap(position, position + 1);
            place(Some(reads[position + 1]), None)
        }
        Edit::RenameRead(position) => {
            reads.remove(position);
            insert_read(reads, absent(account));
            place(Some(absent(account)), None)
        }
        Edit::ChangeInstead(position) => {
            let slot = reads.remove(position);
            insert_slot(slots, changed(slot));
            place(Some(slot), Some(1))
        }
        Edit::AddRead => {
            insert_read(reads, absent(account));
            place(Some(absent(account)), None)
        }
    };
    (vec![edited], place)
}

/// The entry beside one of an account next to it.
fn with_stranger(account: &AccountChanges) -> (Vec<AccountChanges>, Place) {
    let mut address = account.address;
    address.0[19] ^= 1;
    let mut both = vec![account.clone(), AccountChanges::new(address)];
    both.sort_by_key(|account| account.address);
    (both, Place { address, slot: None, index: None })
}

/// A slot that the entry does not name.
fn absent(account: &AccountChanges) -> U256 {
    let is_named = |slot: &U256| {
        account.storage_reads.contains(slot)
            || account.storage_changes.iter().any(|changes| changes.slot == *slot)
    };
    let mut candidates = (0_u64..).map(U256::from);
    candidates.find(|slot| !is_named(slot)).expect("an entry names finitely many")
}

fn changed(slot: U256) -> SlotChanges {
    SlotChanges::new(slot, vec![StorageChange::new(BlockAccessIndex::new(1), U256::from(7))])
}

fn insert_slot(slots: &mut Vec<SlotChanges>, slot: SlotChanges) {
    slots.insert(slots.partition_point(|other| other.slot < slot.slot), slot);
}

fn insert_read(reads: &mut Vec<U256>, slot: U256) {
    reads.insert(reads.partition_point(|other| *other < slot), slot);
}

/// What the changes of a balance, a nonce, code and a slot have in common.
trait Change: Clone {
    fn index(&self) -> &BlockAccessIndex;
    fn index_mut(&mut self) -> &mut BlockAccessIndex;
    /// Makes it say something else.
    fn alter(&mut self);
    /// A change to something.
    fn some() -> Self;
}

macro_rules! change {
    ($change:ty, $value:ident, $alter:expr, $some:expr) => {
        impl Change for $change {
            fn index(&self) -> &BlockAccessIndex {
                &self.block_access_index
            }
            fn index_mut(&mut self) -> &mut BlockAccessIndex {
                &mut self.block_access_index
            }
            fn alter(&mut self) {
                self.$value = $alter(&self.$value);
            }
            fn some() -> Self {
                Self::new(BlockAccessIndex::new(0), $some)
            }
        }
    };
}

change!(BalanceChange, post_balance, |value: &U256| *value ^ U256::ONE, U256::from(7));
change!(NonceChange, new_nonce, |value: &u64| value ^ 1, 7);
change!(StorageChange, new_value, |value: &U256| *value ^ U256::ONE, U256::from(7));
change!(CodeChange, new_code, lengthened, Bytes::from_static(&[0x60, 1]));

fn lengthened(code: &Bytes) -> Bytes {
    code.iter().copied().chain([0]).collect()
}

fn indices<C: Change>(changes: &[C]) -> Vec<u64> {
    changes.iter().map(|change| change.index().get()).collect()
}

/// Edits changes, and gives the index where they are wrong.
fn change<C: Change>(changes: &mut Vec<C>, edit: ChangeEdit) -> u64 {
    match edit {
        ChangeEdit::Drop(position) => changes.remove(position).index().get(),
        ChangeEdit::Alter(position) => {
            changes[position].alter();
            changes[position].index().get()
        }
        ChangeEdit::Repeat(position) => {
            changes.insert(position, changes[position].clone());
            changes[position].index().get()
        }
        ChangeEdit::Swap(position) => {
            changes.swap(position, position + 1);
            changes[position + 1].index().get()
        }
        ChangeEdit::Move(position, index) => {
            *changes[position].index_mut() = BlockAccessIndex::new(index);
            index
        }
        ChangeEdit::Add(index) => {
            let mut added = C::some();
            *added.index_mut() = BlockAccessIndex::new(index);
            let position = changes.partition_point(|change| change.index().get() < index);
            changes.insert(position, added);
            index
        }
    }
}

/// Whether a fault names the place. Of changes that are out of order or share an index, no fault
/// says to which slot they belong.
pub(crate) fn names(fault: &ListFault, place: Place) -> bool {
    let (address, slot, index) = match *fault {
        ListFault::TooLarge { .. } | ListFault::Unaffordable { .. } => return false,
        ListFault::Account { address, .. } => (address, None, None),
        ListFault::Entry { address, at, .. } => match at {
            EntryAt::Balance(index) | EntryAt::Nonce(index) | EntryAt::Code(index) => {
                (address, None, Some(index))
            }
            EntryAt::Slot(slot, index) => (address, Some(slot), index),
        },
        ListFault::Shape(ref shape) => match *shape {
            Shape::DuplicateAccount { address } | Shape::AccountsOutOfOrder { address, .. } => {
                (address, None, None)
            }
            Shape::DuplicateStorageKey { address, slot }
            | Shape::StorageKeysOutOfOrder { address, slot, .. }
            | Shape::EmptyStorageChanges { address, slot } => (address, Some(slot), None),
            Shape::DuplicateBlockAccessIndex { address, index, .. }
            | Shape::ChangeIndicesOutOfOrder { address, index, .. }
            | Shape::BlockAccessIndexOutOfRange { address, index, .. }
            | Shape::BlockAccessIndexExceedsBlock { address, index, .. } => {
                (address, place.slot, Some(index))
            }
        },
    };
    address == place.address
        && slot == place.slot
        && place.index.is_none_or(|expected| index == Some(BlockAccessIndex::new(expected)))
}
