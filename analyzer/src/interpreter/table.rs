//! From opcode to instruction: stack effect, static gas and function.
//!
//! Stack effects and gas are those of `revm-interpreter`. Opcodes that a fork
//! does not know, and those it knows as invalid, halt.

use revm::{
    DatabaseRef,
    bytecode::opcode::{self as op, OpCode},
    primitives::{U256, hardfork::SpecId},
};
use revm_interpreter::instructions::gas_table_spec;

use super::{
    arithmetic, call, control, create, environment,
    frame::Exit,
    machine::Run,
    memory,
    stack::STACK_WORDS_MAX,
    storage,
    word::{Provenance, Word},
};

/// One row of the table.
pub(crate) struct Instruction<DB: DatabaseRef> {
    pub(crate) gas: u16,
    /// Stack heights between which it can run.
    height_min: u16,
    height_max: u16,
    pub(crate) run: Run<DB>,
}

impl<DB: DatabaseRef> Instruction<DB> {
    /// Whether a stack of this height holds the operands and has room for the result.
    #[inline]
    pub(crate) fn fits(&self, height: usize) -> bool {
        (usize::from(self.height_min)..=usize::from(self.height_max)).contains(&height)
    }
}

impl<DB: DatabaseRef> Clone for Instruction<DB> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<DB: DatabaseRef> Copy for Instruction<DB> {}

/// The word that a call leaves.
pub(crate) fn success(succeeded: bool) -> Word {
    Word::new(U256::from(u8::from(succeeded)), Provenance::STATE)
}

/// The table of `spec`.
pub(crate) fn instructions<DB: DatabaseRef>(spec: SpecId) -> [Instruction<DB>; 256] {
    let gas = gas_table_spec(spec);
    core::array::from_fn(|at| {
        let code = u8::try_from(at).unwrap_or(op::INVALID);
        let info = OpCode::info_by_op(code);
        let (inputs, outputs) = info.map_or((0, 0), |info| (info.inputs(), info.outputs()));
        // No stack fits an opcode that the fork does not know, so that it halts.
        let is_known = info.is_some() && spec.is_enabled_in(known_since(code));
        let height_min = if is_known { u16::from(inputs) } else { u16::MAX };
        let height_max = STACK_WORDS_MAX + u16::from(inputs) - u16::from(outputs);
        Instruction { gas: gas[at], height_min, height_max, run: function(code) }
    })
}

/// The fork that introduced an opcode.
const fn known_since(code: u8) -> SpecId {
    match code {
        op::DELEGATECALL => SpecId::HOMESTEAD,
        op::RETURNDATASIZE | op::RETURNDATACOPY | op::STATICCALL | op::REVERT => SpecId::BYZANTIUM,
        op::SHL | op::SHR | op::SAR | op::EXTCODEHASH | op::CREATE2 => SpecId::PETERSBURG,
        op::CHAINID | op::SELFBALANCE => SpecId::ISTANBUL,
        op::BASEFEE => SpecId::LONDON,
        op::PUSH0 => SpecId::SHANGHAI,
        op::TLOAD | op::TSTORE | op::MCOPY | op::BLOBHASH | op::BLOBBASEFEE => SpecId::CANCUN,
        op::CLZ => SpecId::OSAKA,
        op::SLOTNUM | op::DUPN | op::SWAPN | op::EXCHANGE => SpecId::AMSTERDAM,
        _ => SpecId::FRONTIER,
    }
}

/// The function of an opcode; jumps and stack instructions run in the machine's loop.
fn function<DB: DatabaseRef>(code: u8) -> Run<DB> {
    match code {
        op::STOP => |_, _| Err(Exit::Stop),
        op::ADD..=op::SIGNEXTEND | op::LT..=op::CLZ => arithmetic::function(code),
        op::KECCAK256 => memory::keccak256,
        op::ADDRESS
        | op::ORIGIN..=op::CALLDATASIZE
        | op::CODESIZE
        | op::GASPRICE
        | op::RETURNDATASIZE
        | op::BLOCKHASH..=op::CHAINID
        | op::BASEFEE..=op::BLOBBASEFEE
        | op::PC..=op::GAS => environment::function(code),
        op::CALLDATACOPY
        | op::CODECOPY
        | op::RETURNDATACOPY
        | op::MLOAD..=op::MSTORE8
        | op::MCOPY => memory::function(code),
        op::BALANCE
        | op::SELFBALANCE
        | op::EXTCODESIZE
        | op::EXTCODECOPY
        | op::EXTCODEHASH
        | op::SLOAD
        | op::SSTORE
        | op::TLOAD
        | op::TSTORE => storage::function(code),
        op::LOG0..=op::LOG4 => control::log(code),
        op::RETURN => control::ret,
        op::REVERT => control::revert,
        op::CALL => call::call::<{ op::CALL }, DB>,
        op::CALLCODE => call::call::<{ op::CALLCODE }, DB>,
        op::DELEGATECALL => call::call::<{ op::DELEGATECALL }, DB>,
        op::STATICCALL => call::call::<{ op::STATICCALL }, DB>,
        op::CREATE => create::create::<false, DB>,
        op::CREATE2 => create::create::<true, DB>,
        op::SELFDESTRUCT => create::selfdestruct,
        op::POP | op::JUMP | op::JUMPI | op::JUMPDEST | op::PUSH0..=op::SWAP16 => |_, _| Ok(()),
        _ => control::halt,
    }
}
