//! Schedule against graph: what every schedule must hold.
//!
//! Independent of how schedules are made: a schedule that was read from a file goes
//! through here before it is one, and every schedule before it is run, since it may
//! have been made for another block.

use core::cmp::Reverse;

use forewave_analyzer::TxIndex;

use crate::{
    ConflictGraph, Schedule, WaveIndex,
    schedule::{remaining_gas, work},
};

/// What is wrong with a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A wave, or a chain of it, holds nothing.
    #[error("{0} has nothing to run, or a chain that has nothing")]
    Empty(WaveIndex),
    /// The block has no such transaction.
    #[error("{0} is not in the block")]
    Unknown(TxIndex),
    /// A transaction would run twice.
    #[error("{0} is scheduled more than once")]
    Repeated(TxIndex),
    /// A transaction would not run.
    #[error("{0} is not scheduled")]
    Missing(TxIndex),
    /// A transaction would run before, or beside, one that it needs.
    #[error("{later} needs {earlier} but is not scheduled after it")]
    Order {
        /// The one that is needed.
        earlier: TxIndex,
        /// The one that needs it.
        later: TxIndex,
    },
    /// The chains of a wave are not heaviest first, ties by index.
    #[error("the chains of {0} are not in order of gas")]
    Unsorted(WaveIndex),
    /// The gas of a chain is not that of its transactions.
    #[error("the chain of {0} does not hold the gas of its transactions")]
    ChainGas(TxIndex),
    /// Work or span is not that of the graph.
    #[error("work and span are {expected_work} and {expected_span}, not {work} and {span}")]
    Figures {
        /// Work that the schedule states.
        work: u64,
        /// Span that the schedule states.
        span: u64,
        /// Work of the graph.
        expected_work: u64,
        /// Span of the graph.
        expected_span: u64,
    },
}

/// Where a transaction runs: wave, chain, position in the chain.
type Position = (usize, usize, usize);

/// Checks that the schedule partitions the block, keeps every RAW edge inside
/// a chain or between waves, and states the graph's figures.
pub fn verify(schedule: &Schedule, graph: &ConflictGraph) -> Result<(), ScheduleError> {
    let positions = positions(schedule, graph)?;
    for earlier in graph.transactions() {
        let (wave, chain, position) = positions[earlier.index()];
        let is_after = |later: &TxIndex| {
            let at = positions[later.index()];
            wave < at.0 || (wave, chain) == (at.0, at.1) && position < at.2
        };
        if let Some(later) = graph.successors(earlier).find(|later| !is_after(later)) {
            return Err(ScheduleError::Order { earlier, later });
        }
    }
    for (index, wave) in schedule.indexed_waves() {
        let key = |chain: &crate::Chain| (Reverse(chain.gas()), chain.first());
        if !wave.chains().is_sorted_by_key(key) {
            return Err(ScheduleError::Unsorted(index));
        }
        for chain in wave.chains() {
            let gas = chain.transactions().iter().map(|&tx| graph.gas(tx));
            if chain.gas() != gas.fold(0, u64::saturating_add) {
                return Err(ScheduleError::ChainGas(chain.first()));
            }
        }
    }
    verify_figures(schedule, graph)
}

/// Where each transaction runs, if each runs exactly once.
fn positions(schedule: &Schedule, graph: &ConflictGraph) -> Result<Vec<Position>, ScheduleError> {
    let mut positions: Vec<Option<Position>> = vec![None; graph.len()];
    for (index, wave) in schedule.indexed_waves() {
        if wave.chains().is_empty() || wave.chains().iter().any(|it| it.transactions().is_empty()) {
            return Err(ScheduleError::Empty(index));
        }
        for (chain_position, chain) in wave.chains().iter().enumerate() {
            for (position, &tx) in chain.transactions().iter().enumerate() {
                let slot = positions.get_mut(tx.index()).ok_or(ScheduleError::Unknown(tx))?;
                if slot.replace((index.index(), chain_position, position)).is_some() {
                    return Err(ScheduleError::Repeated(tx));
                }
            }
        }
    }
    let with_index = positions.into_iter().zip(graph.transactions());
    with_index.map(|(position, tx)| position.ok_or(ScheduleError::Missing(tx))).collect()
}

fn verify_figures(schedule: &Schedule, graph: &ConflictGraph) -> Result<(), ScheduleError> {
    let (work, span) = (schedule.work(), schedule.span());
    let expected_work = self::work(graph);
    let expected_span = remaining_gas(graph).into_iter().max().unwrap_or(0);
    if (work, span) == (expected_work, expected_span) {
        Ok(())
    } else {
        Err(ScheduleError::Figures { work, span, expected_work, expected_span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StatedSchedule, notation::block, schedule};

    #[test]
    fn each_defect_of_a_schedule_is_named() {
        let graph = ConflictGraph::new(&block("Wa #5 | Ra #5 | Ra #6 | Wb #6"));
        let good = schedule(&graph);
        assert_eq!(verify(&good, &graph), Ok(()));
        let json = serde_json::to_string(&good).unwrap();
        let stated: StatedSchedule = serde_json::from_str(&json).unwrap();
        assert_eq!(stated.verified(&graph), Ok(good));
        let tx = TxIndex::new;
        let wave = WaveIndex::new;
        let chain = |list: &str, gas: u64| format!(r#"{{"transactions":[{list}],"gas":{gas}}}"#);
        let (zero, one, two) = (chain("0", 5), chain("1", 5), chain("2", 6));
        let three = chain("3", 6);
        let order =
            |earlier, later| ScheduleError::Order { earlier: tx(earlier), later: tx(later) };
        for (waves, defect) in [
            (vec![vec![&three, &zero], vec![&two]], ScheduleError::Missing(tx(1))),
            (
                vec![vec![&three, &zero], vec![&two, &one], vec![&one]],
                ScheduleError::Repeated(tx(1)),
            ),
            (vec![vec![&three, &zero], vec![&chain("4", 6)]], ScheduleError::Unknown(tx(4))),
            (vec![vec![&three, &zero], vec![&two, &one], vec![]], ScheduleError::Empty(wave(2))),
            (vec![vec![&three, &zero, &chain("", 0)]], ScheduleError::Empty(wave(0))),
            (vec![vec![&two, &three, &zero], vec![&one]], order(0, 2)),
            (vec![vec![&two, &three], vec![&chain("1,0", 10)]], order(0, 1)),
            (vec![vec![&zero, &three], vec![&two, &one]], ScheduleError::Unsorted(wave(0))),
            (vec![vec![&three, &zero], vec![&chain("2", 7), &one]], ScheduleError::ChainGas(tx(2))),
        ] {
            let waves = waves.iter().map(|chains| {
                let chains = chains.iter().map(|chain| chain.as_str()).collect::<Vec<_>>();
                format!(r#"{{"chains":[{}]}}"#, chains.join(","))
            });
            let waves = waves.collect::<Vec<_>>().join(",");
            let json = format!(r#"{{"waves":[{waves}],"work":22,"span":11}}"#);
            let stated: StatedSchedule = serde_json::from_str(&json).unwrap();
            assert_eq!(stated.verified(&graph), Err(defect), "{json}");
        }
    }

    #[test]
    fn figures_of_another_graph_are_found() {
        let [one, other] = ["#5", "#6"].map(|gas| ConflictGraph::new(&block(&format!("Wa {gas}"))));
        let json = serde_json::to_string(&schedule(&one)).unwrap();
        let json = json.replace(r#""gas":5"#, r#""gas":6"#);
        let stated: StatedSchedule = serde_json::from_str(&json).unwrap();
        let figures =
            ScheduleError::Figures { work: 5, span: 5, expected_work: 6, expected_span: 6 };
        assert_eq!(stated.verified(&other), Err(figures));
    }
}
