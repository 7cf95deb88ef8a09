//! How many bytes a plan takes as a message, beside the block access list (EIP-7928) of the same
//! block in RLP.
//!
//! `cargo run --release --example plan_size -- BLOCK...`

use std::{env, error::Error, path::PathBuf};

use forewave::{
    Plan, PredictorKind,
    input::{BlockInput, LoadOptions},
    predict, sequential,
};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut txs, mut plans, mut lists, mut blocks) = (0, 0, 0, 0);
    for directory in env::args_os().skip(1).map(PathBuf::from) {
        let loaded = BlockInput::load(&directory, &LoadOptions::default());
        let BlockInput { mut block, state, .. } = match loaded {
            Ok(input) => input,
            Err(error) => {
                eprintln!("{}: {error}", directory.display());
                continue;
            }
        };
        block.makes_access_list = true;
        let predictions = predict(&block, &state, &PredictorKind::Static)?;
        let plan = Plan::new(predictions).to_bytes(&block);
        Plan::from_bytes(&plan, &block)?;
        let outcome = sequential(&block, &state)?;
        let list = outcome.access_list.map_or(0, |list| alloy_rlp::encode(list).len());
        txs += block.transactions.len();
        plans += plan.len();
        lists += list;
        blocks += 1;
    }
    let each = |bytes: usize| bytes as f64 / txs.max(1) as f64;
    println!("{blocks} blocks, {txs} transactions");
    println!("plan        {plans:>9} bytes, {:.0} for each transaction", each(plans));
    println!("access list {lists:>9} bytes, {:.0} for each transaction", each(lists));
    Ok(())
}
