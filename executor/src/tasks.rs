//! Graph or schedule -> the tasks of a run: what waits for what, in which order
//! ready tasks are taken, and how many at a time.
//!
//! A task is a transaction, and has its index as its number. Four forms: the
//! graph as dataflow, heaviest remaining path first; the waves of a schedule;
//! block order with nothing known; block order with what waits for what
//! published while others run. Immutable; the counters are the flow's, and so is
//! what is published.

use core::cmp::Reverse;

use forewave_analyzer::{Block, TxIndex};
use forewave_scheduler::{Chain, ConflictGraph, Schedule};
use revm::{context::TxEnv, primitives::TxKind};

/// What a plain transfer costs, in nanoseconds.
const TRANSFER_NS: u64 = 200;

/// What every other transaction costs around its code, in nanoseconds.
const TRANSACTION_NS: u64 = 1_500;

/// Gas that every transaction pays whatever it does.
const INTRINSIC_GAS: u64 = 21_000;

/// What gas beyond the intrinsic costs: nanoseconds for each thousand.
const NS_PER_KILOGAS: u64 = 400;

/// The work that a thread claims at once, at least, in nanoseconds: lighter
/// tasks are claimed several at a time, because claiming costs time as well.
const PORTION_NS_MIN: u64 = 4_000;

/// Paths that differ by less than the work of a block over this are as good as
/// equally heavy: of them the lower transaction goes first, because what runs
/// far from its turn is settled late and out of the caches.
const PATH_STEPS: u64 = 48;

/// In how many portions a thread gets its part of a block, at least.
const PORTIONS_PER_THREAD: u64 = 128;

/// The window that a run without predictions begins with, per thread.
const WINDOW_PER_THREAD: usize = 4;

/// The widest window after something predicted was done in vain, per thread.
const WINDOW_AFTER_MISS_PER_THREAD: usize = 64;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Tasks {
    /// By rank.
    order: Order,
    /// In nanoseconds.
    weights: Vec<u64>,
    waits: Waits,
    work: u64,
    span: u64,
    portion: u64,
    window: usize,
    lead: usize,
    /// `None` where the window stays as it is.
    window_after_miss: Option<usize>,
}

/// What a finished task lets others do.
#[derive(Debug)]
pub(crate) enum Unlock<'a> {
    /// These wait for one task less.
    Successors(&'a [u32]),
    /// This one is ready.
    Next(u32),
    /// Once all of wave `own` are finished, `next` are ready.
    Wave { own: usize, next: &'a [u32] },
    /// Those that were published as waiting for it.
    Followers,
}

#[derive(Debug)]
enum Order {
    Block,
    Ranked { order: Vec<u32>, rank: Vec<u32> },
}

#[derive(Debug)]
enum Waits {
    /// What will be published, of so many tasks.
    Published { len: usize },
    /// Successors of each task, in one list.
    Edges { waiting: Vec<u32>, starts: Vec<u32>, successors: Vec<u32> },
    /// Of each task its wave, and the chain's next task; the first tasks of the waves' chains.
    Waves { wave: Vec<u32>, next: Vec<Option<u32>>, heads: Vec<Vec<u32>> },
}

impl Tasks {
    /// Dataflow: a task waits for those that it needs (RAW).
    pub(crate) fn dataflow(block: &Block, graph: &ConflictGraph, threads: usize) -> Self {
        let pairs = || {
            graph
                .transactions()
                .flat_map(|tx| graph.successors(tx).map(move |later| (tx.index(), later.index())))
        };
        let weights = weights(block, graph);
        let waits = edges(graph.len(), pairs);
        let (order, span) = by_remaining_weight(&weights, graph);
        Self { span, ..Self::ranked(order, weights, waits, threads) }
    }

    /// Waves: a task waits for all of the wave before.
    pub(crate) fn waves(
        block: &Block,
        graph: &ConflictGraph,
        schedule: &Schedule,
        threads: usize,
    ) -> Self {
        let len = graph.len();
        let (mut wave_of, mut next) = (vec![0; len], vec![None; len]);
        let mut heads = Vec::with_capacity(schedule.waves().len());
        let mut order = Vec::with_capacity(len);
        for (index, wave) in schedule.waves().iter().enumerate() {
            for tx in wave.transactions() {
                wave_of[tx.index()] = narrow(index);
                order.push(narrow(tx.index()));
            }
            let chains = wave.chains().iter().map(Chain::transactions);
            for pair in chains.clone().flat_map(|chain| chain.windows(2)) {
                next[pair[0].index()] = Some(narrow(pair[1].index()));
            }
            heads.push(chains.filter_map(|chain| Some(narrow(chain.first()?.index()))).collect());
        }
        let weights = weights(block, graph);
        // A wave may hold what lies far ahead of a transaction in the next: with a
        // window, neither of the two could run.
        let waits = Waits::Waves { wave: wave_of, next, heads };
        Self { window_after_miss: None, ..Self::ranked(order, weights, waits, threads) }
    }

    /// Block order, where each task waits for one earlier task at most.
    pub(crate) fn block_order(
        block: &Block,
        threads: usize,
        earlier: impl Fn(TxIndex) -> Option<TxIndex>,
    ) -> Self {
        let window = threads * WINDOW_PER_THREAD;
        let weight = |tx: &TxEnv| if calls(tx) { PORTION_NS_MIN } else { TRANSFER_NS };
        let weights: Vec<u64> = block.transactions.iter().map(weight).collect();
        let later = || {
            let pair = |(tx, _): (TxIndex, _)| Some((earlier(tx)?.index(), tx.index()));
            block.indexed().filter_map(pair)
        };
        Self {
            waits: edges(weights.len(), later),
            work: weights.iter().sum(),
            weights,
            order: Order::Block,
            span: PORTION_NS_MIN,
            portion: PORTION_NS_MIN,
            window,
            lead: 0,
            window_after_miss: Some(window),
        }
    }

    /// Block order, with what waits for what to be published. A thread that has
    /// nothing to do may take what is not published, close to what is settled.
    pub(crate) fn published(block: &Block, threads: usize) -> Self {
        let weight = |tx: &TxEnv| weight(tx, tx.gas_limit);
        let weights: Vec<u64> = block.transactions.iter().map(weight).collect();
        let work = weights.iter().fold(0u64, |sum, &weight| sum.saturating_add(weight));
        Self {
            order: Order::Block,
            waits: Waits::Published { len: weights.len() },
            weights,
            work,
            span: 0,
            portion: portion(work, threads),
            window: usize::MAX,
            // One for each thread that does not publish.
            lead: threads.saturating_sub(1).max(1),
            window_after_miss: Some(threads * WINDOW_AFTER_MISS_PER_THREAD),
        }
    }

    fn ranked(order: Vec<u32>, weights: Vec<u64>, waits: Waits, threads: usize) -> Self {
        let mut rank = vec![0; order.len()];
        for (position, &task) in order.iter().enumerate() {
            rank[task as usize] = narrow(position);
        }
        let work = weights.iter().fold(0u64, |sum, &weight| sum.saturating_add(weight));
        Self {
            order: Order::Ranked { order, rank },
            weights,
            waits,
            work,
            span: work,
            portion: portion(work, threads),
            window: usize::MAX,
            lead: 0,
            window_after_miss: Some(threads * WINDOW_AFTER_MISS_PER_THREAD),
        }
    }

    /// The number of tasks.
    pub(crate) const fn len(&self) -> usize {
        match &self.waits {
            Waits::Published { len } => *len,
            Waits::Edges { waiting, .. } => waiting.len(),
            Waits::Waves { wave, .. } => wave.len(),
        }
    }

    /// Whether ranks are the tasks' own numbers.
    pub(crate) const fn is_in_block_order(&self) -> bool {
        matches!(self.order, Order::Block)
    }

    /// The task of a rank.
    pub(crate) fn at(&self, rank: usize) -> usize {
        match &self.order {
            Order::Block => rank,
            Order::Ranked { order, .. } => order[rank] as usize,
        }
    }

    /// The rank of a task: of those that are ready, the lowest is taken.
    pub(crate) fn rank(&self, task: usize) -> usize {
        match &self.order {
            Order::Block => task,
            Order::Ranked { rank, .. } => rank[task] as usize,
        }
    }

    /// How much work a task is, in nanoseconds.
    pub(crate) fn weight(&self, task: usize) -> u64 {
        self.weights[task]
    }

    /// How much work all tasks are together, in nanoseconds.
    pub(crate) const fn work(&self) -> u64 {
        self.work
    }

    /// How much work the heaviest path is, in nanoseconds; of dataflow alone is it known.
    pub(crate) const fn span(&self) -> u64 {
        self.span
    }

    /// How much work is claimed at once.
    pub(crate) const fn portion(&self) -> u64 {
        self.portion
    }

    /// The window that the run begins with.
    pub(crate) const fn window(&self) -> usize {
        self.window
    }

    /// How far beyond what is settled tasks may be taken that are not published.
    pub(crate) const fn lead(&self) -> usize {
        self.lead
    }

    /// Whether what waits for what is published while the tasks run.
    pub(crate) const fn are_published(&self) -> bool {
        matches!(self.waits, Waits::Published { .. })
    }

    /// The widest window once something was done in vain; `None` if it stays.
    pub(crate) const fn window_after_miss(&self) -> Option<usize> {
        self.window_after_miss
    }

    /// For each task, how many others it waits for by name; what is not published
    /// waits for that.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = u32> {
        let (waiting, unpublished): (&[u32], _) = match &self.waits {
            Waits::Edges { waiting, .. } => (waiting, 0),
            Waits::Published { len } => (&[], *len),
            Waits::Waves { .. } => (&[], 0),
        };
        waiting.iter().copied().chain(core::iter::repeat_n(1, unpublished))
    }

    /// The number of chains in each wave, where there are waves.
    pub(crate) fn wave_sizes(&self) -> impl Iterator<Item = usize> {
        let heads: &[Vec<u32>] = match &self.waits {
            Waits::Waves { heads, .. } => heads,
            Waits::Edges { .. } | Waits::Published { .. } => &[],
        };
        heads.iter().map(Vec::len)
    }

    /// The tasks that wait for nothing.
    pub(crate) fn first(&self) -> Vec<usize> {
        match &self.waits {
            Waits::Published { .. } => Vec::new(),
            Waits::Edges { waiting, .. } => {
                (0..waiting.len()).filter(|&task| waiting[task] == 0).collect()
            }
            Waits::Waves { heads, .. } => {
                heads.iter().take(1).flatten().map(|&task| task as usize).collect()
            }
        }
    }

    /// What is let loose by a task that has finished.
    pub(crate) fn after(&self, task: usize) -> Unlock<'_> {
        match &self.waits {
            Waits::Published { .. } => Unlock::Followers,
            Waits::Edges { starts, successors, .. } => {
                let range = starts[task] as usize..starts[task + 1] as usize;
                Unlock::Successors(&successors[range])
            }
            Waits::Waves { wave, next, heads } => {
                if let Some(next) = next[task] {
                    return Unlock::Next(next);
                }
                let own = wave[task] as usize;
                Unlock::Wave { own, next: heads.get(own + 1).map_or(&[], Vec::as_slice) }
            }
        }
    }
}

/// What each transaction is estimated to cost, in nanoseconds.
fn weights(block: &Block, graph: &ConflictGraph) -> Vec<u64> {
    let weight = |tx: TxIndex| weight(&block.transactions[tx.index()], graph.gas(tx));
    graph.transactions().map(weight).collect()
}

/// Pairs of an earlier task and a later one that waits for it, as what waits.
fn edges<I: Iterator<Item = (usize, usize)>>(len: usize, pairs: impl Fn() -> I) -> Waits {
    let (mut waiting, mut starts) = (vec![0; len], vec![0; len + 1]);
    for (earlier, later) in pairs() {
        waiting[later] += 1;
        starts[earlier + 1] += 1;
    }
    for task in 0..len {
        starts[task + 1] += starts[task];
    }
    let mut free = starts.clone();
    let mut successors = vec![0; starts[len] as usize];
    for (earlier, later) in pairs() {
        successors[free[earlier] as usize] = narrow(later);
        free[earlier] += 1;
    }
    Waits::Edges { waiting, starts, successors }
}

/// Whether a transaction calls with data, or creates. Few others run any code.
pub(crate) fn calls(tx: &TxEnv) -> bool {
    tx.kind == TxKind::Create || !tx.data.is_empty()
}

/// What a transaction that uses so much gas is estimated to cost, in nanoseconds.
fn weight(tx: &TxEnv, gas: u64) -> u64 {
    let gas = gas.saturating_sub(INTRINSIC_GAS);
    if gas == 0 && !calls(tx) {
        return TRANSFER_NS;
    }
    TRANSACTION_NS.saturating_add(gas.saturating_mul(NS_PER_KILOGAS) / 1_000)
}

/// How much of so much work a thread claims at once.
fn portion(work: u64, threads: usize) -> u64 {
    (work / (PORTIONS_PER_THREAD * threads as u64)).max(PORTION_NS_MIN)
}

/// The tasks, those with the heaviest path after them first, by steps; and the
/// weight of the heaviest path of all.
fn by_remaining_weight(weights: &[u64], graph: &ConflictGraph) -> (Vec<u32>, u64) {
    let mut remaining = weights.to_vec();
    for tx in graph.transactions().rev() {
        let after = graph.successors(tx).map(|later| remaining[later.index()]).max();
        let own = &mut remaining[tx.index()];
        *own = own.saturating_add(after.unwrap_or(0));
    }
    let work = weights.iter().fold(0u64, |sum, &weight| sum.saturating_add(weight));
    let step = (work / PATH_STEPS).max(1);
    let mut order: Vec<u32> = (0..narrow(weights.len())).collect();
    order.sort_by_key(|&task| Reverse(remaining[task as usize] / step));
    (order, remaining.into_iter().max().unwrap_or(0))
}

fn narrow(position: usize) -> u32 {
    u32::try_from(position).expect("a block has fewer than 2^32 transactions and edges")
}

#[cfg(test)]
impl Tasks {
    /// Equal tasks with what waits for what: pairs of an earlier and a later one.
    pub(crate) fn with_edges(len: usize, edges: &[(u32, u32)], threads: usize) -> Self {
        let pairs = || edges.iter().map(|&(earlier, later)| (earlier as usize, later as usize));
        let waits = self::edges(len, pairs);
        Self::ranked((0..narrow(len)).rev().collect(), vec![1_000; len], waits, threads)
    }
}
