//! From bytecode to the basic blocks that can only revert.
//!
//! A block must revert if it ends in `REVERT`, `INVALID` or an opcode that does
//! not exist, or if every block it can go on to must. Jumps are followed where
//! the target is pushed right before; any other jump may lead anywhere.

use revm::bytecode::{
    Bytecode,
    opcode::{self as op, OpCode},
};

/// Passes over the blocks at most; each follows reverting chains one jump further back.
const PASSES_MAX: usize = 16;

/// Starts of the basic blocks that must revert, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RevertingBlocks(Vec<usize>);

impl RevertingBlocks {
    /// Whether control that comes to `pc`, the start of a block, must revert.
    pub(super) fn contains(&self, pc: usize) -> bool {
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
pub(super) fn reverting_blocks(code: &Bytecode) -> RevertingBlocks {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_jumps_to_a_reverting_block_must_revert() {
        let code = [
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
        ];
        let blocks = reverting_blocks(&Bytecode::new_legacy(code.to_vec().into()));
        assert_eq!(blocks, RevertingBlocks(vec![4, 11, 13]));
    }
}
