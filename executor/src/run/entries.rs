//! One account or one slot: what was there before the block, and the versions of it that
//! transactions have published.

use revm::{
    primitives::{Address, StorageKey, StorageValue},
    state::AccountInfo,
};

use super::versions::Point;
use crate::{
    reads::Seen,
    transition::{AccountTransition, Lifecycle},
};

/// An account that was written.
#[derive(Debug)]
pub(super) struct AccountEntry<'r> {
    pub(super) address: Address,
    /// As it was before the versions.
    pub(super) info: Option<AccountInfo>,
    /// What it was before the block, if versions were merged into `info`.
    original: Option<Seen>,
    /// Whether one of those cleared its storage.
    is_cleared: bool,
    /// Ascending.
    pub(super) versions: Vec<AccountVersion<'r>>,
}

/// What became of an account.
#[derive(Debug)]
pub(super) struct End {
    /// What it was before the block.
    pub(super) original: Seen,
    pub(super) info: Option<AccountInfo>,
    /// Whether its storage was cleared.
    pub(super) is_cleared: bool,
}

/// A slot that was written.
#[derive(Debug)]
pub(super) struct SlotEntry {
    pub(super) address: Address,
    pub(super) key: StorageKey,
    /// Value before the block, if it was read.
    pub(super) original: Option<StorageValue>,
    /// Ascending.
    pub(super) versions: Vec<(Point, StorageValue)>,
}

/// What a transaction did to an account, and what that made of it.
#[derive(Debug)]
pub(super) struct AccountVersion<'r> {
    written: Point,
    change: &'r AccountTransition,
    /// The account after it, as far as earlier versions are known.
    after: Seen,
}

/// What a transaction makes of an account.
fn after(before: Seen, change: &AccountTransition) -> Seen {
    if change.lifecycle == Lifecycle::Destroyed {
        return Seen::new(None);
    }
    let mut seen = before;
    seen.balance = change.balance.apply(before.balance);
    seen.nonce = change.nonce.unwrap_or(before.nonce);
    seen.code_hash = change.code.as_ref().map_or(before.code_hash, |change| change.hash);
    // EIP-161: what is empty and was touched ceases to exist.
    seen.exists = change.lifecycle == Lifecycle::Created || !seen.is_empty();
    if seen.exists { seen } else { Seen::new(None) }
}

/// Room for one version to begin with: most of what a block changes is changed once.
fn make_room<T>(versions: &mut Vec<T>) {
    if versions.capacity() == 0 {
        versions.reserve_exact(1);
    }
}

impl<'r> AccountEntry<'r> {
    /// An account as it is in the state below.
    pub(super) const fn new(address: Address, info: Option<AccountInfo>) -> Self {
        Self { address, info, original: None, is_cleared: false, versions: Vec::new() }
    }

    /// The versions up to a point.
    fn until(&self, point: Point) -> &[AccountVersion<'r>] {
        &self.versions[..self.versions.partition_point(|version| version.written <= point)]
    }

    /// The account as the versions up to a point have it, its code aside.
    pub(super) fn seen(&self, point: Point) -> Seen {
        let last = self.until(point).last();
        last.map_or_else(|| Seen::new(self.info.as_ref()), |last| last.after)
    }

    /// The account as the versions up to a point have it.
    pub(super) fn info(&self, point: Point) -> Option<AccountInfo> {
        let versions = self.until(point);
        let Some(last) = versions.last() else { return self.info.clone() };
        let Seen { exists, balance, nonce, code_hash } = last.after;
        let of_versions = || {
            let mut codes =
                versions.iter().rev().filter_map(|version| version.change.code.as_ref());
            codes.find(|change| change.hash == code_hash).and_then(|change| change.code.clone())
        };
        let code = match &self.info {
            Some(info) if info.code_hash == code_hash => info.code.clone(),
            _ => of_versions(),
        };
        exists.then_some(AccountInfo { balance, nonce, code_hash, account_id: None, code })
    }

    /// Adds a version where it belongs.
    pub(super) fn insert(&mut self, written: Point, change: &'r AccountTransition) {
        let at = self.until(written).len();
        let mut seen = self.seen(written);
        make_room(&mut self.versions);
        self.versions.insert(at, AccountVersion { written, change, after: seen });
        for version in &mut self.versions[at..] {
            seen = after(seen, version.change);
            version.after = seen;
        }
    }

    /// Takes a version back, if there is one of that point.
    pub(super) fn remove(&mut self, written: Point) {
        let Some(at) = self.versions.iter().position(|version| version.written == written) else {
            return;
        };
        let mut seen = self.seen(written - 1);
        self.versions.remove(at);
        for version in &mut self.versions[at..] {
            seen = after(seen, version.change);
            version.after = seen;
        }
    }

    /// Merges the versions up to a point, which are final.
    pub(super) fn merge(&mut self, point: Point) {
        let merged = self.until(point).len();
        if merged == 0 {
            return;
        }
        let info = self.info(point);
        let cleared = |version: &AccountVersion<'_>| version.change.lifecycle != Lifecycle::Kept;
        self.is_cleared |= self.versions[..merged].iter().any(cleared);
        self.original.get_or_insert_with(|| Seen::new(self.info.as_ref()));
        self.info = info;
        self.versions.drain(..merged);
    }

    /// What it was before the block.
    pub(super) fn original(&self) -> Seen {
        self.original.unwrap_or_else(|| Seen::new(self.info.as_ref()))
    }

    /// What became of it.
    pub(super) fn end(&self) -> End {
        let original = self.original();
        let cleared = |version: &AccountVersion<'_>| version.change.lifecycle != Lifecycle::Kept;
        let is_cleared = self.is_cleared || self.versions.iter().any(cleared);
        End { original, info: self.info(Point::MAX), is_cleared }
    }

    /// Whether nothing was done to it, its slots aside.
    pub(super) fn is_as_before(&self) -> bool {
        self.original.is_none() && self.versions.is_empty()
    }
}

impl SlotEntry {
    /// A slot that had this value before the block, if that is known.
    pub(super) const fn new(
        address: Address,
        key: StorageKey,
        original: Option<StorageValue>,
    ) -> Self {
        Self { address, key, original, versions: Vec::new() }
    }

    /// Adds a version where it belongs.
    pub(super) fn insert(&mut self, point: Point, value: StorageValue) {
        let at = self.versions.partition_point(|(written, _)| *written <= point);
        make_room(&mut self.versions);
        self.versions.insert(at, (point, value));
    }

    /// Takes a version back, if there is one of that point.
    pub(super) fn remove(&mut self, point: Point) {
        self.versions.retain(|(written, _)| *written != point);
    }

    /// The last version, if there is one.
    pub(super) fn last(&self) -> Option<(Point, StorageValue)> {
        self.versions.last().copied()
    }

    pub(super) fn at(&self, point: Point, wiped: Option<Point>) -> Option<StorageValue> {
        let until = self.versions.partition_point(|(written, _)| *written <= point);
        let version = self.versions[..until].last();
        match (version, wiped) {
            (Some((written, value)), wiped) if wiped.is_none_or(|wiped| wiped <= *written) => {
                Some(*value)
            }
            (_, Some(_)) => Some(StorageValue::ZERO),
            (_, None) => self.original,
        }
    }
}
