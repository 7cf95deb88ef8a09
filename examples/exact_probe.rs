//! scratch
use forewave::*;
use std::{path::Path, time::Instant};
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let threads: usize = std::env::var("T").ok().and_then(|t| t.parse().ok()).unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (mut seq, mut cold, mut warm) = (0.0, 0.0, 0.0);
    let mut bad = 0;
    for dir in std::env::args().skip(1) {
        let input =
            forewave::input::BlockInput::load(Path::new(&dir), &Default::default()).unwrap();
        let (block, state) = (&input.block, &input.state);
        let paths = ExactPaths::new();
        let reference = sequential(block, state).unwrap();
        let workers = Workers::new(&pool).with_paths(&paths);
        let none = PredictorKind::None;
        let _ = none;
        let mut times = vec![];
        for round in 0..6 {
            let start = Instant::now();
            let outcome = forewave::execute_unplanned(block, state, workers).unwrap();
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if let Some(diff) = reference.first_difference(&outcome) {
                bad += 1;
                let tx = reference.receipts.iter().zip(&outcome.receipts).position(|(a, b)| a != b);
                println!("{dir} round {round}: {diff} differ, tx {tx:?}");
                if let Some(tx) = tx {
                    println!("  {:?}\n  {:?}", reference.receipts[tx], outcome.receipts[tx]);
                } else {
                    for (a, c) in &reference.state {
                        if outcome.state.get(a) != Some(c) {
                            println!("  {a}\n   {c:?}\n   {:?}", outcome.state.get(a));
                            break;
                        }
                    }
                }
            }
        }
        let mut seqs: Vec<f64> = (0..3)
            .map(|_| {
                let s = Instant::now();
                let _ = sequential(block, state).unwrap();
                s.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        seqs.sort_by(f64::total_cmp);
        let best = times[3..].iter().copied().fold(f64::MAX, f64::min);
        println!(
            "{dir} txs {} seq {:.2} cold {:.2} second {:.2} warm {:.2} ratio {:.2} paths {} KiB {}",
            block.transactions.len(),
            seqs[0],
            times[0],
            times[1],
            best,
            seqs[0] / best,
            paths.len(),
            paths.bytes() >> 10
        );
        seq += seqs[0];
        cold += times[0];
        warm += best;
    }
    println!("total seq {seq:.1} cold {cold:.1} warm {warm:.1}: {:.3} bad {bad}", seq / warm);
}
