//! The end of a frame: its changes kept or undone, its code deployed, its
//! result handed to the frame that called it.

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context_interface::Cfg,
    primitives::{KECCAK_EMPTY, U256, hardfork::SpecId},
};

use super::{
    frame::{Exit, Frame, FrameKind},
    machine::{Ending, Machine, Step},
    region::Region,
    table,
    word::{Provenance, Word},
    world::AccountId,
};

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// Settles the state when a frame has ended.
    pub(super) fn close(&mut self, frame: &mut Frame, exit: Exit) -> Ending {
        self.meter(frame);
        let mut ending = match exit {
            Exit::Stop => Ending::Success,
            Exit::Revert => Ending::Revert,
            _ => Ending::Halt,
        };
        if let (Ending::Success, FrameKind::Create(account)) = (ending, &frame.kind) {
            ending = self.deploy(*account, frame);
        }
        if ending != Ending::Success {
            self.world.revert(frame.checkpoint);
            self.trace.revert(frame.traced_checkpoint);
            frame.refund = 0;
        }
        if exit == Exit::OutOfGas {
            self.trace.exhaust();
            self.trace.refuse_exact();
        }
        if ending == Ending::Halt {
            frame.gas = 0;
            frame.output = 0..0;
        }
        ending
    }

    /// Turns the output of init code into the code of `account`.
    fn deploy(&mut self, account: AccountId, frame: &mut Frame) -> Ending {
        self.trace.refuse_exact();
        self.trace.pin_bytes(&frame.memory, frame.output.start, frame.output.len());
        let mut code = frame.memory.slice(frame.output.start, frame.output.len());
        let too_long = self.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON)
            && code.len() > self.block.cfg.max_code_size();
        // EIP-3541 reserves the first byte 0xEF.
        let reserved = self.spec.is_enabled_in(SpecId::LONDON) && code.first() == Some(&0xEF);
        if too_long || reserved {
            return Ending::Halt;
        }
        let cost = self.gas_params.code_deposit_cost(code.len());
        if let Some(rest) = frame.gas.checked_sub(cost) {
            frame.gas = rest;
        } else {
            self.trace.exhaust();
            // EIP-2: before Homestead the account stays without code.
            if self.spec.is_enabled_in(SpecId::HOMESTEAD) {
                return Ending::Halt;
            }
            code = &[];
        }
        let (code, hash) = if code.is_empty() {
            (Bytecode::default(), KECCAK_EMPTY)
        } else {
            let code = Bytecode::new_legacy(code.to_vec().into());
            let hash = code.hash_slow();
            (code, hash)
        };
        self.trace.deploy(frame.traced, &code);
        self.world.set_code(account, code, hash);
        Ending::Success
    }

    /// Hands the result of `callee` to the frame that called it.
    pub(super) fn resume(&mut self, caller: &mut Frame, callee: &Frame, ending: Ending) -> Step {
        self.trace.leave(ending);
        caller.gas = caller.gas.saturating_add(callee.gas);
        caller.metered = caller.gas;
        caller.refund = caller.refund.saturating_add(callee.refund);
        let held = caller.held_bytes();
        caller.returndata.clear();
        match &callee.kind {
            FrameKind::Create(_) => {
                if ending == Ending::Revert {
                    take_output(&mut caller.returndata, callee);
                }
                caller.stack.push(match ending {
                    Ending::Success => callee.address,
                    _ => Word::new(U256::ZERO, callee.address.provenance),
                });
            }
            FrameKind::Call(range) => {
                take_output(&mut caller.returndata, callee);
                let mut success = table::success(ending == Ending::Success);
                if callee.is_guessed {
                    let output = callee.memory.slice(callee.output.start, callee.output.len());
                    caller.returndata.fill(output, Provenance::UNKNOWN);
                    success.provenance = Provenance::UNKNOWN;
                }
                let len = range.len().min(caller.returndata.len());
                caller.memory.copy(range.start, &caller.returndata, 0, len);
                caller.stack.push(success);
            }
            FrameKind::Top => {}
        }
        self.unhold(held);
        self.hold(caller.held_bytes())
    }
}

/// Copies what `RETURN` or `REVERT` named out of the frame's memory.
fn take_output(into: &mut Region, frame: &Frame) {
    into.grow(frame.output.len());
    into.copy(0, &frame.memory, frame.output.start, frame.output.len());
}
