//! What a block can make forewave hold, for the gas that it pays: blocks that
//! touch, log and change as much as their gas allows, predicted, planned and
//! executed, each in a process of its own.
//!
//! `cargo run --release --example memory [-- THREADS]`

use std::{env, error::Error, fs, process::Command};

use forewave::{
    Block, MemoryState, Plan, PredictorKind, StateExtent, execute, predict, sequential,
};
use rayon::ThreadPoolBuilder;
use revm::{
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::{Address, B256, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

/// Gas of each block.
const BLOCK_GAS: u64 = 60_000_000;

/// The gas that one transaction may have (EIP-7825).
const TX_GAS_MAX: u64 = 1 << 24;

/// Threads unless another number is given.
const THREADS: usize = 8;

/// A contract that does the same again and again until its gas is nearly used up.
struct Blocks {
    name: &'static str,
    /// What it does first, and then again and again.
    code: [&'static [u8]; 2],
    /// Gas of each call.
    tx_gas: u64,
}

/// `CALLVALUE 32 SHL`: every call begins somewhere else.
const APART: &[u8] = &[0x34, 0x60, 32, 0x1b];

/// `loop if more than 30,000 gas are left`, but for the number of the byte to go to.
const AGAIN: &[u8] = &[0x61, 0x75, 0x30, 0x5a, 0x11, 0x60];

const BLOCKS: [Blocks; 5] = [
    // DUP1 SLOAD POP 1 ADD
    Blocks {
        name: "slots read, each once",
        code: [APART, &[0x80, 0x54, 0x50, 0x60, 1, 0x01]],
        tx_gas: TX_GAS_MAX,
    },
    // 1 ADD DUP1 DUP1 SSTORE
    Blocks {
        name: "slots filled, each once",
        code: [APART, &[0x60, 1, 0x01, 0x80, 0x80, 0x55]],
        tx_gas: TX_GAS_MAX,
    },
    // DUP1 SLOAD 1 ADD DUP2 SSTORE 1 ADD
    Blocks {
        name: "slots changed by every transaction",
        code: [&[0x5f], &[0x80, 0x54, 0x60, 1, 0x01, 0x81, 0x55, 0x60, 1, 0x01]],
        tx_gas: 300_000,
    },
    // DUP1 BALANCE POP 1 ADD
    Blocks {
        name: "accounts looked at, each once",
        code: [APART, &[0x80, 0x31, 0x50, 0x60, 1, 0x01]],
        tx_gas: TX_GAS_MAX,
    },
    // 1024 0 LOG0
    Blocks { name: "logs", code: [&[], &[0x61, 4, 0, 0x5f, 0xa0]], tx_gas: TX_GAS_MAX },
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [position, threads] = &arguments[..] {
        return measure(position.parse()?, threads.parse()?);
    }
    let threads = arguments.first().map_or(Ok(THREADS), |threads| threads.parse())?;
    println!(
        "{:<36} {:>6} {:>9} {:>8} {:>9} {:>9} {:>10}",
        "60 Mgas of", "txs", "conflicts", "before", "predicted", "executed", "bytes/gas"
    );
    for position in 0..BLOCKS.len() {
        let mut child = Command::new(env::current_exe()?);
        child.args([position.to_string(), threads.to_string()]);
        if !child.status()?.success() {
            return Err("a measurement failed".into());
        }
    }
    Ok(())
}

/// Prints the row of one block: the most MiB held so far after each step.
fn measure(position: usize, threads: usize) -> Result<(), Box<dyn Error>> {
    let Blocks { name, code, tx_gas } = BLOCKS[position];
    let (block, state) = block(code, tx_gas);
    let before = peak_kib()?;
    let predictions = predict(&block, &state, &PredictorKind::Static)?;
    let plan = Plan::new(predictions);
    let predicted = peak_kib()?;
    let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
    let outcome = execute(&block, &state, &plan.run_plan(&block).on_all_threads(), &pool)?;
    let executed = peak_kib()?;
    let truth = sequential(&block, &state)?;
    assert_eq!(outcome.first_difference(&truth), None, "{name}");
    let per_gas = ((executed - before) << 10) as f64 / outcome.gas_used as f64;
    println!(
        "{name:<36} {:>6} {:>9} {:>8} {:>9} {:>9} {per_gas:>10.1}",
        block.transactions.len(),
        plan.graph().edge_count(),
        before >> 10,
        predicted >> 10,
        executed >> 10,
    );
    Ok(())
}

/// A block full of calls of a contract, each of another sender.
fn block([first, again]: [&[u8]; 2], tx_gas: u64) -> (Block, MemoryState) {
    let contract = Address::repeat_byte(0xc0);
    let mut state = MemoryState::default();
    let start = u8::try_from(first.len()).expect("the contracts are short");
    let code = [first, &[0x5b], again, AGAIN, &[start, 0x57]].concat();
    let code = Bytecode::new_legacy(code.into());
    state.insert_account(contract, AccountInfo::from_bytecode(code));
    let transactions = (0..BLOCK_GAS / tx_gas).map(|number| {
        let caller = Address::left_padding_from(&(number + 0x1_0000).to_be_bytes());
        let info = AccountInfo::from_balance(U256::from(10).pow(U256::from(20)));
        state.insert_account(caller, info);
        TxEnv {
            caller,
            kind: TxKind::Call(contract),
            value: U256::from(number + 1),
            gas_limit: tx_gas,
            gas_price: 10,
            ..TxEnv::default()
        }
    });
    let transactions = transactions.collect();
    let env = BlockEnv {
        number: U256::from(1),
        gas_limit: BLOCK_GAS,
        prevrandao: Some(B256::ZERO),
        ..BlockEnv::default()
    };
    let block = Block {
        cfg: CfgEnv::new_with_spec(SpecId::SHANGHAI),
        env,
        parent_hash: B256::ZERO,
        parent_beacon_block_root: None,
        deposit_contract: None,
        state_extent: StateExtent::Touched,
        transactions,
        withdrawals: vec![],
        ommers: vec![],
        reward: forewave::BlockReward::OfFork,
        is_dao_fork: false,
        makes_access_list: false,
        access_list: None,
    };
    (block, state)
}

/// The most memory that this process has held, in KiB.
fn peak_kib() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.ok_or("the system does not say how much memory is held")?.parse()?)
}
