//! Runs frames: from the code of a call to its accesses in the overlay.
//!
//! One machine analyses one block. Instructions are functions in a table,
//! grouped by effect in the sibling files; each gets the machine and the frame.
//! Calls do not recurse: a frame that calls is put aside until its callee ends.
//! Every instruction costs gas, and [`Limits`] bound the gas, so everything ends.

use core::{mem, ops::Range};
use std::rc::Rc;

use revm::{
    DatabaseRef,
    bytecode::{Bytecode, opcode},
    context_interface::{Cfg, cfg::GasParams},
    precompile::{PrecompileSpecId, Precompiles},
    primitives::{Address, B256, hardfork::SpecId},
};
use serde::{Deserialize, Serialize};

use super::{
    branches::BranchCache,
    code::{destination, immediate},
    frame::{Exit, Frame},
    guesses::Knowledge,
    hash_cache::HashCache,
    intrinsic::CallDataGas,
    origin::DeclaredSlots,
    prediction::Lists,
    region::Region,
    room::{RevertingPlaces, Room},
    table::{self, Instruction},
    word::{Provenance, Word},
    world::World,
};
use crate::{
    Block, Limits, WidenedAccess,
    template::{Attempt, Deferred, Replay, TemplateCache, Trace},
};

/// A frame that has grown beyond this is not kept for the next call.
const POOLED_FRAME_BYTES_MAX: usize = 1 << 18;

/// What an instruction returns.
pub(crate) type Step = Result<(), Exit>;

/// The function of an instruction.
pub(crate) type Run<DB> = fn(&mut Machine<'_, DB>, &mut Frame) -> Step;

/// What the instructions see of the transaction.
#[derive(Debug, Default)]
pub(crate) struct TxView {
    pub(crate) origin: Address,
    pub(crate) gas_price: u128,
    pub(crate) blob_hashes: Vec<B256>,
}

/// Why the analysis of a transaction was abandoned.
#[derive(Debug)]
pub(crate) enum Abandoned<E> {
    /// The state could not be read.
    State(E),
    /// A limit of [`Limits`] was reached.
    Limit,
}

/// How a frame ended, for the frame or transaction that entered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Ending {
    Success,
    Revert,
    Halt,
}

/// The interpreter of one block.
#[allow(clippy::vec_box, reason = "a frame that calls or ends moves as a pointer")]
pub(crate) struct Machine<'a, DB: DatabaseRef> {
    pub(crate) world: World<'a, DB>,
    pub(crate) block: &'a Block,
    pub(crate) spec: SpecId,
    pub(crate) gas_params: GasParams,
    pub(super) call_data_gas: CallDataGas,
    pub(crate) precompiles: &'static Precompiles,
    pub(crate) tx: TxView,
    pub(crate) declared: DeclaredSlots,
    pub(crate) limits: Limits,
    /// A frame to be entered, with [`Exit::Enter`].
    pub(crate) entered: Option<Box<Frame>>,
    /// Why, with [`Exit::Abandon`].
    pub(crate) abandoned: Option<Abandoned<DB::Error>>,
    /// Whether an account was named from a guess.
    pub(crate) guessed: bool,
    /// Scopes of slots that were named from a guess.
    pub(crate) widened: Vec<WidenedAccess>,
    pub(crate) branches: BranchCache,
    /// Words of the Keccak input at hand.
    pub(crate) hash_input: Vec<Word>,
    /// Bytes on their way from memory to memory.
    pub(crate) scratch: Region,
    pub(crate) init_code_bytes: usize,
    /// Gas that the analysis of the block may still follow.
    pub(crate) block_gas: u64,
    pub(crate) hashes: HashCache,
    pub(crate) trace: Trace,
    pub(crate) places: RevertingPlaces,
    pub(super) lists: Lists,
    pub(crate) replay: Replay,
    pub(crate) deferred: Deferred,
    pub(crate) templates: Option<&'a TemplateCache>,
    /// How the transaction is analysed.
    pub(crate) attempt: Attempt,
    /// Whether it is recorded for an exact path.
    pub(super) learns_exactly: bool,
    table: Rc<[Instruction<DB>; 256]>,
    suspended: Vec<Box<Frame>>,
    pub(super) pool: Vec<Box<Frame>>,
    held_bytes: usize,
    handed_bytes: usize,
    /// Branches of the transaction that a guess has decided.
    pub(super) guessed_branches: usize,
}

impl<'a, DB: DatabaseRef> Machine<'a, DB> {
    /// A machine at the start of `block`, over the state before it.
    pub(crate) fn new(
        block: &'a Block,
        db: &'a DB,
        knowledge: Knowledge,
        limits: Limits,
        templates: Option<&'a TemplateCache>,
    ) -> Self {
        let spec = block.spec();
        let room = templates.map(TemplateCache::room).unwrap_or_default();
        let Room { tables, frames, hashes, trace, replay, deferred, places, lists } = room;
        Self {
            world: World::new(db, knowledge, tables),
            block,
            spec,
            gas_params: block.cfg.gas_params().clone(),
            call_data_gas: CallDataGas::new(block.cfg.gas_params()),
            precompiles: Precompiles::new(PrecompileSpecId::from_spec_id(spec)),
            tx: TxView::default(),
            declared: DeclaredSlots::new(limits.mappings_max),
            limits,
            entered: None,
            abandoned: None,
            guessed: false,
            widened: Vec::new(),
            branches: BranchCache::default(),
            hash_input: Vec::new(),
            scratch: Region::default(),
            init_code_bytes: 0,
            hashes,
            trace,
            replay,
            deferred,
            templates,
            attempt: Attempt::default(),
            learns_exactly: false,
            table: Rc::new(table::instructions(spec)),
            suspended: Vec::new(),
            pool: frames,
            places,
            lists,
            held_bytes: 0,
            handed_bytes: 0,
            guessed_branches: 0,
            block_gas: limits.block_gas_max,
        }
    }

    /// Prepares for the next transaction or system call.
    pub(crate) fn begin(&mut self) {
        self.world.begin();
        self.trace.give_up();
        self.held_bytes = 0;
        self.handed_bytes = 0;
        self.guessed_branches = 0;
        self.init_code_bytes = 0;
        self.guessed = false;
        self.widened.clear();
        self.abandoned = None;
        self.entered = None;
        while let Some(frame) = self.suspended.pop() {
            self.release(frame);
        }
    }

    /// A frame from the pool.
    pub(crate) fn frame(&mut self) -> Box<Frame> {
        let mut frame = self.pool.pop().unwrap_or_default();
        frame.reset();
        frame
    }

    /// Puts a frame back into the pool, unless it is too large to keep.
    pub(crate) fn release(&mut self, frame: Box<Frame>) {
        if frame.capacity() <= POOLED_FRAME_BYTES_MAX {
            self.pool.push(frame);
        }
    }

    /// Runs `frame` and everything it calls; the frame comes back with its output.
    pub(crate) fn run(&mut self, mut frame: Box<Frame>) -> Result<(Ending, Box<Frame>), Exit> {
        self.hold(frame.held_bytes())?;
        loop {
            let exit = self.interpret(&mut frame);
            if exit == Exit::Enter {
                let callee = self.entered.take().ok_or(Exit::Abandon)?;
                self.hold(callee.held_bytes())?;
                self.suspended.push(mem::replace(&mut frame, callee));
                continue;
            }
            if exit == Exit::Abandon {
                return Err(Exit::Abandon);
            }
            let ending = self.close(&mut frame, exit);
            self.unhold(frame.held_bytes());
            let Some(mut caller) = self.suspended.pop() else { return Ok((ending, frame)) };
            self.resume(&mut caller, &frame, ending)?;
            self.release(mem::replace(&mut frame, caller));
        }
    }

    /// Interprets until something ends or interrupts the frame.
    ///
    /// The instructions that only move words or control run here, on copies of
    /// the program counter and the gas; the others run from the table.
    fn interpret(&mut self, frame: &mut Frame) -> Exit {
        let code = frame.code.clone();
        let bytes = code.bytes_slice();
        let table = Rc::clone(&self.table);
        let (mut pc, mut gas) = (frame.pc, frame.gas);
        let exit = loop {
            let Some(&op) = bytes.get(pc) else { break Exit::Stop };
            let instruction = &table[usize::from(op)];
            if !instruction.fits(frame.stack.len()) {
                break Exit::Halt;
            }
            if gas < u64::from(instruction.gas) {
                break Exit::OutOfGas;
            }
            gas -= u64::from(instruction.gas);
            pc += 1;
            match op {
                opcode::PUSH0..=opcode::PUSH32 => {
                    let len = usize::from(op - opcode::PUSH0);
                    frame.stack.push(Word::constant(immediate(bytes, pc, len)));
                    pc += len;
                }
                opcode::DUP1..=opcode::DUP16 => {
                    frame.stack.duplicate(usize::from(op - opcode::DUP1) + 1);
                }
                opcode::SWAP1..=opcode::SWAP16 => {
                    frame.stack.swap(usize::from(op - opcode::SWAP1) + 1);
                }
                opcode::POP => {
                    frame.stack.pop();
                }
                opcode::JUMPDEST => {}
                opcode::JUMP => {
                    let target = frame.stack.pop();
                    self.trace.pin(target);
                    let Some(target) = destination(&code, target) else { break Exit::Halt };
                    pc = target;
                }
                opcode::JUMPI => {
                    let [target, condition] = frame.stack.pop_many();
                    let taken = match self.is_taken(frame, &code, pc, target, condition) {
                        Ok(taken) => taken,
                        Err(exit) => break exit,
                    };
                    if taken {
                        let Some(target) = destination(&code, target) else { break Exit::Halt };
                        pc = target;
                    }
                }
                _ => {
                    (frame.pc, frame.gas) = (pc, gas);
                    if let Err(exit) = (instruction.run)(self, frame) {
                        return exit;
                    }
                    (pc, gas) = (frame.pc, frame.gas);
                }
            }
        };
        (frame.pc, frame.gas) = (pc, gas);
        exit
    }

    /// Whether a branch is taken. Its condition is believed, also where it
    /// depends on state: the overlay carries what earlier transactions of the
    /// block did. Only a guess is not.
    #[inline]
    fn is_taken(
        &mut self,
        frame: &mut Frame,
        code: &Bytecode,
        pc: usize,
        target: Word,
        condition: Word,
    ) -> Result<bool, Exit> {
        let is_taken = !condition.value.is_zero();
        if condition.provenance.is_unknown() {
            // What is assumed to verify is constant; anything else is not.
            if !self.trace.is_constant(condition) {
                self.trace.give_up();
            }
            self.trace.pin(target);
            return self.assume_success(frame, code, pc, target, is_taken);
        }
        if self.trace.is_on() {
            self.trace.pin(target);
            let target = usize::try_from(target.value).unwrap_or(usize::MAX);
            self.trace.branch(condition, frame.traced_code, [target, pc]);
        }
        Ok(is_taken)
    }

    /// Replaces what the last call returned.
    pub(crate) fn set_returndata(
        &mut self,
        frame: &mut Frame,
        bytes: &[u8],
        provenance: Provenance,
    ) -> Step {
        self.unhold(frame.returndata.len());
        frame.returndata.fill(bytes, provenance);
        self.hold(bytes.len())
    }

    /// Accounts for memory that the frames no longer hold.
    pub(super) fn unhold(&mut self, bytes: usize) {
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }

    /// Accounts for memory that the frames hold.
    pub(crate) fn hold(&mut self, bytes: usize) -> Step {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > self.limits.recorded_memory_bytes_max {
            self.trace.give_up();
        }
        if self.held_bytes > self.limits.memory_bytes_max {
            return Err(self.abandon(Abandoned::Limit));
        }
        Ok(())
    }

    /// Accounts for call data that is handed on.
    pub(super) fn hand_on(&mut self, bytes: usize) -> Step {
        self.handed_bytes = self.handed_bytes.saturating_add(bytes);
        if self.handed_bytes > self.limits.handed_bytes_max {
            return Err(self.abandon(Abandoned::Limit));
        }
        Ok(())
    }

    /// Stops the analysis if the transaction makes the overlay too large.
    pub(crate) fn bound_touched(&mut self) -> Step {
        let is_too_large = self.world.known() > self.limits.overlay_max;
        if is_too_large || self.world.held() > self.limits.touched_max {
            return Err(self.abandon(Abandoned::Limit));
        }
        Ok(())
    }

    /// Stops the analysis of the transaction.
    pub(crate) fn abandon(&mut self, why: Abandoned<DB::Error>) -> Exit {
        self.abandoned = Some(why);
        Exit::Abandon
    }

    /// Stops the analysis if the state could not be read.
    pub(crate) fn known<T>(&mut self, answer: Result<T, DB::Error>) -> Result<T, Exit> {
        answer.map_err(|error| self.abandon(Abandoned::State(error)))
    }

    /// Notes that the path depends on the exact values of these words.
    pub(crate) fn pin_all<const N: usize>(&mut self, words: [Word; N]) {
        for word in words {
            self.trace.pin(word);
        }
    }

    /// Tells the trace of the gas that was spent since the last time, all of which
    /// the path decides.
    #[inline]
    pub(crate) fn meter(&mut self, frame: &mut Frame) {
        if self.trace.is_exact() {
            self.trace.charge(frame.metered.saturating_sub(frame.gas));
            frame.metered = frame.gas;
        }
    }

    /// Grows the memory to hold `len` bytes at `start`, which the path then
    /// depends on, and charges for it.
    pub(crate) fn expand(
        &mut self,
        frame: &mut Frame,
        start: Word,
        len: Word,
    ) -> Result<Range<usize>, Exit> {
        self.trace.pin(len);
        if !len.value.is_zero() {
            self.trace.pin(start);
        }
        self.grow(frame, start, len)
    }

    /// Grows the memory where nothing but its size comes of it.
    pub(crate) fn expand_freely(
        &mut self,
        frame: &mut Frame,
        start: Word,
        len: Word,
    ) -> Result<Range<usize>, Exit> {
        self.trace.grow_freely(start, len);
        self.trace.pin_exactly(len);
        if !len.value.is_zero() {
            self.trace.pin_exactly(start);
        }
        self.grow(frame, start, len)
    }

    fn grow(&mut self, frame: &mut Frame, start: Word, len: Word) -> Result<Range<usize>, Exit> {
        let len = usize::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
        if len == 0 {
            return Ok(0..0);
        }
        let start = usize::try_from(start.value).map_err(|_| Exit::OutOfGas)?;
        let end = start.checked_add(len).ok_or(Exit::OutOfGas)?;
        if end > frame.memory.len() {
            let words = end.div_ceil(32);
            let gas = self.gas_params.memory_cost(words);
            charge(frame, gas.saturating_sub(frame.memory_gas))?;
            frame.memory_gas = gas;
            self.hold(words.saturating_mul(32) - frame.memory.len())?;
            frame.memory.grow(words * 32);
        }
        Ok(start..end)
    }
}

/// Takes gas from a frame, which halts if it has too little.
#[inline]
pub(crate) fn charge(frame: &mut Frame, gas: u64) -> Step {
    frame.gas = frame.gas.checked_sub(gas).ok_or(Exit::OutOfGas)?;
    Ok(())
}
