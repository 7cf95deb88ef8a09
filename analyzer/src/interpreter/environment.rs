//! Instructions that push what is known of the call, the transaction and the block.

use revm::{
    DatabaseRef,
    bytecode::opcode as op,
    context_interface::Block as _,
    primitives::{BLOCK_HASH_HISTORY, U256, hardfork::SpecId, keccak256},
};

use super::{
    control,
    frame::Frame,
    machine::{Machine, Run, Step},
    word::{Provenance, Word},
};
use crate::template::{Input, ValueId};

/// The function of an environment opcode.
pub(super) fn function<DB: DatabaseRef>(code: u8) -> Run<DB> {
    match code {
        op::ADDRESS => |_, frame| push(frame, frame.address),
        op::CALLER => |_, frame| push(frame, frame.caller),
        op::CALLVALUE => |_, frame| push(frame, frame.value),
        op::ORIGIN => |machine, frame| {
            let id = machine.trace.input(Input::Caller);
            push(frame, Word::address(machine.tx.origin, Provenance::INPUT).with_id(id))
        },
        op::GASPRICE => |machine, frame| {
            let price = U256::from(machine.tx.gas_price);
            push_input(machine, frame, Input::GasPrice, price)
        },
        op::CALLDATALOAD => calldata_load,
        op::CALLDATASIZE => calldata_size,
        op::CODESIZE => |_, frame| push(frame, Word::constant(U256::from(frame.code.len()))),
        op::RETURNDATASIZE => {
            |_, frame| push(frame, Word::new(U256::from(frame.returndata.len()), Provenance::STATE))
        }
        op::BLOCKHASH => block_hash,
        op::COINBASE => |machine, frame| {
            let word = machine.block.env.beneficiary.into_word().into();
            push_input(machine, frame, Input::Coinbase, word)
        },
        op::TIMESTAMP => |machine, frame| {
            push_input(machine, frame, Input::Timestamp, machine.block.env.timestamp)
        },
        op::NUMBER => {
            |machine, frame| push_input(machine, frame, Input::Number, machine.block.env.number)
        }
        op::DIFFICULTY => difficulty,
        op::GASLIMIT => |machine, frame| {
            let limit = U256::from(machine.block.env.gas_limit);
            push_input(machine, frame, Input::GasLimit, limit)
        },
        op::CHAINID => |machine, frame| {
            let id = machine.trace.input(Input::ChainId);
            let chain = U256::from(machine.block.cfg.chain_id);
            push(frame, Word::constant(chain).with_id(id))
        },
        op::BASEFEE => |machine, frame| {
            let fee = U256::from(machine.block.env.basefee);
            push_input(machine, frame, Input::BaseFee, fee)
        },
        op::BLOBHASH => blob_hash,
        op::BLOBBASEFEE => |machine, frame| {
            let fee = U256::from(machine.block.env.blob_gasprice().unwrap_or_default());
            push_input(machine, frame, Input::BlobBaseFee, fee)
        },
        op::PC => |_, frame| push(frame, Word::constant(U256::from(frame.pc - 1))),
        op::MSIZE => |machine, frame| {
            machine.trace.memory_size();
            push(frame, Word::new(U256::from(frame.memory.len()), Provenance::INPUT))
        },
        op::GAS => |machine, frame| {
            let id = if machine.trace.is_exact() {
                machine.meter(frame);
                machine.trace.gas_left()
            } else {
                machine.trace.input(Input::Gas(machine.trace.gas.saturating_sub(frame.gas)))
            };
            push(frame, Word::new(U256::from(frame.gas), Provenance::STATE).with_id(id))
        },
        _ => control::halt,
    }
}

fn push(frame: &mut Frame, word: Word) -> Step {
    frame.stack.push(word);
    Ok(())
}

fn push_input<DB: DatabaseRef>(
    machine: &mut Machine<'_, DB>,
    frame: &mut Frame,
    input: Input,
    value: U256,
) -> Step {
    let id = machine.trace.input(input);
    push(frame, Word::new(value, Provenance::INPUT).with_id(id))
}

/// The size of an inner call's data follows from the path.
fn calldata_size<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let size = Word::new(U256::from(frame.calldata.len()), Provenance::INPUT);
    let is_input = frame.calldata.is_input();
    let id = if is_input { machine.trace.input(Input::CallDataSize) } else { ValueId::CONSTANT };
    push(frame, size.with_id(id))
}

fn calldata_load<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let offset = frame.stack.pop();
    machine.trace.pin(offset);
    let id = usize::try_from(offset.value)
        .map_or(ValueId::CONSTANT, |at| machine.trace.word(&frame.calldata, at));
    let word = usize::try_from(offset.value)
        .map_or_else(|_| Word::default(), |at| frame.calldata.word(at));
    let provenance = word.provenance.offset_by(offset.provenance.flags());
    push(frame, Word::new(word.value, provenance).with_id(id))
}

/// The randomness of the beacon chain since the Merge (EIP-4399).
fn difficulty<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let env = &machine.block.env;
    let value = if machine.spec.is_enabled_in(SpecId::MERGE) {
        env.prevrandao.unwrap_or_default().into()
    } else {
        env.difficulty
    };
    push_input(machine, frame, Input::PrevRandao, value)
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// The hash of the block with this number, zero out of reach; none if the
    /// state does not hold it.
    pub(crate) fn block_hash(&self, number: U256) -> Option<U256> {
        let age = self.block.env.number.checked_sub(number).unwrap_or_default();
        let in_reach = !age.is_zero() && age <= U256::from(BLOCK_HASH_HISTORY);
        match u64::try_from(number) {
            Ok(number) if in_reach => self.world.block_hash(number).map(Into::into),
            _ => Some(U256::ZERO),
        }
    }
}

/// A hash that the state does not hold is guessed: only a block that is
/// executed can say that it is missing.
fn block_hash<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let number = frame.stack.pop();
    let id = machine.trace.block_hash(number);
    let word = if let Some(hash) = machine.block_hash(number.value) {
        Word::new(hash, Provenance::INPUT)
    } else {
        machine.trace.give_up();
        let guess = keccak256(number.value.to_be_bytes::<32>()).into();
        Word::new(guess, Provenance::UNKNOWN)
    };
    push(frame, Word::new(word.value, word.provenance.join(number.provenance)).with_id(id))
}

fn blob_hash<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let index = frame.stack.pop();
    machine.trace.pin(index);
    let at = u32::try_from(index.value).unwrap_or(u32::MAX);
    let hash = machine.tx.blob_hashes.get(at as usize).copied().unwrap_or_default();
    push_input(machine, frame, Input::BlobHash(at), hash.into())
}
