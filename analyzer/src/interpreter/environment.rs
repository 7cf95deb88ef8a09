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

/// The function of an environment opcode.
pub(super) fn function<DB: DatabaseRef>(code: u8) -> Run<DB> {
    match code {
        op::ADDRESS => |_, frame| push(frame, frame.address),
        op::CALLER => |_, frame| push(frame, frame.caller),
        op::CALLVALUE => |_, frame| push(frame, frame.value),
        op::ORIGIN => {
            |machine, frame| push(frame, Word::address(machine.tx.origin, Provenance::INPUT))
        }
        op::GASPRICE => |machine, frame| push_input(frame, U256::from(machine.tx.gas_price)),
        op::CALLDATALOAD => calldata_load,
        op::CALLDATASIZE => |_, frame| push_input(frame, U256::from(frame.calldata.len())),
        op::CODESIZE => |_, frame| push(frame, Word::constant(U256::from(frame.code.len()))),
        op::RETURNDATASIZE => {
            |_, frame| push(frame, Word::new(U256::from(frame.returndata.len()), Provenance::STATE))
        }
        op::BLOCKHASH => block_hash,
        op::COINBASE => |machine, frame| {
            push(frame, Word::address(machine.block.env.beneficiary, Provenance::INPUT))
        },
        op::TIMESTAMP => |machine, frame| push_input(frame, machine.block.env.timestamp),
        op::NUMBER => |machine, frame| push_input(frame, machine.block.env.number),
        op::DIFFICULTY => difficulty,
        op::GASLIMIT => |machine, frame| push_input(frame, U256::from(machine.block.env.gas_limit)),
        op::CHAINID => {
            |machine, frame| push(frame, Word::constant(U256::from(machine.block.cfg.chain_id)))
        }
        op::BASEFEE => |machine, frame| push_input(frame, U256::from(machine.block.env.basefee)),
        op::BLOBHASH => blob_hash,
        op::BLOBBASEFEE => |machine, frame| {
            push_input(frame, U256::from(machine.block.env.blob_gasprice().unwrap_or_default()))
        },
        op::PC => |_, frame| push(frame, Word::constant(U256::from(frame.pc - 1))),
        op::MSIZE => |_, frame| push_input(frame, U256::from(frame.memory.len())),
        op::GAS => |_, frame| push(frame, Word::new(U256::from(frame.gas), Provenance::STATE)),
        _ => control::halt,
    }
}

fn push(frame: &mut Frame, word: Word) -> Step {
    frame.stack.push(word);
    Ok(())
}

fn push_input(frame: &mut Frame, value: U256) -> Step {
    push(frame, Word::new(value, Provenance::INPUT))
}

fn calldata_load<DB: DatabaseRef>(_: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let offset = frame.stack.pop();
    let word = usize::try_from(offset.value)
        .map_or_else(|_| Word::default(), |at| frame.calldata.word(at));
    push(frame, Word::new(word.value, word.provenance.offset_by(offset.provenance.flags())))
}

/// The randomness of the beacon chain since the Merge (EIP-4399).
fn difficulty<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let env = &machine.block.env;
    let value = if machine.spec.is_enabled_in(SpecId::MERGE) {
        env.prevrandao.unwrap_or_default().into()
    } else {
        env.difficulty
    };
    push_input(frame, value)
}

/// A hash that the state does not hold is guessed: only a block that is
/// executed can say that it is missing.
fn block_hash<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let number = frame.stack.pop();
    let age = machine.block.env.number.checked_sub(number.value).unwrap_or_default();
    let in_reach = !age.is_zero() && age <= U256::from(BLOCK_HASH_HISTORY);
    let word = match u64::try_from(number.value) {
        Ok(number) if in_reach => match machine.world.block_hash(number) {
            Some(hash) => Word::new(hash.into(), Provenance::INPUT),
            None => Word::new(keccak256(number.to_be_bytes()).into(), Provenance::UNKNOWN),
        },
        _ => Word::new(U256::ZERO, Provenance::INPUT),
    };
    push(frame, Word::new(word.value, word.provenance.join(number.provenance)))
}

fn blob_hash<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let index = frame.stack.pop();
    let hash = usize::try_from(index.value).ok().and_then(|at| machine.tx.blob_hashes.get(at));
    push_input(frame, hash.copied().unwrap_or_default().into())
}
