//! A block -> what is to be read ahead, in the order in which it will be needed.
//!
//! Transactions are taken in windows. Of each window first come the accounts that
//! the protocol touches and the locations that predictions and access lists name,
//! each once in the block, then the transactions to be scouted, so that scouts
//! find their first accounts there. The two ends of the block follow the first
//! window: they are few reads that nobody needs before the end.

use forewave_analyzer::{Block, Confidence, Location, PredictedAccess, TxIndex};
use hashbrown::HashSet;
use revm::{
    context::TxEnv,
    context_interface::{
        Transaction as _,
        transaction::{AccessListItemTr, AuthorizationTr},
    },
    primitives::{Address, StorageKey, TxKind, map::DefaultHashBuilder},
};

/// Transactions of one window.
const WINDOW: usize = 64;

/// One thing for a fetcher to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Read these accounts.
    Accounts(&'a [Address]),
    /// Read these slots.
    Slots(&'a [(Address, StorageKey)]),
    /// Read what this transaction reads.
    Transaction(TxIndex),
    /// Read what the protocol reads at the two ends of the block.
    System,
}

/// All steps, in order.
#[derive(Debug, Default)]
pub(super) struct Steps {
    accounts: Vec<Address>,
    slots: Vec<(Address, StorageKey)>,
    plan: Vec<Planned>,
}

/// A step, with ranges of the lists in place of what is in them.
#[derive(Clone, Copy, Debug)]
enum Planned {
    Accounts { start: usize, end: usize },
    Slots { start: usize, end: usize },
    Transaction(TxIndex),
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
        let mut windows = transactions.chunks(WINDOW);
        steps.window(windows.next().unwrap_or_default(), predictions, &mut seen, batch);
        steps.plan.push(Planned::System);
        let (accounts, slots) = (steps.accounts.len(), steps.slots.len());
        for withdrawal in &block.withdrawals {
            seen.account(&mut steps, withdrawal.address);
        }
        steps.request(accounts, slots, batch);
        for window in windows {
            steps.window(window, predictions, &mut seen, batch);
        }
        steps
    }

    /// The step at a position, if there is one.
    pub(super) fn get(&self, position: usize) -> Option<Step<'_>> {
        Some(match *self.plan.get(position)? {
            Planned::Accounts { start, end } => Step::Accounts(&self.accounts[start..end]),
            Planned::Slots { start, end } => Step::Slots(&self.slots[start..end]),
            Planned::Transaction(tx) => Step::Transaction(tx),
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
        let slots = self.slots.len();
        let mut scouted = Vec::new();
        for &(tx, env) in window {
            protocol(env, self, seen);
            match predictions.get(tx.index()) {
                Some(known) if known.confidence() == Confidence::Exact => {
                    for location in &known.set().locations() {
                        seen.location(self, location);
                    }
                }
                _ => scouted.push(Planned::Transaction(tx)),
            }
        }
        self.request(accounts, slots, batch);
        self.plan.append(&mut scouted);
    }

    /// Plans to read what the lists hold from these positions on.
    fn request(&mut self, accounts: usize, slots: usize, batch: usize) {
        let batch = batch.max(1);
        for start in (accounts..self.accounts.len()).step_by(batch) {
            let end = self.accounts.len().min(start.saturating_add(batch));
            self.plan.push(Planned::Accounts { start, end });
        }
        for start in (slots..self.slots.len()).step_by(batch) {
            let end = self.slots.len().min(start.saturating_add(batch));
            self.plan.push(Planned::Slots { start, end });
        }
    }
}

/// What the protocol touches, and what the access list names (EIP-2930).
fn protocol(tx: &TxEnv, steps: &mut Steps, seen: &mut Seen) {
    seen.account(steps, tx.caller);
    match tx.kind {
        TxKind::Call(to) => seen.account(steps, to),
        TxKind::Create => seen.account(steps, tx.caller.create(tx.nonce)),
    }
    for authority in tx.authorization_list.iter().filter_map(AuthorizationTr::authority) {
        seen.account(steps, authority);
    }
    for item in tx.access_list().into_iter().flatten() {
        seen.account(steps, *item.address());
        for &key in item.storage_slots() {
            seen.slot(steps, *item.address(), key.into());
        }
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
    use forewave_analyzer::AccessSetBuilder;
    use revm::{
        context::{BlockEnv, CfgEnv},
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
            transactions: (0..transactions).map(call).collect(),
            withdrawals: vec![],
            ommers: vec![],
        }
    }

    fn all(steps: &Steps) -> Vec<Step<'_>> {
        (0..).map_while(|position| steps.get(position)).collect()
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
                Step::Transaction(tx(0)),
                Step::Transaction(tx(1)),
                Step::System,
            ]
        );
        let steps = Steps::new(&block(WINDOW + 1), &[], usize::MAX);
        let last = WINDOW;
        let end = [Step::System, Step::Accounts(&[account(last)]), Step::Transaction(tx(last))];
        assert_eq!(all(&steps)[WINDOW + 1..], end);
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
        let scouted = steps.iter().filter(|step| matches!(step, Step::Transaction(_)));
        let expected = [1, 2].map(|tx| Step::Transaction(TxIndex::new(tx)));
        assert_eq!(scouted.copied().collect::<Vec<_>>(), expected);
    }
}
