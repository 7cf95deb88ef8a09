//! One instruction on one path: words and storage. Those on memory are in
//! [`memory_steps`](super::memory_steps), what asks or changes other accounts in
//! [`outside`](super::outside).

use revm::{
    bytecode::opcode::{self as op, OpCode},
    primitives::U256,
};

use super::{
    explore::{Explorer, Flow, Input},
    graph::{Bytes, Event},
    path::Path,
};
use crate::expr::{ExprId, KeyExpr};

/// The EVM's limit of the stack.
const STACK_WORDS_MAX: usize = 1024;

/// How deep `DUPN` and `SWAPN` reach with this immediate (EIP-8024). The values that stand for
/// jump destinations and pushes stand for no depth.
const fn depth(immediate: u8) -> Option<usize> {
    match immediate {
        91..=127 => None,
        _ => Some((immediate as usize + 145) % 256),
    }
}

/// The depths of the words that `EXCHANGE` swaps with this immediate (EIP-8024).
const fn pair_of_depths(immediate: u8) -> Option<(usize, usize)> {
    if matches!(immediate, 82..=127) {
        return None;
    }
    let both = (immediate ^ 0x8f) as usize;
    let (one, other) = (both / 16, both % 16);
    Some(if one < other { (one + 1, other + 1) } else { (other + 1, 29 - one) })
}

impl Explorer<'_> {
    /// Runs the instruction at the path's place, but for jump destinations.
    pub(super) fn step(&mut self, path: &mut Path, opcode: u8) -> Flow {
        let Some(info) = OpCode::info_by_op(opcode) else { return Flow::Revert };
        let (inputs, outputs) = (usize::from(info.inputs()), usize::from(info.outputs()));
        if path.stack.len() < inputs || path.stack.len() - inputs + outputs > STACK_WORDS_MAX {
            return Flow::Revert;
        }
        match opcode {
            op::STOP => Flow::Return(Bytes::Words(Box::default())),
            op::RETURN => {
                let [at, len] = pops(path);
                Flow::Return(self.bytes(path, at, len))
            }
            op::REVERT | op::INVALID => Flow::Revert,
            op::POP => {
                path.stack.pop();
                Flow::Next
            }
            op::JUMP => Flow::Jump(pop(path)),
            op::JUMPI => {
                let [target, condition] = pops(path);
                Flow::JumpIf { target, condition }
            }
            op::PUSH0..=op::PUSH32 => self.push_constant(path, usize::from(opcode - op::PUSH0)),
            op::DUP1..=op::DUP16 => {
                let word = path.stack[path.stack.len() - 1 - usize::from(opcode - op::DUP1)];
                path.stack.push(word);
                Flow::Next
            }
            op::SWAP1..=op::SWAP16 => {
                let top = path.stack.len() - 1;
                path.stack.swap(top, top - 1 - usize::from(opcode - op::SWAP1));
                Flow::Next
            }
            op::LOG0..=op::LOG4 => {
                path.stack.truncate(path.stack.len() - inputs);
                Flow::Next
            }
            op::ADD..=op::SIGNEXTEND | op::LT..=op::CLZ => self.compute(path, opcode, inputs),
            op::KECCAK256 => self.keccak(path),
            op::ADDRESS
            | op::ORIGIN..=op::CALLVALUE
            | op::GASPRICE
            | op::CALLDATASIZE
            | op::COINBASE..=op::CHAINID
            | op::BASEFEE
            | op::BLOBBASEFEE
            | op::SLOTNUM => self.environment(path, opcode),
            op::DUPN | op::SWAPN | op::EXCHANGE => self.deep(path, opcode),
            op::GAS | op::MSIZE => {
                path.stack.push(ExprId::UNKNOWN);
                Flow::Next
            }
            op::PC => {
                let pc = self.arena.constant(U256::from(path.pc));
                self.push(path, pc)
            }
            op::CODESIZE => {
                let size = self.arena.constant(U256::from(self.code.len()));
                self.push(path, size)
            }
            op::BLOCKHASH | op::BLOBHASH | op::TLOAD => {
                let of = pop(path);
                if opcode == op::TLOAD {
                    self.graph.push(path.node, Event::TransientLoad(of));
                }
                let word = self.arena.operation(opcode, [of, ExprId::ZERO, ExprId::ZERO]);
                self.push(path, word)
            }
            op::TSTORE => {
                let [key, value] = pops(path);
                self.graph.push(path.node, Event::TransientStore { key, value });
                Flow::Next
            }
            op::CALLDATALOAD => {
                let from = pop(path);
                let word = self.calldata(from);
                self.push(path, word)
            }
            op::MLOAD | op::MSTORE | op::MSTORE8 | op::MCOPY => self.memory(path, opcode),
            op::CALLDATACOPY | op::CODECOPY | op::RETURNDATACOPY => self.copy(path, opcode),
            op::SLOAD => {
                let key = pop(path);
                if let Some(word) = path.stored.get(&key) {
                    let word = *word;
                    return self.push(path, word);
                }
                self.graph.push(path.node, Event::Load(key));
                let word = self.arena.intern(KeyExpr::Load(key));
                self.push(path, word)
            }
            op::SSTORE => {
                let [key, value] = pops(path);
                self.graph.push(path.node, Event::Store { key, value });
                path.store(key, value);
                Flow::Next
            }
            _ => self.outside(path, opcode),
        }
    }

    /// Moves words further down the stack than one byte tells (EIP-8024). Which ones, the byte
    /// after the instruction says; one beyond the end of the code is zero.
    fn deep(&mut self, path: &mut Path, opcode: u8) -> Flow {
        let immediate = self.code.get(path.pc + 1).copied().unwrap_or(0);
        let depths = if opcode == op::EXCHANGE {
            pair_of_depths(immediate)
        } else {
            depth(immediate).map(|deep| (0, deep))
        };
        let Some((one, other)) = depths else { return Flow::Revert };
        // `DUPN` counts from the top on, the others from below it.
        let reach = if opcode == op::DUPN { other } else { other + 1 };
        let Some(bottom) = path.stack.len().checked_sub(reach) else { return Flow::Revert };
        if opcode == op::DUPN {
            path.stack.push(path.stack[bottom]);
        } else {
            let top = path.stack.len() - 1;
            path.stack.swap(top - one, bottom);
        }
        path.pc += 1;
        Flow::Next
    }

    /// Pushes a word, with what this input says about it.
    pub(super) fn push(&mut self, path: &mut Path, word: ExprId) -> Flow {
        let word = self.known(word);
        path.stack.push(word);
        Flow::Next
    }

    fn push_constant(&mut self, path: &mut Path, bytes: usize) -> Flow {
        let start = (path.pc + 1).min(self.code.len());
        let immediate = &self.code[start..(start + bytes).min(self.code.len())];
        // Beyond the end of the code there are zeros.
        let missing = bytes - immediate.len();
        let value = U256::try_from_be_slice(immediate).unwrap_or_default() << (8 * missing);
        let word = match self.inputs_at.binary_search(&path.pc) {
            Ok(input) => {
                let input = u32::try_from(input).unwrap_or(u32::MAX);
                self.arena.intern(KeyExpr::Immutable(input))
            }
            Err(_) => self.arena.constant(value),
        };
        path.stack.push(word);
        path.pc += bytes;
        Flow::Next
    }

    fn environment(&mut self, path: &mut Path, opcode: u8) -> Flow {
        let word = self.arena.intern(KeyExpr::Environment(opcode));
        self.push(path, word)
    }

    fn compute(&mut self, path: &mut Path, opcode: u8, inputs: usize) -> Flow {
        let mut operands = [ExprId::ZERO; 3];
        for operand in operands.iter_mut().take(inputs) {
            *operand = pop(path);
        }
        if let Input::Selector(selector) = self.input {
            let [a, b, _] = operands;
            let size = self.calldata_size;
            let small = |id| self.arena.offset(id).is_some_and(|bound| bound <= 4);
            // There are the four bytes of a selector.
            let word = match opcode {
                op::LT if a == size && small(b) => Some(ExprId::ZERO),
                op::GT if b == size && small(a) => Some(ExprId::ZERO),
                op::ISZERO if a == size => Some(ExprId::ZERO),
                _ => None,
            };
            if let Some(word) = word {
                return self.push(path, word);
            }
            let compares = matches!(opcode, op::EQ | op::XOR | op::SUB);
            let is_it = |id| self.arena.offset(id) == Some(selector);
            self.is_matched |= compares && is_it(a) && is_it(b);
        }
        let word = self.arena.operation(opcode, operands);
        self.push(path, word)
    }

    pub(super) fn calldata(&mut self, from: ExprId) -> ExprId {
        // Behind its end there are zeros.
        if self.arena.as_sum(from).0 == Some(self.calldata_size) {
            return ExprId::ZERO;
        }
        let word = self.arena.intern(KeyExpr::CallData(from));
        self.known(word)
    }
}

/// The top of the stack, of which it was checked that it holds the operands.
pub(super) fn pop(path: &mut Path) -> ExprId {
    path.stack.pop().expect("the stack holds the operands")
}

pub(super) fn pops<const N: usize>(path: &mut Path) -> [ExprId; N] {
    core::array::from_fn(|_| pop(path))
}
