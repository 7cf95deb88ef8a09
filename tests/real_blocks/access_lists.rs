//! Access lists of real blocks (EIP-7928): made by sequential and by parallel execution, and by
//! revm's own builder. These blocks are older than the fork that asks for lists; its
//! rules apply to them as well.

use std::{env, sync::Arc};

use alloy_consensus::Header;
use alloy_evm::{
    EthEvmFactory, Evm, EvmEnv, EvmFactory,
    block::{SystemCaller, state_changes::post_block_balance_increments},
    eth::spec::EthSpec,
};
use forewave::{
    Block, MemoryState, RunPlan, execute,
    input::{BlockInput, Chain, LoadOptions},
    sequential,
};
use revm::{
    DatabaseCommit,
    database::{DatabaseCommitExt, State},
    database_interface::WrapDatabaseRef,
    primitives::hardfork::SpecId,
    state::bal::alloy::AlloyBal,
};

use rayon::ThreadPoolBuilder;

use super::{equality, ethereum_blocks, wrong_lists::Listed};

/// The list that revm builds of a block, with alloy's system calls around it.
fn list_of_revm(block: &Block, state: &MemoryState, spec: &EthSpec) -> AlloyBal {
    let database =
        State::builder().with_database(WrapDatabaseRef(state)).with_bal_builder().build();
    let env = EvmEnv { cfg_env: block.cfg.clone(), block_env: block.env.clone() };
    let mut evm = EthEvmFactory::default().create_evm(database, env);
    let mut system = SystemCaller::new(spec);
    let header = Header {
        parent_hash: block.parent_hash,
        parent_beacon_block_root: block.parent_beacon_block_root,
        ..Header::default()
    };
    system.apply_pre_execution_changes(&header, &mut evm).unwrap();
    for tx in &block.transactions {
        evm.db_mut().bump_bal_index();
        let run = evm.transact_raw(tx.clone()).unwrap();
        evm.db_mut().commit(run.state);
    }
    evm.db_mut().bump_bal_index();
    if block.spec().is_enabled_in(SpecId::PRAGUE) {
        system.apply_post_execution_changes(&mut evm).unwrap();
    }
    let credits =
        post_block_balance_increments::<Header>(spec, &block.env, &[], Some(&block.withdrawals));
    evm.db_mut().increment_balances(credits).unwrap();
    evm.db_mut().take_built_alloy_bal().unwrap()
}

#[test]
fn lists_of_real_blocks_are_those_of_revm_in_sequential_and_in_parallel_execution() {
    let pools = equality::pools();
    let mut compared = 0;
    for directory in ethereum_blocks() {
        let input = BlockInput::load(&directory, &LoadOptions::default()).unwrap();
        let spec = match input.chain {
            Chain::Mainnet => EthSpec::mainnet(),
            Chain::Sepolia => EthSpec::sepolia(),
            _ => continue,
        };
        let block = Block { makes_access_list: true, ..input.block };
        let truth = sequential(&block, &input.state).unwrap();
        let list = truth.access_list.clone().map(Arc::new);
        let name = directory.display();
        for pool in &pools {
            let plan = RunPlan::in_block_order(&block).on_all_threads();
            let outcome = execute(&block, &input.state, &plan, pool).unwrap();
            assert_eq!(outcome.access_list, truth.access_list, "{name}");
            let listed = Block { access_list: list.clone(), ..block.clone() };
            let plan = RunPlan::by_access_list(&listed).on_all_threads();
            let outcome = execute(&listed, &input.state, &plan, pool).unwrap();
            assert_eq!(outcome.first_difference(&truth), None, "{name}, by its list");
            if block.spec().is_enabled_in(SpecId::SPURIOUS_DRAGON) {
                assert_eq!(outcome.stats.reexecuted, [], "{name}, by its list");
            }
        }
        // Where the state lacks a contract or a header, revm would do something else.
        if !truth.notes.is_empty() || block.is_dao_fork {
            continue;
        }
        let expected = list_of_revm(&block, &input.state, &spec);
        let found = truth.access_list.unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(found.len(), expected.len(), "{name}");
        compared += 1;
    }
    println!("{compared} lists of blocks, all as revm builds them");
}

/// Each block is run by one wrong list, or by as many as `FOREWAVE_WRONG_LISTS` says.
#[test]
fn wrong_lists_of_real_blocks_are_rejected_with_their_places_and_runs_by_them_end_as_sequential_ones()
 {
    let lists = env::var("FOREWAVE_WRONG_LISTS").map_or(1, |text| text.parse().unwrap());
    let pools = [2, 8].map(|count| ThreadPoolBuilder::new().num_threads(count).build().unwrap());
    let (mut judged, mut runs) = (0, 0);
    for (seed, directory) in (0..).zip(ethereum_blocks()) {
        let input = BlockInput::load(&directory, &LoadOptions::default()).unwrap();
        let name = directory.display().to_string();
        let listed = Listed::new(input.block, &input.state);
        judged += listed.check_judgements(&name);
        runs += listed.check_runs(&name, &pools, lists, seed);
    }
    println!("{judged} wrong lists, all rejected; runs by {runs} of them, no difference");
}
