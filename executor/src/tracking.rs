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
    context_interface::transaction::AuthorizationTr,
    interpreter::{
        FrameInput, Instruction, InstructionContext, InstructionExecResult, InterpreterAction,
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
    transition::Transition,
};

/// One account load, with what the outcome may depend on.
#[derive(Clone, Debug)]
pub(crate) struct AccountRead {
    pub(crate) address: Address,
    pub(crate) looked: Looked,
    pub(crate) info: Option<AccountInfo>,
}

/// One storage load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorageRead {
    pub(crate) address: Address,
    pub(crate) key: StorageKey,
    pub(crate) value: StorageValue,
}

/// Everything one transaction loaded, each account and slot once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) accounts: Vec<AccountRead>,
    pub(crate) storage: Vec<StorageRead>,
}

/// A database that remembers what it answered.
#[derive(Debug)]
pub(crate) struct Recording<D> {
    pub(crate) inner: D,
    reads: Reads,
}

impl<D: Database> Database for Recording<D> {
    type Error = D::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, D::Error> {
        let info = self.inner.basic(address)?;
        let looked = Looked::empty();
        self.reads.accounts.push(AccountRead { address, looked, info: info.clone() });
        Ok(info)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, D::Error> {
        self.inner.code_by_hash(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, D::Error> {
        let value = self.inner.storage(address, key)?;
        self.reads.storage.push(StorageRead { address, key, value });
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

/// An EVM for the block's transactions over `db`.
pub(crate) fn tracking_evm<D: Database>(block: &Block, db: D) -> TrackingEvm<D> {
    let mut evm = Context::mainnet()
        .with_db(Recording { inner: db, reads: Reads::default() })
        .with_chain(Looks::default())
        .with_block(block.env.clone())
        .with_cfg(block.cfg.clone())
        .build_mainnet();
    let table = evm.instruction.instruction_table_mut();
    for (opcode, instruction) in looking_instructions() {
        table[usize::from(opcode)] = instruction;
    }
    evm
}

/// What one transaction depended on and did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) reads: Reads,
    pub(crate) transition: Transition,
}

/// Takes what was recorded while `tx` ran, completed by what it looks at
/// outside the instructions: validation, delegation, creation.
pub(crate) fn take_record<D: Database>(
    evm: &mut TrackingEvm<D>,
    tx: &TxEnv,
    state: &EvmState,
) -> Record {
    let mut reads = core::mem::take(&mut evm.ctx.journaled_state.database.reads);
    let looks = &mut evm.ctx.chain;
    look_at_transaction(looks, tx);
    look_at_delegates(looks, &reads, state);
    let beneficiary = evm.ctx.block.beneficiary;
    for read in &mut reads.accounts {
        read.looked = looks.at(read.address);
        // Loaded for a reason that is not known here, and not to receive the fee.
        if read.looked.is_empty() && read.address != beneficiary {
            read.looked = Looked::all();
        }
        // Before EIP-161 a touch alone can bring an account into existence.
        if !evm.ctx.cfg.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) {
            read.looked |= Looked::EXISTENCE;
        }
    }
    let transition = Transition::new(state, looks);
    looks.clear();
    Record { reads, transition }
}

/// Drops what was recorded, after a transaction that could not be executed.
pub(crate) fn discard_record<D: Database>(evm: &mut TrackingEvm<D>) {
    evm.ctx.journaled_state.database.reads = Reads::default();
    evm.ctx.chain.clear();
}

/// Validation of the sender (EIP-3607 its code) and of the authorities
/// (EIP-7702); the recipient's code.
fn look_at_transaction(looks: &mut Looks, tx: &TxEnv) {
    looks.add(tx.caller, Looked::BALANCE | Looked::NONCE | Looked::CODE);
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
    let before = reads.accounts.iter().filter_map(|read| Some((read.address, read.info.as_ref()?)));
    let after = state.iter().map(|(address, account)| (*address, &account.info));
    for (address, info) in before.chain(after) {
        if looks.at(address).contains(Looked::CODE)
            && let Some(delegate) = info.code.as_ref().and_then(Bytecode::eip7702_address)
        {
            looks.add(delegate, Looked::CODE);
        }
    }
}

type Frame<'a, D> = InstructionContext<'a, TrackingContext<D>, EthInterpreter>;

/// The instructions that look at accounts, each noting it before it runs.
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

/// Notes a look at the account whose address lies `depth` below the stack's top.
/// An instruction that underflows the stack loads nothing, so there is nothing to note.
fn look_at_stack<D: Database>(frame: &mut Frame<'_, D>, depth: usize, looked: Looked) {
    if let Ok(word) = frame.interpreter.stack.peek(depth) {
        frame.host.chain.add(Address::from_word(word.into()), looked);
    }
}

/// Notes a look at the account whose code or storage context is executing.
fn look_at_self<D: Database>(frame: &mut Frame<'_, D>, looked: Looked) {
    let address = frame.interpreter.input.target_address;
    frame.host.chain.add(address, looked);
}

/// Whether the word `depth` below the stack's top is other than zero.
fn is_nonzero<D: Database>(frame: &Frame<'_, D>, depth: usize) -> bool {
    frame.interpreter.stack.peek(depth).is_ok_and(|word| word != U256::ZERO)
}

fn balance<D: Database>(mut frame: Frame<'_, D>) -> InstructionExecResult {
    look_at_stack(&mut frame, 0, Looked::BALANCE);
    host::balance(frame)
}

fn selfbalance<D: Database>(mut frame: Frame<'_, D>) -> InstructionExecResult {
    look_at_self(&mut frame, Looked::BALANCE);
    host::selfbalance(frame)
}

fn extcodesize<D: Database>(mut frame: Frame<'_, D>) -> InstructionExecResult {
    look_at_stack(&mut frame, 0, Looked::CODE);
    host::extcodesize(frame)
}

fn extcodecopy<D: Database>(mut frame: Frame<'_, D>) -> InstructionExecResult {
    look_at_stack(&mut frame, 0, Looked::CODE);
    host::extcodecopy(frame)
}

/// The hash of an empty account is zero (EIP-1052), so emptiness matters too.
fn extcodehash<D: Database>(mut frame: Frame<'_, D>) -> InstructionExecResult {
    look_at_stack(&mut frame, 0, Looked::CODE | Looked::EMPTINESS);
    host::extcodehash(frame)
}

/// The whole balance is sent; a new account at the target costs gas (EIP-161).
fn selfdestruct<D: Database>(mut frame: Frame<'_, D>) -> InstructionExecResult {
    look_at_self(&mut frame, Looked::BALANCE);
    look_at_stack(&mut frame, 0, Looked::EMPTINESS);
    host::selfdestruct(frame)
}

/// The creator's nonce is bumped and goes into the address; its balance counts
/// where value is sent; the address must hold no account yet (EIP-684).
fn create<const IS_CREATE2: bool, D: Database>(mut frame: Frame<'_, D>) -> InstructionExecResult {
    look_at_self(&mut frame, Looked::NONCE);
    if is_nonzero(&frame, 0) {
        look_at_self(&mut frame, Looked::BALANCE);
    }
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
}

/// The callee's code is run. Value comes out of the caller's balance, and
/// sending it to an empty account costs gas.
fn call<const KIND: u8, D: Database>(mut frame: Frame<'_, D>) -> InstructionExecResult {
    look_at_stack(&mut frame, 1, Looked::CODE);
    if matches!(KIND, opcode::CALL | opcode::CALLCODE) && is_nonzero(&frame, 2) {
        look_at_self(&mut frame, Looked::BALANCE);
        look_at_stack(&mut frame, 1, Looked::EMPTINESS);
    }
    contract::call::<KIND, _, _>(frame)
}
