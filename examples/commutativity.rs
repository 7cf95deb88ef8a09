//! What lies on the spans of real blocks, and what would be gained if more of
//! it commuted: `cargo run --release --example commutativity -- BLOCK...`
//!
//! Blocks are observed, not predicted. Each rule takes some reads of the true
//! dependencies away, one kind after the other, and the table states what is
//! left of the span. The rules on storage are bounds from above: they ask
//! only whether a transaction both read and wrote a slot, not whether it added.

use std::{error::Error, path::Path};

use forewave::{
    Block, Location, ObservedAccess, StateError,
    input::{BlockInput, LoadOptions},
    observe,
};
use hashbrown::{HashMap, HashSet};
use revm::{
    DatabaseRef,
    context::Transaction,
    primitives::{Address, U256},
};

/// Reads that a rule takes away, each rule with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// What the executor does: credits that nobody in the transaction looked at.
    Credits,
    /// The nonce that a sender's transaction names is the nonce it will find.
    Nonces,
    /// What a sender pays is taken off whatever is there, where the balance before
    /// the block is enough for the most that all its transactions may cost.
    Debits,
    /// The same, whatever the balance before the block.
    AllDebits,
    /// A slot that a transaction reads and writes is only added to.
    Counters,
}

const RULES: [Rule; 5] =
    [Rule::Credits, Rule::Nonces, Rule::Debits, Rule::AllDebits, Rule::Counters];
const CORES: [usize; 3] = [2, 8, 16];

/// One kind of read that orders two transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    SenderNonce,
    SenderBalance,
    OtherBalance,
    SlotReadAndWritten,
    SlotRead,
    Other,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::SenderNonce, "nonce of the sender"),
    (Kind::SenderBalance, "balance of the sender"),
    (Kind::OtherBalance, "balance of another"),
    (Kind::SlotReadAndWritten, "slot, read and written"),
    (Kind::SlotRead, "slot, only read"),
    (Kind::Other, "code, nonce of another"),
];

/// The kinds of a dependency's locations.
type Kinds = HashSet<Kind>;

/// Earlier transactions that one depends on, and by what.
type Dependencies = Vec<(usize, Kinds)>;

/// Who made a location's value.
#[derive(Default)]
struct Makers {
    set: Option<usize>,
    added: Vec<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut spans = [0_u64; RULES.len()];
    let mut bounds = [[0_u64; CORES.len()]; RULES.len()];
    let mut parallelism: [Vec<f64>; RULES.len()] = Default::default();
    let mut on_span: HashMap<Kind, [u64; 2]> = HashMap::new();
    let (mut work, mut blocks) = (0, 0);
    for path in std::env::args_os().skip(1) {
        let input = BlockInput::load(Path::new(&path), &LoadOptions::default())?;
        let rich = rich_senders(&input)?;
        let observation = observe(&input.block, &input.state)?;
        let gas: Vec<u64> = observation.outcome.receipts.iter().map(|it| it.gas_used).collect();
        let block_work: u64 = gas.iter().sum();
        work += block_work;
        blocks += 1;
        for (at, rule) in RULES.into_iter().enumerate() {
            let graph = dependencies(&input.block, &observation.accesses, &rich, rule);
            let (span, path) = heaviest_path(&graph, &gas);
            spans[at] += span;
            parallelism[at].push(block_work as f64 / span.max(1) as f64);
            for (bound, cores) in bounds[at].iter_mut().zip(CORES) {
                *bound += list_schedule(&graph, &gas, cores);
            }
            if rule == Rule::Credits {
                for (kinds, weight) in path {
                    for kind in &kinds {
                        let [among, alone] = on_span.entry(*kind).or_default();
                        *among += weight;
                        *alone += if kinds.len() == 1 { weight } else { 0 };
                    }
                }
            }
        }
    }
    println!("{blocks} blocks, {:.1} Mgas", work as f64 / 1e6);
    println!("\nrule        work/span   median   2 cores   8 cores  16 cores");
    for (at, rule) in RULES.into_iter().enumerate() {
        parallelism[at].sort_by(f64::total_cmp);
        let ratio = |time: u64| work as f64 / time.max(1) as f64;
        let [two, eight, sixteen] = bounds[at].map(ratio);
        let median = parallelism[at].get(blocks / 2).copied().unwrap_or(1.0);
        let name = format!("{rule:?}");
        let (all, name) = (ratio(spans[at]), name.as_str());
        println!("{name:<10}{all:>11.2}{median:>9.2}{two:>10.2}{eight:>10.2}{sixteen:>10.2}");
    }
    println!("\nwhat orders the heaviest path: share of its gas    among others   alone");
    for (kind, name) in KINDS {
        let [among, alone] = on_span.get(&kind).copied().unwrap_or_default();
        let share = |gas: u64| 100.0 * gas as f64 / spans[0].max(1) as f64;
        println!("{name:<50}{:>11.1} %{:>7.1} %", share(among), share(alone));
    }
    Ok(())
}

/// Senders whose balance before the block is enough for all that they may pay.
fn rich_senders(input: &BlockInput) -> Result<HashSet<Address>, StateError> {
    let mut costs: HashMap<Address, U256> = HashMap::new();
    for tx in &input.block.transactions {
        let gas = U256::from(tx.gas_limit) * U256::from(tx.gas_price);
        let blobs = U256::from(tx.total_blob_gas()) * U256::from(tx.max_fee_per_blob_gas);
        *costs.entry(tx.caller).or_default() += gas + blobs + tx.value;
    }
    let mut rich = HashSet::new();
    for (sender, cost) in costs {
        if input.state.basic_ref(sender)?.is_some_and(|info| info.balance >= cost) {
            rich.insert(sender);
        }
    }
    Ok(rich)
}

/// The true dependencies that are left under `rule`.
fn dependencies(
    block: &Block,
    accesses: &[ObservedAccess],
    rich: &HashSet<Address>,
    rule: Rule,
) -> Vec<Dependencies> {
    let mut makers: HashMap<Location, Makers> = HashMap::new();
    let fee = Location::Balance(block.env.beneficiary);
    let mut all = Vec::with_capacity(accesses.len());
    for (tx, ObservedAccess(set)) in accesses.iter().enumerate() {
        let sender = block.transactions[tx].caller;
        let written: HashSet<Location> = set.writes().iter().copied().collect();
        let kind = |at: &Location| match at {
            Location::Nonce(address) if *address == sender => Kind::SenderNonce,
            Location::Balance(address) if *address == sender => Kind::SenderBalance,
            Location::Balance(_) => Kind::OtherBalance,
            Location::Storage(..) if written.contains(at) => Kind::SlotReadAndWritten,
            Location::Storage(..) => Kind::SlotRead,
            _ => Kind::Other,
        };
        let commutes = |at: &Location| match kind(at) {
            Kind::SenderNonce => rule >= Rule::Nonces,
            Kind::SenderBalance if rich.contains(&sender) => rule >= Rule::Debits,
            Kind::SenderBalance => rule >= Rule::AllDebits,
            Kind::SlotReadAndWritten => rule >= Rule::Counters,
            _ => false,
        };
        let mut on: HashMap<usize, Kinds> = HashMap::new();
        for at in set.reads().iter().filter(|at| !commutes(at)) {
            let Some(makers) = makers.get(at) else { continue };
            for maker in makers.set.iter().chain(&makers.added) {
                on.entry(*maker).or_default().insert(kind(at));
            }
        }
        for at in set.writes() {
            let location = makers.entry(*at).or_default();
            if commutes(at) {
                location.added.push(tx);
            } else {
                *location = Makers { set: Some(tx), added: Vec::new() };
            }
        }
        for at in set.deltas().iter().filter(|at| **at != fee) {
            makers.entry(*at).or_default().added.push(tx);
        }
        let mut on: Dependencies = on.into_iter().collect();
        on.sort_unstable_by_key(|(earlier, _)| *earlier);
        all.push(on);
    }
    all
}

/// Gas of the heaviest path, and for each of its edges what it is made of and
/// the gas of the transaction that waits.
fn heaviest_path(graph: &[Dependencies], gas: &[u64]) -> (u64, Vec<(Kinds, u64)>) {
    let mut finish: Vec<u64> = Vec::with_capacity(gas.len());
    let mut through: Vec<Option<&(usize, Kinds)>> = Vec::with_capacity(gas.len());
    for (on, gas) in graph.iter().zip(gas) {
        let last = on.iter().max_by_key(|(earlier, _)| finish[*earlier]);
        finish.push(last.map_or(0, |(earlier, _)| finish[*earlier]) + gas);
        through.push(last);
    }
    let Some(mut at) = (0..gas.len()).max_by_key(|tx| finish[*tx]) else { return (0, Vec::new()) };
    let span = finish[at];
    let mut path = Vec::new();
    while let Some((earlier, kinds)) = through[at] {
        path.push((kinds.clone(), gas[at]));
        at = *earlier;
    }
    (span, path)
}

/// Gas until the last of `cores` is done, each taking the ready transaction
/// with the heaviest path ahead.
fn list_schedule(graph: &[Dependencies], gas: &[u64], cores: usize) -> u64 {
    let mut ahead = gas.to_vec();
    for (tx, on) in graph.iter().enumerate().rev() {
        for (earlier, _) in on {
            ahead[*earlier] = ahead[*earlier].max(ahead[tx] + gas[*earlier]);
        }
    }
    let mut finish: Vec<Option<u64>> = vec![None; gas.len()];
    let mut free = vec![0_u64; cores];
    for _ in 0..gas.len() {
        let ready = |tx: usize| -> Option<u64> {
            let mut done = graph[tx].iter().map(|(earlier, _)| finish[*earlier]);
            done.try_fold(0, |latest, finish| Some(latest.max(finish?)))
        };
        let core = (0..cores).min_by_key(|core| free[*core]).unwrap_or(0);
        let waiting = (0..gas.len()).filter(|tx| finish[*tx].is_none());
        let next = waiting.filter_map(|tx| Some((ready(tx)?, tx)));
        let start = |ready: u64| ready.max(free[core]);
        let next = next.min_by_key(|(ready, tx)| (start(*ready), core::cmp::Reverse(ahead[*tx])));
        let Some((ready, tx)) = next else { break };
        free[core] = start(ready) + gas[tx];
        finish[tx] = Some(free[core]);
    }
    free.into_iter().max().unwrap_or(0)
}
