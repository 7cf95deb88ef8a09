//! Blocks assembled from pools of real transactions: what half the span costs in value.
//!
//! `cargo run --release --example assemble -- [--predictor hybrid] [--plot] [DIR]...`
//!
//! A directory is a block, whose transactions are the pool, or a run of consecutive blocks, of which
//! as many as have 100 transactions are a pool on the state before the first of them. The block may use half
//! of the gas that the pool uses. It is filled by value per gas, and again with bounds on the span. Every
//! block is executed sequentially; the value is what it then pays to the beneficiary, and the span that of what its
//! transactions then touch.

#[path = "assemble/pools.rs"]
mod pools;

use std::{
    env,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use forewave::{
    Block, ConflictGraph, PredictedAccess, PredictorKind, TxIndex,
    assembly::{
        Assembly, Candidates, Constraints, LeftOut, Limits, Resource, assemble, block_of,
        candidates, tip, trade, value_bound,
    },
    commute_payments, critical_path, observe, predict, schedule,
};

use self::pools::{Pool, Run, entries, pools, run};

/// Bounds on the span that are tried, as parts of what the block of the highest value has.
const STEPS: u64 = 32;

/// The value, in thousandths of the highest, that is to be kept.
const KEPT: u128 = 995;

fn main() {
    let (mut predictor, mut plots, mut directories) = (PredictorKind::Hybrid, false, Vec::new());
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--predictor" => {
                let name = args.next().expect("a predictor");
                predictor = name.parse().expect("a predictor");
            }
            "--plot" => plots = true,
            directory => directories.push(PathBuf::from(directory)),
        }
    }
    if directories.is_empty() {
        directories = ["../shared/blocks", "../shared/runs"]
            .iter()
            .flat_map(|at| entries(Path::new(at)))
            .collect();
    }
    println!(
        "{:<26} {:>5} {:>7} {:>4} {:>8} {:>5} {:>4} {:>7} {:>6} {:>6} {:>5} {:>4} {:>6} {:>5} {:>5} {:>5} {:>5}  the span is",
        "pool",
        "txs",
        "Mgas/2",
        "txs",
        "span",
        "par",
        "lost",
        "value%",
        "bound%",
        "span%",
        "par",
        "lost",
        "99.5%",
        "alone",
        "chain",
        "nonce",
        "gas",
    );
    let mut rows = Vec::new();
    for pool in directories.iter().flat_map(|directory| pools(directory)) {
        if let Some(row) = measure(&pool, predictor, plots) {
            row.print();
            rows.push(row);
        }
    }
    summarize(&rows);
}

/// A block as it was assembled and as it executed.
struct Executed {
    transactions: usize,
    /// Left out only when it ran.
    invalid: usize,
    /// What it pays to the beneficiary in priority fees, in wei.
    value: u128,
    work: u64,
    span: u64,
    /// The transactions of its heaviest path.
    path: Vec<(TxIndex, u64)>,
    block: Block,
}

impl Executed {
    fn new(pool: &Pool, limit: u64, assembly: &Assembly) -> Option<Self> {
        let mut block = block_of(&pool.block, assembly);
        block.env.gas_limit = limit;
        let Run { block, outcome, invalid } = run(&block, &pool.state)?;
        let fees = block.transactions.iter().zip(&outcome.receipts).map(|(tx, receipt)| {
            tip(&block, tx).unwrap_or(0).saturating_mul(u128::from(receipt.gas_used))
        });
        let value = fees.sum();
        let observed = observe(&block, &pool.state).ok()?;
        let runs = observed.accesses.into_iter().zip(observed.payers_seen);
        let mut accesses: Vec<PredictedAccess> = runs
            .zip(&outcome.receipts)
            .map(|((access, seen), receipt)| {
                PredictedAccess::exact(access.0, receipt.gas_used).with_payer_seen(seen)
            })
            .collect();
        commute_payments(&block, &pool.state, &mut accesses).ok()?;
        let graph = ConflictGraph::new(&accesses);
        let figures = schedule(&graph);
        let path = critical_path(&graph).into_iter().map(|tx| (tx, graph.gas(tx))).collect();
        Some(Self {
            transactions: block.transactions.len(),
            invalid,
            value,
            work: figures.work(),
            span: figures.span(),
            path,
            block,
        })
    }

    fn parallelism(&self) -> f64 {
        self.work as f64 / self.span.max(1) as f64
    }

    /// What most of the span consists of.
    fn cause(&self) -> String {
        let longest = self.path.iter().map(|&(_, gas)| gas).max().unwrap_or(0);
        if 2 * longest > self.span {
            return format!("one transaction ({:.0} %)", percent(longest, self.span));
        }
        let of = |key: &dyn Fn(TxIndex) -> String| {
            let mut sums: Vec<(String, u64)> = Vec::new();
            for &(tx, gas) in &self.path {
                let key = key(tx);
                match sums.iter_mut().find(|sum| sum.0 == key) {
                    Some(sum) => sum.1 += gas,
                    None => sums.push((key, gas)),
                }
            }
            sums.into_iter().max_by_key(|sum| sum.1).unwrap_or_default()
        };
        let tx = |tx: TxIndex| &self.block.transactions[tx.index()];
        let by_sender = of(&|it| tx(it).caller.to_string());
        let by_target = of(&|it| tx(it).kind.to().map_or("creation".into(), ToString::to_string));
        let (what, (whose, gas)) =
            if by_sender.1 >= by_target.1 { ("of sender", by_sender) } else { ("to", by_target) };
        let count = self.path.len();
        format!("{count} transactions, {:.0} % {what} {whose}", percent(gas, self.span))
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// What was found of one pool.
struct Row {
    name: String,
    transactions: usize,
    limit: u64,
    greedy: Executed,
    half: Executed,
    /// Value at half the span that no block exceeds, as a part of the greedy one's.
    bound: f64,
    /// The shortest predicted span that keeps the value, as a part of the greedy one's.
    kept_span: f64,
    /// Parts of the greedy block's value that the other lacks: in transactions that alone take
    /// more than half the span, that would be done too late behind others, whose nonces are
    /// not next, and for which there is no gas left.
    causes: [f64; 4],
    /// Time to make candidates and to assemble one block.
    time: [Duration; 2],
}

impl Row {
    fn value(&self) -> f64 {
        self.half.value as f64 / (self.greedy.value.max(1)) as f64
    }

    fn span(&self) -> f64 {
        self.half.span as f64 / self.greedy.span.max(1) as f64
    }

    fn print(&self) {
        let Self { name, transactions, limit, greedy, half, bound, kept_span, .. } = self;
        println!(
            "{name:<26} {transactions:>5} {:>7.2} {:>4} {:>8} {:>5.2} {:>4} {:>7.2} {:>6.1} {:>6.1} {:>5.2} {:>4} {:>6.1} {:>5.1} {:>5.1} {:>5.1} {:>5.1}  {}",
            *limit as f64 / 1e6,
            greedy.transactions,
            greedy.span,
            greedy.parallelism(),
            greedy.invalid,
            100.0 * self.value(),
            100.0 * bound,
            100.0 * self.span(),
            half.parallelism(),
            half.invalid,
            100.0 * kept_span,
            100.0 * self.causes[0],
            100.0 * self.causes[1],
            100.0 * self.causes[2],
            100.0 * self.causes[3],
            greedy.cause(),
        );
    }
}

/// Assembles and executes the blocks of one pool.
fn measure(pool: &Pool, predictor: PredictorKind, plots: bool) -> Option<Row> {
    let Pool { block, state, gas, .. } = pool;
    let predictions = predict(block, state, &predictor).ok()?;
    let sized = predictions.into_iter().zip(gas).map(|(access, &gas)| access.with_gas(gas));
    let mut predictions: Vec<PredictedAccess> = sized.collect();
    commute_payments(block, state, &mut predictions).ok()?;
    let limit = gas.iter().sum::<u64>() / 2;
    let limits = Limits::of_gas(limit);
    let start = Instant::now();
    let candidates = candidates(block, state, &predictions, Constraints::default()).ok()?;
    let prepared = start.elapsed();
    let start = Instant::now();
    let greedy = assemble(&candidates, &limits).ok()?;
    let assembled = start.elapsed();
    let spans: Vec<u64> = (1..=STEPS).map(|step| greedy.span * step / STEPS).collect();
    let blocks = trade(&candidates, &limits, &spans).ok()?;
    let kept = blocks.iter().position(|it| it.value * 1000 >= greedy.value * KEPT);
    let half = best_within(&candidates, &blocks, &limits, greedy.span / 2)?;
    if plots {
        for (block, span) in blocks.iter().zip(&spans) {
            let value = 100.0 * block.value as f64 / greedy.value as f64;
            println!("    span {span:>9} {:>9} value {value:.2} %", block.span);
        }
    }
    let bound = value_bound(&candidates, &limits.with_span(greedy.span / 2));
    Some(Row {
        name: pool.name.clone(),
        transactions: block.transactions.len(),
        limit,
        bound: bound as f64 / greedy.value.max(1) as f64,
        kept_span: kept.map_or(1.0, |at| blocks[at].span as f64 / greedy.span.max(1) as f64),
        causes: causes(&candidates, &greedy, &half),
        greedy: Executed::new(pool, limit, &greedy)?,
        half: Executed::new(pool, limit, &half)?,
        time: [prepared, assembled],
    })
}

/// Why orders of the one block are not in the other, as parts of its value.
fn causes(candidates: &Candidates<'_>, greedy: &Assembly, half: &Assembly) -> [f64; 4] {
    let mut lost = [0u128; 4];
    for (order, why) in half.left_out.iter().filter(|it| greedy.orders.contains(&it.0)) {
        let order = &candidates.orders()[order.index()];
        let gas = order.transactions.iter().map(|tx| tx.access.gas()).max().unwrap_or(0);
        let cause = match why {
            LeftOut::Limit(Resource::Span) if gas > greedy.span / 2 => 0,
            LeftOut::Limit(Resource::Span) => 1,
            LeftOut::NonceGap { .. } => 2,
            _ => 3,
        };
        lost[cause] += order.value;
    }
    lost.map(|lost| lost as f64 / greedy.value.max(1) as f64)
}

/// The block of the highest value among those whose span is within the bound.
fn best_within(
    candidates: &Candidates<'_>,
    blocks: &[Assembly],
    limits: &Limits,
    span: u64,
) -> Option<Assembly> {
    let at_bound = assemble(candidates, &limits.with_span(span)).ok()?;
    let within = blocks.iter().filter(|block| block.span <= span).cloned();
    within.chain([at_bound]).max_by_key(|block| block.value)
}

fn summarize(rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let median = |figure: &dyn Fn(&Row) -> f64| {
        let mut figures: Vec<f64> = rows.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let mean = |figure: &dyn Fn(&Row) -> f64| {
        100.0 * rows.iter().map(figure).sum::<f64>() / rows.len() as f64
    };
    let sum = |figure: &dyn Fn(&Row) -> usize| rows.iter().map(figure).sum::<usize>();
    let count = |holds: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| holds(row)).count();
    println!("\n{} pools", rows.len());
    println!(
        "in the median at half the predicted span: {:.2} % of the value (no block can have more than {:.2} %), {:.1} % of the span when executed, parallelism {:.2} instead of {:.2}",
        100.0 * median(&Row::value),
        100.0 * median(&|row| row.bound.min(1.0)),
        100.0 * median(&Row::span),
        median(&|row| row.half.parallelism()),
        median(&|row| row.greedy.parallelism()),
    );
    println!(
        "in the median 99.5 % of the value is kept down to {:.1} % of the span",
        100.0 * median(&|row| row.kept_span)
    );
    println!(
        "value that is lost, on average: {:.1} % in transactions that alone exceed half the span, {:.1} % in chains, {:.1} % behind others by nonce, {:.1} % for want of gas",
        mean(&|row| row.causes[0]),
        mean(&|row| row.causes[1]),
        mean(&|row| row.causes[2]),
        mean(&|row| row.causes[3]),
    );
    println!(
        "{} pools keep 99.5 % of the value at half the span; of {} no block can",
        count(&|row| row.value() >= 0.995),
        count(&|row| row.bound < 0.995),
    );
    let possible: Vec<f64> = rows.iter().filter(|row| row.bound >= 0.995).map(Row::value).collect();
    if !possible.is_empty() {
        let mut sorted = possible;
        sorted.sort_by(f64::total_cmp);
        println!(
            "of the {} others the median keeps {:.2} % of the value",
            sorted.len(),
            100.0 * sorted[sorted.len() / 2]
        );
    }
    println!(
        "left out when executed: {} of {} transactions of the blocks of the highest value, {} of {} at half the span",
        sum(&|row| row.greedy.invalid),
        sum(&|row| row.greedy.transactions + row.greedy.invalid),
        sum(&|row| row.half.invalid),
        sum(&|row| row.half.transactions + row.half.invalid),
    );
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "in the median {:.0} us to make candidates, {:.0} us to assemble a block of them",
        median(&|row| us(row.time[0])),
        median(&|row| us(row.time[1])),
    );
}
