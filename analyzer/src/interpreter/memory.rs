//! Instructions on memory: loads, stores, copies and the Keccak-256.

use revm::{
    DatabaseRef,
    bytecode::opcode as op,
    primitives::{KECCAK_EMPTY, U256},
};

use super::{
    control,
    frame::{Exit, Frame},
    machine::{Machine, Run, Step, charge},
    word::{Provenance, Word},
};

/// Longer inputs of a hash are not looked through word by word: no mapping has such keys.
const HASH_WORDS_MAX: usize = 4;

const WORD_BYTES: Word = Word::constant(U256::from_limbs([32, 0, 0, 0]));
const BYTE: Word = Word::constant(U256::ONE);

/// The function of a memory opcode.
pub(super) fn function<DB: DatabaseRef>(code: u8) -> Run<DB> {
    match code {
        op::MLOAD => mload,
        op::MSTORE => mstore,
        op::MSTORE8 => mstore8,
        op::MCOPY => mcopy,
        op::CALLDATACOPY => calldatacopy,
        op::CODECOPY => codecopy,
        op::RETURNDATACOPY => returndatacopy,
        _ => control::halt,
    }
}

fn mload<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let start = frame.stack.pop();
    let range = machine.expand(frame, start, WORD_BYTES)?;
    let id = machine.trace.word(&frame.memory, range.start);
    frame.stack.push(frame.memory.word(range.start).with_id(id));
    Ok(())
}

fn mstore<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [start, word] = frame.stack.pop_many();
    let range = machine.expand(frame, start, WORD_BYTES)?;
    frame.memory.set_word(range.start, word);
    Ok(())
}

fn mstore8<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [start, word] = frame.stack.pop_many();
    let range = machine.expand(frame, start, BYTE)?;
    frame.memory.set_byte(range.start, word);
    Ok(())
}

/// EIP-5656; the source may overlap the target.
fn mcopy<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [to, from, len] = frame.stack.pop_many();
    machine.pin_all([to, from, len]);
    let bytes = usize::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
    charge(frame, machine.gas_params.mcopy_cost(bytes))?;
    let furthest = if to.value > from.value { to } else { from };
    machine.expand(frame, furthest, len)?;
    if bytes > 0 {
        let [to, from] = [to, from].map(|at| usize::try_from(at.value).unwrap_or_default());
        let mut moved = core::mem::take(&mut machine.scratch);
        moved.clear();
        moved.grow(bytes);
        moved.copy(0, &frame.memory, from, bytes);
        frame.memory.copy(to, &moved, 0, bytes);
        machine.scratch = moved;
    }
    Ok(())
}

fn calldatacopy<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [to, from, len] = frame.stack.pop_many();
    let bytes = usize::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
    charge(frame, machine.gas_params.copy_cost(bytes))?;
    let range = machine.expand(frame, to, len)?;
    machine.pin_all([from]);
    frame.memory.copy(range.start, &frame.calldata, saturating(from), bytes);
    if frame.calldata.is_input() {
        machine.trace.copy_input(&mut frame.memory, range.start, saturating(from), bytes);
    }
    Ok(())
}

fn codecopy<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [to, from, len] = frame.stack.pop_many();
    let bytes = usize::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
    charge(frame, machine.gas_params.copy_cost(bytes))?;
    let range = machine.expand(frame, to, len)?;
    machine.pin_all([from]);
    let code = frame.code.original_byte_slice();
    let rest = &code[saturating(from).min(code.len())..];
    frame.memory.set_bytes(range.start, bytes, rest, Provenance::CONSTANT);
    Ok(())
}

/// EIP-211: reading beyond the end halts.
fn returndatacopy<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [to, from, len] = frame.stack.pop_many();
    machine.pin_all([from, len]);
    let bytes = usize::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
    let from = saturating(from);
    if from.saturating_add(bytes) > frame.returndata.len() {
        return Err(Exit::Halt);
    }
    charge(frame, machine.gas_params.copy_cost(bytes))?;
    let range = machine.expand(frame, to, len)?;
    frame.memory.copy(range.start, &frame.returndata, from, bytes);
    Ok(())
}

/// The hash of known bytes is known; its provenance says which mapping it may point into.
pub(super) fn keccak256<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [start, len] = frame.stack.pop_many();
    let bytes = usize::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
    charge(frame, machine.gas_params.keccak256_cost(bytes))?;
    let range = machine.expand(frame, start, len)?;
    if range.is_empty() {
        frame.stack.push(Word::constant(KECCAK_EMPTY.into()));
        return Ok(());
    }
    let mut words = core::mem::take(&mut machine.hash_input);
    words.clear();
    if bytes <= HASH_WORDS_MAX * 32 {
        frame.memory.words(range.start, bytes, &mut words);
    } else {
        let dependencies = frame.memory.dependencies(range.start, bytes);
        words.push(Word::new(U256::ZERO, dependencies.join(Provenance::INPUT)));
        words.push(frame.memory.word(range.end - 32));
    }
    let provenance = machine.declared.of_hash(&words);
    machine.hash_input = words;
    let value = machine.hashes.keccak256(frame.memory.slice(range.start, bytes)).into();
    let id = machine.trace.keccak(&frame.memory, range.start, bytes);
    frame.stack.push(Word::new(value, provenance).with_id(id));
    Ok(())
}

/// An offset beyond any data reads as zero.
pub(super) fn saturating(offset: Word) -> usize {
    usize::try_from(offset.value).unwrap_or(usize::MAX)
}
