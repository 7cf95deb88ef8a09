//! What comes after the header -> a plan, if it is one.

use alloy_primitives::{Address, B256, U256};
use forewave_analyzer::{
    AccessKind, AccessSetBuilder, KeyOrigin, Location, PredictedAccess, Scope, TxIndex,
    WidenedAccess,
};
use forewave_scheduler::{
    ConflictGraph, Schedule, StatedChain, StatedSchedule, StatedWave, remaining_gas,
};

use super::{
    PortableError,
    write::{CAUSES, HAS_DECIDING, KINDS, Origin, SEES_PAYER},
};
use crate::Plan;

type Result<T> = core::result::Result<T, PortableError>;

/// The plan of these bytes, for a block of so many transactions with this digest.
pub(super) fn read(bytes: &[u8], expected: B256, transactions: usize) -> Result<Plan> {
    let mut input = In(bytes);
    let digest = B256::from(*input.array::<32>("digest")?);
    let tables = Tables::read(&mut input)?;
    let found = input.number("number of transactions")?;
    if (digest, found) != (expected, transactions as u64) {
        return Err(PortableError::OtherBlock { found, digest });
    }
    let mut predictions = Vec::with_capacity(input.at_most(found, "predictions")?);
    for tx in (0..transactions).map(TxIndex::new) {
        let prediction = tables.prediction(&mut input);
        predictions.push(prediction.map_err(|source| {
            let source = Box::new(source);
            PortableError::Prediction { tx, source }
        })?);
    }
    let waves = waves(&mut input, transactions)?;
    if !input.0.is_empty() {
        return Err(PortableError::Malformed { what: "the end" });
    }
    let graph = ConflictGraph::new(&predictions);
    let schedule = schedule(waves, &graph)?;
    Ok(Plan::of_parts(predictions, graph, schedule))
}

/// Chains of transactions, by wave.
type Waves = Vec<Vec<Vec<TxIndex>>>;

fn waves(input: &mut In<'_>, transactions: usize) -> Result<Waves> {
    let count = input.count("waves")?;
    let mut waves = Vec::with_capacity(count);
    for _ in 0..count {
        let count = input.count("chains")?;
        let mut chains = Vec::with_capacity(count);
        for _ in 0..count {
            let numbers = input.ascending("transaction", transactions)?;
            chains.push(numbers.into_iter().map(TxIndex::new).collect());
        }
        waves.push(chains);
    }
    Ok(waves)
}

/// The schedule of these waves, with the figures of the graph.
fn schedule(waves: Waves, graph: &ConflictGraph) -> Result<Schedule> {
    let gas = |tx: TxIndex| graph.gas(tx);
    let sum = |txs: &[TxIndex]| txs.iter().fold(0, |sum: u64, tx| sum.saturating_add(gas(*tx)));
    let chain = |transactions: Vec<TxIndex>| StatedChain { gas: sum(&transactions), transactions };
    let wave = |chains: Vec<_>| StatedWave { chains: chains.into_iter().map(chain).collect() };
    let all: Vec<TxIndex> = graph.transactions().collect();
    let stated = StatedSchedule {
        waves: waves.into_iter().map(wave).collect(),
        work: sum(&all),
        span: remaining_gas(graph).into_iter().max().unwrap_or(0),
    };
    Ok(stated.verified(graph)?)
}

/// What is named by number.
struct Tables {
    addresses: Vec<Address>,
    words: Vec<U256>,
    locations: Vec<Location>,
    origins: Vec<Origin>,
}

impl Tables {
    fn read(input: &mut In<'_>) -> Result<Self> {
        let addresses = input.table("addresses", |input| {
            input.array::<20>("addresses").map(|bytes| Address::from(*bytes))
        })?;
        let words = input.table("words", |input| {
            let length = input.number("word")?;
            let bytes = input.bytes(length, "words")?;
            let is_shortest = bytes.first().is_none_or(|first| *first != 0);
            let word = U256::try_from_be_slice(bytes).filter(|_| is_shortest);
            word.ok_or(PortableError::Malformed { what: "a word" })
        })?;
        let locations = input.table("locations", |input| {
            let (account, kind) = input.tagged("address", 2, &addresses)?;
            Ok(match kind {
                0 => Location::Balance(account),
                1 => Location::Nonce(account),
                2 => Location::Code(account),
                _ => Location::Storage(account, input.item("word", &words)?),
            })
        })?;
        let origins = input.table("origins", |input| {
            let (address, kind) = input.tagged("address", 1, &addresses)?;
            let key = input.item("word", &words)?;
            Ok(match kind {
                0 => (address, key, KeyOrigin::Plain),
                _ => (address, key, KeyOrigin::Mapping(input.item("word", &words)?)),
            })
        })?;
        Ok(Self { addresses, words, locations, origins })
    }

    fn prediction(&self, input: &mut In<'_>) -> Result<PredictedAccess> {
        let [flags, causes] = *input.array::<2>("flags")?;
        if flags & !(SEES_PAYER | HAS_DECIDING) != 0 || causes >> CAUSES.len() != 0 {
            return Err(PortableError::Malformed { what: "a flag" });
        }
        let gas = input.number("gas")?;
        let (set, may) = self.accesses(input)?;
        let prediction = PredictedAccess::exact(set, gas).with_possible(may);
        let widened = input.list("widened accesses", |input| self.widened(input))?;
        let origins = input.named("origin", &self.origins)?;
        let caused = CAUSES.into_iter().enumerate().filter(|(bit, _)| causes >> bit & 1 != 0);
        let mut prediction = prediction
            .with_widened(widened)
            .with_origins(origins)
            .with_payer_seen(flags & SEES_PAYER != 0)
            .with_causes(caused.map(|(_, cause)| cause).collect());
        if flags & HAS_DECIDING != 0 {
            prediction = prediction.with_deciding(input.named("location", &self.locations)?);
        }
        let locations = input.named("location", &self.locations)?;
        let values: Result<Vec<_>> = locations
            .into_iter()
            .map(|location| Ok((location, input.item("word", &self.words)?)))
            .collect();
        Ok(prediction.with_values(values?))
    }

    /// The accesses, and for each in the set's order whether only some runs make it.
    fn accesses(&self, input: &mut In<'_>) -> Result<(forewave_analyzer::AccessSet, Vec<bool>)> {
        let locations = input.named("location", &self.locations)?;
        let bits = input.bytes(locations.len() as u64, "accesses")?;
        let mut set = AccessSetBuilder::new();
        let mut may = Vec::with_capacity(locations.len());
        for (kind, bit, may_bit) in KINDS {
            for (location, bits) in locations.iter().zip(bits) {
                if bits & bit != 0 {
                    set.add(kind, *location);
                    may.push(bits & may_bit != 0);
                }
            }
        }
        let is_kind = |bits: &u8| {
            let is_used = bits & 7 != 0 && bits >> 6 == 0;
            is_used && (bits >> 3) & !bits == 0 && bits & 6 != 6
        };
        if !bits.iter().all(is_kind) {
            return Err(PortableError::Malformed { what: "an access" });
        }
        Ok((set.build(), may))
    }

    fn widened(&self, input: &mut In<'_>) -> Result<WidenedAccess> {
        let [tag] = *input.array::<1>("widened accesses")?;
        let kind = if tag & 1 == 0 { AccessKind::Read } else { AccessKind::Write };
        let scope = match tag >> 1 {
            0 => Scope::Everything,
            1 => Scope::Contract { address: input.item("address", &self.addresses)? },
            2 => Scope::Mapping {
                address: input.item("address", &self.addresses)?,
                slot: input.item("word", &self.words)?,
            },
            _ => return Err(PortableError::Malformed { what: "a widened access" }),
        };
        Ok(WidenedAccess { scope, kind })
    }
}

/// What is left to read.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn bytes(&mut self, count: u64, what: &'static str) -> Result<&'a [u8]> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or(PortableError::Truncated { what })?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(PortableError::Truncated { what })?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number in groups of seven bits, in no more of them than it takes.
    fn number(&mut self, what: &'static str) -> Result<u64> {
        let malformed = PortableError::Malformed { what };
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [group] = *self.array::<1>(what)?;
            let bits = u64::from(group & 0x7f);
            if bits << shift >> shift != bits || group == 0 && shift > 0 {
                return Err(malformed);
            }
            number |= bits << shift;
            if group < 0x80 {
                return Ok(number);
            }
        }
        Err(malformed)
    }

    /// So many things, if there are bytes for as many.
    fn at_most(&self, count: u64, what: &'static str) -> Result<usize> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.0.len());
        count.ok_or(PortableError::Truncated { what })
    }

    /// The number of things that follow, each of at least one byte.
    fn count(&mut self, what: &'static str) -> Result<usize> {
        let count = self.number(what)?;
        self.at_most(count, what)
    }

    fn list<T>(
        &mut self,
        what: &'static str,
        item: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.count(what)?;
        (0..count).map(|_| item(self)).collect()
    }

    /// The same, sorted and without repetitions.
    fn table<T: Ord>(
        &mut self,
        what: &'static str,
        item: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let table = self.list(what, item)?;
        let is_sorted = table.is_sorted_by(|a, b| a < b);
        is_sorted.then_some(table).ok_or(PortableError::Malformed { what })
    }

    /// A number below `count`.
    fn below(&mut self, what: &'static str, count: usize) -> Result<usize> {
        let found = self.number(what)?;
        in_range(found, what, count)
    }

    fn item<T: Copy>(&mut self, what: &'static str, table: &[T]) -> Result<T> {
        Ok(table[self.below(what, table.len())?])
    }

    /// An item whose number is above so many bits of a tag.
    fn tagged<T: Copy>(&mut self, what: &'static str, bits: u32, table: &[T]) -> Result<(T, u64)> {
        let number = self.number(what)?;
        let item = in_range(number >> bits, what, table.len())?;
        Ok((table[item], number & ((1 << bits) - 1)))
    }

    /// Items of a table, ascending.
    fn named<T: Copy>(&mut self, what: &'static str, table: &[T]) -> Result<Vec<T>> {
        let numbers = self.ascending(what, table.len())?;
        Ok(numbers.into_iter().map(|number| table[number]).collect())
    }

    /// Ascending numbers below `count`.
    fn ascending(&mut self, what: &'static str, count: usize) -> Result<Vec<usize>> {
        let length = self.count(what)?;
        let mut numbers = Vec::with_capacity(length);
        let mut least = 0_u64;
        for _ in 0..length {
            let number = least.saturating_add(self.number(what)?);
            numbers.push(in_range(number, what, count)?);
            least = number + 1;
        }
        Ok(numbers)
    }
}

fn in_range(found: u64, what: &'static str, count: usize) -> Result<usize> {
    let number = usize::try_from(found).ok().filter(|number| *number < count);
    number.ok_or(PortableError::OutOfRange { what, found, count: count as u64 })
}
