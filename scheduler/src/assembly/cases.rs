//! Blocks assembled of small candidates, by name.

use core::time::Duration;

use alloy_primitives::{Address, U256};
use forewave_analyzer::PredictedAccess;

use super::{
    Assembly, AssemblyError, Candidates, LeftOut, Machine, assemble, assemble_within, value_bound,
};
use crate::{Constraints, GasClaim, Limits, Order, OrderIndex, OrderTx, Sender, notation::block};

/// One transaction: sender, nonce, value in wei, and what it touches in the notation of blocks,
/// whose gas is what it uses.
type Case = (u8, u64, u128, &'static str);

pub(super) fn sender(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

fn order(at: usize) -> OrderIndex {
    OrderIndex::new(at)
}

fn single(case: &Case, access: &'static PredictedAccess) -> Order<'static> {
    let gas = GasClaim { used: access.gas(), limit: access.gas() };
    let tx = OrderTx {
        sender: sender(case.0),
        nonce: case.1,
        gas,
        state_gas: GasClaim::default(),
        blob_gas: 0,
        size: 1,
        needs: U256::from(1),
        spends: U256::from(1),
        access,
    };
    Order { transactions: vec![tx], value: case.2 }
}

/// Candidates of single transactions on a state in which every nonce is 0.
fn candidates(
    cases: &[Case],
    constraints: Constraints,
) -> Result<Candidates<'static>, AssemblyError> {
    let orders = cases.iter().map(|case| single(case, predicted(case.3)));
    Candidates::new(orders.collect(), constraints, rich)
}

/// Leaked, so that cases read as one line each.
fn predicted(text: &str) -> &'static PredictedAccess {
    let mut predictions = block(text);
    Box::leak(Box::new(predictions.remove(0)))
}

fn rich(_: Address) -> Sender {
    Sender { nonce: 0, balance: U256::MAX }
}

/// The block in short: orders, then who is left out.
fn show(assembly: &Assembly) -> String {
    let orders: Vec<String> = assembly.orders.iter().map(|it| it.index().to_string()).collect();
    let left = assembly.left_out.iter().map(|(order, why)| {
        let why = match why {
            LeftOut::Limit(resource) => resource.to_string(),
            LeftOut::NonceUsed { nonce, .. } => format!("nonce {nonce} used"),
            LeftOut::NonceGap { nonce, .. } => format!("nonce {nonce} not next"),
            LeftOut::Nonces { .. } => "nonces".into(),
            LeftOut::Funds { .. } => "funds".into(),
            LeftOut::Excluded { by } => format!("excluded by {}", by.index()),
            LeftOut::Precedence { with } => format!("precedence with {}", with.index()),
        };
        format!("{}: {why}", order.index())
    });
    let left: Vec<String> = left.collect();
    format!("{} | {}", orders.join(" "), left.join(", "))
}

fn check(cases: &[Case], constraints: Constraints, limits: &Limits, expected: &str) {
    let candidates = candidates(cases, constraints).expect("orders that there are");
    let assembly = assemble(&candidates, limits).expect("what is asked for can be");
    assert_eq!(show(&assembly), expected, "{cases:?}");
    assert!(assembly.value <= value_bound(&candidates, limits), "{cases:?}");
}

pub(super) const FREE: Constraints =
    Constraints { first: vec![], required: vec![], precedes: vec![], excludes: vec![] };

#[test]
fn the_highest_value_by_gas_comes_first_until_the_gas_is_used() {
    let cases = [(1, 0, 10, "Ra #10"), (2, 0, 30, "Ra #10"), (3, 0, 40, "Ra #20")];
    check(&cases, FREE, &Limits::of_gas(40), "1 2 0 | ");
    check(&cases, FREE, &Limits::of_gas(30), "1 2 | 0: gas");
    check(&cases, FREE, &Limits::of_gas(25), "1 0 | 2: gas");
}

#[test]
fn nonces_of_a_sender_ascend_without_a_gap() {
    let cases = [(1, 1, 90, "Ra #10"), (1, 0, 10, "Ra #10"), (2, 3, 99, "Ra #10")];
    check(&cases, FREE, &Limits::of_gas(40), "1 0 | 2: nonce 3 not next");
    // The second transaction lifts the first one above others.
    let cases = [(1, 0, 1, "Ra #10"), (1, 1, 99, "Ra #10"), (2, 0, 40, "Ra #10")];
    check(&cases, FREE, &Limits::of_gas(20), "0 1 | 2: gas");
}

#[test]
fn of_two_transactions_with_one_nonce_the_better_one_is_taken() {
    let cases = [(1, 0, 10, "Ra #10"), (1, 0, 20, "Ra #10"), (1, 1, 5, "Ra #10")];
    check(&cases, FREE, &Limits::of_gas(40), "1 2 | 0: nonce 0 used");
}

#[test]
fn what_would_finish_beyond_the_span_makes_room_for_others() {
    let cases = [
        (1, 0, 30, "Ra Wa #10"),
        (2, 0, 20, "Ra Wa #10"),
        (3, 0, 10, "Rb Wb #10"),
        (4, 0, 15, "Rb #10"),
    ];
    check(&cases, FREE, &Limits::of_gas(30), "0 1 3 | 2: gas");
    check(&cases, FREE, &Limits::of_gas(30).with_span(10), "0 3 2 | 1: span");
}

#[test]
fn an_order_that_would_finish_too_late_can_come_before_others() {
    // The second waits for the first; the third could only follow the second.
    let cases = [(1, 0, 90, "Ra Wa #10"), (2, 0, 80, "Ra Wa Rb Wb #10"), (3, 0, 70, "Rb Wb #10")];
    check(&cases, FREE, &Limits::of_gas(30), "0 1 2 | ");
    check(&cases, FREE, &Limits::of_gas(30).with_span(20), "0 2 1 | ");
}

#[test]
fn writers_and_credits_do_not_wait_for_each_other_and_readers_wait_for_both() {
    let cases = [(1, 0, 30, "Wa #10"), (2, 0, 20, "Da #10"), (3, 0, 15, "Wa #10")];
    check(&cases, FREE, &Limits::of_gas(30).with_span(10), "0 1 2 | ");
    let cases = [(1, 0, 50, "Da #10"), (2, 0, 20, "Ra #5"), (3, 0, 1, "R* #1")];
    check(&cases, FREE, &Limits::of_gas(30).with_span(14), "0 2 | 1: span");
}

#[test]
fn who_cannot_pay_is_left_out() {
    let access = predicted("Ra #1");
    let mut orders = vec![single(&(1, 0, 9, ""), access), single(&(1, 1, 8, ""), access)];
    orders[0].transactions[0].needs = U256::from(10);
    orders[0].transactions[0].spends = U256::from(5);
    orders[1].transactions[0].needs = U256::from(6);
    for (balance, expected) in
        [(11, "0 1 | "), (10, "0 | 1: funds"), (9, " | 0: funds, 1: nonce 1 not next")]
    {
        let account = |_| Sender { nonce: 0, balance: U256::from(balance) };
        let candidates = Candidates::new(orders.clone(), FREE, account).unwrap();
        let assembly = assemble(&candidates, &Limits::of_gas(10)).unwrap();
        assert_eq!(show(&assembly), expected, "{balance}");
    }
}

#[test]
fn a_gas_limit_must_be_left_when_a_transaction_begins() {
    let access = predicted("Ra #1");
    let mut orders = vec![single(&(1, 0, 9, ""), access), single(&(2, 0, 8, ""), access)];
    orders[1].transactions[0].gas.limit = 10;
    let candidates = Candidates::new(orders, FREE, rich).unwrap();
    let shown = |gas| show(&assemble(&candidates, &Limits::of_gas(gas)).unwrap());
    assert_eq!(shown(11), "0 1 | ");
    assert_eq!(shown(10), "0 | 1: gas");
}

#[test]
fn a_bundle_is_whole_and_in_order_or_left_out() {
    let access = predicted("Ra Wa #10");
    let mut bundle = single(&(1, 0, 90, ""), access);
    bundle.transactions.extend(single(&(2, 5, 0, ""), access).transactions);
    bundle.transactions.extend(single(&(1, 1, 0, ""), access).transactions);
    let orders = vec![bundle, single(&(2, 4, 1, ""), access), single(&(1, 2, 1, ""), access)];
    let account = |it| Sender { nonce: if it == sender(2) { 4 } else { 0 }, balance: U256::MAX };
    let candidates = Candidates::new(orders, FREE, account).unwrap();
    let shown = |limits: Limits| show(&assemble(&candidates, &limits).unwrap());
    assert_eq!(shown(Limits::of_gas(50)), "1 0 2 | ");
    assert_eq!(shown(Limits::of_gas(39)), "1 | 0: gas, 2: nonce 2 not next");
    assert_eq!(shown(Limits::of_gas(50).with_span(30)), "1 | 0: span, 2: nonce 2 not next");
}

#[test]
fn what_is_required_is_in_the_block_with_the_nonces_before_it() {
    let cases =
        [(1, 0, 1, "Ra #10"), (1, 1, 1, "Ra #10"), (2, 0, 90, "Ra #10"), (3, 0, 80, "Ra #10")];
    let required =
        |at: &[usize]| Constraints { required: at.iter().map(|&at| order(at)).collect(), ..FREE };
    check(&cases, required(&[1]), &Limits::of_gas(30), "2 0 1 | 3: gas");
    let candidates = candidates(&cases, required(&[0, 1, 2])).unwrap();
    let error = assemble(&candidates, &Limits::of_gas(20)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "order1 must be in the block and cannot: beyond the limit of gas"
    );
    let error = super::cases::candidates(&[(1, 1, 1, "Ra #1")], required(&[0])).unwrap_err();
    assert!(matches!(error, AssemblyError::Unplaceable { why: LeftOut::NonceGap { .. }, .. }));
    let error = super::cases::candidates(&cases, required(&[9])).unwrap_err();
    assert_eq!(error.to_string(), "a constraint names order9, but there are 4 orders");
}

#[test]
fn what_is_required_keeps_its_nonce_from_others() {
    let cases = [(1, 0, 90, "Ra #10"), (1, 0, 1, "Ra #10")];
    let constraints = Constraints { required: vec![order(1)], ..FREE };
    check(&cases, constraints, &Limits::of_gas(30), "1 | 0: nonce 0 used");
}

#[test]
fn the_block_begins_with_what_the_caller_puts_first() {
    let cases = [(1, 0, 90, "Ra #10"), (2, 0, 1, "Ra #10"), (3, 0, 2, "Ra #10")];
    let constraints = Constraints { first: vec![order(1), order(2)], ..FREE };
    check(&cases, constraints, &Limits::of_gas(30), "1 2 0 | ");
}

#[test]
fn an_order_waits_for_those_that_precede_it() {
    let cases = [(1, 0, 90, "Ra #10"), (2, 0, 1, "Ra #10"), (3, 0, 50, "Ra #10")];
    let precedes = |pairs: &[(usize, usize)]| Constraints {
        precedes: pairs.iter().map(|&(a, b)| (order(a), order(b))).collect(),
        ..FREE
    };
    check(&cases, precedes(&[(1, 0)]), &Limits::of_gas(30), "2 1 0 | ");
    // Where one that precedes cannot be in the block, nothing is waited for.
    let gap = [(1, 0, 90, "Ra #10"), (2, 7, 1, "Ra #10")];
    check(&gap, precedes(&[(1, 0)]), &Limits::of_gas(30), "0 | 1: precedence with 0");
    // Each before the other: the block has the better one.
    check(&cases, precedes(&[(0, 1), (1, 0)]), &Limits::of_gas(30), "2 0 | 1: precedence with 0");
}

#[test]
fn of_two_that_exclude_each_other_the_block_has_the_better_or_the_required_one() {
    let cases = [(1, 0, 90, "Ra #10"), (2, 0, 1, "Ra #10")];
    let excludes = vec![(order(0), order(1))];
    let constraints = Constraints { excludes: excludes.clone(), ..FREE };
    check(&cases, constraints, &Limits::of_gas(30), "0 | 1: excluded by 0");
    let constraints = Constraints { excludes, required: vec![order(1)], ..FREE };
    check(&cases, constraints, &Limits::of_gas(30), "1 | 0: excluded by 1");
}

#[test]
fn no_block_is_worth_more_than_the_bound_which_knows_that_chains_are_serial() {
    let cases = [(1, 0, 30, "Ra Wa #10"), (2, 0, 20, "Ra Wa #10"), (3, 0, 5, "Rb #10")];
    let candidates = candidates(&cases, FREE).unwrap();
    let limits = Limits::of_gas(25);
    assert_eq!(value_bound(&candidates, &limits), 30 + 20 + 3);
    assert_eq!(value_bound(&candidates, &limits.with_span(15)), 30 + 10 + 5);
    assert_eq!(value_bound(&candidates, &limits.with_span(9)), 0);
}

#[test]
fn a_block_that_has_to_execute_in_time_does() {
    let cases = [
        (1, 0, 30, "Ra Wa #10"),
        (2, 0, 20, "Ra Wa #10"),
        (3, 0, 19, "Rb Wb #10"),
        (4, 0, 18, "Rc Wc #10"),
        (5, 0, 17, "Rd Wd #10"),
    ];
    let candidates = candidates(&cases, FREE).unwrap();
    let limits = Limits::of_gas(100);
    for (cores, seconds, expected) in
        [(2, 10, "0 2"), (2, 20, "0 1 2 3"), (4, 10, "0 2 3 4"), (1, 30, "0 1 2")]
    {
        let machine = Machine { cores, gas_per_second: 1 };
        let time = Duration::from_secs(seconds);
        let timed = assemble_within(&candidates, &limits, machine, time).unwrap();
        let shown = show(&timed.assembly);
        assert_eq!(shown.split(" |").next(), Some(expected), "{cores} cores, {seconds} s");
        assert!(timed.time <= time);
    }
}
