//! Which transactions of a block touch what, as observed: a list names changes by their index, and of
//! reads nothing but that they are.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use forewave_analyzer::{Location, TxIndex};
use forewave_executor::Observation;

use super::{EntryAt, ListFault};

/// The transactions that touch each account and each location, in block order.
#[derive(Debug, Default)]
pub struct Touching {
    accounts: BTreeMap<Address, Vec<TxIndex>>,
    locations: BTreeMap<Location, Vec<TxIndex>>,
}

impl Touching {
    /// What an observation has.
    pub fn new(observation: &Observation) -> Self {
        let mut touching = Self::default();
        for (position, accesses) in observation.accesses.iter().enumerate() {
            let tx = TxIndex::new(position);
            for location in accesses.0.locations() {
                add(touching.accounts.entry(location.address()).or_default(), tx);
                add(touching.locations.entry(location).or_default(), tx);
            }
        }
        touching
    }

    /// The transactions that touch what a fault is about; none that is not about an account.
    pub fn transactions(&self, fault: &ListFault) -> &[TxIndex] {
        let found = match *fault {
            ListFault::Account { address, .. } => self.accounts.get(&address),
            ListFault::Entry { address, at, .. } => {
                let location = match at {
                    EntryAt::Balance(_) => Location::Balance(address),
                    EntryAt::Nonce(_) => Location::Nonce(address),
                    EntryAt::Code(_) => Location::Code(address),
                    EntryAt::Slot(slot, _) => Location::Storage(address, slot),
                };
                self.locations.get(&location)
            }
            ListFault::Shape(_) | ListFault::TooLarge { .. } | ListFault::Unaffordable { .. } => {
                None
            }
        };
        found.map_or(&[], Vec::as_slice)
    }
}

fn add(txs: &mut Vec<TxIndex>, tx: TxIndex) {
    if txs.last() != Some(&tx) {
        txs.push(tx);
    }
}
