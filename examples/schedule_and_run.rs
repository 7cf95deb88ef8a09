//! A block that is only in memory: planned, looked at, executed on two threads.
//!
//! `cargo run --example schedule_and_run`

use std::error::Error;

use forewave::{
    Block, BlockReward, MemoryState, Plan, StateExtent, StaticPredictor, predict, sequential,
};
use rayon::ThreadPoolBuilder;
use revm::{
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::{Address, B256, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

/// A contract that counts the calls of each caller: `CALLER SLOAD 1 ADD CALLER SSTORE`.
const COUNTER: [u8; 7] = [0x33, 0x54, 0x60, 1, 0x01, 0x33, 0x55];

fn main() -> Result<(), Box<dyn Error>> {
    let counter = Address::repeat_byte(0xcc);
    let [alice, bob] = [0xaa, 0xbb].map(Address::repeat_byte);

    // Any `revm::DatabaseRef` that threads can share is a state.
    let mut state = MemoryState::default();
    let code = Bytecode::new_legacy(COUNTER.to_vec().into());
    state.insert_account(counter, AccountInfo::from_bytecode(code));
    for sender in [alice, bob] {
        state.insert_account(sender, AccountInfo::from_balance(U256::from(10).pow(U256::from(18))));
    }

    let call = |caller, nonce| TxEnv {
        caller,
        nonce,
        kind: TxKind::Call(counter),
        gas_limit: 100_000,
        gas_price: 10,
        ..TxEnv::default()
    };
    let env =
        BlockEnv { number: U256::from(1), prevrandao: Some(B256::ZERO), ..BlockEnv::default() };
    let block = Block {
        cfg: CfgEnv::new_with_spec(SpecId::SHANGHAI),
        env,
        parent_hash: B256::ZERO,
        parent_beacon_block_root: None,
        deposit_contract: None,
        state_extent: StateExtent::Whole,
        transactions: vec![call(alice, 0), call(bob, 0), call(alice, 1), call(bob, 1)],
        withdrawals: Vec::new(),
        ommers: Vec::new(),
        reward: BlockReward::OfFork,
        is_dao_fork: false,
        makes_access_list: false,
        access_list: None,
    };

    let predictions = predict(&block, &state, &StaticPredictor::default())?;
    let plan = Plan::to_run(&block, &state, predictions)?;
    print!("{}", plan.schedule());

    let threads = ThreadPoolBuilder::new().num_threads(2).build()?;
    let outcome = plan.execute(&block, &state, &threads)?;
    for (address, change) in &outcome.state {
        for (slot, value) in &change.storage {
            println!("slot {slot:#x} of {address} is now {value}");
        }
    }
    println!("{} gas", outcome.gas_used);
    match outcome.first_difference(&sequential(&block, &state)?) {
        None => Ok(()),
        Some(part) => Err(format!("the {part} are not those of sequential execution").into()),
    }
}
