//! Calls whose code need not be run: an exact path of the analyzer's gives what the
//! code would do, and around it go the rules by which a transaction is valid, pays
//! and is refunded.
//!
//! Whatever is out of the ordinary is given back to the EVM: an invalid
//! transaction, a creation, blobs, authorizations, the beneficiary as sender, and a
//! call that no path fits. Calls that the EVM has run are learnt when they, or
//! others like them, are likely to come again.

use std::cell::RefCell;

use forewave_analyzer::{
    Block, CallOutcome, Evaluator, ExactPaths, TopCall, UsedAccount, UsedSlot,
};
use revm::{
    Database, DatabaseRef,
    bytecode::Bytecode,
    context::{
        TxEnv,
        result::{ExecutionResult, HaltReason, Output, ResultGas, SuccessReason},
    },
    context_interface::{Cfg, Transaction},
    database_interface::WrapDatabaseRef,
    handler::pre_execution,
    primitives::{
        Address, B256, Bytes, KECCAK_EMPTY, Log, StorageKey, StorageValue, TxKind, U256,
        hardfork::SpecId,
    },
    state::AccountInfo,
};

use crate::{
    looks::Looked,
    tracking::{AccountRead, Reads, Record, Seen, StorageRead},
    transfer::{TransferRules, may_send},
    transition::{AccountTransition, BalanceChange, SlotChange, Transition},
};

/// Evaluates and learns the calls of one block on one thread.
#[derive(Debug)]
pub(crate) struct ExactCalls<'a> {
    block: &'a Block,
    paths: &'a ExactPaths,
    evaluator: Evaluator<'a>,
    /// The code of the last call that was not evaluated, if it can be learnt.
    missed: Option<Code>,
}

/// A call as it was evaluated.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) result: ExecutionResult,
    pub(crate) record: Record,
}

/// The code that a call runs.
#[derive(Clone, Copy, Debug)]
struct Code {
    hash: B256,
    delegate: Option<Address>,
}

impl<'a> ExactCalls<'a> {
    /// For a block whose rules allow it.
    pub(crate) fn new(block: &'a Block, paths: &'a ExactPaths) -> Option<Self> {
        let evaluator = Evaluator::new(block, paths)?;
        Some(Self { block, paths, evaluator, missed: None })
    }

    /// What `tx` does, if a path fits; with all that it depends on if `records`.
    pub(crate) fn run(
        &mut self,
        rules: &TransferRules<'_>,
        view: &mut impl Database,
        tx: &TxEnv,
        records: bool,
    ) -> Option<Evaluated> {
        self.missed = None;
        let TxKind::Call(to) = tx.kind else { return None };
        let Block { env, cfg, .. } = self.block;
        if !may_fit(tx) || tx.caller == env.beneficiary || !rules.is_valid_in_block(tx) {
            return None;
        }
        let code = code_of(view, to)?;
        self.missed = (code.hash != KECCAK_EMPTY).then_some(code);
        if !self.paths.may_fit(self.block, tx, code.hash) {
            return None;
        }
        let initial = rules.initial_gas(tx)?;
        let sender = view.basic(tx.caller).ok()?.unwrap_or_default();
        may_send(view, &sender, tx.nonce)?;
        let most = tx.max_balance_spending().ok()?;
        if sender.balance < most || sender.balance.bit(255) {
            return None;
        }
        let price = tx.effective_gas_price(u128::from(env.basefee));
        let sender_balance =
            pre_execution::calculate_caller_fee(sender.balance, tx, env, cfg).ok()?;
        let call = TopCall {
            tx,
            to,
            code_hash: code.hash,
            delegate: code.delegate,
            gas: tx.gas_limit.checked_sub(initial.initial_total_gas())?,
            price: U256::from(price),
            sender_balance,
        };
        let outcome = self.evaluator.call(view, &call)?;
        let gas = self.gas(tx, outcome, initial.floor_gas());
        let record = self.record(tx, gas.tx_gas_used(), most, records)?;
        let result = result(outcome, gas, self.evaluator.take_logs());
        Some(Evaluated { result, record })
    }

    /// The gas of the whole transaction.
    fn gas(&self, tx: &TxEnv, outcome: CallOutcome, floor: u64) -> ResultGas {
        let spent = tx.gas_limit - outcome.gas_left;
        let quotient = self.block.cfg.gas_params().max_refund_quotient();
        let refunded = u64::try_from(outcome.refund).unwrap_or(0).min(spent / quotient);
        ResultGas::default()
            .with_total_gas_spent(spent)
            .with_refunded(refunded)
            .with_floor_gas(floor)
    }

    /// What the transaction depended on and did, its payments included.
    fn record(&self, tx: &TxEnv, gas_used: u64, most: U256, records: bool) -> Option<Record> {
        let Block { env, cfg, .. } = self.block;
        let price = tx.effective_gas_price(u128::from(env.basefee));
        // EIP-1559 burns the base fee.
        let burnt =
            if cfg.spec.is_enabled_in(SpecId::LONDON) { u128::from(env.basefee) } else { 0 };
        let fee = U256::from(price.saturating_sub(burnt)) * U256::from(gas_used);
        let unused = U256::from(price) * U256::from(tx.gas_limit - gas_used);
        let (used, slots) = (self.evaluator.accounts(), self.evaluator.slots());
        let mut reads = Reads { cost: most, ..Reads::default() };
        let mut accounts = Vec::with_capacity(used.len() + 1);
        let mut is_beneficiary_used = false;
        let mut changed = changed_slots(slots).into_iter().peekable();
        for (id, account) in used.iter().enumerate() {
            let is_sender = account.address == tx.caller;
            let mut balance = account.balance;
            let mut looked = looked_at(account);
            if is_sender {
                balance = balance.checked_add(unused)?;
                looked |= Looked::COVER | Looked::NONCE | Looked::CODE;
            }
            let mut touched = account.touched || is_sender;
            if account.address == env.beneficiary {
                is_beneficiary_used = true;
                touched = true;
                balance = balance.checked_add(fee)?;
            }
            if records {
                let (address, seen) = (account.address, seen(account));
                reads.accounts.push(AccountRead { address, looked, seen, is_base: false });
            }
            let own = core::iter::from_fn(|| changed.next_if(|(owner, _)| *owner == id));
            let storage: Box<[SlotChange]> = own.map(|(_, change)| change).collect();
            let change = balance_change(account.found.balance, balance, looked);
            let has_code = account.found.code_hash != KECCAK_EMPTY;
            let is_changed = is_sender || change != BalanceChange::Keep || !storage.is_empty();
            // A contract that was called and nothing else is as it was.
            if is_changed || (touched && !has_code) {
                let nonce = is_sender.then_some(tx.nonce + 1);
                let change = AccountTransition::payment(change, nonce).with_storage(storage);
                accounts.push((account.address, change));
            }
        }
        if !is_beneficiary_used {
            let fee = balance_change(U256::ZERO, fee, Looked::empty());
            accounts.push((env.beneficiary, AccountTransition::payment(fee, None)));
        }
        if records {
            reads.storage = slots.iter().filter_map(|slot| storage_read(used, slot)).collect();
        }
        Some(Record { reads, transition: Transition::of(accounts) })
    }

    /// Learns the path of the call that was not evaluated just now, on the same state, if
    /// that is worth it.
    pub(crate) fn learn<DB: Database>(&self, view: &mut DB, tx: &TxEnv) {
        if let Some(code) = self.missed
            && self.paths.wants(self.block, tx, code.hash)
        {
            self.paths.learn(self.block, &Shared(RefCell::new(view)), tx);
        }
    }
}

/// Whether there are paths for the call that `tx` is on this state, about: the state
/// before the block, in which code hardly differs from that before the transaction.
pub(crate) fn may_be_evaluated<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    paths: &ExactPaths,
    tx: &TxEnv,
) -> bool {
    let TxKind::Call(to) = tx.kind else { return false };
    let code = may_fit(tx).then(|| code_of(&mut WrapDatabaseRef(state), to)).flatten();
    code.is_some_and(|code| paths.may_fit(block, tx, code.hash))
}

/// Whether the transaction is of a kind that paths are about.
fn may_fit(tx: &TxEnv) -> bool {
    tx.authorization_list.is_empty() && tx.blob_hashes.is_empty()
}

/// The code that a call to `to` runs (EIP-7702).
fn code_of(view: &mut impl Database, to: Address) -> Option<Code> {
    let info = view.basic(to).ok()??;
    if info.is_code_hash_empty_or_zero() {
        return Some(Code { hash: KECCAK_EMPTY, delegate: None });
    }
    let code = match info.code {
        Some(code) => code,
        None => view.code_by_hash(info.code_hash).ok()?,
    };
    let Some(delegate) = code.eip7702_address() else {
        return Some(Code { hash: info.code_hash, delegate: None });
    };
    let hash = view.basic(delegate).ok()?.map_or(KECCAK_EMPTY, |info| info.code_hash);
    Some(Code { hash, delegate: Some(delegate) })
}

/// The slots that are not what they were, sorted by key within each account.
fn changed_slots(slots: &[UsedSlot]) -> Vec<(usize, SlotChange)> {
    let changed = slots.iter().filter(|slot| slot.found.is_some_and(|found| found != slot.value));
    let mut changed: Vec<_> =
        changed.map(|slot| (slot.account, SlotChange::new(slot.key, slot.value))).collect();
    changed.sort_unstable_by_key(|(account, change)| (*account, change.key));
    changed
}

fn storage_read(used: &[UsedAccount], slot: &UsedSlot) -> Option<StorageRead> {
    let value = slot.found?;
    let address = used[slot.account].address;
    Some(StorageRead { address, key: slot.key, value, is_base: false })
}

fn looked_at(account: &UsedAccount) -> Looked {
    let parts = [
        (account.looked_at_balance, Looked::BALANCE),
        (account.looked_at_code, Looked::CODE),
        (account.looked_at_emptiness, Looked::EMPTINESS),
    ];
    parts.into_iter().filter(|(looked, _)| *looked).map(|(_, part)| part).collect()
}

fn seen(account: &UsedAccount) -> Seen {
    let found = account.found;
    let (exists, balance, nonce, code_hash) =
        (found.exists, found.balance, found.nonce, found.code_hash);
    Seen { exists, balance, nonce, code_hash }
}

/// What becomes of a balance, by what the transaction has looked at. It is no hoard.
fn balance_change(before: U256, now: U256, looked: Looked) -> BalanceChange {
    if before == now {
        return BalanceChange::Keep;
    }
    if looked.contains(Looked::BALANCE) {
        BalanceChange::Set(now)
    } else if looked.contains(Looked::COVER) {
        BalanceChange::settle(before, now)
    } else {
        BalanceChange::Credit(now.wrapping_sub(before))
    }
}

/// What revm would answer.
fn result(outcome: CallOutcome, gas: ResultGas, logs: Vec<Log>) -> ExecutionResult {
    if outcome.is_success {
        let (reason, output) = (SuccessReason::Return, Output::Call(Bytes::new()));
        ExecutionResult::Success { reason, gas, logs, output }
    } else if outcome.is_halt {
        ExecutionResult::Halt { reason: HaltReason::OpcodeNotFound, gas, logs }
    } else {
        ExecutionResult::Revert { gas, logs, output: Bytes::new() }
    }
}

/// A view that many may ask, one at a time.
struct Shared<'v, DB>(RefCell<&'v mut DB>);

impl<DB: Database> DatabaseRef for Shared<'_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.0.borrow_mut().basic(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.0.borrow_mut().code_by_hash(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        self.0.borrow_mut().storage(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        self.0.borrow_mut().block_hash(number)
    }
}
