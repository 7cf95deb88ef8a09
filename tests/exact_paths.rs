//! Calls by exact paths: what one transaction taught is true of every other.
//!
//! Each case is a contract and transactions that take it to its edges: learnt from
//! all of them, in one order and the other, a block must end as sequentially.

use forewave::{
    Block, ExactPaths, ExecutionMode, MemoryState, Plan, PredictedAccess, PredictorKind,
    StateExtent, Workers, compare::compare_outcomes, predict, sequential,
};
use rayon::ThreadPoolBuilder;
use revm::{
    bytecode::{Bytecode, opcode as op},
    context::{
        BlockEnv, CfgEnv, TxEnv,
        transaction::{AccessList, AccessListItem},
    },
    primitives::{Address, B256, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

const CONTRACT: Address = Address::repeat_byte(0xc0);
const CALLEE: Address = Address::repeat_byte(0xca);
const BENEFICIARY: Address = Address::repeat_byte(0xbe);

/// Forks that price differently.
const FORKS: [SpecId; 7] = [
    SpecId::BYZANTIUM,
    SpecId::ISTANBUL,
    SpecId::BERLIN,
    SpecId::LONDON,
    SpecId::SHANGHAI,
    SpecId::PRAGUE,
    SpecId::OSAKA,
];

/// Code, put together piece by piece.
#[derive(Clone, Default)]
struct Code(Vec<u8>);

impl Code {
    fn op(mut self, code: u8) -> Self {
        self.0.push(code);
        self
    }

    fn push(mut self, word: impl Into<U256>) -> Self {
        self.0.push(op::PUSH32);
        self.0.extend(word.into().to_be_bytes::<32>());
        self
    }

    /// The word of the call data at this position.
    fn input(self, word: u64) -> Self {
        self.push(U256::from(4 + 32 * word)).op(op::CALLDATALOAD)
    }

    fn address(self, address: Address) -> Self {
        self.push(U256::from_be_bytes(address.into_word().0))
    }

    /// A call with no input and no output, its success dropped.
    fn call(self, kind: u8, to: Self, value: Option<Self>, gas: Self) -> Self {
        let mut code = self.push(U256::ZERO).push(U256::ZERO).push(U256::ZERO).push(U256::ZERO);
        for part in value.into_iter().chain([to, gas]) {
            code.0.extend(part.0);
        }
        code.op(kind).op(op::POP)
    }

    fn all_gas() -> Self {
        Self::default().op(op::GAS)
    }

    /// `SSTORE` of the word on top under a key.
    fn store(self, key: u64) -> Self {
        self.push(U256::from(key)).op(op::SSTORE)
    }

    /// A log of one topic and a word of data.
    fn log(self, topic: Self, data: Self) -> Self {
        let mut code = self;
        code.0.extend(data.0);
        code = code.push(U256::ZERO).op(op::MSTORE);
        code.0.extend(topic.0);
        code.push(U256::from(32)).push(U256::ZERO).op(op::LOG1)
    }
}

/// A transaction's call data: a selector and words.
fn data(words: &[u64]) -> Vec<u8> {
    let mut data = vec![0xab, 0xcd, 0xef, 0x01];
    for word in words {
        data.extend(U256::from(*word).to_be_bytes::<32>());
    }
    data
}

/// A transaction to the contract.
fn call(words: &[u64]) -> TxEnv {
    TxEnv {
        kind: TxKind::Call(CONTRACT),
        data: data(words).into(),
        gas_limit: 300_000,
        gas_price: 10,
        chain_id: Some(1),
        ..TxEnv::default()
    }
}

/// The block of these transactions, each from a sender of its own.
fn block(spec: SpecId, transactions: &[TxEnv]) -> Block {
    let basefee = if spec.is_enabled_in(SpecId::LONDON) { 7 } else { 0 };
    let mut env = BlockEnv {
        beneficiary: BENEFICIARY,
        number: U256::from(1000),
        gas_limit: 100_000_000,
        basefee,
        prevrandao: Some(B256::repeat_byte(7)),
        ..BlockEnv::default()
    };
    env.set_blob_excess_gas_and_price(0, 5_007_716);
    let transactions = transactions.iter().zip(1u64..).map(|(tx, n)| {
        let caller = Address::left_padding_from(&(0x5e_0000 + n).to_be_bytes());
        TxEnv { caller, ..tx.clone() }
    });
    Block {
        cfg: CfgEnv::new_with_spec(spec),
        env,
        parent_hash: B256::ZERO,
        parent_beacon_block_root: Some(B256::ZERO),
        deposit_contract: None,
        state_extent: StateExtent::Touched,
        transactions: transactions.collect(),
        withdrawals: vec![],
        ommers: vec![],
        reward: forewave::BlockReward::OfFork,
        is_dao_fork: false,
    }
}

fn state(code: &Code, callee: &Code) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, code) in [(CONTRACT, code), (CALLEE, callee)] {
        let code = Bytecode::new_raw(code.0.clone().into());
        let info =
            AccountInfo { balance: U256::from(1000), nonce: 1, ..AccountInfo::from_bytecode(code) };
        state.insert_account(address, info);
        for key in 0..4u64 {
            state.insert_storage(address, U256::from(key), U256::from(10 + key));
        }
    }
    for n in 1u64..=200 {
        let caller = Address::left_padding_from(&(0x5e_0000 + n).to_be_bytes());
        state.insert_account(caller, AccountInfo::from_balance(U256::from(u64::MAX)));
    }
    state
}

/// Runs the transactions in every fork, again and again with the same paths, and
/// compares. Gives how many were evaluated in the last rounds.
fn check(name: &str, code: &Code, callee: &Code, transactions: &[TxEnv]) -> usize {
    let state = state(code, callee);
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut evaluated = 0;
    let backwards: Vec<TxEnv> = transactions.iter().rev().cloned().collect();
    for spec in FORKS {
        for order in [transactions, &*backwards] {
            let block = block(spec, order);
            let truth = sequential(&block, &state).unwrap();
            let predictions = predict(&block, &state, &PredictorKind::Oracle).unwrap();
            let nothing: Vec<PredictedAccess> =
                predict(&block, &state, &PredictorKind::None).unwrap();
            let paths = ExactPaths::new();
            let workers = Workers::new(&pool).with_paths(&paths);
            for round in 0..4 {
                for (predictions, mode) in [
                    (&predictions, ExecutionMode::Serial),
                    (&predictions, ExecutionMode::Dataflow),
                    (&nothing, ExecutionMode::Optimistic),
                ] {
                    let plan = Plan::to_run(&block, &state, predictions.clone()).unwrap();
                    let outcome = plan.execute_as(mode, &block, &state, workers).unwrap();
                    let difference = compare_outcomes(&outcome, &truth);
                    assert_eq!(difference, None, "{name}, {spec:?}, {mode:?}, round {round}");
                    if round == 3 {
                        evaluated += outcome.stats.evaluated;
                    }
                }
            }
        }
    }
    evaluated
}

/// How often each transaction is looked at in the last round.
const LAST_ROUND: usize = FORKS.len() * 2 * 3;

#[test]
fn a_slot_loaded_by_a_call_that_reverts_is_cold_again() {
    let load = Code::default().push(U256::from(1)).op(op::SLOAD);
    // The callee works on the storage of the caller, and reverts.
    let callee = load.clone().push(U256::ZERO).push(U256::ZERO).op(op::REVERT);
    let inner = Code::default().call(
        op::DELEGATECALL,
        Code::default().address(CALLEE),
        None,
        Code::all_gas(),
    );
    let mut code = inner;
    code.0.extend(load.0);
    let code = code.store(0).op(op::STOP);
    let transactions: Vec<TxEnv> = (0..8).map(|n| call(&[n])).collect();
    assert_eq!(check("cold again", &code, &callee, &transactions), 8 * LAST_ROUND);
}

#[test]
fn logs_and_refunds_of_a_call_that_reverts_are_gone() {
    let callee = Code::default()
        .push(U256::ZERO)
        .store(1)
        .log(Code::default().input(0), Code::default().op(op::CALLER))
        .push(U256::ZERO)
        .push(U256::ZERO)
        .op(op::REVERT);
    let code = Code::default()
        .log(Code::default().input(0), Code::default().input(1))
        .call(op::DELEGATECALL, Code::default().address(CALLEE), None, Code::all_gas())
        .log(Code::default().op(op::CALLER), Code::default().input(0))
        .push(U256::ZERO)
        .store(2)
        .op(op::STOP);
    let transactions: Vec<TxEnv> = (0..8).map(|n| call(&[n, 3 * n])).collect();
    assert_eq!(check("logs and refunds", &code, &callee, &transactions), 8 * LAST_ROUND);
}

#[test]
fn any_gas_limit_ends_where_it_would() {
    let callee = Code::default().input(0).store(3).op(op::GAS).store(1).op(op::STOP);
    let code = Code::default()
        .call(
            op::CALL,
            Code::default().address(CALLEE),
            Some(Code::default().push(U256::ZERO)),
            Code::all_gas(),
        )
        .log(Code::default().input(0), Code::default().op(op::GAS))
        .input(0)
        .store(0)
        .op(op::STOP);
    let limits = (0..60).map(|n| 30_000 + n * 1_973).chain((0..20).map(|n| 64_000 + n));
    let limited = |gas_limit| TxEnv { gas_limit, ..call(&[5]) };
    let transactions: Vec<TxEnv> = limits.map(limited).collect();
    assert!(check("gas limits", &code, &callee, &transactions) > LAST_ROUND);
}

#[test]
fn a_stipend_and_a_share_of_the_gas_are_what_they_would_be() {
    let callee = Code::default().op(op::GAS).store(1).op(op::STOP);
    let code = Code::default()
        .call(
            op::CALL,
            Code::default().address(CALLEE),
            Some(Code::default().input(1)),
            Code::default().input(0),
        )
        .op(op::GAS)
        .store(0)
        .op(op::STOP);
    let asked = [0, 1, 2_299, 2_300, 2_301, 20_000, 22_100, 30_000, 250_000, u64::MAX];
    let transactions: Vec<TxEnv> =
        asked.iter().flat_map(|gas| [0, 1, 2_000].map(|value| call(&[*gas, value]))).collect();
    assert!(check("stipend", &code, &callee, &transactions) > LAST_ROUND);
}

#[test]
fn value_for_an_account_that_is_not_there_costs_more() {
    let code = Code::default()
        .call(
            op::CALL,
            Code::default().input(0),
            Some(Code::default().input(1)),
            Code::default().push(U256::ZERO),
        )
        .op(op::GAS)
        .store(0)
        .op(op::STOP);
    // Nobody, then somebody since the first payment; a precompile; the beneficiary; itself.
    let word = |address: Address| U256::from_be_bytes(address.into_word().0);
    let targets = [
        word(Address::repeat_byte(0xaa)),
        word(Address::repeat_byte(0xab)),
        U256::from(3),
        U256::from(0x77),
        word(BENEFICIARY),
        word(CONTRACT),
        word(CALLEE),
    ];
    let transaction = |to: U256, value: u64| {
        let mut data = data(&[]);
        data.extend(to.to_be_bytes::<32>());
        data.extend(U256::from(value).to_be_bytes::<32>());
        TxEnv { data: data.into(), ..call(&[]) }
    };
    let transactions: Vec<TxEnv> = targets
        .iter()
        .flat_map(|to| [0, 1, 7, 5_000].map(|value| transaction(*to, value)))
        .collect();
    assert!(check("value", &code, &Code::default().op(op::STOP), &transactions) > 10 * LAST_ROUND);
}

#[test]
fn keys_that_happen_to_be_equal_are_one_slot() {
    let load = |word| Code::default().input(word).op(op::SLOAD);
    let mut code = load(0);
    code.0.extend(load(1).0);
    let code = code.op(op::ADD).input(0).op(op::SSTORE).push(U256::ZERO).input(1).op(op::SSTORE);
    let mut code = code;
    code.0.extend(load(0).0);
    let code = code.op(op::GAS).op(op::ADD).store(9).op(op::STOP);
    let pairs = (0..4).flat_map(|one| (0..4).map(move |other| [one, other]));
    let transactions: Vec<TxEnv> = pairs.map(|pair| call(&pair)).collect();
    assert_eq!(check("equal keys", &code, &Code::default(), &transactions), 16 * LAST_ROUND);
}

#[test]
fn what_an_access_list_names_is_warm() {
    let code = Code::default()
        .input(0)
        .op(op::SLOAD)
        .op(op::POP)
        .input(1)
        .op(op::BALANCE)
        .store(0)
        .op(op::GAS)
        .store(1)
        .op(op::STOP);
    let list = |address, keys: &[u64]| AccessListItem {
        address,
        storage_keys: keys.iter().map(|key| B256::from(U256::from(*key))).collect(),
    };
    let lists = [
        vec![],
        vec![list(CONTRACT, &[])],
        vec![list(CONTRACT, &[0, 2])],
        vec![list(CALLEE, &[2])],
        vec![list(Address::left_padding_from(&[0x77]), &[]), list(CONTRACT, &[1, 2])],
    ];
    // Before Berlin there is no such transaction, so they are of no type there.
    let of_type = |list: &Vec<AccessListItem>, key| TxEnv {
        tx_type: u8::from(!list.is_empty()),
        access_list: AccessList(list.clone()),
        ..call(&[key, 0x77])
    };
    let transactions: Vec<TxEnv> =
        lists.iter().flat_map(|list| [0, 2, 5].map(|key| of_type(list, key))).collect();
    let state = state(&code, &Code::default());
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for spec in FORKS.into_iter().filter(|spec| spec.is_enabled_in(SpecId::BERLIN)) {
        let block = block(spec, &transactions);
        let truth = sequential(&block, &state).unwrap();
        let paths = ExactPaths::new();
        let workers = Workers::new(&pool).with_paths(&paths);
        let predictions = predict(&block, &state, &PredictorKind::None).unwrap();
        let plan = Plan::new(&predictions);
        for round in 0..4 {
            let outcome = plan.execute_as(ExecutionMode::Serial, &block, &state, workers).unwrap();
            assert_eq!(compare_outcomes(&outcome, &truth), None, "{spec:?}, round {round}");
            assert_eq!(
                outcome.stats.evaluated,
                if round > 1 { 15 } else { outcome.stats.evaluated }
            );
        }
    }
}

#[test]
fn a_power_costs_by_its_exponent_and_a_signer_is_asked_for() {
    let power = Code::default().input(0).push(U256::from(3)).op(op::EXP).store(0);
    // The signer of a hash that is not signed: an empty answer, and so another path.
    let mut code = power;
    for word in 0..4 {
        code = code.input(word).push(U256::from(32 * word)).op(op::MSTORE);
    }
    let code = code
        .push(U256::from(32))
        .push(U256::from(128))
        .push(U256::from(128))
        .push(U256::ZERO)
        .push(U256::from(1))
        .op(op::GAS)
        .op(op::STATICCALL)
        .op(op::POP)
        .op(op::RETURNDATASIZE)
        .store(1)
        .push(U256::from(128))
        .op(op::MLOAD)
        .store(2)
        .op(op::STOP);
    let exponents = [0, 1, 255, 256, 65_535, 65_536, u64::MAX];
    let signed = |exponent: u64| [27, 28, 29].map(|v| call(&[exponent, v, 1 + exponent % 97, 5]));
    let transactions: Vec<TxEnv> = exponents.iter().flat_map(|e| signed(*e)).collect();
    check("power and signer", &code, &Code::default(), &transactions);
}

#[test]
fn branches_that_only_revert_are_looked_at() {
    // Reverts unless the first input is below the stored word, as a balance check does.
    let condition = Code::default().push(U256::from(2)).op(op::SLOAD).input(0).op(op::LT);
    // Behind the jump's own target (33 bytes), the jump, two words and `REVERT`.
    let target = condition.0.len() + 33 + 1 + 2 * 33 + 1;
    let code = condition
        .push(U256::from(target))
        .op(op::JUMPI)
        .push(U256::ZERO)
        .push(U256::ZERO)
        .op(op::REVERT)
        .op(op::JUMPDEST)
        .input(0)
        .store(0)
        .log(Code::default().input(0), Code::default().input(0))
        .op(op::STOP);
    let transactions: Vec<TxEnv> = (8..16).map(|n| call(&[n])).collect();
    assert_eq!(check("branches", &code, &Code::default(), &transactions), 8 * LAST_ROUND);
}
