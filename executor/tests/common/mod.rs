//! Small blocks over small states, for the tests of this crate.

use forewave_analyzer::{Block, MemoryState, StateExtent};
use revm::{
    bytecode::{Bytecode, opcode},
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::{Address, B256, Bytes, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

/// Wei in an ether.
pub(crate) const ETHER: u64 = 1_000_000_000_000_000_000;
/// Gas limit of a test transaction.
pub(crate) const GAS_LIMIT: u64 = 500_000;

/// The account numbered `n`, apart from precompiles.
pub(crate) fn account(n: u8) -> Address {
    Address::with_last_byte(n).create(u64::from(n))
}

/// Who receives the fees.
pub(crate) fn beneficiary() -> Address {
    Address::repeat_byte(0xbe)
}

/// A state in which accounts 1 to 9 hold ten ether each.
pub(crate) fn funded() -> MemoryState {
    let mut state = MemoryState::default();
    for n in 1..10 {
        let balance = U256::from(10) * U256::from(ETHER);
        state.insert_account(account(n), AccountInfo::from_balance(balance));
    }
    state
}

/// Puts a contract into a state.
pub(crate) fn deploy(state: &mut MemoryState, at: Address, code: Vec<u8>) {
    state.insert_account(at, AccountInfo::from_bytecode(Bytecode::new_raw(code.into())));
}

/// A block of these transactions at number 100.
pub(crate) fn block(spec: SpecId, transactions: Vec<TxEnv>) -> Block {
    let env = BlockEnv {
        number: U256::from(100),
        beneficiary: beneficiary(),
        timestamp: U256::from(1000),
        gas_limit: 30_000_000,
        basefee: if spec.is_enabled_in(SpecId::LONDON) { 7 } else { 0 },
        prevrandao: Some(B256::repeat_byte(3)),
        ..BlockEnv::default()
    };
    Block {
        cfg: CfgEnv::new_with_spec(spec),
        env,
        parent_hash: B256::repeat_byte(1),
        parent_beacon_block_root: Some(B256::repeat_byte(2)),
        deposit_contract: None,
        state_extent: StateExtent::Touched,
        transactions,
        withdrawals: vec![],
        ommers: vec![],
        reward: forewave_analyzer::BlockReward::OfFork,
        is_dao_fork: false,
        makes_access_list: false,
        access_list: None,
    }
}

/// A legacy transaction of account `from`.
pub(crate) fn call(from: u8, nonce: u64, to: Address, wei: u64, data: &[u8]) -> TxEnv {
    TxEnv {
        caller: account(from),
        nonce,
        kind: TxKind::Call(to),
        value: U256::from(wei),
        data: Bytes::copy_from_slice(data),
        gas_limit: GAS_LIMIT,
        gas_price: 10,
        chain_id: None,
        ..TxEnv::default()
    }
}

/// A legacy transaction of account `from` that creates a contract.
pub(crate) fn create(from: u8, nonce: u64, wei: u64, init_code: Vec<u8>) -> TxEnv {
    TxEnv {
        kind: TxKind::Create,
        data: init_code.into(),
        ..call(from, nonce, Address::ZERO, wei, &[])
    }
}

/// Bytecode, one piece after another.
#[derive(Default)]
pub(crate) struct Program(Vec<u8>);

impl Program {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn op(mut self, code: u8) -> Self {
        self.0.push(code);
        self
    }

    pub(crate) fn push(mut self, word: impl Into<U256>) -> Self {
        self.0.push(opcode::PUSH32);
        self.0.extend(word.into().to_be_bytes::<32>());
        self
    }

    pub(crate) fn push_address(self, address: Address) -> Self {
        self.push(U256::from_be_bytes(address.into_word().0))
    }

    /// `storage[key] += 1`.
    pub(crate) fn increment(self, key: u64) -> Self {
        self.push(U256::from(key)).op(opcode::SLOAD).push(U256::from(1)).op(opcode::ADD).store(key)
    }

    /// `storage[key] = top of the stack`.
    pub(crate) fn store(self, key: u64) -> Self {
        self.push(U256::from(key)).op(opcode::SSTORE)
    }

    /// Calls `to` with `wei` and no data, leaving the success flag.
    pub(crate) fn send(self, to: Address, wei: u64) -> Self {
        let zero = U256::ZERO;
        self.push(zero)
            .push(zero)
            .push(zero)
            .push(zero)
            .push(U256::from(wei))
            .push_address(to)
            .op(opcode::GAS)
            .op(opcode::CALL)
    }

    pub(crate) fn build(self) -> Vec<u8> {
        self.0
    }

    /// Init code that returns this program as runtime code.
    pub(crate) fn init_code(self) -> Vec<u8> {
        let runtime = self.0;
        let header = |offset: u64| {
            Program::new()
                .push(U256::from(runtime.len()))
                .push(U256::from(offset))
                .push(U256::ZERO)
                .op(opcode::CODECOPY)
                .push(U256::from(runtime.len()))
                .push(U256::ZERO)
                .op(opcode::RETURN)
                .build()
        };
        let offset = header(0).len() as u64;
        [header(offset), runtime].concat()
    }
}
