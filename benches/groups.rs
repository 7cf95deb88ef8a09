//! Conflict groups that follow every order, against groups that are joined and sorted again on
//! every insertion as block builders keep them; and how long one insertion or removal takes
//! among 100,000 orders.
//!
//! The other way knows no removal. Both are asked for the groups in the end, and must agree.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, U256};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forewave::{AccessSet, AccessSetBuilder, ConflictGroups, ConflictRule, Location};
use forewave_fixtures::SplitMix64;
use hashbrown::{HashMap, HashSet};

/// Orders of the hot group.
const HOT_ORDERS: u64 = 10_000;

/// Orders of the pool.
const POOL_ORDERS: u64 = 100_000;

/// Orders that come and go while the pool is watched.
const CHANGES: usize = 20_000;

/// Contracts with a crowd: exchanges, most of all the first; each half as busy as the one before.
const EXCHANGES: u32 = 12;

/// An order: what it is worth, and its number.
type Worth = (u64, u64);

/// A group of orders by value, with all that they read and write.
#[derive(Debug, Default)]
struct SortedGroup {
    orders: Vec<Worth>,
    reads: HashSet<Location>,
    writes: HashSet<Location>,
}

/// Groups as builders keep them: one for each connected component. An order joins all groups
/// that it conflicts with, and the members of what they become are sorted again.
#[derive(Debug, Default)]
struct SortedGroups {
    groups: HashMap<u64, SortedGroup>,
    readers: HashMap<Location, BTreeSet<u64>>,
    writers: HashMap<Location, BTreeSet<u64>>,
    last: u64,
}

impl SortedGroups {
    fn insert(&mut self, order: Worth, set: &AccessSet) {
        let read = set.reads().iter().filter_map(|location| self.writers.get(location));
        let written = set.writes().iter().filter_map(|location| self.readers.get(location));
        let met: BTreeSet<u64> = read.chain(written).flatten().copied().collect();
        let mut met = met.into_iter();
        let id = met.next().unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        let mut group = self.groups.remove(&id).unwrap_or_default();
        for joined in met {
            let other = self.groups.remove(&joined).expect("a group that was met is there");
            for (index, locations) in
                [(&mut self.readers, &other.reads), (&mut self.writers, &other.writes)]
            {
                for location in locations {
                    let groups = index.entry(*location).or_default();
                    groups.remove(&joined);
                    groups.insert(id);
                }
            }
            group.orders.extend(other.orders);
            group.reads.extend(other.reads);
            group.writes.extend(other.writes);
        }
        for location in set.reads() {
            if group.reads.insert(*location) {
                self.readers.entry(*location).or_default().insert(id);
            }
        }
        for location in set.writes() {
            if group.writes.insert(*location) {
                self.writers.entry(*location).or_default().insert(id);
            }
        }
        group.orders.push(order);
        group.orders.sort_by(|a, b| b.cmp(a));
        self.groups.insert(id, group);
    }

    fn groups(&self) -> Vec<Vec<u64>> {
        let orders = |group: &SortedGroup| {
            let mut orders: Vec<u64> = group.orders.iter().map(|(_, number)| *number).collect();
            orders.sort_unstable();
            orders
        };
        let mut groups: Vec<_> = self.groups.values().map(orders).collect();
        groups.sort_unstable();
        groups
    }
}

fn person(number: u64) -> Address {
    Address::left_padding_from(&(number << 8 | 1).to_be_bytes())
}

fn contract(number: u64) -> Address {
    Address::left_padding_from(&(number << 8 | 2).to_be_bytes())
}

/// What every transaction of `sender` touches that calls `to`.
fn call(sender: Address, to: Address) -> AccessSetBuilder {
    let mut set = AccessSetBuilder::new();
    for location in [Location::Balance(sender), Location::Nonce(sender)] {
        set.read(location).write(location);
    }
    set.read(Location::Code(sender)).read(Location::Code(to));
    set
}

/// A balance in a token, by its holder.
fn held(token: Address, holder: Address) -> Location {
    let word = U256::from_be_bytes(holder.into_word().0);
    Location::Storage(token, word.wrapping_mul(U256::from(0x9e37_79b9_7f4a_7c15_u64)))
}

fn change(set: &mut AccessSetBuilder, location: Location) {
    set.read(location).write(location);
}

/// A swap of `sender` at an exchange: its two reserves, and the balances of both in two tokens.
fn swap(sender: Address, exchange: u64) -> AccessSet {
    let pair = contract(1_000 + exchange);
    let mut set = call(sender, contract(0));
    for slot in [U256::ZERO, U256::ONE, U256::from(2)] {
        change(&mut set, Location::Storage(pair, slot));
    }
    for token in [contract(1), contract(100 + exchange)] {
        change(&mut set, held(token, sender));
        change(&mut set, held(token, pair));
    }
    set.build()
}

/// The order of a number: most meet no other, many meet at one exchange, some link two crowds.
fn order(number: u64, random: &mut SplitMix64) -> AccessSet {
    let sender = person(number);
    match random.below(100) {
        // Transfers of some token, one in twenty to an account that many pay to.
        0..60 => {
            let token = contract(1 + random.below(40));
            let mut set = call(sender, token);
            let is_popular = random.percent(5);
            let to = if is_popular { random.below(30) } else { 1_000_000 + number };
            change(&mut set, held(token, sender));
            change(&mut set, held(token, person(to)));
            set.build()
        }
        // Ether.
        60..75 => {
            let to = person(2_000_000 + number);
            let mut set = call(sender, to);
            set.delta(Location::Balance(to));
            set.build()
        }
        // Swaps; every twelfth of a sender that has another order.
        75..95 => {
            let busy = random.next().trailing_zeros().min(EXCHANGES - 1);
            let sender =
                if random.below(12) == 0 { person(random.below(number + 1)) } else { sender };
            swap(sender, u64::from(busy))
        }
        // Those that read a price, and now and then one that sets it.
        _ => {
            let feed = Location::Storage(contract(50), U256::from(random.below(4)));
            let mut set = call(sender, contract(50));
            set.read(feed);
            if random.below(200) == 0 {
                set.write(feed);
            }
            set.build()
        }
    }
}

fn hot_group() -> Vec<(Worth, AccessSet)> {
    let mut random = SplitMix64::new(1);
    (0..HOT_ORDERS).map(|number| ((random.next(), number), swap(person(number), 0))).collect()
}

fn sorted_groups(orders: &[(Worth, AccessSet)]) -> SortedGroups {
    let mut groups = SortedGroups::default();
    for (order, set) in orders {
        groups.insert(*order, set);
    }
    groups
}

fn incremental_groups(orders: &[(Worth, AccessSet)]) -> ConflictGroups<u64> {
    let mut groups = ConflictGroups::new(ConflictRule::ReadWrite);
    for ((_, number), set) in orders {
        groups.insert_set(*number, set);
    }
    groups
}

/// Median, 99th percentile and maximum.
fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    println!(
        "{what:<40} median {:>8.2} us, p99 {:>8.2} us, max {:>8.1} us",
        at(50),
        at(99),
        at(100)
    );
}

/// One change after the other in a full pool.
fn latencies(rule: ConflictRule) {
    let mut random = SplitMix64::new(2);
    let mut groups = ConflictGroups::new(rule);
    let mut here: Vec<u64> = Vec::new();
    for number in 0..POOL_ORDERS {
        groups.insert_set(number, &order(number, &mut random));
        here.push(number);
    }
    let [mut insertions, mut removals] = [Vec::new(), Vec::new()];
    for number in (POOL_ORDERS..).take(CHANGES) {
        let gone = here.swap_remove(random.index(here.len()));
        let start = Instant::now();
        groups.remove(&gone);
        removals.push(start.elapsed());
        let set = order(number, &mut random);
        let start = Instant::now();
        groups.insert_set(number, &set);
        insertions.push(start.elapsed());
        here.push(number);
    }
    let all = groups.groups();
    let largest = all.iter().map(Vec::len).max().unwrap_or(0);
    println!("{rule:?}: {} orders, {} groups, the largest of {largest}", groups.len(), all.len());
    print("  insertion among 100,000", insertions);
    print("  removal among 100,000", removals);
}

fn bench(c: &mut Criterion) {
    let orders = hot_group();
    assert_eq!(sorted_groups(&orders).groups(), incremental_groups(&orders).groups());
    let mut group = c.benchmark_group("groups/hot-10000");
    group.throughput(Throughput::Elements(HOT_ORDERS)).sample_size(10);
    group.bench_function("joined and sorted", |b| b.iter(|| sorted_groups(&orders)));
    group.bench_function("incremental", |b| b.iter(|| incremental_groups(&orders)));
    group.bench_function("incremental, there and back", |b| {
        b.iter(|| {
            let mut groups = incremental_groups(&orders);
            for ((_, number), _) in &orders {
                groups.remove(number);
            }
        });
    });
    group.finish();
    latencies(ConflictRule::Strict);
    latencies(ConflictRule::ReadWrite);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = bench
}
criterion_main!(benches);
