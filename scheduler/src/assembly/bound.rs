//! Candidates and limits -> what no block of them can be worth more than.
//!
//! Fractional knapsacks: orders by value per unit of what is scarce, the last one in part; nonces
//! and constraints are left aside. Gas, state gas, blob gas and size give a bound each, and the
//! lowest counts. A bound on the span is taken into the one of gas: transactions that read and
//! write one place run one after the other whatever their order, so together they have no more gas than the
//! span. Each transaction is counted at its busiest place only.

use core::cmp::Reverse;

use super::{Candidates, prepare::Density};
use crate::{Limits, OrderIndex, uses::Uses};

/// An order, as a knapsack sees it.
#[derive(Clone, Copy, Debug)]
struct Item {
    value: u128,
    weight: u64,
    /// The place at which it is one of a chain.
    place: Option<u32>,
}

/// A value in wei that no block reaches: above that of the best one by what the relaxations allow.
pub fn value_bound(candidates: &Candidates<'_>, limits: &Limits) -> u128 {
    let orders = || (0..candidates.orders().len()).map(OrderIndex::new);
    // Bounds on the span yield to required orders, which count in full.
    let (required, free): (Vec<_>, Vec<_>) =
        orders().partition(|order| candidates.is_required[order.index()]);
    let of_required = required
        .iter()
        .fold(0u128, |sum, order| sum.saturating_add(candidates.order(*order).value));
    let chains = chains(candidates, &free);
    let by_gas = free.iter().filter_map(|&order| by_gas(candidates, &chains, order, limits.span));
    let by = |weight: fn(&crate::OrderTx<'_>) -> u64| {
        let items = free.iter().map(move |&order| {
            let order = candidates.order(order);
            let weight = order.transactions.iter().map(weight).fold(0, u64::saturating_add);
            Item { value: order.value, weight, place: None }
        });
        items.collect::<Vec<_>>()
    };
    let places = candidates.places.len();
    let bounds = [
        knapsack(by_gas.collect(), limits.gas, limits.span, places),
        knapsack(by(|tx| tx.state_gas.used), limits.state_gas, u64::MAX, 0),
        knapsack(by(|tx| tx.blob_gas), limits.blob_gas, u64::MAX, 0),
        knapsack(by(|tx| tx.size), limits.size, u64::MAX, 0),
        knapsack(by(|tx| tx.access.gas()), limits.work, u64::MAX, 0),
    ];
    of_required.saturating_add(bounds.into_iter().min().unwrap_or(0))
}

/// By place: gas of all transactions that read and write it.
fn chains(candidates: &Candidates<'_>, orders: &[OrderIndex]) -> Vec<u64> {
    let mut gas = vec![0u64; candidates.places.len()];
    for &order in orders {
        for (tx, places) in transactions(candidates, order) {
            for place in places {
                gas[place as usize] = gas[place as usize].saturating_add(tx);
            }
        }
    }
    gas
}

/// Gas of each transaction of an order, and the places that it reads and writes.
fn transactions<'a>(
    candidates: &'a Candidates<'_>,
    order: OrderIndex,
) -> impl Iterator<Item = (u64, impl Iterator<Item = u32> + 'a)> + 'a {
    let first = candidates.first_tx[order.index()];
    candidates.order(order).transactions.iter().zip(first..).map(|(tx, number)| {
        let uses = candidates.places.of(number).iter();
        let both = uses.filter(|(_, uses)| uses.contains(Uses::READ | Uses::WRITE));
        (tx.access.gas(), both.map(|&(place, _)| place))
    })
}

/// An order as the knapsack of gas sees it; none if a transaction alone exceeds the span.
fn by_gas(
    candidates: &Candidates<'_>,
    chains: &[u64],
    order: OrderIndex,
    span: u64,
) -> Option<Item> {
    let Order { value, used } = Order::of(candidates, order);
    let mut longest = 0;
    let mut busiest: Option<u32> = None;
    for (gas, places) in transactions(candidates, order) {
        longest = longest.max(gas);
        busiest =
            busiest.into_iter().chain(places).max_by_key(|&it| (chains[it as usize], Reverse(it)));
    }
    if longest > span {
        return None;
    }
    let in_chain = busiest.map(|busiest| {
        let there = transactions(candidates, order)
            .filter_map(|(gas, mut places)| places.any(|place| place == busiest).then_some(gas));
        there.fold(0, u64::saturating_add)
    });
    // One weight for both capacities, so that the greedy choice is the best one: the smaller.
    let weight = in_chain.map_or(used, |gas| gas.min(used));
    Some(Item { value, weight, place: busiest })
}

/// Value and gas of an order.
struct Order {
    value: u128,
    used: u64,
}

impl Order {
    fn of(candidates: &Candidates<'_>, order: OrderIndex) -> Self {
        let order = candidates.order(order);
        let used = order.transactions.iter().map(|tx| tx.gas.used).fold(0, u64::saturating_add);
        Self { value: order.value, used }
    }
}

/// The most that fits in parts into the capacity, no more than `of_place` of it at one place.
fn knapsack(mut items: Vec<Item>, capacity: u64, of_place: u64, places: usize) -> u128 {
    items.sort_by_key(|item| Reverse(Density { value: item.value, gas: item.weight }));
    let mut left = capacity;
    let mut left_at = vec![of_place; places];
    let mut sum = 0u128;
    for Item { value, weight, place } in items {
        let here = place.map_or(u64::MAX, |place| left_at[place as usize]);
        let part = weight.min(left).min(here);
        left -= part;
        if let Some(place) = place {
            left_at[place as usize] -= part;
        }
        sum = sum.saturating_add(share(value, part, weight));
    }
    sum
}

/// `value` times `part` by `whole`, rounded up; all of it if the whole weighs nothing.
fn share(value: u128, part: u64, whole: u64) -> u128 {
    if part >= whole {
        return value;
    }
    let whole = u128::from(whole);
    let part = u128::from(part);
    // Two steps, so that no product exceeds 128 bits where the value is a real one.
    let (full, rest) = (value / whole, value % whole);
    full.saturating_mul(part).saturating_add((rest * part).div_ceil(whole))
}
