//! A block's access list (EIP-7928) as the state of a run: what the list says is there before any
//! transaction has run, so that none waits for another.
//!
//! ```text
//! state before the block ──┐
//! list, up to an index ────┴──> accounts and slots as a transaction finds them
//! commit: did it do what the list says of it? ── no ──> the rest runs sequentially
//! ```
//!
//! By induction the state before each transaction is the true one: what the transactions before it did is
//! what the list says ([`verify`]). One thing a list does not say is that the storage of an account was
//! cleared. So that is noted when a transaction is committed, and what later ones have read
//! of such an account is looked at again.

mod gas;
mod verify;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use alloy_eips::eip7928::{
    AccountChanges, BlockAccessIndex, BlockAccessList, constants::ITEM_COST, total_bal_items,
    validate_block_access_list,
};
use forewave_analyzer::Block;
use hashbrown::{HashMap, HashTable};
use revm::{
    bytecode::Bytecode,
    context_interface::Cfg,
    primitives::{Address, StorageKey, StorageValue, map::DefaultHashBuilder},
    state::AccountInfo,
};

pub(super) use self::gas::gas_by_fees;
use self::verify::Marks;
use super::{below::Hashes, versions::Point};
use crate::{SYSTEM_CONTRACTS, transition::CodeChange};

/// A list that is in order, and where to find what it says.
#[derive(Debug)]
pub(super) struct Listed {
    list: Arc<BlockAccessList>,
    hashes: Hashes,
    /// Where the entry of each account is.
    positions: HashTable<u32>,
    /// Codes as revm takes them, by account, ascending.
    codes: HashMap<Address, Vec<(BlockAccessIndex, CodeChange)>, DefaultHashBuilder>,
    /// How many changes it names at each index.
    changes: Vec<u32>,
    /// Slots that are only read, of the accounts before each.
    reads_before: Vec<u32>,
    /// Slots that are only read, and that transactions have to pay for (EIP-7928, from Amsterdam
    /// on).
    paid_reads: u64,
}

/// A run by a list: how far it is true, and what of it has been touched.
#[derive(Debug)]
pub(super) struct ByList<'r> {
    listed: &'r Listed,
    /// What it says after this point is not to be read.
    until: AtomicU32,
    marks: Marks,
}

impl Listed {
    /// A list, if it is in order, no larger than the block's gas allows, names no more reads than its
    /// transactions can pay for, and its codes are codes.
    pub(super) fn new(block: &Block, list: &Arc<BlockAccessList>) -> Option<Self> {
        let transactions = block.transactions.len();
        validate_block_access_list(list, transactions).ok()?;
        if total_bal_items(list) > block.env.gas_limit / ITEM_COST as u64 {
            return None;
        }
        let hashes = Hashes::default();
        let mut positions = HashTable::with_capacity(list.len());
        let mut codes = HashMap::default();
        let mut changes = vec![0; transactions + 2];
        let mut reads_before = Vec::with_capacity(list.len() + 1);
        let (mut reads, mut paid_reads) = (0, 0);
        let is_paid = block.cfg.is_amsterdam_eip8037_enabled();
        for (account, position) in list.iter().zip(0_u32..) {
            let hasher = |at: &u32| hashes.account(list[*at as usize].address);
            positions.insert_unique(hashes.account(account.address), position, hasher);
            for index in indices(account) {
                changes[usize::try_from(index.get()).ok()?] += 1;
            }
            reads_before.push(reads);
            reads += u32::try_from(account.storage_reads.len()).ok()?;
            if is_paid && !SYSTEM_CONTRACTS.contains(&account.address) {
                paid_reads += account.storage_reads.len() as u64;
            }
            if !account.code_changes.is_empty() {
                codes.insert(account.address, codes_of(account)?);
            }
        }
        reads_before.push(reads);
        let gas: u64 =
            block.transactions.iter().fold(0, |sum, tx| tx.gas_limit.saturating_add(sum));
        if cost_of_reads(paid_reads) > gas {
            return None;
        }
        let list = Arc::clone(list);
        Some(Self { list, hashes, positions, codes, changes, reads_before, paid_reads })
    }

    /// The hashes that accounts are found by.
    pub(super) const fn hashes(&self) -> &Hashes {
        &self.hashes
    }

    /// The position and the entry of an account, which has this hash.
    fn find(&self, hash: u64, address: Address) -> Option<(usize, &AccountChanges)> {
        let is_it = |at: &u32| self.list[*at as usize].address == address;
        let position = *self.positions.find(hash, is_it)? as usize;
        Some((position, &self.list[position]))
    }

    /// What an account, which was this before the block, is after an index.
    fn account(
        &self,
        entry: &AccountChanges,
        index: BlockAccessIndex,
        before: Option<AccountInfo>,
    ) -> Option<AccountInfo> {
        let balance = last(&entry.balance_changes, index, |it| it.block_access_index);
        let nonce = last(&entry.nonce_changes, index, |it| it.block_access_index);
        let codes = self.codes.get(&entry.address).map_or(&[][..], Vec::as_slice);
        let code = last(codes, index, |(at, _)| *at);
        if balance.is_none() && nonce.is_none() && code.is_none() {
            return before;
        }
        let mut info = before.unwrap_or_default();
        if let Some(change) = balance {
            info.balance = change.post_balance;
        }
        if let Some(change) = nonce {
            info.nonce = change.new_nonce;
        }
        if let Some((_, change)) = code {
            (info.code_hash, info.code) = (change.hash, change.code.clone());
        }
        // EIP-161: what is empty ceases to exist.
        (!info.is_empty()).then_some(info)
    }
}

/// The least that it costs to read so many slots for the first time (EIP-7928).
const fn cost_of_reads(reads: u64) -> u64 {
    reads.saturating_mul(ITEM_COST as u64)
}

/// The index after whose changes a point lies.
const fn index_of(point: Point) -> BlockAccessIndex {
    BlockAccessIndex::new(point as u64)
}

/// The last change up to an index.
fn last<T>(
    changes: &[T],
    index: BlockAccessIndex,
    at: impl Fn(&T) -> BlockAccessIndex,
) -> Option<&T> {
    changes[..changes.partition_point(|change| at(change) <= index)].last()
}

/// The index of every change of an account.
fn indices(account: &AccountChanges) -> impl Iterator<Item = BlockAccessIndex> {
    let slots = account.storage_changes.iter().flat_map(|slot| &slot.changes);
    account
        .balance_changes
        .iter()
        .map(|it| it.block_access_index)
        .chain(account.nonce_changes.iter().map(|it| it.block_access_index))
        .chain(account.code_changes.iter().map(|it| it.block_access_index))
        .chain(slots.map(|it| it.block_access_index))
}

/// The codes of an account, if they are codes.
fn codes_of(account: &AccountChanges) -> Option<Vec<(BlockAccessIndex, CodeChange)>> {
    let codes = account.code_changes.iter().map(|it| {
        let code = Bytecode::new_raw_checked(it.new_code.clone()).ok()?;
        let change = CodeChange { hash: code.hash_slow(), code: Some(code) };
        Some((it.block_access_index, change))
    });
    codes.collect()
}

impl<'r> ByList<'r> {
    /// A run of this many transactions by a list.
    pub(super) fn new(listed: &'r Listed, until: Point) -> Self {
        Self { listed, until: AtomicU32::new(until), marks: Marks::new(listed) }
    }

    /// Takes the list for true only up to a point.
    pub(super) fn end_at(&self, point: Point) {
        self.until.store(point, Ordering::Release);
    }

    /// The point up to which the list is taken for true.
    pub(super) fn until(&self) -> Point {
        self.until.load(Ordering::Acquire)
    }

    /// An account, which has this hash, at a point, if it was this before the block.
    pub(super) fn account(
        &self,
        hash: u64,
        address: Address,
        point: Point,
        before: Option<AccountInfo>,
    ) -> Option<AccountInfo> {
        match self.listed.find(hash, address) {
            Some((_, entry)) => {
                self.listed.account(entry, index_of(point.min(self.until())), before)
            }
            None => before,
        }
    }

    /// The last change of a slot, whose account has this hash, up to a point, and the point
    /// after it.
    pub(super) fn slot(
        &self,
        hash: u64,
        address: Address,
        key: StorageKey,
        point: Point,
    ) -> Option<(Point, StorageValue)> {
        let (_, entry) = self.listed.find(hash, address)?;
        let slots = &entry.storage_changes;
        let slot = &slots[slots.binary_search_by_key(&key, |slot| slot.slot).ok()?];
        let index = index_of(point.min(self.until()));
        let change = last(&slot.changes, index, |it| it.block_access_index)?;
        Some((u32::try_from(change.block_access_index.get()).ok()?, change.new_value))
    }

    /// The accounts that it names, sorted, each with the slots that it changes.
    pub(super) fn accounts(
        &self,
    ) -> impl Iterator<Item = (Address, impl Iterator<Item = StorageKey>)> {
        self.listed
            .list
            .iter()
            .map(|entry| (entry.address, entry.storage_changes.iter().map(|slot| slot.slot)))
    }
}
