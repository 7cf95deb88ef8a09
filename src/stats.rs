//! Blocks to what orders their transactions, and what would if less did: parallelism, hazards,
//! the contracts and slots where transactions meet, what the heaviest path waits for.
//! `forewave stats` prints it, as text, JSON, CSV or a plot.
//!
//! Blocks are observed, not predicted: the figures do not depend on a predictor.

mod finish;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, TxKind, U256};
use forewave_analyzer::{Location, PredictedAccess, StateError};
use forewave_executor::{ExecutionError, observe};
use forewave_scheduler::{Cause, ConflictGraph, HazardCounts, hot_spots, schedule};
use revm::{DatabaseRef, context::Transaction};

use self::finish::{Finish, Observed, Rule};
pub use self::report::{
    BlockStatsReport, ClassShare, HotContract, HotSlot, StatsReport, WhatIf, WhatIfReport,
};
use crate::{input::BlockInput, measure::TxClass, report::BlockHeading, selectors::Selectors};

/// What is counted, of one block or of many together.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    blocks: usize,
    txs: usize,
    work: u64,
    /// Gas of the heaviest path by what orders transactions; without one contract, it is
    /// less by what that saves.
    spans: BTreeMap<WhatIf, u64>,
    hazards: HazardCounts,
    classes: BTreeMap<TxClass, ClassShare>,
    contracts: BTreeMap<Address, ContractTally>,
    slots: BTreeMap<(Address, U256), HazardCounts>,
    /// Gas on the heaviest paths that waits for the sender's own nonce or balance.
    path_gas_of_senders: u64,
}

#[derive(Clone, Debug, Default)]
struct ContractTally {
    hazards: HazardCounts,
    /// Gas on the heaviest paths that waits for something of it.
    path_gas: u64,
    /// What the spans would be less without it.
    saved: u64,
    /// How often transactions call which function of it.
    calls: BTreeMap<u32, usize>,
}

/// One block.
#[derive(Clone, Debug)]
pub struct BlockStats {
    /// Which block.
    pub block: BlockHeading,
    /// The most transactions in one wave.
    pub width: usize,
    /// Waves.
    pub waves: usize,
    /// What is counted.
    pub tally: Tally,
}

impl BlockStats {
    /// The figures of a block that is loaded, from a sequential run.
    pub fn new(
        block: BlockHeading,
        input: &BlockInput,
    ) -> Result<Self, ExecutionError<StateError>> {
        let state = &input.state;
        let observation = observe(&input.block, state)?;
        let classes =
            TxClass::of_block(&input.block, state).map_err(ExecutionError::SystemState)?;
        let gas: Vec<u64> = observation.outcome.receipts.iter().map(|it| it.gas_used).collect();
        let predictions: Vec<PredictedAccess> = observation
            .accesses
            .iter()
            .zip(&gas)
            .map(|(access, gas)| PredictedAccess::exact(access.0.clone(), *gas))
            .collect();
        let graph = ConflictGraph::new(&predictions);
        let schedule = schedule(&graph);
        let mut tally =
            Tally { blocks: 1, txs: gas.len(), work: gas.iter().sum(), ..Tally::default() };
        for (class, gas) in classes.into_iter().zip(&gas) {
            let share = tally.classes.entry(class).or_default();
            share.txs += 1;
            share.gas += gas;
        }
        let senders = input.block.transactions.iter().map(|tx| tx.caller).collect();
        tally.add_hazards(&graph, &senders);
        for tx in &input.block.transactions {
            let (TxKind::Call(to), Some(selector)) = (tx.kind, tx.data.first_chunk::<4>()) else {
                continue;
            };
            if let Some(contract) = tally.contracts.get_mut(&to) {
                *contract.calls.entry(u32::from_be_bytes(*selector)).or_default() += 1;
            }
        }
        let rich = rich_senders(input).map_err(ExecutionError::SystemState)?;
        tally.add_paths(&Observed {
            block: &input.block,
            accesses: &observation.accesses,
            gas: &gas,
            rich: &rich,
            payers_seen: &observation.payers_seen,
        });
        Ok(Self { block, width: schedule.width(), waves: schedule.len(), tally })
    }

    /// The figures, with so many contracts and slots.
    pub fn report(&self, top: usize, selectors: &Selectors) -> BlockStatsReport {
        BlockStatsReport {
            heading: self.block.clone(),
            width: self.width,
            waves: self.waves,
            stats: self.tally.report(top, selectors),
        }
    }
}

/// Senders whose balance before the block covers the most that all their transactions may cost.
fn rich_senders(input: &BlockInput) -> Result<BTreeSet<Address>, StateError> {
    let mut costs: BTreeMap<Address, U256> = BTreeMap::new();
    for tx in &input.block.transactions {
        let gas = U256::from(tx.gas_limit).saturating_mul(U256::from(tx.gas_price));
        let blobs =
            U256::from(tx.total_blob_gas()).saturating_mul(U256::from(tx.max_fee_per_blob_gas));
        let cost = costs.entry(tx.caller).or_default();
        *cost = cost.saturating_add(gas).saturating_add(blobs).saturating_add(tx.value);
    }
    let mut rich = BTreeSet::new();
    for (sender, cost) in costs {
        if input.state.basic_ref(sender)?.is_some_and(|info| info.balance >= cost) {
            rich.insert(sender);
        }
    }
    Ok(rich)
}

impl Tally {
    /// Where transactions meet: at a slot, at code, at a balance that is no sender's.
    fn add_hazards(&mut self, graph: &ConflictGraph, senders: &BTreeSet<Address>) {
        for spot in hot_spots(graph) {
            let Cause::Location(id) = spot.cause else { continue };
            let location = graph.accesses().location(id);
            add(&mut self.hazards, spot.hazards);
            let is_of_contract = match location {
                Location::Storage(address, slot) => {
                    add(self.slots.entry((address, slot)).or_default(), spot.hazards);
                    true
                }
                Location::Balance(address) => !senders.contains(&address),
                Location::Code(_) => true,
                // A nonce is a sender's, or comes with creating.
                Location::Nonce(_) => false,
            };
            if is_of_contract {
                let contract = self.contracts.entry(location.address()).or_default();
                add(&mut contract.hazards, spot.hazards);
            }
        }
    }

    /// What the heaviest path waits for, and how long it is under every rule.
    fn add_paths(&mut self, observed: &Observed<'_>) {
        let as_it_is = Finish::new(observed, Rule::AsItIs);
        let span = as_it_is.span();
        let mut on_path = BTreeSet::new();
        for step in as_it_is.heaviest_path() {
            let mut waits_for = BTreeSet::new();
            for place in &step.places {
                match place {
                    finish::Place::Sender => self.path_gas_of_senders += step.gas,
                    finish::Place::Of(address) => drop(waits_for.insert(*address)),
                }
            }
            for address in waits_for {
                self.contracts.entry(address).or_default().path_gas += step.gas;
                on_path.insert(address);
            }
        }
        // What is not on the path does not make it shorter.
        for address in on_path {
            let left = Finish::new(observed, Rule::Without(address)).span();
            self.contracts.entry(address).or_default().saved += span - left;
        }
        for (what_if, span) in [
            (WhatIf::CreditsOrdered, Finish::new(observed, Rule::CreditsOrdered).span()),
            (WhatIf::AsItIs, span),
            (WhatIf::NoncesIgnored, Finish::new(observed, Rule::NoncesIgnored).span()),
            (WhatIf::PaymentsIgnored, Finish::new(observed, Rule::PaymentsIgnored).span()),
        ] {
            self.spans.insert(what_if, span);
        }
    }

    /// Adds what another counts.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.txs += other.txs;
        self.work += other.work;
        self.path_gas_of_senders += other.path_gas_of_senders;
        add(&mut self.hazards, other.hazards);
        for (rule, span) in &other.spans {
            *self.spans.entry(*rule).or_default() += span;
        }
        for (class, share) in &other.classes {
            let all = self.classes.entry(*class).or_default();
            all.txs += share.txs;
            all.gas += share.gas;
        }
        for (slot, hazards) in &other.slots {
            add(self.slots.entry(*slot).or_default(), *hazards);
        }
        for (address, contract) in &other.contracts {
            let all = self.contracts.entry(*address).or_default();
            add(&mut all.hazards, contract.hazards);
            all.path_gas += contract.path_gas;
            all.saved += contract.saved;
            for (selector, count) in &contract.calls {
                *all.calls.entry(*selector).or_default() += count;
            }
        }
    }

    fn span(&self, rule: WhatIf) -> u64 {
        // Over several blocks it is one contract that is left out, the same in all of them.
        if rule == WhatIf::WithoutWorst {
            let saved = self.contracts.values().map(|contract| contract.saved).max();
            return self.span(WhatIf::AsItIs) - saved.unwrap_or_default();
        }
        self.spans.get(&rule).copied().unwrap_or_default()
    }

    /// Work over span under a rule; one where there is no work.
    pub fn parallelism(&self, rule: WhatIf) -> f64 {
        let span = self.span(rule);
        if span == 0 { 1.0 } else { self.work as f64 / span as f64 }
    }

    /// The figures, with so many contracts and slots.
    pub fn report(&self, top: usize, selectors: &Selectors) -> StatsReport {
        let contract = |(address, tally): (&Address, &ContractTally)| HotContract {
            address: *address,
            name: name(*address, &tally.calls, selectors),
            hazards: tally.hazards,
            path_gas: tally.path_gas,
            saved: tally.saved,
        };
        let by = |rank: &dyn Fn(&ContractTally) -> (u64, u64)| {
            let mut ranked: Vec<_> =
                self.contracts.iter().filter(|(_, tally)| rank(tally).0 > 0).collect();
            ranked.sort_by_key(|(address, tally)| (core::cmp::Reverse(rank(tally)), **address));
            ranked.into_iter().take(top).map(contract).collect()
        };
        let mut slots: Vec<_> = self.slots.iter().filter(|(_, hazards)| hazards.raw > 0).collect();
        slots.sort_by_key(|(slot, hazards)| {
            (core::cmp::Reverse((hazards.raw, hazards.total())), **slot)
        });
        let slot = |((address, slot), hazards): (&(Address, U256), &HazardCounts)| HotSlot {
            address: *address,
            name: self.contracts.get(address).and_then(|it| name(*address, &it.calls, selectors)),
            slot: *slot,
            hazards: *hazards,
        };
        StatsReport {
            blocks: self.blocks,
            txs: self.txs,
            work: self.work,
            span: self.span(WhatIf::AsItIs),
            parallelism: self.parallelism(WhatIf::AsItIs),
            hazards: self.hazards,
            classes: self.classes.clone(),
            path_gas_of_senders: self.path_gas_of_senders,
            contracts: by(&|it| (it.hazards.raw as u64, it.hazards.total() as u64)),
            path: by(&|it| (it.path_gas, it.saved)),
            slots: slots.into_iter().take(top).map(slot).collect(),
            what_if: WhatIf::ALL
                .map(|rule| WhatIfReport {
                    rule,
                    span: self.span(rule),
                    parallelism: self.parallelism(rule),
                })
                .into(),
        }
    }
}

/// What a contract is called: by the function that transactions mostly call there.
fn name(_: Address, calls: &BTreeMap<u32, usize>, selectors: &Selectors) -> Option<String> {
    let (selector, _) =
        calls.iter().max_by_key(|(selector, count)| (**count, core::cmp::Reverse(**selector)))?;
    selectors.name(*selector).map(str::to_owned)
}

fn add(to: &mut HazardCounts, more: HazardCounts) {
    to.raw += more.raw;
    to.war += more.war;
    to.waw += more.waw;
}
