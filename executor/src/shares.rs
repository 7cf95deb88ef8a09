//! Blocks of plain transfers, each thread with a share of the address space.
//!
//! What a transfer does to its sender depends on the sender alone, and what it
//! does to its recipient on the recipient ([`Payment`]). So once it is known who
//! pays whom, every account can be taken through the whole block by itself: its
//! payments in block order, whatever others do meanwhile. The threads first go
//! over ranges of the block and sort by shares who takes part; then each takes the
//! accounts of its share through the block. In between they wait for each other,
//! once.
//!
//! Whatever is out of the ordinary (a call, code at a recipient, an invalid
//! transaction, a state that fails, a deadline) makes all of them give up with
//! nothing done. The block then runs serially, and it is found there what is wrong.

use core::{
    array,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use forewave_analyzer::Block;
use rayon::ThreadPool;
use revm::{
    DatabaseRef,
    primitives::{Address, U256},
    state::AccountInfo,
};

use crate::{
    AccountChange, TxReceipt,
    cancel::Deadline,
    flat_state::{Apart, FlatState, Share, StateClearing},
    history::narrow,
    transfer::{Payment, TransferRules, may_receive},
    workers::Workers,
};

/// Transactions for each share, below which another thread's waking costs more.
const TRANSACTIONS_PER_SHARE_MIN: usize = 256;

/// The most shares; each range of the block has a list for each.
const SHARES_MAX: usize = 64;

/// Transactions of a block that can be numbered beside a role.
const TRANSACTIONS_MAX: usize = 1 << 31;

/// The number of shares that pays for so many transactions on so many threads.
pub(crate) fn shares_that_pay(transactions: usize, threads: usize) -> usize {
    threads.min(transactions / TRANSACTIONS_PER_SHARE_MIN).max(1)
}

/// Executes the block's transactions in so many shares (at most), if all are plain
/// transfers and valid. `base` is then the state after them; else it is as it was.
pub(crate) fn run_by_shares<DB>(
    block: &Block,
    base: &mut FlatState<'_, DB>,
    parts: usize,
    workers: Workers<'_>,
) -> Option<Vec<TxReceipt>>
where
    DB: DatabaseRef + Sync,
{
    let transactions = block.transactions.len();
    if transactions == 0 || transactions > TRANSACTIONS_MAX {
        return None;
    }
    let parts = parts.min(SHARES_MAX);
    let (rules, Workers { pool, deadline, .. }) = (TransferRules::new(block)?, workers);
    let range_len = transactions.div_ceil(parts);
    let run =
        Run { block, rules, deadline, base, parts, range_len, is_over: AtomicBool::default() };
    let ranges = run.on_each_part(pool, |part| run.judge(part))?;
    let (mut gas_used, mut fees) = (0_u64, U256::ZERO);
    for range in &ranges {
        if gas_used.checked_add(range.reach)? > block.env.gas_limit {
            return None;
        }
        gas_used += range.gas_used;
        fees += range.fees;
    }
    let shares = run.on_each_part(pool, |part| run.settle(part, &ranges))?;
    base.credit(block.env.beneficiary, fees, StateClearing::Enabled).ok()?;
    base.take_apart(concatenated(shares));
    let mut gas_before = 0;
    let receipts = ranges.into_iter().map(|mut range| {
        if gas_before > 0 {
            range.receipts.iter_mut().for_each(|receipt| receipt.cumulative_gas_used += gas_before);
        }
        gas_before += range.gas_used;
        range.receipts
    });
    Some(concatenated(receipts))
}

/// All items in one, in the room of the first.
fn concatenated<T>(parts: impl IntoIterator<Item = Vec<T>>) -> Vec<T> {
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_default();
    parts.for_each(|mut part| all.append(&mut part));
    all
}

/// What the threads share.
#[derive(Debug)]
struct Run<'a, 'b, DB> {
    block: &'a Block,
    rules: TransferRules<'a>,
    deadline: Deadline<'a>,
    /// The state before the transactions.
    base: &'a FlatState<'b, DB>,
    parts: usize,
    /// Transactions of each range but the last.
    range_len: usize,
    /// Whether somebody has met something out of the ordinary.
    is_over: AtomicBool,
}

/// What is found in a range of the block, without a look at the state.
#[derive(Debug)]
struct Judged {
    payments: Vec<Payment>,
    /// Who takes part in them, by shares.
    parties: Vec<Vec<Party>>,
    /// The receipts, as if no transactions were before them.
    receipts: Vec<TxReceipt>,
    gas_used: u64,
    /// The gas that the block must have left at the range's beginning.
    reach: u64,
    /// What the beneficiary receives.
    fees: U256,
}

impl<DB: DatabaseRef + Sync> Run<'_, '_, DB> {
    /// Does something for each part, the first on the calling thread, unless it
    /// turns out that the block is out of the ordinary.
    fn on_each_part<T: Send>(
        &self,
        pool: &ThreadPool,
        each: impl Fn(usize) -> Option<T> + Sync,
    ) -> Option<Vec<T>> {
        let each = |part| {
            let done = each(part);
            if done.is_none() {
                self.is_over.store(true, Ordering::Relaxed);
            }
            done
        };
        let mut done: Vec<Option<T>> = (0..self.parts).map(|_| None).collect();
        let (own, others) = done.split_first_mut()?;
        pool.in_place_scope(|scope| {
            for (other, part) in others.iter_mut().zip(1..) {
                let each = &each;
                scope.spawn(move |_| *other = each(part));
            }
            *own = each(0);
        });
        done.into_iter().collect()
    }

    /// An end to everything, if somebody has given up or time is over.
    fn go_on(&self) -> Option<()> {
        self.deadline.check::<DB::Error>().ok()?;
        (!self.is_over.load(Ordering::Relaxed)).then_some(())
    }

    /// The transactions of a range.
    fn range(&self, part: usize) -> Range<usize> {
        let at = |part: usize| (part * self.range_len).min(self.block.transactions.len());
        at(part)..at(part + 1)
    }

    /// Goes over a range of the block.
    fn judge(&self, part: usize) -> Option<Judged> {
        let Self { block, rules, parts, .. } = self;
        let range = self.range(part);
        // The first holds all of them in the end.
        let receipts = if part == 0 { block.transactions.len() } else { range.len() };
        let parties = (2 * range.len()).div_ceil(*parts);
        let mut judged = Judged {
            payments: Vec::with_capacity(range.len()),
            parties: (0..*parts).map(|_| Vec::with_capacity(parties)).collect(),
            receipts: Vec::with_capacity(receipts),
            gas_used: 0,
            reach: 0,
            fees: U256::ZERO,
        };
        for (tx, env) in range.clone().zip(&block.transactions[range]) {
            self.go_on()?;
            let terms = rules.terms(env)?;
            judged.reach = judged.reach.max(judged.gas_used.checked_add(env.gas_limit)?);
            judged.receipts.push(terms.receipt(env.tx_type, judged.gas_used));
            judged.gas_used += terms.gas_used();
            judged.fees += terms.fee;
            judged.payments.push(terms.payment);
            let mut note = |address, role| {
                judged.parties[Share::of(&address, *parts)].push(Party::new(address, tx, role));
            };
            note(env.caller, Role::Sender);
            note(terms.to, Role::Recipient);
        }
        Some(judged)
    }

    /// Takes the accounts of a share through the block, and gives what changed, sorted.
    fn settle(&self, share: usize, ranges: &[Judged]) -> Option<Vec<(Address, AccountChange)>> {
        let own = ranges.iter().flat_map(|range| &range.parties[share]);
        let mut parties =
            Vec::with_capacity(ranges.iter().map(|range| range.parties[share].len()).sum());
        parties.extend(own.copied());
        parties.sort_unstable();
        // The first holds all of them in the end.
        let all = || ranges.iter().flat_map(|range| &range.parties).map(Vec::len).sum();
        let mut changes = Vec::with_capacity(if share == 0 { all() } else { parties.len() });
        for of_one in parties.chunk_by(Party::is_as_account) {
            self.go_on()?;
            let address = of_one[0].address();
            let account = self.settle_account(address, of_one, ranges)?;
            let change = self.base.change_of(&account).ok()?;
            changes.extend(change.map(|change| (address, change)));
        }
        Some(changes)
    }

    /// Takes one account through the block, its nonce and balance in its order.
    fn settle_account(
        &self,
        address: Address,
        parties: &[Party],
        ranges: &[Judged],
    ) -> Option<Apart> {
        let nobody = AccountInfo::default();
        let mut account = self.base.apart(address).ok()??;
        for party in parties {
            let (tx, role) = party.part();
            let payment = &ranges[tx / self.range_len].payments[tx % self.range_len];
            let change = match role {
                Role::Sender => {
                    let sender = account.info().unwrap_or(&nobody);
                    let left = payment.left(&mut self.base.below(), sender)?;
                    payment.debit(sender.balance, left)
                }
                Role::Recipient if may_receive(account.info()) => payment.credit(),
                Role::Recipient => return None,
            };
            account.apply(&change);
        }
        Some(account)
    }
}

/// What an account is in a transfer; to itself it is both, the sender first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Sender,
    Recipient,
}

/// That an account takes part in a transfer, in the order of the addresses and
/// then of the block: the words of the address, and transaction and role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Party(u64, u64, u32, u32);

impl Party {
    fn new(address: Address, tx: usize, role: Role) -> Self {
        let word = |at: usize| u64::from_be_bytes(array::from_fn(|byte| address[at + byte]));
        let tail = u32::from_be_bytes(array::from_fn(|byte| address[16 + byte]));
        Self(word(0), word(8), tail, narrow(tx) << 1 | u32::from(role == Role::Recipient))
    }

    const fn is_as_account(&self, other: &Self) -> bool {
        self.0 == other.0 && self.1 == other.1 && self.2 == other.2
    }

    fn address(&self) -> Address {
        let mut address = Address::ZERO;
        address[..8].copy_from_slice(&self.0.to_be_bytes());
        address[8..16].copy_from_slice(&self.1.to_be_bytes());
        address[16..].copy_from_slice(&self.2.to_be_bytes());
        address
    }

    /// Transaction and role.
    const fn part(&self) -> (usize, Role) {
        let role = if self.3 & 1 == 0 { Role::Sender } else { Role::Recipient };
        ((self.3 >> 1) as usize, role)
    }
}
