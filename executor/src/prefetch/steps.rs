//! A block -> what is to be read ahead, in the order in which it will be needed.
//!
//! Transactions are taken in windows. Of each window first come the accounts that
//! the protocol touches and the locations that predictions and access lists name,
//! each once in the block, then the transactions to be scouted, so that scouts
//! find their first accounts there. The first window is small, so that scouts find
//! early what all transactions share. The two ends of the block follow it: they are
//! few reads that nobody needs before the end.
//!
//! Whoever would wait for another's read takes a step of reads that are known
//! already, however far ahead. It will come up again, and find nothing left to do.

use core::sync::atomic::{AtomicUsize, Ordering};

use forewave_analyzer::{Block, Confidence, DECLARED_KEYS_MAX, Location, PredictedAccess, TxIndex};
use hashbrown::HashSet;
use revm::{
    context::TxEnv,
    context_interface::{
        Transaction as _,
        transaction::{AccessListItemTr, AuthorizationTr},
    },
    primitives::{Address, StorageKey, TxKind, map::DefaultHashBuilder},
};

/// Transactions of the first window.
const FIRST_WINDOW: usize = 8;

/// Transactions of every other window.
const WINDOW: usize = 64;

/// One thing for a fetcher to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Read these accounts.
    Accounts(&'a [Address]),
    /// Read these slots.
    Slots(&'a [(Address, StorageKey)]),
    /// Read what these transactions read.
    Transactions(&'a [TxIndex]),
    /// Read what the protocol reads at the two ends of the block.
    System,
}

/// All steps, in order.
#[derive(Debug, Default)]
pub(super) struct Steps {
    accounts: Vec<Address>,
    slots: Vec<(Address, StorageKey)>,
    scouted: Vec<TxIndex>,
    plan: Vec<Planned>,
    /// The position of the next step.
    next: AtomicUsize,
    /// The position before which no step of known reads is left.
    known: AtomicUsize,
}

/// A step, with ranges of the lists in place of what is in them.
#[derive(Clone, Copy, Debug)]
enum Planned {
    Accounts { start: usize, end: usize },
    Slots { start: usize, end: usize },
    Transactions { start: usize, end: usize },
    System,
}

impl Steps {
    /// The steps for a block of which `predictions` are known, in requests of at
    /// most `batch` reads.
    pub(super) fn new(block: &Block, predictions: &[PredictedAccess], batch: usize) -> Self {
        let mut steps = Self::default();
        let mut seen = Seen::default();
        seen.account(&mut steps, block.env.beneficiary);
        let transactions: Vec<_> = block.indexed().collect();
        let (first, others) = transactions.split_at(transactions.len().min(FIRST_WINDOW));
        steps.window(first, predictions, &mut seen, batch);
        steps.plan.push(Planned::System);
        let (accounts, slots) = (steps.accounts.len(), steps.slots.len());
        for withdrawal in &block.withdrawals {
            seen.account(&mut steps, withdrawal.address);
        }
        steps.request(accounts, slots, batch);
        for window in others.chunks(WINDOW) {
            steps.window(window, predictions, &mut seen, batch);
        }
        steps
    }

    /// The next step, if there is one.
    pub(super) fn next(&self) -> Option<Step<'_>> {
        self.get(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The next step of reads that are known without scouting, if there is one.
    pub(super) fn next_known(&self) -> Option<Step<'_>> {
        self.known.fetch_max(self.next.load(Ordering::Relaxed), Ordering::Relaxed);
        loop {
            let step = self.get(self.known.fetch_add(1, Ordering::Relaxed))?;
            if matches!(step, Step::Accounts(_) | Step::Slots(_)) {
                return Some(step);
            }
        }
    }

    /// The step at a position, if there is one.
    fn get(&self, position: usize) -> Option<Step<'_>> {
        Some(match *self.plan.get(position)? {
            Planned::Accounts { start, end } => Step::Accounts(&self.accounts[start..end]),
            Planned::Slots { start, end } => Step::Slots(&self.slots[start..end]),
            Planned::Transactions { start, end } => Step::Transactions(&self.scouted[start..end]),
            Planned::System => Step::System,
        })
    }

    fn window(
        &mut self,
        window: &[(TxIndex, &TxEnv)],
        predictions: &[PredictedAccess],
        seen: &mut Seen,
        batch: usize,
    ) {
        // The beneficiary is in the first window.
        let accounts = if self.plan.is_empty() { 0 } else { self.accounts.len() };
        let (slots, scouted) = (self.slots.len(), self.scouted.len());
        for &(tx, env) in window {
            protocol(env, self, seen);
            match predictions.get(tx.index()) {
                Some(known) if known.confidence() == Confidence::Exact => {
                    for location in &known.set().locations() {
                        seen.location(self, location);
                    }
                }
                _ => self.scouted.push(tx),
            }
        }
        self.request(accounts, slots, batch);
        let ranges = ranges(scouted, self.scouted.len(), batch);
        self.plan.extend(ranges.map(|(start, end)| Planned::Transactions { start, end }));
    }

    /// Plans to read what the lists hold from these positions on.
    fn request(&mut self, accounts: usize, slots: usize, batch: usize) {
        let accounts = ranges(accounts, self.accounts.len(), batch);
        let slots = ranges(slots, self.slots.len(), batch);
        self.plan.extend(accounts.map(|(start, end)| Planned::Accounts { start, end }));
        self.plan.extend(slots.map(|(start, end)| Planned::Slots { start, end }));
    }
}

/// What lies between two positions, in pieces of at most `batch`.
fn ranges(start: usize, end: usize, batch: usize) -> impl Iterator<Item = (usize, usize)> {
    let batch = batch.max(1);
    (start..end).step_by(batch).map(move |start| (start, end.min(start.saturating_add(batch))))
}

/// What the protocol touches, and what the access list names (EIP-2930): of its keys the first, as
/// a scout reads those that are used.
fn protocol(tx: &TxEnv, steps: &mut Steps, seen: &mut Seen) {
    seen.account(steps, tx.caller);
    match tx.kind {
        TxKind::Call(to) => seen.account(steps, to),
        TxKind::Create => seen.account(steps, tx.caller.create(tx.nonce)),
    }
    for authority in tx.authorization_list.iter().filter_map(AuthorizationTr::authority) {
        seen.account(steps, authority);
    }
    let items = || tx.access_list().into_iter().flatten();
    for item in items().take(DECLARED_KEYS_MAX) {
        seen.account(steps, *item.address());
    }
    let keys = items().flat_map(|item| item.storage_slots().map(|key| (*item.address(), *key)));
    for (address, key) in keys.take(DECLARED_KEYS_MAX) {
        seen.slot(steps, address, key.into());
    }
}

/// What is in the lists already.
#[derive(Debug, Default)]
struct Seen {
    accounts: HashSet<Address, DefaultHashBuilder>,
    slots: HashSet<(Address, StorageKey), DefaultHashBuilder>,
}

impl Seen {
    fn account(&mut self, steps: &mut Steps, address: Address) {
        if self.accounts.insert(address) {
            steps.accounts.push(address);
        }
    }

    fn slot(&mut self, steps: &mut Steps, address: Address, key: StorageKey) {
        if self.slots.insert((address, key)) {
            steps.slots.push((address, key));
        }
    }

    fn location(&mut self, steps: &mut Steps, location: &Location) {
        match *location {
            Location::Storage(address, key) => self.slot(steps, address, key),
            other => self.account(steps, other.address()),
        }
    }
}

#[cfg(test)]
mod tests {
    use forewave_analyzer::{AccessSetBuilder, StateExtent};
    use revm::{
        context::{
            BlockEnv, CfgEnv,
            transaction::{AccessList, AccessListItem},
        },
        primitives::{B256, U256},
    };

    use super::*;

    fn account(number: usize) -> Address {
        Address::left_padding_from(&(number + 1).to_be_bytes())
    }

    /// Transaction `i` goes from account `i` to one that all share.
    fn block(transactions: usize) -> Block {
        let call = |tx| TxEnv {
            caller: account(tx),
            kind: TxKind::Call(Address::repeat_byte(7)),
            ..TxEnv::default()
        };
        Block {
            cfg: CfgEnv::default(),
            env: BlockEnv { beneficiary: Address::repeat_byte(9), ..BlockEnv::default() },
            parent_hash: B256::ZERO,
            parent_beacon_block_root: None,
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: (0..transactions).map(call).collect(),
            withdrawals: vec![],
            ommers: vec![],
            reward: forewave_analyzer::BlockReward::OfFork,
            is_dao_fork: false,
            makes_access_list: false,
            access_list: None,
        }
    }

    fn all(steps: &Steps) -> Vec<Step<'_>> {
        core::iter::from_fn(|| steps.next()).collect()
    }

    #[test]
    fn accounts_come_once_in_batches_before_the_transactions_of_their_window() {
        let (tx, shared, paid) = (TxIndex::new, Address::repeat_byte(7), Address::repeat_byte(9));
        let steps = Steps::new(&block(2), &[], 3);
        assert_eq!(
            all(&steps),
            [
                Step::Accounts(&[paid, account(0), shared]),
                Step::Accounts(&[account(1)]),
                Step::Transactions(&[tx(0), tx(1)]),
                Step::System,
            ]
        );
        let steps = Steps::new(&block(FIRST_WINDOW + 1), &[], usize::MAX);
        let last = FIRST_WINDOW;
        let end = [Step::System, Step::Accounts(&[account(last)]), Step::Transactions(&[tx(last)])];
        assert_eq!(all(&steps)[2..], end);
    }

    #[test]
    fn only_what_is_not_predicted_exactly_is_scouted() {
        let key = U256::from(5);
        let mut set = AccessSetBuilder::new();
        set.read(Location::Storage(account(3), key)).delta(Location::Balance(account(4)));
        let known = [PredictedAccess::exact(set.build(), 0), PredictedAccess::everything(0)];
        let steps = Steps::new(&block(3), &known, 1);
        let steps = all(&steps);
        assert!(steps.contains(&Step::Slots(&[(account(3), key)])));
        assert!(steps.contains(&Step::Accounts(&[account(4)])));
        let scouted = steps.iter().filter(|step| matches!(step, Step::Transactions(_)));
        let [first, second] = [[TxIndex::new(1)], [TxIndex::new(2)]];
        let expected = [Step::Transactions(&first), Step::Transactions(&second)];
        assert_eq!(scouted.copied().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_long_list_of_declared_keys_is_not_read_ahead() {
        let declared = |keys: usize| {
            let keys = (0..keys).map(|key| B256::from(U256::from(key)));
            let item = AccessListItem { address: account(9), storage_keys: keys.collect() };
            TxEnv { tx_type: 1, access_list: AccessList(vec![item]), ..TxEnv::default() }
        };
        for (keys, asked) in [(67, 67), (12_534, DECLARED_KEYS_MAX)] {
            let block = Block { transactions: vec![declared(keys)], ..block(0) };
            let steps = Steps::new(&block, &[], usize::MAX);
            assert_eq!(steps.slots.len(), asked);
            assert_eq!(steps.scouted, [TxIndex::new(0)], "its own reads are found by running it");
        }
    }

    #[test]
    fn known_reads_are_taken_out_of_turn_from_where_the_others_are() {
        let steps = Steps::new(&block(2 * FIRST_WINDOW), &[], FIRST_WINDOW);
        let is_known = |step: &Step<'_>| matches!(step, Step::Accounts(_));
        assert_eq!(steps.next(), Some(Step::Accounts(&steps.accounts[..FIRST_WINDOW])));
        let ahead: Vec<_> = core::iter::from_fn(|| steps.next_known()).collect();
        let expected: Vec<_> = all(&steps).into_iter().filter(is_known).collect();
        assert_eq!((ahead.len(), ahead), (2, expected));
        assert_eq!(steps.next_known(), None);
    }
}
