//! What transactions that have run, committed or not, have done to accounts and slots: the
//! newest version before a transaction is what it sees.

use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{
    Address, U256,
    map::{AddressMap, HashMap},
};
use revm::state::{Account, AccountInfo, EvmState};

/// The number of parts that accounts are spread over, each behind a lock of its own.
const SHARDS: usize = 64;

/// Versions by the transaction that made them, in block order.
type Versions<V> = Vec<(usize, V)>;

/// An account as it was left, `None` inside if it does not exist.
pub(super) struct Left(pub(super) Option<AccountInfo>);

/// All versions of an account.
#[derive(Debug, Default)]
struct Entry {
    infos: Versions<Option<AccountInfo>>,
    /// Transactions that have cleared the storage.
    clears: Versions<()>,
    slots: HashMap<U256, Versions<U256>>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Published {
    shards: Box<[Mutex<AddressMap<Entry>>]>,
}

impl Published {
    pub(super) fn new() -> Self {
        Self { shards: core::iter::repeat_with(Mutex::default).take(SHARDS).collect() }
    }

    /// An account as the transactions before `tx` have left it, if one of them has changed it.
    pub(super) fn account(&self, address: Address, tx: usize) -> Option<Left> {
        let shard = self.shard(&address);
        last_before(&shard.get(&address)?.infos, tx).map(|(_, info)| Left(info.clone()))
    }

    /// A slot as the transactions before `tx` have left it, if one of them has changed it.
    pub(super) fn slot(&self, address: Address, key: U256, tx: usize) -> Option<U256> {
        let shard = self.shard(&address);
        let entry = shard.get(&address)?;
        let cleared = last_before(&entry.clears, tx).map(|(by, ())| *by);
        let slot = entry.slots.get(&key).and_then(|versions| last_before(versions, tx));
        match (slot, cleared) {
            (Some((by, value)), cleared) if cleared.is_none_or(|cleared| cleared <= *by) => {
                Some(*value)
            }
            (_, Some(_)) => Some(U256::ZERO),
            _ => None,
        }
    }

    /// Publishes what a transaction did, except for accounts that it only paid fees to.
    pub(super) fn publish(&self, tx: usize, state: &EvmState, paid: impl Fn(&Address) -> bool) {
        let touched = state.iter().filter(|(_, account)| account.is_touched());
        for (address, account) in touched.filter(|(address, _)| !paid(address)) {
            let is_cleared = account.is_selfdestructed() || account.is_created();
            let is_as_before = !is_cleared && account.info == account.original_info();
            let mut shard = self.shard(address);
            if is_as_before && !account.is_empty() {
                if account.changed_storage_slots().next().is_none() {
                    continue;
                }
            } else {
                let infos = &mut shard.entry(*address).or_default().infos;
                put(infos, tx, exists(account).then(|| account.info.clone()));
            }
            let entry = shard.entry(*address).or_default();
            if is_cleared {
                put(&mut entry.clears, tx, ());
            }
            if !account.is_selfdestructed() {
                for (key, slot) in account.changed_storage_slots() {
                    put(entry.slots.entry(*key).or_default(), tx, slot.present_value);
                }
            }
        }
    }

    /// Takes back what a run of a transaction did that does not count.
    pub(super) fn withdraw(&self, tx: usize, state: &EvmState) {
        for (address, account) in state {
            let mut shard = self.shard(address);
            let Some(entry) = shard.get_mut(address) else { continue };
            entry.infos.retain(|(by, _)| *by != tx);
            entry.clears.retain(|(by, ())| *by != tx);
            for key in account.storage.keys() {
                if let Some(versions) = entry.slots.get_mut(key) {
                    versions.retain(|(by, _)| *by != tx);
                }
            }
        }
    }

    fn shard(&self, address: &Address) -> MutexGuard<'_, AddressMap<Entry>> {
        let shard = usize::from(address[19]) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the account is there after the transaction. What is touched and empty is not
/// (EIP-161), unless it was created: revm marks so what older forks keep.
fn exists(account: &Account) -> bool {
    !account.is_selfdestructed() && (account.is_created() || !account.is_empty())
}

fn last_before<V>(versions: &Versions<V>, tx: usize) -> Option<&(usize, V)> {
    let before = versions.partition_point(|(by, _)| *by < tx);
    before.checked_sub(1).map(|last| &versions[last])
}

fn put<V>(versions: &mut Versions<V>, tx: usize, value: V) {
    let at = versions.partition_point(|(by, _)| *by < tx);
    match versions.get_mut(at) {
        Some((by, version)) if *by == tx => *version = value,
        _ => versions.insert(at, (tx, value)),
    }
}
