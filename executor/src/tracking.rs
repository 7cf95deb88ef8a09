//! revm with every dependence on the state recorded.
//!
//! Two records together say what a transaction's outcome depends on. The
//! database wrapper [`Recording`] keeps the value of everything that was loaded.
//! The instruction table of [`TrackingEvm`] notes in [`Looks`] which part of a
//! loaded account was *looked at*: calling a contract looks at its code, not at
//! its balance, so that somebody else's payment to it does not matter.
//!
//! The invariant that correctness rests on: an account field or slot that can
//! influence receipt or state changes is recorded. Where revm gives no narrower
//! answer, the reads record more than was looked at.

use revm::{
    Context, Database, Journal, MainBuilder, MainContext, MainnetEvm,
    bytecode::{Bytecode, opcode},
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{Cfg as _, Transaction as _, transaction::AuthorizationTr},
    interpreter::{
        FrameInput, Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        InterpreterAction,
        instructions::{contract, host},
        interpreter::EthInterpreter,
        interpreter_types::LoopControl,
    },
    primitives::{Address, B256, StorageKey, StorageValue, TxKind, U256, hardfork::SpecId},
    state::{AccountInfo, EvmState},
};

use forewave_analyzer::Block;

use crate::{
    looks::{Looked, Looks},
    reads::{AccountRead, Reads, Seen, StorageRead},
    touched::Touched,
    transition::Transition,
};

/// A database that remembers what it answered.
#[derive(Debug)]
pub(crate) struct Recording<D> {
    pub(crate) inner: D,
    reads: Reads,
    is_enabled: bool,
    /// Whether what transactions touched is noted for the block's access list.
    notes_touched: bool,
}

impl<D> Recording<D> {
    /// Whether answers are remembered; where nobody will ask for them they need not be.
    pub(crate) const fn set_enabled(&mut self, is_enabled: bool) {
        self.is_enabled = is_enabled;
    }
}

impl<D: Database> Database for Recording<D> {
    type Error = D::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, D::Error> {
        let info = self.inner.basic(address)?;
        if !self.is_enabled {
            return Ok(info);
        }
        let (looked, cover) = (Looked::empty(), U256::ZERO);
        let seen = Seen::new(info.as_ref());
        self.reads.accounts.push(AccountRead { address, looked, seen, cover });
        let code = info.as_ref().and_then(|info| info.code.as_ref());
        if let Some(delegate) = code.and_then(Bytecode::eip7702_address) {
            self.reads.delegations.push((address, delegate));
        }
        Ok(info)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, D::Error> {
        self.inner.code_by_hash(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, D::Error> {
        let value = self.inner.storage(address, key)?;
        if self.is_enabled {
            self.reads.storage.push(StorageRead { address, key, value });
        }
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, D::Error> {
        self.inner.block_hash(number)
    }
}

type TrackingContext<D> =
    Context<BlockEnv, TxEnv, CfgEnv, Recording<D>, Journal<Recording<D>>, Looks>;

/// A mainnet EVM whose reads are recorded.
pub(crate) type TrackingEvm<D> = MainnetEvm<TrackingContext<D>>;

/// An EVM for the block's transactions over `db`, whose reads are recorded.
pub(crate) fn tracking_evm<D: Database>(block: &Block, db: D) -> TrackingEvm<D> {
    let mut evm = plain_evm(block, db);
    evm.ctx.journaled_state.database.set_enabled(true);
    let table = evm.instruction.instruction_table_mut();
    for (opcode, instruction) in looking_instructions() {
        table[usize::from(opcode)] = instruction;
    }
    evm
}

/// The same without a record.
pub(crate) fn plain_evm<D: Database>(block: &Block, db: D) -> TrackingEvm<D> {
    Context::mainnet()
        .with_db(Recording {
            inner: db,
            reads: Reads::default(),
            is_enabled: false,
            notes_touched: block.makes_access_list,
        })
        .with_chain(Looks::default())
        .with_block(block.env.clone())
        .with_cfg(block.cfg.clone())
        .build_mainnet()
}

/// Whether everything that a transaction of the block depends on is recorded. The change of
/// the DAO fork may leave accounts that exist and are empty, which no transaction could; and
/// what Amsterdam charges is recorded for its own blocks alone.
pub(crate) fn is_recorded(block: &Block) -> bool {
    let Block { cfg, is_dao_fork, .. } = block;
    let charges_for_state =
        cfg.is_amsterdam_eip8037_enabled() || cfg.is_amsterdam_eip2780_enabled();
    !is_dao_fork && (!charges_for_state || block.spec().is_enabled_in(SpecId::AMSTERDAM))
}

/// What one transaction depended on and did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) reads: Reads,
    pub(crate) transition: Transition,
    /// What it touched, where the block's access list is made.
    pub(crate) touched: Option<Touched>,
}

impl Record {
    /// Whether code looked at the balance of the sender, not only validation at
    /// whether it suffices.
    pub(crate) fn sees_payer(&self, sender: Address) -> bool {
        let mut reads = self.reads.accounts.iter();
        reads.any(|read| read.address == sender && read.looked.contains(Looked::BALANCE))
    }
}

/// Takes what was recorded while `tx` ran, completed by what it looks at
/// outside the instructions: validation, delegation, creation.
pub(crate) fn take_record<D: Database>(
    evm: &mut TrackingEvm<D>,
    tx: &TxEnv,
    state: &EvmState,
) -> Record {
    let mut reads = evm.ctx.journaled_state.database.reads.take();
    let looks = &mut evm.ctx.chain;
    let cost = tx.max_balance_spending().unwrap_or(U256::MAX);
    look_at_transaction(looks, tx, cost);
    if !is_covered(&reads, tx.caller, cost) {
        looks.add(tx.caller, Looked::BALANCE);
    }
    look_at_delegates(looks, &reads, state);
    look_at_hoards(looks, &reads);
    let beneficiary = evm.ctx.block.beneficiary;
    for read in &mut reads.accounts {
        let look = looks.look(read.address);
        (read.looked, read.cover) = (look.looked, look.cover);
        // Loaded for a reason that is not known here, and not to receive the fee.
        if read.looked.is_empty() && read.address != beneficiary {
            read.looked = Looked::all();
        }
        // Before EIP-161 a touch alone can bring an account into existence. By EIP-8037
        // what a transaction costs depends on the accounts that it brings into existence.
        let spec = evm.ctx.cfg.spec;
        let pays = spec.is_enabled_in(SpecId::AMSTERDAM) && !read.looked.is_empty();
        if pays || !spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) {
            read.looked |= Looked::EXISTENCE;
        }
    }
    let transition = Transition::new(state, looks);
    let notes_touched = evm.ctx.journaled_state.database.notes_touched;
    let touched = notes_touched.then(|| Touched::by_transaction(state, looks));
    looks.clear();
    Record { reads, transition, touched }
}

/// The most accounts of a transaction for whose sake the room for them is kept.
const KEPT_ACCOUNTS_MAX: usize = 256;

/// Lets the next transaction find the room that this one's accounts took.
pub(crate) fn keep_room<D: Database>(evm: &mut TrackingEvm<D>, mut state: EvmState) {
    state.clear();
    if state.capacity() <= KEPT_ACCOUNTS_MAX {
        evm.ctx.journaled_state.inner.state = state;
    }
}

/// Drops what was recorded, after a transaction that could not be executed.
pub(crate) fn discard_record<D: Database>(evm: &mut TrackingEvm<D>) {
    drop(evm.ctx.journaled_state.database.reads.take());
    evm.ctx.chain.clear();
}

/// Whether the balance that the sender was found with covers the transaction.
/// Without that only a lenient configuration runs it, by rules of its own. What
/// was not recorded need not commute.
fn is_covered(reads: &Reads, sender: Address, cost: U256) -> bool {
    let found = reads.accounts.iter().find(|read| read.address == sender);
    found.is_some_and(|read| read.seen.balance >= cost)
}

/// Validation of the sender, who must be able to pay the most that the transaction may cost
/// (EIP-3607: and its code), and of the authorities (EIP-7702); the recipient's code.
fn look_at_transaction(looks: &mut Looks, tx: &TxEnv, cost: U256) {
    looks.add_cover(tx.caller, cost);
    looks.add(tx.caller, Looked::NONCE | Looked::CODE);
    match tx.kind {
        TxKind::Call(to) => looks.add(to, Looked::CODE),
        TxKind::Create => looks.add(tx.caller.create(tx.nonce), Looked::NONCE | Looked::CODE),
    }
    for authorization in &tx.authorization_list {
        if let Some(authority) = authorization.authority() {
            let existed = Looked::EMPTINESS | Looked::EXISTENCE;
            looks.add(authority, Looked::NONCE | Looked::CODE | existed);
        }
    }
}

/// A call to a delegated account runs the delegate's code (EIP-7702).
fn look_at_delegates(looks: &mut Looks, reads: &Reads, state: &EvmState) {
    let before = reads.delegations.iter().copied();
    let after = state.iter().filter_map(|(address, account)| {
        Some((*address, account.info.code.as_ref()?.eip7702_address()?))
    });
    for (address, delegate) in before.chain(after) {
        if looks.at(address).contains(Looked::CODE) {
            looks.add(delegate, Looked::CODE);
        }
    }
}

/// A payment fails, and a fee is not paid, if it overflows the payee's balance. Only where
/// there is a hoard can any sum: there all balances are looked at.
fn look_at_hoards(looks: &mut Looks, reads: &Reads) {
    if reads.accounts.iter().any(|read| read.seen.is_hoard()) {
        reads.accounts.iter().for_each(|read| looks.add(read.address, Looked::BALANCE));
    }
}

type Frame<'a, D> = InstructionContext<'a, TrackingContext<D>, EthInterpreter>;

/// The instructions that look at accounts, each noting it once it has.
fn looking_instructions<D: Database>() -> [(u8, Instruction<EthInterpreter, TrackingContext<D>>); 12]
{
    use opcode::{CALL, CALLCODE, DELEGATECALL, STATICCALL};
    [
        (opcode::BALANCE, Instruction::new(balance)),
        (opcode::SELFBALANCE, Instruction::new(selfbalance)),
        (opcode::EXTCODESIZE, Instruction::new(extcodesize)),
        (opcode::EXTCODECOPY, Instruction::new(extcodecopy)),
        (opcode::EXTCODEHASH, Instruction::new(extcodehash)),
        (opcode::SELFDESTRUCT, Instruction::new(selfdestruct)),
        (opcode::CREATE, Instruction::new(create::<false, D>)),
        (opcode::CREATE2, Instruction::new(create::<true, D>)),
        (CALL, Instruction::new(call::<CALL, D>)),
        (CALLCODE, Instruction::new(call::<CALLCODE, D>)),
        (DELEGATECALL, Instruction::new(call::<DELEGATECALL, D>)),
        (STATICCALL, Instruction::new(call::<STATICCALL, D>)),
    ]
}

/// What an instruction looks at if it comes to that.
struct Aim {
    /// Of the account whose code or storage context is executing.
    own: Looked,
    /// Of the account whose address lies this deep below the stack's top.
    target: Option<(usize, Looked)>,
    /// Wei that its own account must have, this deep below the stack's top.
    pays: Option<usize>,
    /// Whether what it sees can decide that it runs out of gas: a halt for
    /// want of gas then is a look.
    decides_gas: bool,
}

impl Aim {
    const fn at(depth: usize, looked: Looked) -> Self {
        let target = Some((depth, looked));
        Self { own: Looked::empty(), target, pays: None, decides_gas: false }
    }
}

/// Runs an instruction and notes what it looked at. One that halts before it
/// looks, for want of operands or because it is not allowed here, depends on nothing.
fn looking<D: Database>(
    frame: Frame<'_, D>,
    aim: &Aim,
    run: impl FnOnce(Frame<'_, D>) -> InstructionExecResult,
) -> InstructionExecResult {
    let InstructionContext { interpreter, host } = frame;
    let itself = interpreter.input.target_address;
    let target = aim.target.and_then(|(depth, looked)| {
        let word = interpreter.stack.peek(depth).ok()?;
        Some((Address::from_word(word.into()), looked))
    });
    let paid = aim.pays.and_then(|depth| interpreter.stack.peek(depth).ok());
    let cover = paid.map(|wei| cover_before(&host.journaled_state.inner.state, itself, wei));
    let result = run(InstructionContext { interpreter, host: &mut *host });
    let has_looked = match result {
        // Whether the gas suffices depends on more of an account from EIP-8037 on.
        _ if host.cfg.spec.is_enabled_in(SpecId::AMSTERDAM) => true,
        Ok(()) | Err(InstructionResult::Suspend | InstructionResult::SelfDestruct) => true,
        Err(InstructionResult::OutOfGas) => {
            // Without the gas to load its target, an instruction leaves it unloaded.
            let state = &host.journaled_state.inner.state;
            aim.decides_gas && target.is_none_or(|(address, _)| state.contains_key(&address))
        }
        Err(_) => false,
    };
    if has_looked {
        let own = (!aim.own.is_empty()).then_some((itself, aim.own));
        for (address, looked) in own.into_iter().chain(target) {
            host.chain.add(address, looked);
        }
        match cover {
            Some(Some(cover)) => host.chain.add_cover(itself, cover),
            Some(None) => host.chain.add(itself, Looked::BALANCE),
            None => {}
        }
    }
    result
}

/// What an account must have had before the transaction so that it can pay so much now; none
/// if it cannot. What it has received and paid since then does not depend on what it had.
fn cover_before(state: &EvmState, address: Address, wei: U256) -> Option<U256> {
    let account = state.get(&address)?;
    let (before, now) = (account.original_info().balance, account.info.balance);
    (now >= wei).then(|| before.saturating_add(wei).saturating_sub(now))
}

/// Whether the word `depth` below the stack's top is other than zero.
fn is_nonzero<D: Database>(frame: &Frame<'_, D>, depth: usize) -> bool {
    frame.interpreter.stack.peek(depth).is_ok_and(|word| word != U256::ZERO)
}

fn balance<D: Database>(frame: Frame<'_, D>) -> InstructionExecResult {
    looking(frame, &Aim::at(0, Looked::BALANCE), host::balance)
}

fn selfbalance<D: Database>(frame: Frame<'_, D>) -> InstructionExecResult {
    let aim = Aim { own: Looked::BALANCE, target: None, pays: None, decides_gas: false };
    looking(frame, &aim, host::selfbalance)
}

fn extcodesize<D: Database>(frame: Frame<'_, D>) -> InstructionExecResult {
    looking(frame, &Aim::at(0, Looked::CODE), host::extcodesize)
}

fn extcodecopy<D: Database>(frame: Frame<'_, D>) -> InstructionExecResult {
    looking(frame, &Aim::at(0, Looked::CODE), host::extcodecopy)
}

/// The hash of an empty account is zero (EIP-1052), so emptiness matters too.
fn extcodehash<D: Database>(frame: Frame<'_, D>) -> InstructionExecResult {
    looking(frame, &Aim::at(0, Looked::CODE | Looked::EMPTINESS), host::extcodehash)
}

/// The whole balance is sent; a new account at the target costs gas (EIP-161).
fn selfdestruct<D: Database>(frame: Frame<'_, D>) -> InstructionExecResult {
    let target = Some((0, Looked::EMPTINESS));
    let aim = Aim { own: Looked::BALANCE, target, pays: None, decides_gas: true };
    looking(frame, &aim, host::selfdestruct)
}

/// The creator's nonce is bumped and goes into the address; its balance must cover
/// the value that is sent; the address must hold no account yet (EIP-684).
fn create<const IS_CREATE2: bool, D: Database>(frame: Frame<'_, D>) -> InstructionExecResult {
    let pays = is_nonzero(&frame, 0).then_some(0);
    looking(frame, &Aim { own: Looked::NONCE, target: None, pays, decides_gas: false }, |frame| {
        let InstructionContext { interpreter, host } = frame;
        let result = contract::create::<IS_CREATE2, _, _>(InstructionContext {
            interpreter: &mut *interpreter,
            host: &mut *host,
        });
        if let Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) =
            interpreter.bytecode.action()
        {
            let creator = host.journaled_state.inner.account(inputs.caller());
            let created = inputs.created_address(creator.info.nonce);
            host.chain.add(created, Looked::NONCE | Looked::CODE);
        }
        result
    })
}

/// The callee's code is run. The caller's balance must cover the value that is sent, and
/// sending it to an empty account costs gas, as following a delegation does.
fn call<const KIND: u8, D: Database>(frame: Frame<'_, D>) -> InstructionExecResult {
    let (mut pays, mut target) = (None, Looked::CODE);
    let mut decides_gas = true;
    if matches!(KIND, opcode::CALL | opcode::CALLCODE) && is_nonzero(&frame, 2) {
        pays = Some(2);
        target |= Looked::EMPTINESS;
        // Value is paid for before the callee is loaded.
        let cost = frame.host.cfg.gas_params().transfer_value_cost();
        decides_gas = frame.interpreter.gas.remaining() >= cost;
    }
    let aim = Aim { own: Looked::empty(), target: Some((1, target)), pays, decides_gas };
    looking(frame, &aim, contract::call::<KIND, _, _>)
}
