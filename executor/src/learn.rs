//! Learning from blocks that have run: which storage keys, call targets and arguments the
//! functions of their code used, as expressions over each function's own inputs.
//!
//! ```text
//! block ──run with a recorder──> one trace per call frame ──Learnt──> effects with how often
//! ```
//!
//! The block is run again from the state before it, after the fact and on the thread that
//! asks for it: nothing that executes a block waits for it. Frames of functions that were
//! seen often are recorded only now and then.

mod frame;
mod memory;

use std::sync::Arc;

use forewave_analyzer::{Block, LearntCode, Selected, StaticPredictor, SummaryCache};
use hashbrown::HashMap;
use revm::{
    Context, DatabaseRef, ExecuteCommitEvm, InspectCommitEvm, Inspector, MainBuilder, MainContext,
    context_interface::ContextTr,
    handler::EthPrecompiles,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter::EthInterpreter,
    },
    primitives::B256,
};

use self::frame::ShadowFrame;
use crate::{
    ExecutionError,
    block_gas::BlockGas,
    flat_state::FlatState,
    system::{apply_post_block, apply_pre_block},
};

/// Frames within frames that are recorded; deeper ones are not.
const DEPTH_MAX: usize = 48;

/// How much of what runs is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Every how many transactions one is recorded.
    pub txs: u32,
    /// Runs of a function up to which each is recorded.
    pub runs_max: u32,
    /// After that, every how many runs one is.
    pub runs: u32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { txs: 1, runs_max: 64, runs: 8 }
    }
}

/// What a block taught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lesson {
    /// Transactions that were recorded.
    pub txs: usize,
    /// Frames that were.
    pub frames: usize,
}

/// Teaches a predictor's summaries what blocks did.
#[derive(Clone, Debug)]
pub struct Learner {
    predictor: StaticPredictor,
    sampling: Sampling,
}

impl Learner {
    /// A learner for the summaries of this predictor.
    pub const fn new(predictor: StaticPredictor, sampling: Sampling) -> Self {
        Self { predictor, sampling }
    }

    /// Runs the block on the state before it and learns from what its code does. A
    /// transaction that cannot run ends it; what came before is learnt.
    pub fn observe<DB: DatabaseRef>(
        &self,
        block: &Block,
        state: &DB,
    ) -> Result<Lesson, ExecutionError<DB::Error>> {
        let observed = self.run(block, state);
        self.predictor.summaries().learnt().publish();
        observed
    }

    fn run<DB: DatabaseRef>(
        &self,
        block: &Block,
        state: &DB,
    ) -> Result<Lesson, ExecutionError<DB::Error>> {
        let mut flat = FlatState::for_block(state, block);
        let mut system = apply_pre_block(block, &mut flat)?;
        let precompiles = EthPrecompiles::new(block.spec());
        let recorder = Recorder::new(self.predictor.summaries(), self.sampling, precompiles);
        let mut evm = Context::mainnet()
            .with_db(flat)
            .with_block(block.env.clone())
            .with_cfg(block.cfg.clone())
            .build_mainnet_with_inspector(recorder);
        let (mut gas, mut txs) = (BlockGas::default(), 0);
        for (tx, env) in block.indexed() {
            gas.check(block, env).map_err(|refused| refused.at(tx))?;
            let is_recorded = tx.index() % self.sampling.txs.max(1) as usize == 0;
            let result = if is_recorded {
                txs += 1;
                evm.inspect_tx_commit(env.clone())
            } else {
                evm.transact_commit(env.clone())
            };
            gas.add(&result.map_err(|error| ExecutionError::at(tx, error))?);
        }
        let frames = evm.inspector.recorded;
        let mut flat = evm.ctx.journaled_state.database;
        apply_post_block(block, &mut flat, &mut system)?;
        Ok(Lesson { txs, frames })
    }
}

/// Follows frames as they run.
struct Recorder<'a> {
    summaries: &'a SummaryCache,
    sampling: Sampling,
    precompiles: EthPrecompiles,
    codes: HashMap<B256, Arc<LearntCode>>,
    frames: Vec<ShadowFrame>,
    spare: Vec<ShadowFrame>,
    seen: u32,
    recorded: usize,
}

impl<'a> Recorder<'a> {
    fn new(summaries: &'a SummaryCache, sampling: Sampling, precompiles: EthPrecompiles) -> Self {
        Self {
            summaries,
            sampling,
            precompiles,
            codes: HashMap::default(),
            frames: Vec::new(),
            spare: Vec::new(),
            seen: 0,
            recorded: 0,
        }
    }

    fn begin(&mut self, code: Option<Arc<LearntCode>>, selector: Option<u32>, called: &CallInputs) {
        let mut frame = self.spare.pop().unwrap_or_default();
        let hash = &called.known_bytecode.0;
        let falls_back = code.is_some()
            && selector.is_some_and(|selector| self.summaries.falls_back(hash, selector));
        let selected = Some(Selected::by(selector));
        frame.begin(code, selected, falls_back);
        self.frames.push(frame);
    }

    /// The innermost frame ends; what it did counts if it succeeded.
    fn end(&mut self, succeeded: bool) {
        let Some(frame) = self.frames.pop() else { return };
        if let Some(code) = frame.code.as_ref().filter(|_| succeeded) {
            self.recorded += 1;
            let fallback = frame.falls_back.then_some(Selected::Fallback);
            for selected in frame.selected.into_iter().chain(fallback) {
                self.summaries.learnt().learn(code, selected, &frame.trace);
            }
        }
        if self.spare.len() < DEPTH_MAX {
            self.spare.push(frame);
        }
    }

    /// The code of a frame if it is to be recorded.
    fn wanted(&mut self, inputs: &CallInputs, selector: Option<u32>) -> Option<Arc<LearntCode>> {
        let (hash, code) = &inputs.known_bytecode;
        if code.is_empty() || self.frames.len() >= DEPTH_MAX {
            return None;
        }
        let learnt = self.summaries.learnt();
        let known = self.codes.entry(*hash).or_insert_with(|| learnt.code(*hash, code));
        self.seen = self.seen.wrapping_add(1);
        let is_wanted = learnt.runs(known, Selected::by(selector)) < self.sampling.runs_max
            || self.seen.is_multiple_of(self.sampling.runs.max(1));
        is_wanted.then(|| Arc::clone(known))
    }
}

impl<CTX: ContextTr> Inspector<CTX, EthInterpreter> for Recorder<'_> {
    #[inline]
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _context: &mut CTX) {
        if let Some(frame) = self.frames.last_mut() {
            frame.step(interpreter, &self.precompiles);
        }
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let selector = {
            let data = inputs.input.as_bytes(context);
            data.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
        };
        let code = self.wanted(inputs, selector);
        self.begin(code, selector, inputs);
        None
    }

    fn call_end(&mut self, _context: &mut CTX, _inputs: &CallInputs, outcome: &mut CallOutcome) {
        let succeeded = outcome.result.result.is_ok();
        self.end(succeeded);
        if let Some(caller) = self.frames.last_mut() {
            let range = &outcome.memory_offset;
            let len = range.len().min(outcome.result.output.len());
            caller.receive(range.start, len, succeeded);
        }
    }

    fn create(&mut self, _context: &mut CTX, _inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        // What init code does is not learnt.
        self.frames.push(ShadowFrame::default());
        None
    }

    fn create_end(
        &mut self,
        _context: &mut CTX,
        _inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        self.end(false);
        if let Some(creator) = self.frames.last_mut() {
            creator.receive_created(outcome.result.result.is_ok());
        }
    }
}
