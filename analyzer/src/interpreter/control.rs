//! Instructions that end the frame, and logs. Jumps run in the machine's loop.

use revm::{DatabaseRef, bytecode::opcode as op};

use super::{
    frame::{Exit, Frame},
    machine::{Machine, Run, Step, charge},
    word::Word,
};

/// An opcode that the fork does not know.
pub(super) fn halt<DB: DatabaseRef>(_: &mut Machine<'_, DB>, _: &mut Frame) -> Step {
    Err(Exit::Halt)
}

pub(super) fn ret<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    output(machine, frame)?;
    Err(Exit::Stop)
}

pub(super) fn revert<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    output(machine, frame)?;
    Err(Exit::Revert)
}

fn output<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [start, len] = frame.stack.pop_many();
    // What the transaction itself returns nobody looks at.
    frame.output = if frame.depth == 0 {
        machine.expand_freely(frame, start, len)?
    } else {
        machine.expand(frame, start, len)?
    };
    Ok(())
}

/// A log costs gas and touches nothing; only an exact trace keeps it.
pub(super) fn log<DB: DatabaseRef>(code: u8) -> Run<DB> {
    match code {
        op::LOG0 => log_topics::<0, DB>,
        op::LOG1 => log_topics::<1, DB>,
        op::LOG2 => log_topics::<2, DB>,
        op::LOG3 => log_topics::<3, DB>,
        _ => log_topics::<4, DB>,
    }
}

fn log_topics<const TOPICS: u8, DB: DatabaseRef>(
    machine: &mut Machine<'_, DB>,
    frame: &mut Frame,
) -> Step {
    let [start, len] = frame.stack.pop_many();
    let mut topics = [Word::default(); 4];
    for topic in &mut topics[..usize::from(TOPICS)] {
        *topic = frame.stack.pop();
    }
    if frame.is_static {
        return Err(Exit::Halt);
    }
    let bytes = u64::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
    charge(frame, machine.gas_params.log_cost(TOPICS, bytes))?;
    let range = machine.expand_freely(frame, start, len)?;
    let data = (&frame.memory, range.start, range.len());
    machine.trace.log(frame.traced, &topics[..usize::from(TOPICS)], data);
    Ok(())
}
