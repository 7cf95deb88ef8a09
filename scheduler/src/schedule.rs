//! Conflict graph -> schedule: waves of chains that partition the block.
//!
//! Only RAW orders execution. Invariants, which [`verify`] checks: every
//! transaction is in exactly one chain; a transaction that needs another is
//! later in the same chain or in a later wave; no wave is empty; the chains of a
//! wave come heaviest first, ties by index; the figures are those of the graph.

use core::{cmp::Reverse, fmt};

use forewave_analyzer::TxIndex;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};

use crate::{
    ConflictGraph, ScheduleError, WaveIndex,
    balance::balance,
    chain::{Chains, levels},
    verify,
};

/// Transactions that run one after the other, as one task on one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Chain {
    transactions: Vec<TxIndex>,
    gas: u64,
}

impl Chain {
    /// The transactions, in the order in which they run: ascending. Never empty.
    pub fn transactions(&self) -> &[TxIndex] {
        &self.transactions
    }

    /// Estimated gas of all of them.
    pub const fn gas(&self) -> u64 {
        self.gas
    }

    pub(crate) fn push(&mut self, tx: TxIndex, gas: u64) {
        self.transactions.push(tx);
        self.gas = self.gas.saturating_add(gas);
    }

    pub(crate) fn first(&self) -> TxIndex {
        *self.transactions.first().expect("a chain is never empty")
    }

    pub(crate) fn last(&self) -> TxIndex {
        *self.transactions.last().expect("a chain is never empty")
    }
}

/// Chains that may all run at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wave {
    chains: Vec<Chain>,
}

impl Wave {
    /// The chains, heaviest first. Never empty.
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// Every transaction, chain by chain.
    pub fn transactions(&self) -> impl Iterator<Item = TxIndex> {
        self.chains.iter().flat_map(|chain| chain.transactions.iter().copied())
    }

    /// The number of transactions.
    pub fn len(&self) -> usize {
        self.chains.iter().map(|chain| chain.transactions.len()).sum()
    }

    /// Whether there is none. Never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimated gas of all chains.
    pub fn gas(&self) -> u64 {
        self.chains.iter().fold(0, |sum, chain| sum.saturating_add(chain.gas))
    }
}

/// How to run a block: waves one after the other, the chains of each at once.
///
/// It is made by [`schedule`], or out of a [`StatedSchedule`] once that is verified:
/// either way it holds what this module promises of the graph that it was made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    waves: Vec<Wave>,
    work: u64,
    span: u64,
}

/// A schedule from outside, read from a file or made by hand, with the fields of a
/// [`Schedule`]. It runs no block until it is [verified](Self::verified).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StatedSchedule {
    /// The waves, in the order in which they run.
    pub waves: Vec<StatedWave>,
    /// Gas of the whole block.
    pub work: u64,
    /// Gas of the heaviest path.
    pub span: u64,
}

/// A wave of a [`StatedSchedule`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StatedWave {
    /// The chains, heaviest first.
    pub chains: Vec<StatedChain>,
}

/// A chain of a [`StatedSchedule`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StatedChain {
    /// The transactions, in the order in which they run.
    pub transactions: Vec<TxIndex>,
    /// Gas of all of them.
    pub gas: u64,
}

impl StatedSchedule {
    /// The schedule, if it is one of this graph's.
    pub fn verified(self, graph: &ConflictGraph) -> Result<Schedule, ScheduleError> {
        let chain = |StatedChain { transactions, gas }| Chain { transactions, gas };
        let wave = |wave: StatedWave| Wave { chains: wave.chains.into_iter().map(chain).collect() };
        let waves = self.waves.into_iter().map(wave).collect();
        let schedule = Schedule { waves, work: self.work, span: self.span };
        verify(&schedule, graph)?;
        Ok(schedule)
    }
}

impl Schedule {
    /// The waves, in the order in which they run.
    pub fn waves(&self) -> &[Wave] {
        &self.waves
    }

    /// The waves with their names.
    pub fn indexed_waves(&self) -> impl Iterator<Item = (WaveIndex, &Wave)> {
        self.waves.iter().enumerate().map(|(position, wave)| (WaveIndex::new(position), wave))
    }

    /// The number of transactions.
    pub fn len(&self) -> usize {
        self.waves.iter().map(Wave::len).sum()
    }

    /// Whether there are no transactions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimated gas of the whole block.
    pub const fn work(&self) -> u64 {
        self.work
    }

    /// Estimated gas of the heaviest path through RAW edges.
    pub const fn span(&self) -> u64 {
        self.span
    }

    /// Work over span: the speed-up that no number of threads can pass. 1 for
    /// a block without gas.
    pub fn parallelism(&self) -> f64 {
        if self.span == 0 { 1.0 } else { self.work as f64 / self.span as f64 }
    }

    /// The most transactions that run at once: chains of the widest wave.
    pub fn width(&self) -> usize {
        self.waves.iter().map(|wave| wave.chains.len()).max().unwrap_or(0)
    }
}

/// Schedules a block.
pub fn schedule(graph: &ConflictGraph) -> Schedule {
    let chains = Chains::new(graph);
    let work = work(graph);
    let span = remaining_gas(graph).into_iter().max().unwrap_or(0);
    let mut waves = levels(graph, &chains);
    balance(graph, &chains, work.div_ceil(span.max(1)), &mut waves);
    let schedule = Schedule { waves: gather(chains.chains, &waves), work, span };
    debug_assert_eq!(verify(&schedule, graph), Ok(()));
    schedule
}

/// For each transaction, its gas and that of the heaviest path of RAW edges
/// after it: what a scheduler without barriers starts first.
pub fn remaining_gas(graph: &ConflictGraph) -> Vec<u64> {
    let mut remaining: Vec<u64> = graph.transactions().map(|tx| graph.gas(tx)).collect();
    for tx in graph.transactions().rev() {
        let after = graph.successors(tx).map(|later| remaining[later.index()]).max();
        let gas = &mut remaining[tx.index()];
        *gas = gas.saturating_add(after.unwrap_or(0));
    }
    remaining
}

/// Estimated gas of the whole block.
pub(crate) fn work(graph: &ConflictGraph) -> u64 {
    graph.transactions().fold(0, |sum, tx| sum.saturating_add(graph.gas(tx)))
}

/// Puts each chain into its wave, heaviest first.
fn gather(chains: Vec<Chain>, waves: &[u32]) -> Vec<Wave> {
    let count = waves.iter().max().map_or(0, |&last| last as usize + 1);
    let mut gathered = vec![Wave::default(); count];
    for (chain, &wave) in chains.into_iter().zip(waves) {
        gathered[wave as usize].chains.push(chain);
    }
    for wave in &mut gathered {
        wave.chains.sort_unstable_by_key(|chain| (Reverse(chain.gas), chain.first()));
    }
    gathered
}

/// One line of figures, then one line per wave: its chains, heaviest first,
/// each as its transactions with `>` between them.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "schedule: transactions {}, waves {}, work {}, span {}, parallelism {:.2}, width {}",
            self.len(),
            self.waves.len(),
            self.work,
            self.span,
            self.parallelism(),
            self.width(),
        )?;
        for (index, wave) in self.indexed_waves() {
            write!(f, "{index} gas {}:", wave.gas())?;
            for chain in &wave.chains {
                let mut separator = ' ';
                for tx in &chain.transactions {
                    write!(f, "{separator}{tx}")?;
                    separator = '>';
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The fields `waves`, `work`, `span`, `parallelism` and `width`; the last two
/// follow from the others and are left out when a [`StatedSchedule`] is read.
impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Schedule", 5)?;
        fields.serialize_field("waves", &self.waves)?;
        fields.serialize_field("work", &self.work)?;
        fields.serialize_field("span", &self.span)?;
        fields.serialize_field("parallelism", &self.parallelism())?;
        fields.serialize_field("width", &self.width())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notation::block;

    /// The waves of a block in short notation: `;` between waves, a space
    /// between chains, `>` inside.
    fn check(text: &str, expected: &str) {
        let schedule = schedule(&ConflictGraph::new(&block(text)));
        let waves = schedule.waves().iter().map(|wave| {
            let chains = wave.chains().iter().map(|chain| {
                let indices = chain.transactions().iter().map(|tx| tx.index().to_string());
                indices.collect::<Vec<_>>().join(">")
            });
            chains.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(waves.collect::<Vec<_>>().join("; "), expected, "{text}");
    }

    #[test]
    fn transactions_that_do_not_meet_are_one_wave_heaviest_first() {
        check("Wa #1 | Wb #3 | Wc #3 | Wd #2", "1 2 3 0");
    }

    #[test]
    fn only_raw_orders_execution() {
        check("Ra Wb Dc | Wa Wb Dc", "0 1");
        check("Wa | Ra", "0>1");
    }

    #[test]
    fn a_run_that_nothing_else_joins_is_one_chain() {
        check("Ra Wa | Wb | Ra Wa | Ra Wa", "0>2>3 1");
    }

    #[test]
    fn a_chain_ends_where_paths_part_or_meet() {
        check("Wa | Ra Wb | Ra Wc | Rb Rc Wd | Rd", "0; 1 2; 3>4");
    }

    #[test]
    fn a_chain_with_slack_moves_to_where_it_costs_nothing() {
        // Heaviest path 0, 2 or 3, gas 110; in the first wave tx1 would cost 90 more.
        check("Wa #10 | Wb #100 | Ra #100 | Ra #100", "0; 1 2 3");
        // Where it costs as much later, it stays.
        check("Wa #10 | Wb #10 | Ra #1 | Ra #1", "0 1; 2 3");
    }

    #[test]
    fn a_chain_never_moves_past_who_needs_it() {
        // Beside tx4, tx1 would cost nothing, but tx3 needs it.
        check("Wa #1 | Wb #9 | Ra #1 | Ra Rb Wc #1 | Rc Rb #9", "1 0; 2 3; 4");
    }

    #[test]
    fn figures_are_work_span_parallelism_and_width() {
        let text = "Wa #10 | Ra #20 | Ra #5 | Wb #15";
        let schedule = schedule(&ConflictGraph::new(&block(text)));
        assert_eq!((schedule.work(), schedule.span(), schedule.width()), (50, 30, 3));
        assert!((schedule.parallelism() - 5.0 / 3.0).abs() < 1e-9);
        assert_eq!(
            schedule.to_string(),
            "schedule: transactions 4, waves 2, work 50, span 30, parallelism 1.67, width 3\n\
             wave0 gas 10: tx0\n\
             wave1 gas 40: tx1 tx3 tx2\n",
        );
    }

    #[test]
    fn an_empty_block_has_an_empty_schedule() {
        let schedule = schedule(&ConflictGraph::new(&[]));
        assert_eq!((schedule.waves().len(), schedule.width(), schedule.work()), (0, 0, 0));
        assert!(schedule.is_empty() && (schedule.parallelism() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn gas_that_no_block_can_have_saturates() {
        let gas = u64::MAX;
        let text = format!("Wa #{gas} | Ra Wa #{gas} | Ra #{gas} | Ra #{gas} | Wb #{gas}");
        let schedule = schedule(&ConflictGraph::new(&block(&text)));
        assert_eq!((schedule.work(), schedule.span()), (gas, gas));
    }

    #[test]
    fn what_waits_for_a_transaction_counts_in_its_remaining_gas() {
        let graph = ConflictGraph::new(&block("Wa #1 | Ra Wb #2 | Ra #7 | Rb #4"));
        assert_eq!(remaining_gas(&graph), [8, 6, 7, 4]);
    }
}
