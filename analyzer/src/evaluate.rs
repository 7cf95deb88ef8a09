//! From a transaction and the summaries of code to what it touches.
//!
//! ```text
//! tx ──protocol──> accesses around the code
//!    ──call──> program of the called function ──frame──> keys, calls ──> ...
//!    ──finish──> PredictedAccess
//! ```
//!
//! Programs are followed with the values of this transaction: call data, caller,
//! and what slots hold in the state before the block, read only where a key, a
//! target or a branch needs them (the *deciding reads*). A branch on what is not
//! known is followed both ways up to where they meet, and what lies on them is
//! something that may be touched. Nothing runs: there is no gas, no memory that no
//! access depends on, no check that would only revert.
//!
//! Evaluation is pure: the same answer on any thread, in any order.

mod call;
mod data;
mod finish;
mod fork;
mod frame;
mod learnt;
mod operate;
mod preimages;
mod record;
mod world;

use std::sync::Arc;

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::Transaction as _,
    primitives::{Address, B256, StorageKey, TxKind, U256, map::DefaultHashBuilder},
};

use self::{
    data::{Data, Value},
    fork::{Side, Store},
    frame::{Frame, Registers},
    preimages::Preimages,
    record::Record,
    world::{Accounts, Transient},
};
use crate::{
    AccessKind, Block, Location, PredictedAccess, Scope, SummaryCache, WidenedAccess,
    WideningCause,
    learnt::{FunctionKey, LearntProgram},
    protocol::Protocol,
    summaries::CodeSummary,
};

/// Bounds of the evaluation of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationLimits {
    /// Operations of all programs together.
    pub operations_max: u32,
    /// Those of them on branches that are followed both ways.
    pub may_operations_max: u32,
    /// Calls within calls, and branches that are followed both ways within each other.
    pub depth_max: u32,
    /// Calls.
    pub calls_max: u32,
    /// Branches that are followed both ways.
    pub forks_max: u32,
    /// Locations and scopes.
    pub accesses_max: usize,
    /// Gas of precompiles whose answers are computed.
    pub precompile_gas_max: u64,
    /// Operations of what was learnt, and of what that calls.
    pub learnt_operations_max: u32,
}

impl Default for EvaluationLimits {
    fn default() -> Self {
        Self {
            operations_max: 1 << 18,
            may_operations_max: 1 << 11,
            depth_max: 96,
            calls_max: 1 << 12,
            forks_max: 256,
            precompile_gas_max: 1 << 17,
            accesses_max: 1 << 14,
            learnt_operations_max: 1 << 14,
        }
    }
}

/// What an evaluation works with, kept from transaction to transaction so that
/// nothing is allocated anew. One for each thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Registers that no frame has now.
    registers: Vec<Registers>,
    /// States of frames that no branch holds now.
    sides: Vec<Side>,
    /// Mappings in which something was stored of which the key is not known.
    lost_mappings: Vec<(Address, StorageKey)>,
    /// The stores so far.
    stores: Vec<Store>,
    assigned: Vec<Value>,
    data: Vec<Data>,
    data_used: usize,
    room: Data,
    record: Record,
    accounts: Accounts,
    transient: Transient,
    widened: Vec<(WidenedAccess, WideningCause)>,
    reads: Vec<Location>,
    summaries: HashMap<B256, CodeSummary>,
    missing: Vec<(B256, Bytecode)>,
    used: Vec<finish::Used>,
    learnt: HashMap<FunctionKey, Option<Arc<LearntProgram>>, DefaultHashBuilder>,
    learnt_edition: u64,
    /// What was hashed, where that is asked for.
    preimages: Option<Preimages>,
}

/// Predicts what transactions touch, from summaries of the code that they call.
#[derive(Clone, Copy, Debug)]
pub struct TxEvaluator<'a> {
    summaries: &'a SummaryCache,
    limits: EvaluationLimits,
}

impl<'a> TxEvaluator<'a> {
    /// An evaluator over the summaries of a cache, and over what was learnt where they do
    /// not suffice.
    pub const fn new(summaries: &'a SummaryCache, limits: EvaluationLimits) -> Self {
        Self { summaries, limits }
    }

    /// What `tx` touches if it runs on `state`.
    pub fn predict_tx<DB: DatabaseRef>(
        &self,
        scratch: &mut Scratch,
        block: &Block,
        state: &DB,
        tx: &TxEnv,
    ) -> Result<PredictedAccess, DB::Error> {
        let mut evaluation = Evaluation {
            evaluator: *self,
            block,
            state,
            tx,
            protocol: Protocol::new(block, state),
            scratch,
            origin: Value::input(tx.caller.into_word().into()),
            gas_price: U256::from(tx.effective_gas_price(u128::from(block.env.basefee))),
            gas: 0,
            deciding: 0,
            may: 0,
            depth: 0,
            left: self.limits.operations_max,
            may_left: self.limits.may_operations_max,
            calls_left: self.limits.calls_max,
            forks_left: self.limits.forks_max,
            precompile_gas_left: self.limits.precompile_gas_max,
            learnt_left: self.limits.learnt_operations_max,
            learnt_depth: 0,
            widenings: 0,
            error: None,
        };
        evaluation.run();
        match evaluation.error.take() {
            Some(error) => Err(error),
            None => Ok(evaluation.finish()),
        }
    }
}

impl Scratch {
    /// Lets go of the summaries if there are more than so many.
    pub(crate) fn forget_beyond(&mut self, summaries: usize) {
        if self.summaries.len() > summaries {
            self.summaries.clear();
        }
    }

    /// Code that was called and is not summarized, each once, since this was asked
    /// the last time.
    pub fn take_missing(&mut self) -> Vec<(B256, Bytecode)> {
        core::mem::take(&mut self.missing)
    }

    /// A place for bytes; the same again once it was given back.
    fn open(&mut self) -> usize {
        if self.data_used == self.data.len() {
            self.data.push(Data::default());
        }
        self.data[self.data_used].clear();
        self.data_used += 1;
        self.data_used - 1
    }
}

/// The evaluation of one transaction.
struct Evaluation<'a, DB: DatabaseRef> {
    evaluator: TxEvaluator<'a>,
    block: &'a Block,
    state: &'a DB,
    tx: &'a TxEnv,
    protocol: Protocol<'a, DB>,
    scratch: &'a mut Scratch,
    origin: Value,
    gas_price: U256,
    gas: u64,
    /// Reads of the state that something was decided by, as an origin.
    deciding: data::Origin,
    /// How many branches around here were followed both ways.
    may: u32,
    depth: u32,
    left: u32,
    may_left: u32,
    calls_left: u32,
    forks_left: u32,
    precompile_gas_left: u64,
    learnt_left: u32,
    /// How many functions around here are followed as they were learnt.
    learnt_depth: u32,
    /// How often something could not be named.
    widenings: u32,
    error: Option<DB::Error>,
}

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// The transaction: what the protocol does, then its code.
    fn run(&mut self) {
        let scratch = &mut *self.scratch;
        scratch.record.clear();
        scratch.accounts.clear();
        scratch.transient.clear();
        scratch.stores.clear();
        scratch.lost_mappings.clear();
        scratch.widened.clear();
        scratch.reads.clear();
        scratch.data_used = 0;
        self.renew_learnt();
        let scratch = &mut *self.scratch;
        let tx = self.tx;
        self.gas = intrinsic_gas(tx);
        let record = &mut scratch.record;
        let mut touch = |kind, location| record.use_field(location, kind, true);
        if let Err(error) = self.protocol.accesses(tx, &mut touch) {
            self.error = Some(error);
            return;
        }
        let TxKind::Call(to) = tx.kind else {
            self.create_top();
            return;
        };
        if self.protocol.is_precompile(&to) {
            return;
        }
        let value = Value::input(tx.value);
        self.scratch.accounts.pay(tx.caller, to, &value);
        let Some(code) = self.code_to_run(to) else { return };
        let calldata = self.scratch.open();
        self.scratch.data[calldata].assign(&tx.data);
        let answer = self.scratch.open();
        let frame = Frame {
            this: to,
            caller: self.origin,
            value,
            calldata,
            answer,
            is_returned: false,
            is_static: false,
        };
        self.enter(frame, &code);
    }

    /// A creation: what the protocol does is known; of its code, what it stores.
    fn create_top(&mut self) {
        let created = self.tx.caller.create(self.tx.nonce);
        let init = Bytecode::new_legacy(self.tx.data.clone());
        let calldata = self.scratch.open();
        let answer = self.scratch.open();
        let value = Value::input(self.tx.value);
        self.scratch.accounts.pay(self.tx.caller, created, &value);
        self.initialize(created, self.origin, value, init, [calldata, answer]);
    }

    fn must(&self) -> bool {
        self.may == 0
    }

    fn touch(&mut self, kind: AccessKind, location: Location) {
        let is_must = self.must();
        self.scratch.record.use_field(location, kind, is_must);
    }

    /// Something cannot be named.
    fn widen(&mut self, scope: Scope, cause: WideningCause) {
        self.widenings += 1;
        for kind in [AccessKind::Read, AccessKind::Write] {
            let widened = (WidenedAccess { scope, kind }, cause);
            if !self.scratch.widened.contains(&widened) {
                self.scratch.widened.push(widened);
            }
        }
    }

    /// A value decides what is touched.
    const fn decide(&mut self, value: &Value) {
        self.deciding |= value.origin & !data::UNKNOWN;
    }

    fn address_of(value: &Value) -> Option<Address> {
        value.is_known().then(|| Address::from_word(value.word.into()))
    }
}

/// Gas that a transaction costs before its code runs, without access lists and
/// the like: for an estimate.
fn intrinsic_gas(tx: &TxEnv) -> u64 {
    let data: u64 = tx.data.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
    21_000 + data
}
