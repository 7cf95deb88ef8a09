//! What `forewave stats` reports: the figures of a block, or of many together.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use forewave_scheduler::HazardCounts;
use serde::Serialize;

use crate::{measure::TxClass, report::BlockHeading};

/// What orders transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhatIf {
    /// Every change of a balance is a read and a write, but for fees.
    CreditsOrdered,
    /// What does order them: credits that nothing looks at commute.
    AsItIs,
    /// Nonces of senders order nothing.
    NoncesIgnored,
    /// The same, and payments of senders that can afford all their transactions do not either.
    PaymentsIgnored,
    /// The storage, balance and code of the one contract without which most is gained.
    WithoutWorst,
}

impl WhatIf {
    /// All of them, from most order to least but for the last.
    pub const ALL: [Self; 5] = [
        Self::CreditsOrdered,
        Self::AsItIs,
        Self::NoncesIgnored,
        Self::PaymentsIgnored,
        Self::WithoutWorst,
    ];
}

/// The transactions of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassShare {
    /// How many.
    pub txs: usize,
    /// Their gas.
    pub gas: u64,
}

/// A contract where transactions meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HotContract {
    /// The contract.
    pub address: Address,
    /// What it is called, or the function that transactions mostly call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hazards at its storage and code, and at its balance where it sends no transaction itself.
    pub hazards: HazardCounts,
    /// Gas on the heaviest path that waits for something of it. What waits for several
    /// contracts at once counts for each.
    pub path_gas: u64,
    /// How much shorter the span would be without it, in gas.
    pub saved: u64,
}

/// A slot where transactions meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HotSlot {
    /// The contract.
    pub address: Address,
    /// What it is called, or the function that transactions mostly call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The slot's key.
    pub slot: U256,
    /// Hazards at it.
    pub hazards: HazardCounts,
}

/// What orders transactions, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WhatIfReport {
    /// What orders them.
    pub rule: WhatIf,
    /// Gas of the heaviest path.
    pub span: u64,
    /// Work over span.
    pub parallelism: f64,
}

/// The figures of a [`Tally`](super::Tally).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatsReport {
    /// Blocks.
    pub blocks: usize,
    /// Transactions.
    pub txs: usize,
    /// Gas of all transactions.
    pub work: u64,
    /// Gas of the heaviest path; of several blocks, their sum.
    pub span: u64,
    /// Work over span.
    pub parallelism: f64,
    /// Hazards by kind.
    pub hazards: HazardCounts,
    /// Transactions and gas by class.
    pub classes: BTreeMap<TxClass, ClassShare>,
    /// Gas on the heaviest path that waits for the sender's own nonce or balance.
    pub path_gas_of_senders: u64,
    /// The contracts where most transactions wait for others.
    pub contracts: Vec<HotContract>,
    /// The contracts by what they cost on the heaviest path.
    pub path: Vec<HotContract>,
    /// The slots where most transactions wait for others.
    pub slots: Vec<HotSlot>,
    /// What would be left of the span if less ordered transactions, or more.
    pub what_if: Vec<WhatIfReport>,
}

/// `forewave stats --json`: one object for each block.
#[derive(Clone, Debug, Serialize)]
pub struct BlockStatsReport {
    /// Which block.
    #[serde(flatten)]
    pub heading: BlockHeading,
    /// The most transactions in one wave.
    pub width: usize,
    /// Waves.
    pub waves: usize,
    /// The figures.
    pub stats: StatsReport,
}
