//! One transaction: from its fields to its predicted accesses.
//!
//! The protocol's own accesses surround the code: sender, fee, authorizations
//! (EIP-7702), recipient or created account, refund, beneficiary. Nothing here
//! refuses a transaction: whether it is valid is for execution to say.

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::{
        Block as _, Cfg, Transaction as _,
        transaction::{AccessListItemTr, AuthorizationTr},
    },
    handler::SYSTEM_ADDRESS,
    primitives::{Address, KECCAK_EMPTY, TxKind, U256, hardfork::SpecId},
};

use super::{
    frame::{Exit, Frame, FrameKind},
    machine::{Abandoned, Ending, Machine, TxView},
    word::{Provenance, Word},
    world::{AccountId, Checkpoint},
};
use crate::{
    PredictedAccess,
    template::{Attempt, Input, Outcome, Replayed, TemplateKey, Tree},
};

/// Gas of a system call.
const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// How the transaction's own call or creation ended.
struct Finished {
    ending: Ending,
    gas_left: u64,
    refund: i64,
}

/// The transaction's own call or creation.
struct Top {
    /// What its templates are about, where there are any.
    key: Option<TemplateKey>,
    account: AccountId,
    address: Address,
    gas: u64,
    checkpoint: Checkpoint,
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// Predicts what `tx` accesses, after what the block did before.
    pub(crate) fn analyze(&mut self, tx: &TxEnv) -> Result<PredictedAccess, DB::Error> {
        self.begin();
        if let Some(prediction) = self.transfer(tx)? {
            return Ok(prediction);
        }
        self.look_at(tx);
        self.attempt = Attempt::Success;
        let mut outcome = self.transact(tx);
        while matches!(outcome, Err(Exit::Miss)) {
            self.world.undo();
            self.begin();
            outcome = self.transact(tx);
        }
        let predicted = match outcome.and_then(|gas| self.predicted(gas)) {
            Err(_) if !matches!(self.abandoned, Some(Abandoned::State(_))) => self.widest(tx),
            predicted => predicted,
        };
        self.world.end();
        match (predicted, self.abandoned.take()) {
            (Ok(prediction), _) => Ok(prediction),
            (Err(_), Some(Abandoned::State(error))) => Err(error),
            (Err(_), _) => Ok(PredictedAccess::everything(tx.gas_limit)),
        }
    }

    /// Interprets `tx` for its exact path. What it touches nobody asks.
    pub(crate) fn learn_exactly(&mut self, tx: &TxEnv) {
        self.begin();
        self.look_at(tx);
        (self.attempt, self.learns_exactly) = (Attempt::Interpret, true);
        // What fails here fails again where the code is run.
        let _ = self.transact(tx);
        self.world.end();
    }

    /// What instructions see of the transaction.
    fn look_at(&mut self, tx: &TxEnv) {
        self.tx = TxView {
            origin: tx.caller,
            gas_price: tx.effective_gas_price(u128::from(self.block.env.basefee)),
            blob_hashes: tx.blob_hashes.clone(),
        };
    }

    /// Runs a system contract, as the block's own operations do before its transactions.
    pub(crate) fn system_call(&mut self, to: Address, input: &[u8]) -> Result<(), DB::Error> {
        self.begin();
        self.tx = TxView { origin: SYSTEM_ADDRESS, ..TxView::default() };
        let done = self.world.load(to).map_err(Abandoned::State);
        let done = done.map_err(|why| self.abandon(why)).and_then(|contract| {
            let code = self.world.read_code(contract);
            let code = self.known(code)?;
            let mut frame = self.frame();
            frame.calldata.fill(input, Provenance::INPUT);
            frame.gas = SYSTEM_CALL_GAS;
            self.open(&mut frame, contract, to, SYSTEM_ADDRESS, U256::ZERO);
            frame.code = code;
            self.run(frame).map(|(_, frame)| self.release(frame))
        });
        self.world.end();
        match (done, self.abandoned.take()) {
            (Err(_), Some(Abandoned::State(error))) => Err(error),
            _ => Ok(()),
        }
    }

    /// The transaction from fee to fee; returns the gas used.
    fn transact(&mut self, tx: &TxEnv) -> Result<u64, Exit> {
        let loaded = self.world.load(tx.caller);
        let sender = self.known(loaded)?;
        self.world.warm(sender);
        self.world.read_cover(sender);
        self.world.read_nonce(sender);
        self.world.note_code_read(sender);
        let gas_price = U256::from(self.tx.gas_price);
        let blob_fee = match self.block.env.blob_gasprice() {
            Some(price) => U256::from(price) * U256::from(tx.total_blob_gas()),
            None => U256::ZERO,
        };
        let deposit = gas_price.saturating_mul(U256::from(tx.gas_limit)).saturating_add(blob_fee);
        self.world.change(sender, |values| {
            values.balance = values.balance.saturating_sub(deposit);
            values.nonce = tx.nonce.saturating_add(1);
        });
        self.warm_lists(tx)?;
        let delegated = self.apply_authorizations(tx)?;

        let intrinsic = self.call_data_gas.of(&self.gas_params, tx);
        let followed = tx.gas_limit.min(self.limits.gas_max).min(self.block_gas);
        let gas = followed.saturating_sub(intrinsic.initial_regular_gas());
        let finished = match tx.kind {
            TxKind::Call(to) => self.call_top(tx, sender, to, gas)?,
            TxKind::Create => self.create_top(tx, sender, gas)?,
        };

        let refund = match finished.ending {
            Ending::Success => u64::try_from(finished.refund).unwrap_or(0),
            Ending::Revert | Ending::Halt => 0,
        };
        let refund = refund.saturating_add(
            self.gas_params.tx_eip7702_auth_refund_regular().saturating_mul(delegated),
        );
        let spent = followed.saturating_sub(finished.gas_left);
        self.block_gas -= spent;
        // With less gas than it has, a call may have failed that would not have;
        // then most of the gas is gone, since a call gets nearly all there is.
        if followed < tx.gas_limit && spent >= followed / 2 {
            return Err(self.abandon(Abandoned::Limit));
        }
        let used = spent - refund.min(spent / self.gas_params.max_refund_quotient().max(1));
        let used = used.max(intrinsic.floor_gas()).min(tx.gas_limit);
        self.settle(tx, sender, used)?;
        Ok(used)
    }

    /// Marks as warm what the rules and the access list name; listing is no access.
    fn warm_lists(&mut self, tx: &TxEnv) -> Result<(), Exit> {
        if self.spec.is_enabled_in(SpecId::SHANGHAI) {
            // EIP-3651.
            let loaded = self.world.load(self.block.env.beneficiary);
            let beneficiary = self.known(loaded)?;
            self.world.warm(beneficiary);
        }
        for item in tx.access_list().into_iter().flatten() {
            let loaded = self.world.load(*item.address());
            let account = self.known(loaded)?;
            self.world.warm(account);
            for key in item.storage_slots() {
                self.bound_touched()?;
                let key = Word::new((*key).into(), Provenance::INPUT);
                let slot = self.world.find_slot(account, key);
                self.world.warm_slot(slot);
            }
        }
        Ok(())
    }

    /// Applies the authorizations that are valid (EIP-7702); returns how many
    /// of their accounts existed.
    fn apply_authorizations(&mut self, tx: &TxEnv) -> Result<u64, Exit> {
        let mut existing = 0;
        let chain_id = U256::from(self.block.cfg.chain_id());
        for authorization in &tx.authorization_list {
            let named = authorization.chain_id();
            if (!named.is_zero() && named != chain_id) || authorization.nonce() == u64::MAX {
                continue;
            }
            let Some(authority) = authorization.authority() else { continue };
            self.bound_touched()?;
            let loaded = self.world.load(authority);
            let authority = self.known(loaded)?;
            self.world.warm(authority);
            self.world.note_emptiness_read(authority);
            let nonce = self.world.read_nonce(authority);
            let code = self.world.read_code(authority);
            let code = self.known(code)?;
            let delegable = code.is_empty() || code.is_eip7702();
            let has_nonce = nonce == authorization.nonce() || !self.world.knows_state();
            if !delegable || !has_nonce {
                continue;
            }
            let now = self.world.account(authority).now;
            existing += u64::from(now.exists || !now.is_empty());
            self.delegate(authority, authorization.address());
        }
        Ok(existing)
    }

    fn delegate(&mut self, authority: AccountId, to: Address) {
        let (code, hash) = if to.is_zero() {
            (Bytecode::default(), KECCAK_EMPTY)
        } else {
            let code = Bytecode::new_eip7702(to);
            let hash = code.hash_slow();
            (code, hash)
        };
        self.world.set_code(authority, code, hash);
        self.world.change(authority, |values| {
            values.nonce = values.nonce.saturating_add(1);
            values.exists = true;
        });
    }

    fn call_top(
        &mut self,
        tx: &TxEnv,
        sender: AccountId,
        to: Address,
        gas: u64,
    ) -> Result<Finished, Exit> {
        let loaded = self.world.load(to);
        let recipient = self.known(loaded)?;
        self.world.warm(recipient);
        let code = self.world.read_code(recipient);
        let mut code = self.known(code)?;
        let mut code_hash = self.world.account(recipient).now.code_hash;
        if let Some(delegate) = code.eip7702_address() {
            let loaded = self.world.load(delegate);
            let delegate = self.known(loaded)?;
            self.world.warm(delegate);
            let delegated = self.world.read_code(delegate);
            code = self.known(delegated)?;
            code_hash = self.world.account(delegate).now.code_hash;
        }
        let checkpoint = self.world.checkpoint();
        if recipient != sender && !tx.value.is_zero() {
            self.world
                .change(sender, |values| values.balance = values.balance.saturating_sub(tx.value));
        }
        if recipient != sender {
            self.world.credit(recipient, tx.value);
        }
        if let Some(precompile) = self.precompiles.get(&to) {
            let done = precompile.execute(&tx.data, gas, 0).ok();
            let spent = done.filter(|done| done.status.is_success()).map(|done| done.gas_used);
            let gas_left = spent.and_then(|spent| gas.checked_sub(spent));
            if gas_left.is_none() {
                self.world.revert(checkpoint);
            }
            let ending = if gas_left.is_some() { Ending::Success } else { Ending::Halt };
            return Ok(Finished { ending, gas_left: gas_left.unwrap_or(0), refund: 0 });
        }
        if code.is_empty() {
            return Ok(Finished { ending: Ending::Success, gas_left: gas, refund: 0 });
        }
        let key = self.templates.map(|_| TemplateKey::new(code_hash, &tx.data, self.spec));
        let top = Top { key, account: recipient, address: to, gas, checkpoint };
        self.follow(tx, &top, |machine| {
            let mut frame = machine.frame();
            frame.calldata.fill(&tx.data, Provenance::INPUT);
            frame.code = code;
            frame.gas = gas;
            Ok(frame)
        })
    }

    /// Runs the transaction's own call or creation: by a template if one fits, or
    /// else the frame that `enter` makes.
    fn follow(
        &mut self,
        tx: &TxEnv,
        top: &Top,
        enter: impl FnOnce(&mut Self) -> Result<Box<Frame>, Exit>,
    ) -> Result<Finished, Exit> {
        let templates =
            self.templates.zip(top.key).map(|(cache, key)| (cache, key, cache.get(&key)));
        if self.deferred.held() > self.limits.overlay_max {
            self.attempt = Attempt::Interpret;
        }
        if let Some((.., Some(templates))) = &templates
            && self.attempt != Attempt::Interpret
            && let Some(tree) = templates.read()
        {
            self.attempt = tree.attempt(self.attempt, top.gas);
            if self.attempt != Attempt::Interpret {
                let finished = self.finish_by_template(&tree, tx, top)?;
                templates.note_used();
                return Ok(finished);
            }
        }
        let mut frame = enter(self)?;
        self.open(&mut frame, top.account, top.address, tx.caller, tx.value);
        if tx.kind.is_create() {
            frame.kind = FrameKind::Create(top.account);
        }
        frame.checkpoint = top.checkpoint;
        if let Some((cache, key, entry)) = &templates {
            let bytes_max = self.limits.cache_bytes_max;
            if self.learns_exactly || cache.wants(*key, entry.as_deref(), tx, bytes_max) {
                self.record(&mut frame);
            }
        }
        let is_recorded = self.trace.is_on();
        let finished = self.finish(frame)?;
        if let Some((cache, key, _)) = templates {
            if self.trace.is_on() {
                let Finished { ending, gas_left, refund } = finished;
                let outcome = Outcome { ending, gas: top.gas - gas_left, refund };
                cache.insert(key, tx, (&self.trace, &mut self.places), outcome, &self.limits);
            } else if is_recorded {
                cache.note_futile(&key, tx);
            }
        }
        Ok(finished)
    }

    /// Starts to record the transaction's own call or creation.
    fn record(&mut self, frame: &mut Frame) {
        let trace = &mut self.trace;
        let has_selector = frame.calldata.len() >= 4;
        trace.start(self.limits.recorded_entries_max, frame.gas, has_selector);
        if self.learns_exactly {
            trace.follow_exactly();
            frame.metered = frame.gas;
        }
        frame.address = frame.address.with_id(trace.input(Input::To));
        frame.caller = frame.caller.with_id(trace.input(Input::Caller));
        frame.value = frame.value.with_id(trace.input(Input::CallValue));
        if matches!(frame.kind, FrameKind::Top) {
            frame.calldata.mark_input();
        }
        frame.traced = trace.account(frame.address);
        frame.traced_checkpoint = trace.checkpoint();
        frame.traced_code = trace.code(&frame.code);
    }

    fn finish_by_template(&mut self, tree: &Tree, tx: &TxEnv, top: &Top) -> Result<Finished, Exit> {
        let &Top { address, gas, checkpoint, .. } = top;
        let Replayed::Done(outcome) = self.replay(tree, self.attempt, tx, address, gas)? else {
            self.attempt = tree.attempt_after(self.attempt, gas);
            return Err(Exit::Miss);
        };
        if outcome.ending != Ending::Success {
            self.world.revert(checkpoint);
        }
        let Outcome { ending, gas: spent, refund } = outcome;
        Ok(Finished { ending, gas_left: gas - spent, refund })
    }

    fn create_top(&mut self, tx: &TxEnv, sender: AccountId, gas: u64) -> Result<Finished, Exit> {
        let address = tx.caller.create(tx.nonce);
        let Some((created, checkpoint)) = self.open_account(sender, address, tx.value)? else {
            return Ok(Finished { ending: Ending::Halt, gas_left: 0, refund: 0 });
        };
        let key = self.templates.map(|_| TemplateKey::creation(&tx.data, self.spec));
        let top = Top { key, account: created, address, gas, checkpoint };
        self.follow(tx, &top, |machine| {
            machine.creation_frame(tx.data.clone(), created, gas, checkpoint)
        })
    }

    /// Fills in what a frame without a calling frame sees.
    fn open(
        &self,
        frame: &mut Frame,
        account: AccountId,
        address: Address,
        caller: Address,
        value: U256,
    ) {
        frame.kind = FrameKind::Top;
        frame.account = account;
        frame.address = Word::address(address, Provenance::INPUT);
        frame.caller = Word::address(caller, Provenance::INPUT);
        frame.value = Word::new(value, Provenance::INPUT);
        frame.is_static = false;
        frame.depth = 0;
        frame.checkpoint = self.world.checkpoint();
    }

    fn finish(&mut self, frame: Box<Frame>) -> Result<Finished, Exit> {
        let (ending, frame) = self.run(frame)?;
        let finished = Finished { ending, gas_left: frame.gas, refund: frame.refund };
        self.release(frame);
        Ok(finished)
    }

    /// Returns what was not used to the sender and pays the beneficiary.
    fn settle(&mut self, tx: &TxEnv, sender: AccountId, used: u64) -> Result<(), Exit> {
        let price = U256::from(self.tx.gas_price);
        let unused = U256::from(tx.gas_limit - used);
        self.world.credit(sender, price.saturating_mul(unused));
        let tip = if self.spec.is_enabled_in(SpecId::LONDON) {
            price.saturating_sub(U256::from(self.block.env.basefee))
        } else {
            price
        };
        let loaded = self.world.load(self.block.env.beneficiary);
        let beneficiary = self.known(loaded)?;
        self.world.credit(beneficiary, tip.saturating_mul(U256::from(used)));
        Ok(())
    }
}
