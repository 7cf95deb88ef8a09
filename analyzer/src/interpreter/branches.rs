//! From bytecode to the basic blocks that can only revert.
//!
//! A block must revert if it ends in `REVERT`, `INVALID` or an opcode that does
//! not exist, or if every block it can go on to must. Jumps are followed where
//! the target is pushed right before; any other jump may lead anywhere.

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::{
        Bytecode,
        opcode::{self as op, OpCode},
    },
    primitives::{B256, map::DefaultHashBuilder},
};

use super::{
    frame::{Exit, Frame},
    machine::Machine,
    word::Word,
};

/// Passes over the blocks at most; each follows reverting chains one jump further back.
const PASSES_MAX: usize = 16;

/// Instructions that a walk looks at.
const WALK_STEPS_MAX: usize = 512;

/// The reverting blocks of each piece of code that was asked for.
pub(crate) type BranchCache = HashMap<B256, RevertingBlocks, DefaultHashBuilder>;

/// Starts of the basic blocks that must revert, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RevertingBlocks(Vec<usize>);

impl RevertingBlocks {
    /// Whether control that comes to `pc`, the start of a block, must revert.
    pub(crate) fn contains(&self, pc: usize) -> bool {
        self.0.binary_search(&pc).is_ok()
    }
}

/// Where a block goes on to.
#[derive(Clone, Copy, Debug)]
enum Exits {
    Reverts,
    Ends,
    Anywhere,
    To(usize),
    Either(usize, usize),
}

/// The blocks of `code` that must revert.
pub(crate) fn reverting_blocks(code: &Bytecode) -> RevertingBlocks {
    let blocks = basic_blocks(code.original_byte_slice());
    let mut reverting = vec![false; blocks.len()];
    let find = |pc: usize| blocks.binary_search_by_key(&pc, |block| block.0).ok();
    for _ in 0..PASSES_MAX {
        let mut changed = false;
        for (at, (_, exits)) in blocks.iter().enumerate().rev() {
            let must = |pc: usize| find(pc).is_none_or(|to| reverting[to]);
            let reverts = match *exits {
                Exits::Reverts => true,
                Exits::Ends | Exits::Anywhere => false,
                Exits::To(pc) => must(pc),
                Exits::Either(one, other) => must(one) && must(other),
            };
            changed |= reverts != reverting[at];
            reverting[at] = reverts;
        }
        if !changed {
            break;
        }
    }
    let starts = blocks.iter().zip(reverting).filter(|(_, reverts)| *reverts);
    RevertingBlocks(starts.map(|((start, _), _)| *start).collect())
}

/// The basic blocks in order: start and exits. A jump to what is no block halts.
fn basic_blocks(code: &[u8]) -> Vec<(usize, Exits)> {
    let mut blocks = Vec::new();
    let (mut start, mut pc) = (0, 0);
    let mut pushed = None;
    while let Some(&opcode) = code.get(pc) {
        let info = OpCode::info_by_op(opcode);
        let next = pc + 1 + usize::from(info.map_or(0, |info| info.immediate_size()));
        let jump = |to: Option<usize>| to.filter(|to| code.get(*to) == Some(&op::JUMPDEST));
        let exits = match opcode {
            op::REVERT | op::INVALID => Some(Exits::Reverts),
            op::STOP | op::RETURN | op::SELFDESTRUCT => Some(Exits::Ends),
            op::JUMP => Some(jump(pushed).map_or(Exits::Anywhere, Exits::To)),
            op::JUMPI => Some(jump(pushed).map_or(Exits::Anywhere, |to| Exits::Either(to, next))),
            _ if info.is_none() => Some(Exits::Reverts),
            _ if code.get(next) == Some(&op::JUMPDEST) => Some(Exits::To(next)),
            _ if next >= code.len() => Some(Exits::Ends),
            _ => None,
        };
        pushed = (op::PUSH1..=op::PUSH4).contains(&opcode).then(|| {
            code[pc + 1..next.min(code.len())]
                .iter()
                .fold(0, |to, byte| to << 8 | usize::from(*byte))
        });
        if let Some(exits) = exits {
            blocks.push((start, exits));
            start = next;
            pushed = None;
        }
        pc = next;
    }
    blocks
}

/// Whether control that comes to `pc` must revert, as far as a short walk shows.
///
/// Cheaper than looking at all the code, and it sees where a jump leads that was
/// pushed long before, as the return address of an internal function is. What
/// lay on the stack before the walk is unknown.
pub(crate) fn reverts_soon(code: &[u8], pc: usize) -> bool {
    let mut steps = 0;
    let mut paths = vec![(pc, Vec::new())];
    while let Some((mut pc, mut stack)) = paths.pop() {
        loop {
            steps += 1;
            let Some(&opcode) = code.get(pc) else { return false };
            let Some(info) = OpCode::info_by_op(opcode) else { break };
            let next = pc + 1 + usize::from(info.immediate_size());
            let mut pop = || stack.pop().flatten();
            pc = match opcode {
                op::REVERT | op::INVALID => break,
                op::JUMP => match pop() {
                    Some(to) if code.get(to) == Some(&op::JUMPDEST) => to,
                    // A jump to where no block begins halts; any other may lead anywhere.
                    Some(_) => break,
                    None => return false,
                },
                op::JUMPI => {
                    let (to, _condition) = (pop(), pop());
                    let Some(to) = to else { return false };
                    if code.get(to) == Some(&op::JUMPDEST) {
                        paths.push((to, stack.clone()));
                    }
                    next
                }
                _ if info.is_terminating() || steps > WALK_STEPS_MAX => return false,
                _ => {
                    step_stack(&mut stack, opcode, &code[pc + 1..next.min(code.len())]);
                    next
                }
            };
        }
    }
    true
}

/// What an instruction does to a stack of which only what was pushed is known.
fn step_stack(stack: &mut Vec<Option<usize>>, opcode: u8, immediate: &[u8]) {
    match opcode {
        op::PUSH0..=op::PUSH4 => {
            let value = immediate.iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
            stack.push(Some(value));
        }
        op::DUP1..=op::DUP16 => {
            let depth = usize::from(opcode - op::DUP1);
            let at = stack.len().checked_sub(depth + 1);
            stack.push(at.and_then(|at| stack[at]));
        }
        op::SWAP1..=op::SWAP16 => {
            let depth = usize::from(opcode - op::SWAP1) + 2;
            let unknown = depth.saturating_sub(stack.len());
            stack.splice(0..0, core::iter::repeat_n(None, unknown));
            let len = stack.len();
            stack.swap(len - 1, len - depth);
        }
        _ => {
            let Some(info) = OpCode::info_by_op(opcode) else { return };
            let rest = stack.len().saturating_sub(usize::from(info.inputs()));
            stack.truncate(rest);
            stack.resize(rest + usize::from(info.outputs()), None);
        }
    }
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// Which way a branch goes whose condition is only a guess: where one side
    /// must revert and the other need not, the other. Where both may go on, the
    /// other side is covered by a scope.
    pub(super) fn assume_success(
        &mut self,
        frame: &mut Frame,
        code: &Bytecode,
        pc: usize,
        target: Word,
        guess: bool,
    ) -> Result<bool, Exit> {
        let blocks =
            self.branches.entry(code.hash_slow()).or_insert_with(|| reverting_blocks(code));
        let taken = usize::try_from(target.value).is_ok_and(|pc| blocks.contains(pc));
        let passed = blocks.contains(pc);
        if taken != passed {
            return Ok(passed);
        }
        if !taken {
            self.widen_path(frame, code)?;
        }
        Ok(guess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &[u8], starts: &[usize]) {
        let blocks = reverting_blocks(&Bytecode::new_legacy(code.to_vec().into()));
        assert_eq!(blocks, RevertingBlocks(starts.to_vec()));
    }

    #[test]
    fn a_block_that_jumps_to_a_reverting_block_must_revert() {
        check(
            &[
                op::PUSH0,
                op::PUSH1,
                9,
                op::JUMPI, // 0: either 4 or 9
                op::PUSH1,
                13,
                op::JUMP, // 4: to 13
                op::STOP,
                op::STOP, // 7, 8
                op::JUMPDEST,
                op::STOP,
                op::INVALID,
                op::STOP, // 9, 11, 12
                op::JUMPDEST,
                op::PUSH0,
                op::PUSH0,
                op::REVERT, // 13
            ],
            &[4, 11, 13],
        );
    }

    #[test]
    fn a_short_walk_sees_through_jumps_returns_and_branches() {
        let code =
            [op::PUSH1, 4, op::JUMP, op::STOP, op::JUMPDEST, op::PUSH0, op::PUSH0, op::REVERT];
        let reverts: Vec<bool> = (0..9).map(|pc| reverts_soon(&code, pc)).collect();
        // From 1 the walk meets a jump to where nothing was pushed.
        assert_eq!(reverts, [true, false, false, false, true, true, true, true, false]);
        assert!(!reverts_soon(&[op::JUMPDEST, op::PUSH1, 0, op::JUMP], 0));
        assert!(!reverts_soon(&[op::CALLER, op::PUSH0, op::JUMPI, op::STOP], 0));
        // A jump to what is no block halts, and so does what comes after it.
        assert!(reverts_soon(&[op::CALLER, op::PUSH0, op::JUMPI, op::INVALID], 0));
        // A function that returns to where its caller reverts.
        let call = [op::PUSH1, 7, op::CALLER, op::PUSH1, 10, op::JUMP, op::STOP];
        let after = [op::JUMPDEST, op::PUSH0, op::REVERT];
        let function = [op::JUMPDEST, op::POP, op::JUMP];
        assert!(reverts_soon(&[&call[..], &after, &function].concat(), 0));
        let swapped = [op::JUMPDEST, op::SWAP1, op::JUMP];
        assert!(reverts_soon(&[&call[..], &after, &swapped].concat(), 0));
    }

    #[test]
    fn an_endless_loop_does_not_revert() {
        check(&[op::JUMPDEST, op::PUSH0, op::JUMP], &[]);
        check(&[op::JUMPDEST, op::PUSH1, 0, op::JUMP], &[]);
    }

    #[test]
    fn an_unknown_jump_may_lead_anywhere() {
        check(&[op::CALLER, op::JUMP, op::JUMPDEST, op::INVALID], &[2]);
    }
}
