//! The one promise, checked on one block: whatever was predicted and however
//! many threads run, the outcome is the sequential one.

use std::path::Path;

use forewave::{
    AccessKind, AccessSet, AccessSetBuilder, Block, BlockOutcome, MemoryState, Plan,
    PredictedAccess, PredictorKind, RunPlan,
    compare::{compare_header, compare_outcomes},
    execute, execute_block,
    input::{BlockInput, LoadOptions},
    predict, sequential, verify,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Pools of 1, 2 and 8 threads.
pub(crate) fn pools() -> Vec<ThreadPool> {
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    [1, 2, 8].map(pool).into()
}

/// Executes the block in `directory` as often on every pool, from predictions good, poor
/// and wrong, and compares with sequential execution and with the header. Gives the number
/// of executions.
pub(crate) fn check_equal_to_sequential(
    directory: &Path,
    pools: &[ThreadPool],
    repetitions: usize,
) -> usize {
    let BlockInput { block, state, header, .. } =
        BlockInput::load(directory, &LoadOptions::default()).unwrap();
    let truth = sequential(&block, &state).unwrap();
    let name = directory.display().to_string();
    assert_eq!(compare_header(&truth, &header, block.spec()), [], "{name}");
    check_every_way(&name, &block, &state, &truth, pools, repetitions)
}

/// The same for a block whose sequential outcome is `truth`.
pub(crate) fn check_every_way(
    name: &str,
    block: &Block,
    state: &MemoryState,
    truth: &BlockOutcome,
    pools: &[ThreadPool],
    repetitions: usize,
) -> usize {
    let mut executions = 0;
    for kind in PredictorKind::ALL {
        for pool in pools {
            let outcome = execute_block(block, state, &kind, pool).unwrap();
            check_outcome(&outcome, truth, &format!("{name} {kind} as usual"));
            executions += 1;
        }
    }
    let mut plans = vec![("in block order", RunPlan::in_block_order(block))];
    for (who, predictions) in predictions(block, state) {
        let for_people = Plan::new(predictions.clone());
        let to_run = Plan::to_run(block, state, predictions).unwrap();
        for plan in [for_people, to_run] {
            assert_eq!(verify(plan.schedule(), plan.graph()), Ok(()), "{name} {who}");
            plans.push((who, plan.run_plan(block)));
        }
    }
    for (who, plan) in plans {
        let plan = plan.on_all_threads();
        for pool in pools.iter().cycle().take(pools.len() * repetitions) {
            let outcome = execute(block, state, &plan, pool).unwrap();
            check_outcome(&outcome, truth, &format!("{name} {who}"));
            executions += 1;
        }
    }
    executions
}

fn check_outcome(outcome: &BlockOutcome, truth: &BlockOutcome, what: &str) {
    let threads = outcome.stats.threads;
    assert_eq!(compare_outcomes(outcome, truth), None, "{what}, {threads} threads");
}

/// Predictions to be right whatever they say.
fn predictions(block: &Block, state: &MemoryState) -> Vec<(&'static str, Vec<PredictedAccess>)> {
    let predicted = |kind| predict(block, state, &kind).unwrap();
    let oracle = predicted(PredictorKind::Oracle);
    let gas = |prediction: &PredictedAccess| prediction.gas();
    let empty = oracle.iter().map(|p| PredictedAccess::exact(AccessSet::default(), gas(p)));
    let mut random = Random(block.number());
    let subset = oracle.iter().map(|p| random.subset(p)).collect();
    let shifted = oracle.iter().cycle().skip(1).take(oracle.len()).cloned();
    let good = PredictorKind::ALL.map(|kind| (kind.name(), predicted(kind)));
    let wrong = [
        ("empty", empty.collect()),
        ("random subset", subset),
        ("those of the next transaction", shifted.collect()),
        ("everything", oracle.iter().map(|p| PredictedAccess::everything(gas(p))).collect()),
    ];
    good.into_iter().chain(wrong).collect()
}

/// The generator `SplitMix64`, seeded by the block's number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Half of the accesses, one in eight of them for another use, and any gas.
    fn subset(&mut self, prediction: &PredictedAccess) -> PredictedAccess {
        let mut set = AccessSetBuilder::new();
        for (kind, location) in prediction.set().iter() {
            let random = self.next();
            let other = [AccessKind::Read, AccessKind::Write, AccessKind::Delta];
            match random % 16 {
                0..7 => set.add(kind, *location),
                7 => set.add(other[(random >> 32) as usize % 3], *location),
                _ => &mut set,
            };
        }
        PredictedAccess::exact(set.build(), self.next() % 1_000_000)
    }
}
