//! Conflict graph -> its hot spots: the places where most transactions meet.

use core::cmp::Reverse;

use forewave_analyzer::TxIndex;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::{Cause, ConflictGraph, Hazard};

/// How many hazards of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HazardCounts {
    /// Reads after writes.
    pub raw: usize,
    /// Writes after reads.
    pub war: usize,
    /// Writes after writes.
    pub waw: usize,
}

impl HazardCounts {
    /// Counts one more.
    pub const fn add(&mut self, hazard: Hazard) {
        match hazard {
            Hazard::Raw => self.raw += 1,
            Hazard::War => self.war += 1,
            Hazard::Waw => self.waw += 1,
        }
    }

    /// All of them.
    pub const fn total(&self) -> usize {
        self.raw + self.war + self.waw
    }
}

/// One place where transactions conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotSpot {
    /// The place.
    pub cause: Cause,
    /// Who conflicts there, ascending.
    pub transactions: Vec<TxIndex>,
    /// How often, by pairs of transactions.
    pub hazards: HazardCounts,
}

/// Every place where transactions conflict: first those with most RAW hazards,
/// then with most hazards at all, then with most transactions.
pub fn hot_spots(graph: &ConflictGraph) -> Vec<HotSpot> {
    let mut positions: HashMap<Cause, usize> = HashMap::new();
    let mut spots: Vec<HotSpot> = Vec::new();
    for edge in graph.edges() {
        for (hazard, cause) in edge.hazards() {
            let position = *positions.entry(cause).or_insert(spots.len());
            if position == spots.len() {
                let hazards = HazardCounts::default();
                spots.push(HotSpot { cause, transactions: Vec::new(), hazards });
            }
            spots[position].transactions.extend([edge.from, edge.to]);
            spots[position].hazards.add(hazard);
        }
    }
    for spot in &mut spots {
        spot.transactions.sort_unstable();
        spot.transactions.dedup();
    }
    spots.sort_unstable_by_key(|spot| {
        let HazardCounts { raw, .. } = spot.hazards;
        (Reverse((raw, spot.hazards.total(), spot.transactions.len())), spot.cause)
    });
    spots
}
