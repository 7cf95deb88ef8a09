//! Generated candidates: what every block must hold whatever it is assembled from, checked
//! without the code that assembles.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use forewave_analyzer::PredictedAccess;
use proptest::{
    prelude::{Just, ProptestConfig, Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
    test_runner::{RngSeed, TestCaseError},
};

use super::{
    Assembly, Candidates, LeftOut, assemble,
    cases::{FREE, sender},
    trade, value_bound,
};
use crate::{
    ConflictGraph, Constraints, GasClaim, Limits, Order, OrderIndex, OrderTx, Resource, Sender,
    notation::block, schedule,
};

#[derive(Clone, Debug)]
struct Generated {
    /// Transactions of each order, and its value.
    orders: Vec<(Vec<GeneratedTx>, u128)>,
    constraints: Constraints,
    limits: Limits,
}

#[derive(Clone, Debug)]
struct GeneratedTx {
    sender: u8,
    nonce: u64,
    gas: u64,
    state_gas: u64,
    headroom: u64,
    blob_gas: u64,
    size: u64,
    needs: u64,
    access: PredictedAccess,
}

fn transaction() -> impl Strategy<Value = GeneratedTx> {
    let access = proptest::collection::vec((0u8..4, 0u8..3), 0..4).prop_map(|accesses| {
        let words = accesses.into_iter().map(|(place, kind)| {
            let place = ["a", "b.1p", "b.2m0", "b[0]"][usize::from(place)];
            // A scope is not credited.
            let kinds = if place.ends_with(']') { "RWR" } else { "RWD" };
            format!("{}{place}", &kinds[usize::from(kind)..=usize::from(kind)])
        });
        words.collect::<Vec<_>>().join(" ")
    });
    let numbers = (1u64..20, 0u64..6, 0u64..8, 0u64..2, 1u64..4, 0u64..20);
    (1u8..=4, 0u64..4, numbers, access).prop_map(|(sender, nonce, numbers, access)| {
        let (gas, state_gas, headroom, blob_gas, size, needs) = numbers;
        let access = block(&format!("{access} #{gas}")).remove(0);
        GeneratedTx { sender, nonce, gas, state_gas, headroom, blob_gas, size, needs, access }
    })
}

fn generated() -> impl Strategy<Value = Generated> {
    let bundle = prop_oneof![3 => 1usize..=1, 1 => 2usize..=3]
        .prop_flat_map(|len| proptest::collection::vec(transaction(), len));
    let orders = proptest::collection::vec((bundle, 0u128..50), 1..24);
    let limits = (10u64..200, 5u64..60, 0u64..6, 3u64..40, any::<bool>(), 5u64..60);
    (orders, limits).prop_flat_map(|(orders, limits)| {
        let len = orders.len();
        let at = || (0..len).prop_map(OrderIndex::new);
        let pairs = || proptest::collection::vec((at(), at()), 0..4);
        let few = || proptest::collection::vec(at(), 0..3);
        (Just(orders), Just(limits), few(), few(), pairs(), pairs(), 0u8..4).prop_map(
            |(orders, limits, first, required, precedes, excludes, asked)| {
                let (gas, state_gas, blob_gas, size, is_bounded, span) = limits;
                let mut limits = Limits { state_gas, blob_gas, size, ..Limits::of_gas(gas) };
                limits.span = if is_bounded { span } else { u64::MAX };
                let mut constraints = Constraints { precedes, excludes, ..FREE };
                if asked == 0 {
                    constraints.first = first;
                }
                if asked == 1 {
                    constraints.required = required;
                }
                Generated { orders, constraints, limits }
            },
        )
    })
}

fn orders_of(generated: &Generated) -> Vec<Order<'_>> {
    generated
        .orders
        .iter()
        .map(|(transactions, value)| Order {
            transactions: transactions.iter().map(order_tx).collect(),
            value: *value,
        })
        .collect()
}

fn order_tx(tx: &GeneratedTx) -> OrderTx<'_> {
    OrderTx {
        sender: sender(tx.sender),
        nonce: tx.nonce,
        gas: GasClaim { used: tx.gas, limit: tx.gas + tx.headroom },
        state_gas: GasClaim { used: tx.state_gas, limit: tx.state_gas + tx.headroom },
        blob_gas: tx.blob_gas,
        size: tx.size,
        needs: U256::from(tx.needs),
        spends: U256::from(tx.needs / 2),
        access: &tx.access,
    }
}

fn account(address: Address) -> Sender {
    Sender { nonce: u64::from(address[0] == 1), balance: U256::from(40) }
}

/// Replays a block by the rules alone.
fn verify_block(generated: &Generated, block: &Assembly) -> Result<(), TestCaseError> {
    let Generated { orders, constraints, limits } = generated;
    let mut accounts: BTreeMap<u8, Sender> = BTreeMap::new();
    let (mut gas, mut state_gas, mut blob_gas, mut size, mut value) = (0, 0, 0, 0, 0);
    let mut predictions = Vec::new();
    for at in &block.orders {
        let (transactions, worth) = &orders[at.index()];
        value += worth;
        for tx in transactions {
            let sender = accounts.entry(tx.sender).or_insert_with(|| account(sender(tx.sender)));
            prop_assert_eq!(tx.nonce, sender.nonce, "a nonce of {}", at);
            prop_assert!(U256::from(tx.needs) <= sender.balance, "the funds of {}", at);
            sender.nonce += 1;
            sender.balance -= U256::from(tx.needs / 2);
            prop_assert!(gas + tx.gas + tx.headroom <= limits.gas, "gas at {}", at);
            prop_assert!(state_gas + tx.state_gas + tx.headroom <= limits.state_gas);
            gas += tx.gas;
            state_gas += tx.state_gas;
            blob_gas += tx.blob_gas;
            size += tx.size;
            predictions.push(tx.access.clone());
        }
    }
    prop_assert!(blob_gas <= limits.blob_gas && size <= limits.size);
    let found = (block.gas, block.state_gas, block.blob_gas, block.size, block.value);
    prop_assert_eq!(found, (gas, state_gas, blob_gas, size, value));
    let schedule = schedule(&ConflictGraph::new(&predictions));
    prop_assert!(schedule.span() <= block.span, "{} {}", schedule.span(), block.span);
    prop_assert_eq!(schedule.work(), block.work);
    if constraints.required.is_empty() && constraints.first.is_empty() {
        prop_assert!(block.span <= limits.span);
    }
    let place = |order: &OrderIndex| block.orders.iter().position(|it| it == order);
    let mut first = constraints.first.clone();
    let mut seen = std::collections::BTreeSet::new();
    first.retain(|order| seen.insert(*order));
    prop_assert_eq!(&block.orders[..first.len()], &first[..]);
    prop_assert!(constraints.required.iter().all(|order| place(order).is_some()));
    for (earlier, later) in constraints.precedes.iter().filter(|(one, other)| one != other) {
        if let (Some(earlier), Some(later)) = (place(earlier), place(later)) {
            prop_assert!(earlier < later);
        }
    }
    for (one, other) in constraints.excludes.iter().filter(|(one, other)| one != other) {
        prop_assert!(place(one).is_none() || place(other).is_none());
    }
    let mut all: Vec<usize> = block.orders.iter().map(|order| order.index()).collect();
    all.extend(block.left_out.iter().map(|(order, _)| order.index()));
    all.sort_unstable();
    prop_assert_eq!(all, (0..orders.len()).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        rng_seed: RngSeed::Fixed(0x0f0e_77a5),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_block_keeps_limits_nonces_bundles_and_constraints(generated in generated()) {
        let constraints = generated.constraints.clone();
        let is_free = constraints.required.is_empty() && constraints.first.is_empty();
        let candidates = match Candidates::new(orders_of(&generated), constraints, account) {
            Ok(candidates) => candidates,
            Err(error) => {
                prop_assert!(!is_free, "{}", error);
                return Ok(());
            }
        };
        match assemble(&candidates, &generated.limits) {
            Ok(block) => {
                verify_block(&generated, &block)?;
                prop_assert_eq!(assemble(&candidates, &generated.limits), Ok(block.clone()));
                let bound = value_bound(&candidates, &generated.limits);
                prop_assert!(block.value <= bound, "{} {}", block.value, bound);
                // What fits alone after the block would have been taken.
                let unlimited = block.left_out.iter().any(|(_, why)| {
                    *why == LeftOut::Limit(Resource::Span) && generated.limits.span == u64::MAX
                });
                prop_assert!(!unlimited);
            }
            Err(error) => prop_assert!(!is_free, "{}", error),
        }
    }

    #[test]
    fn a_trade_has_a_block_within_each_bound(generated in generated()) {
        let candidates = Candidates::new(orders_of(&generated), FREE, account).unwrap();
        let spans = [10, 20, 40, u64::MAX];
        let blocks = trade(&candidates, &generated.limits, &spans).unwrap();
        for (block, span) in blocks.iter().zip(spans) {
            prop_assert!(block.span <= span);
            let limits = generated.limits.with_span(span);
            verify_block(&Generated { constraints: FREE, limits, ..generated.clone() }, block)?;
        }
    }
}
