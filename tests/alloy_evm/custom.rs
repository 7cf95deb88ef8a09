//! An EVM that is not mainnet's: one more precompile and one more opcode, both of which read and
//! write the state.
//!
//! The precompile at [`COUNTER`] adds one to a slot of its own and answers with what it is then.
//! The opcode [`TALLY`] replaces the word on the stack by the balance of that address plus a slot
//! of the precompile's.

use alloy_evm::{
    Database, EthEvm, EthEvmFactory, EvmEnv, EvmFactory,
    eth::EthEvmContext,
    precompiles::{DynPrecompile, PrecompileInput, PrecompilesMap},
};
use alloy_primitives::{Address, Bytes, U256, address};
use revm::{
    Context, Inspector, MainBuilder, MainContext,
    context::{
        BlockEnv, DBErrorMarker, TxEnv,
        result::{EVMError, HaltReason},
    },
    context_interface::Host,
    inspector::NoOpInspector,
    interpreter::{
        Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        interpreter::EthInterpreter,
    },
    precompile::{
        PrecompileError, PrecompileId, PrecompileOutput, PrecompileResult, PrecompileSpecId,
        Precompiles,
    },
    primitives::hardfork::SpecId,
};

/// Where the precompile is.
pub(crate) const COUNTER: Address = address!("0x00000000000000000000000000000000c0ffee00");

/// The opcode.
pub(crate) const TALLY: u8 = 0xb0;

/// Makes EVMs with both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CustomEvmFactory;

impl CustomEvmFactory {
    fn create<DB: Database, I: Inspector<EthEvmContext<DB>>>(
        db: DB,
        env: EvmEnv,
        inspector: I,
    ) -> revm::context::Evm<
        EthEvmContext<DB>,
        I,
        revm::handler::instructions::EthInstructions<EthInterpreter, EthEvmContext<DB>>,
        PrecompilesMap,
        revm::handler::EthFrame,
    > {
        let spec = PrecompileSpecId::from_spec_id(env.cfg_env.spec);
        let mut precompiles = PrecompilesMap::from_static(Precompiles::new(spec));
        precompiles.apply_precompile(&COUNTER, |_| {
            let id = PrecompileId::Custom("counter".into());
            Some(DynPrecompile::new_stateful(id, count))
        });
        let mut evm = Context::mainnet()
            .with_db(db)
            .with_block(env.block_env)
            .with_cfg(env.cfg_env)
            .build_mainnet_with_inspector(inspector)
            .with_precompiles(precompiles);
        evm.instruction.insert_instruction(TALLY, Instruction::new(tally), 100);
        evm
    }
}

impl EvmFactory for CustomEvmFactory {
    type Evm<DB: Database, I: Inspector<EthEvmContext<DB>>> = EthEvm<DB, I, PrecompilesMap>;
    type Context<DB: Database> = EthEvmContext<DB>;
    type Tx = TxEnv;
    type Error<DBError: DBErrorMarker> = EVMError<DBError>;
    type HaltReason = HaltReason;
    type Spec = SpecId;
    type BlockEnv = BlockEnv;
    type Precompiles = <EthEvmFactory as EvmFactory>::Precompiles;

    fn create_evm<DB: Database>(&self, db: DB, env: EvmEnv) -> Self::Evm<DB, NoOpInspector> {
        EthEvm::new(Self::create(db, env, NoOpInspector {}), false)
    }

    fn create_evm_with_inspector<DB: Database, I: Inspector<EthEvmContext<DB>>>(
        &self,
        db: DB,
        env: EvmEnv,
        inspector: I,
    ) -> Self::Evm<DB, I> {
        EthEvm::new(Self::create(db, env, inspector), true)
    }
}

fn count(mut input: PrecompileInput<'_>) -> PrecompileResult {
    let fatal = |_| PrecompileError::Fatal("the state failed".into());
    input.internals.load_account(COUNTER).map_err(fatal)?;
    let so_far = input.internals.sload(COUNTER, U256::ZERO).map_err(fatal)?.data;
    let count = so_far + U256::from(1);
    input.internals.touch_account(COUNTER).map_err(fatal)?;
    input.internals.bump_nonce(COUNTER).map_err(fatal)?;
    input.internals.sstore(COUNTER, U256::ZERO, count).map_err(fatal)?;
    let output = Bytes::from(count.to_be_bytes::<32>());
    Ok(PrecompileOutput::new(1_000, output, input.reservoir))
}

fn tally<DB: Database>(
    frame: InstructionContext<'_, EthEvmContext<DB>, EthInterpreter>,
) -> InstructionExecResult {
    let InstructionContext { interpreter, host } = frame;
    let word = interpreter.stack.pop()?;
    let failed = InstructionResult::FatalExternalError;
    let balance = host.balance(Address::from_word(word.into())).ok_or(failed)?.data;
    host.balance(COUNTER).ok_or(failed)?;
    let count = host.sload(COUNTER, U256::ZERO).ok_or(failed)?.data;
    if interpreter.stack.push(balance.wrapping_add(count)) {
        Ok(())
    } else {
        Err(InstructionResult::StackOverflow)
    }
}
