//! temp
use forewave::{RunPlan, execute, sequential};
use forewave_fixtures::{Scenario, Workload};
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n: usize = a[2].parse().unwrap();
    let reps: usize = a[3].parse().unwrap();
    let way = a[4].as_str();
    let s = [
        Scenario::TokenTransfers,
        Scenario::HotTokenTransfers { percent: 30 },
        Scenario::Swaps,
        Scenario::Transfers,
        Scenario::LateConflicts,
        Scenario::HotPool,
        Scenario::LargeChangeSet,
    ];
    let scenario = s.into_iter().find(|x| x.to_string() == a[1]).unwrap();
    let Workload { block, state } = scenario.generate(n, 1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for _ in 0..reps {
        let t = std::time::Instant::now();
        match way {
            "seq" => drop(sequential(&block, &state)),
            _ => {
                let plan = RunPlan::in_block_order(&block);
                let o = execute(&block, &state, &plan, &pool).unwrap();
                eprint!("{} {} ", o.stats.threads, o.stats.reexecuted.len());
                drop(o)
            }
        }
        eprintln!("{:.1}", t.elapsed().as_secs_f64() * 1e3);
    }
}
