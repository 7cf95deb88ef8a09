//! Creation and destruction of contracts.

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context_interface::Cfg,
    primitives::{Address, B256, Bytes, U256, hardfork::SpecId, keccak256},
};

use super::{
    frame::{CALL_DEPTH_MAX, Exit, Frame, FrameKind},
    machine::{Abandoned, Machine, Step, charge},
    word::{Provenance, Word},
    world::{AccountId, Checkpoint},
};

/// `CREATE` and `CREATE2`: the address is known, and the init code is run.
pub(super) fn create<const IS_CREATE2: bool, DB: DatabaseRef>(
    machine: &mut Machine<'_, DB>,
    frame: &mut Frame,
) -> Step {
    let [value, start, len] = frame.stack.pop_many();
    let salt = if IS_CREATE2 { frame.stack.pop() } else { Word::default() };
    let creator = frame.account;
    machine.trace.refuse_exact();
    if frame.is_static {
        return Err(Exit::Halt);
    }
    machine.trace.pin(len);
    machine.trace.decide(value);
    let bytes = usize::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
    if bytes > 0 && machine.spec.is_enabled_in(SpecId::SHANGHAI) {
        // EIP-3860.
        if bytes > machine.block.cfg.max_initcode_size() {
            return Err(Exit::Halt);
        }
        charge(frame, machine.gas_params.initcode_cost(bytes))?;
    }
    let range = machine.expand(frame, start, len)?;
    let cost = if IS_CREATE2 {
        machine.gas_params.create2_cost(bytes)
    } else {
        machine.gas_params.create_cost()
    };
    charge(frame, cost)?;
    let gas = if machine.spec.is_enabled_in(SpecId::TANGERINE) {
        machine.gas_params.call_stipend_reduction(frame.gas)
    } else {
        frame.gas
    };
    charge(frame, gas)?;
    machine.set_returndata(frame, &[], Provenance::CONSTANT)?;
    machine.bound_touched()?;

    let nonce = machine.world.read_nonce(creator);
    let has_value = !value.value.is_zero();
    let suffices = !has_value || machine.world.read_balance(creator) >= value.value;
    let too_deep = frame.depth >= CALL_DEPTH_MAX;
    let next_nonce = nonce.checked_add(1).filter(|_| !too_deep && suffices);
    let Some(next_nonce) = next_nonce else { return machine.fail_creation(frame, gas) };
    machine.world.change(creator, |values| values.nonce = next_nonce);
    let knows_nonce = machine.world.knows_state() || machine.world.account(creator).now.created;
    machine.guessed |= !IS_CREATE2 && !knows_nonce;

    if value.provenance.is_unknown() || salt.provenance.is_unknown() {
        machine.trace.give_up();
    }
    machine.trace.pin_bytes(&frame.memory, range.start, range.len());
    let init_code = frame.memory.slice(range.start, range.len());
    let creator_address = machine.world.account(creator).address;
    let (address, provenance, id) = if IS_CREATE2 {
        let hash = keccak256(init_code);
        let address = creator_address.create2(B256::from(salt.value), hash);
        let id = machine.trace.new_address(frame.traced, Some((salt, hash)));
        (address, Provenance::INPUT, id)
    } else {
        let id = machine.trace.new_address(frame.traced, None);
        (creator_address.create(nonce), Provenance::STATE, id)
    };
    let init_code = Bytes::copy_from_slice(init_code);
    let name = Word::address(address, provenance).with_id(id);
    let traced = machine.trace.account(name);
    let traced_checkpoint = machine.trace.create(frame.traced, traced, value);
    let Some((created, checkpoint)) = machine.open_account(creator, address, value.value)? else {
        // A collision consumes the gas.
        return machine.fail_creation(frame, 0);
    };
    let mut next = machine.creation_frame(init_code, created, gas, checkpoint)?;
    (next.traced, next.traced_checkpoint) = (traced, traced_checkpoint);
    next.traced_code = machine.trace.code(&next.code);
    next.address = name;
    next.caller = frame.address;
    next.value = value;
    next.depth = frame.depth + 1;
    if next.depth > machine.limits.call_depth_max {
        return Err(machine.abandon(Abandoned::Limit));
    }
    machine.entered = Some(next);
    Err(Exit::Enter)
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// Ends a creation that runs no code; no path follows that.
    fn fail_creation(&mut self, frame: &mut Frame, gas: u64) -> Step {
        self.trace.give_up();
        frame.gas = frame.gas.saturating_add(gas);
        frame.stack.push(Word::new(U256::ZERO, Provenance::STATE));
        Ok(())
    }

    /// Opens the account of a creation and pays its endowment; none on a
    /// collision (EIP-684). The checkpoint is for undoing the creation.
    pub(crate) fn open_account(
        &mut self,
        creator: AccountId,
        address: Address,
        value: U256,
    ) -> Result<Option<(AccountId, Checkpoint)>, Exit> {
        let loaded = self.world.load(address);
        let created = self.known(loaded)?;
        self.world.warm(created);
        let checkpoint = self.world.checkpoint();
        self.world.note_code_read(created);
        let nonce = self.world.read_nonce(created);
        if nonce != 0 || self.world.account(created).now.has_code() {
            return Ok(None);
        }
        let is_spurious = self.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        self.world.change(created, |values| {
            values.created = true;
            values.exists = true;
            // EIP-161.
            values.nonce = u64::from(is_spurious);
        });
        if !value.is_zero() && self.world.debit(creator, value) {
            self.world.credit(created, value);
        }
        Ok(Some((created, checkpoint)))
    }

    /// A frame that runs `init_code`; the caller fills in the call's values.
    pub(super) fn creation_frame(
        &mut self,
        init_code: Bytes,
        created: AccountId,
        gas: u64,
        checkpoint: Checkpoint,
    ) -> Result<Box<Frame>, Exit> {
        self.init_code_bytes = self.init_code_bytes.saturating_add(init_code.len());
        if self.init_code_bytes > self.limits.init_code_bytes_max {
            return Err(self.abandon(Abandoned::Limit));
        }
        let mut frame = self.frame();
        frame.kind = FrameKind::Create(created);
        frame.code = Bytecode::new_legacy(init_code);
        frame.gas = gas;
        frame.account = created;
        frame.is_static = false;
        frame.checkpoint = checkpoint;
        Ok(frame)
    }

    /// Destroys an account in favour of another, as far as the fork does; true
    /// if it has not been destroyed before.
    pub(crate) fn destroy(&mut self, account: AccountId, target: AccountId) -> bool {
        let balance = self.world.read_balance(account);
        self.world.note_emptiness_read(target);
        let now = self.world.account(account).now;
        let destroys = now.created || !self.spec.is_enabled_in(SpecId::CANCUN);
        if account != target {
            self.world.change(account, |values| values.balance = U256::ZERO);
            self.world.credit(target, balance);
        }
        if destroys {
            self.world.change(account, |values| {
                values.destroyed = true;
                values.balance = U256::ZERO;
            });
        }
        destroys && !now.destroyed
    }
}

/// `SELFDESTRUCT`: since Cancun the account goes only in the transaction that
/// created it (EIP-6780), but its balance always goes.
pub(super) fn selfdestruct<DB: DatabaseRef>(
    machine: &mut Machine<'_, DB>,
    frame: &mut Frame,
) -> Step {
    let name = frame.stack.pop();
    machine.trace.refuse_exact();
    if frame.is_static {
        return Err(Exit::Halt);
    }
    let name = machine.resolve(name)?;
    if name.provenance.is_unknown() {
        machine.trace.give_up();
        machine.guessed = true;
    }
    machine.bound_touched()?;
    let loaded = machine.world.load(name.to_address());
    let target = machine.known(loaded)?;
    if name.provenance.is_unknown() {
        machine.world.note_guess(target);
    }
    let is_cold = machine.warm(target);
    if is_cold && frame.gas < machine.gas_params.selfdestruct_cold_cost() {
        return Err(Exit::Halt);
    }
    let traced = machine.trace.account(name);
    let balance = machine.world.read_balance(frame.account);
    let is_spurious = machine.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
    let there = machine.world.account(target).now;
    let is_empty = if is_spurious { there.is_empty() } else { !there.exists };
    let tops_up = is_empty && (!is_spurious || !balance.is_zero());
    machine.world.note_emptiness_read(target);
    charge(frame, machine.gas_params.selfdestruct_cost(tops_up, is_cold))?;
    machine.trace.destroy(frame.traced, traced);
    if machine.destroy(frame.account, target) {
        frame.refund += machine.gas_params.selfdestruct_refund();
    }
    Err(Exit::Stop)
}
