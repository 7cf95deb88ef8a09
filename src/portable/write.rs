//! A plan -> what comes after the header.
//!
//! Whatever is named more than once is in a table, sorted, and named by its number. Sorted numbers
//! are written as differences, all numbers in groups of seven bits.

use alloy_primitives::{Address, B256, U256};
use forewave_analyzer::{
    AccessKind, KeyOrigin, Location, PredictedAccess, Scope, WidenedAccess, WideningCause,
};
use forewave_scheduler::Schedule;

use crate::Plan;

/// Every widening cause, by its bit.
pub(super) const CAUSES: [WideningCause; 7] = [
    WideningCause::NotSummarized,
    WideningCause::GaveUp,
    WideningCause::Key,
    WideningCause::Target,
    WideningCause::Selector,
    WideningCause::Creation,
    WideningCause::Limit,
];

/// Flags of a prediction.
pub(super) const SEES_PAYER: u8 = 1;
pub(super) const HAS_DECIDING: u8 = 2;

/// Bits of an access: which sets a location is in, and of which only some runs make it.
pub(super) const KINDS: [(AccessKind, u8, u8); 3] =
    [(AccessKind::Read, 1, 8), (AccessKind::Write, 2, 16), (AccessKind::Delta, 4, 32)];

/// The origin of a key, as it is known.
pub(super) type Origin = (Address, U256, KeyOrigin);

/// What is named by number, each sorted.
#[derive(Default)]
struct Tables {
    addresses: Vec<Address>,
    words: Vec<U256>,
    locations: Vec<Location>,
    origins: Vec<Origin>,
}

pub(super) fn written(plan: &Plan, digest: B256) -> Vec<u8> {
    let tables = Tables::of(plan.predictions());
    let mut out = Out(digest.to_vec());
    tables.write(&mut out);
    out.number(plan.predictions().len() as u64);
    for prediction in plan.predictions() {
        tables.write_prediction(prediction, &mut out);
    }
    write_schedule(plan.schedule(), &mut out);
    out.0
}

impl Tables {
    fn of(predictions: &[PredictedAccess]) -> Self {
        let mut tables = Self::default();
        for prediction in predictions {
            let deciding = prediction.deciding_reads().unwrap_or_default();
            let values = prediction.values();
            tables.locations.extend(prediction.set().iter().map(|(_, location)| *location));
            tables.locations.extend(deciding.iter().copied());
            tables.locations.extend(values.iter().map(|(location, _)| *location));
            tables.words.extend(values.iter().map(|(_, value)| *value));
            tables.origins.extend(prediction.origins());
            for widened in prediction.widened() {
                match widened.scope {
                    Scope::Mapping { address, slot } => {
                        tables.addresses.push(address);
                        tables.words.push(slot);
                    }
                    Scope::Contract { address } => tables.addresses.push(address),
                    Scope::Everything => {}
                }
            }
        }
        sort(&mut tables.locations);
        sort(&mut tables.origins);
        for location in &tables.locations {
            tables.addresses.push(location.address());
            if let Location::Storage(_, key) = location {
                tables.words.push(*key);
            }
        }
        for (address, key, origin) in &tables.origins {
            tables.addresses.push(*address);
            tables.words.push(*key);
            if let KeyOrigin::Mapping(slot) = origin {
                tables.words.push(*slot);
            }
        }
        sort(&mut tables.addresses);
        sort(&mut tables.words);
        tables
    }

    fn write(&self, out: &mut Out) {
        out.number(self.addresses.len() as u64);
        self.addresses.iter().for_each(|address| out.0.extend(address));
        out.number(self.words.len() as u64);
        for word in &self.words {
            let bytes = word.to_be_bytes_trimmed_vec();
            out.number(bytes.len() as u64);
            out.0.extend(bytes);
        }
        out.number(self.locations.len() as u64);
        for location in &self.locations {
            let (kind, key) = match location {
                Location::Balance(_) => (0, None),
                Location::Nonce(_) => (1, None),
                Location::Code(_) => (2, None),
                Location::Storage(_, key) => (3, Some(*key)),
            };
            out.number(position(&self.addresses, &location.address()) << 2 | kind);
            if let Some(key) = key {
                out.number(position(&self.words, &key));
            }
        }
        out.number(self.origins.len() as u64);
        for (address, key, origin) in &self.origins {
            let (kind, slot) = match origin {
                KeyOrigin::Plain => (0, None),
                KeyOrigin::Mapping(slot) => (1, Some(*slot)),
            };
            out.number(position(&self.addresses, address) << 1 | kind);
            out.number(position(&self.words, key));
            if let Some(slot) = slot {
                out.number(position(&self.words, &slot));
            }
        }
    }

    fn write_prediction(&self, prediction: &PredictedAccess, out: &mut Out) {
        let deciding = prediction.deciding_reads();
        let payer = if prediction.sees_payer() { SEES_PAYER } else { 0 };
        let decides = if deciding.is_some() { HAS_DECIDING } else { 0 };
        out.0.push(payer | decides);
        let bits = CAUSES.iter().enumerate();
        let set = bits.filter(|(_, cause)| prediction.causes().contains(cause));
        out.0.push(set.fold(0, |bits, (bit, _)| bits | 1 << bit));
        out.number(prediction.gas());
        self.write_accesses(prediction, out);
        out.number(prediction.widened().len() as u64);
        for widened in prediction.widened() {
            self.write_widened(widened, out);
        }
        out.ascending(prediction.origins().iter().map(|origin| position(&self.origins, origin)));
        if let Some(deciding) = deciding {
            out.ascending(deciding.iter().map(|location| position(&self.locations, location)));
        }
        let values = prediction.values();
        out.ascending(values.iter().map(|(location, _)| position(&self.locations, location)));
        for (_, value) in values {
            out.number(position(&self.words, value));
        }
    }

    /// The accesses, by location.
    fn write_accesses(&self, prediction: &PredictedAccess, out: &mut Out) {
        let mut accesses: Vec<(u64, u8)> = prediction
            .accesses()
            .map(|(kind, location, is_sure)| {
                let (_, bit, may) = KINDS[kind as usize];
                (position(&self.locations, location), if is_sure { bit } else { bit | may })
            })
            .collect();
        accesses.sort_unstable();
        accesses.dedup_by(|later, first| {
            let is_same = later.0 == first.0;
            first.1 |= if is_same { later.1 } else { 0 };
            is_same
        });
        out.ascending(accesses.iter().map(|(location, _)| *location));
        out.0.extend(accesses.iter().map(|(_, bits)| bits));
    }

    fn write_widened(&self, widened: &WidenedAccess, out: &mut Out) {
        let is_write = u8::from(widened.kind == AccessKind::Write);
        match widened.scope {
            Scope::Everything => out.0.push(is_write),
            Scope::Contract { address } => {
                out.0.push(2 | is_write);
                out.number(position(&self.addresses, &address));
            }
            Scope::Mapping { address, slot } => {
                out.0.push(4 | is_write);
                out.number(position(&self.addresses, &address));
                out.number(position(&self.words, &slot));
            }
        }
    }
}

fn write_schedule(schedule: &Schedule, out: &mut Out) {
    out.number(schedule.waves().len() as u64);
    for wave in schedule.waves() {
        out.number(wave.chains().len() as u64);
        for chain in wave.chains() {
            out.ascending(chain.transactions().iter().map(|tx| tx.index() as u64));
        }
    }
}

fn sort<T: Ord>(table: &mut Vec<T>) {
    table.sort_unstable();
    table.dedup();
}

/// The number of what is in a table.
fn position<T: Ord>(table: &[T], item: &T) -> u64 {
    table.binary_search(item).expect("the tables hold all that predictions name") as u64
}

/// What has been written.
struct Out(Vec<u8>);

impl Out {
    /// A number in groups of seven bits, the lowest first; all but the last have the eighth set.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    /// Ascending numbers: how many, the first, and how much each is beyond the one before it.
    fn ascending(&mut self, numbers: impl ExactSizeIterator<Item = u64>) {
        self.number(numbers.len() as u64);
        let mut least = 0;
        for number in numbers {
            self.number(number - least);
            least = number + 1;
        }
    }
}
