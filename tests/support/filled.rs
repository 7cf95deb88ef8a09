//! Orders that are filled, against sequential execution of what must be included.

use forewave::{
    Block, BlockOutcome, Bundle, FillLoop, FilledItem, FilledTx, Member, MemoryState, OrderItem,
    SequentialRun, TxIndex, sequential,
};
use forewave_fixtures::SplitMix64;
use revm::{
    DatabaseRef,
    primitives::{I256, U256},
};

fn below(random: &mut SplitMix64, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("below a number of this type")
}

/// Some transactions in any order, with those of one sender out of order as well: so many items
/// at most, about a fourth of which are bundles with members of all kinds.
pub(crate) fn drawn_order(block: &Block, items: usize, random: &mut SplitMix64) -> Vec<OrderItem> {
    let mut left: Vec<_> = block.indexed().map(|(tx, _)| tx).collect();
    let mut order = Vec::new();
    while order.len() < items && !left.is_empty() {
        // Mostly the next one, so that nonces are often right.
        let mut take = |random: &mut SplitMix64| {
            let at = if below(random, 3) == 0 { below(random, left.len()) } else { 0 };
            left.remove(at)
        };
        let first = take(random);
        if below(random, 4) > 0 {
            order.push(first.into());
            continue;
        }
        let others = below(random, 3).min(left.len());
        let mut members = vec![first];
        for _ in 0..others {
            members.push(left.remove(below(random, left.len())));
        }
        let member = |tx| match below(random, 4) {
            0 => Member::new(tx).that_may_fail(),
            1 => Member::new(tx).optional(),
            2 => Member::new(tx).that_may_fail().optional(),
            _ => Member::new(tx),
        };
        let members: Vec<_> = members.into_iter().map(member).collect();
        order.push(Bundle::new(members).into());
    }
    order
}

/// A block of these transactions, executed sequentially; none if one does not belong there.
fn run(block: &Block, state: &MemoryState, txs: &[TxIndex]) -> Option<BlockOutcome> {
    let transactions = txs.iter().map(|tx| block.transactions[tx.index()].clone()).collect();
    sequential(&Block { transactions, ..block.clone() }, state).ok()
}

/// What an order includes, found by running all that is included so far for each transaction.
fn included(block: &Block, state: &MemoryState, order: &[OrderItem]) -> Vec<TxIndex> {
    let mut included = Vec::new();
    for item in order {
        let mut attempt = included.clone();
        let is_included = match item {
            OrderItem::Tx(tx) => {
                attempt.push(*tx);
                run(block, state, &attempt).is_some()
            }
            OrderItem::Bundle(bundle) => bundle.members().iter().all(|member| {
                attempt.push(member.tx());
                let outcome = run(block, state, &attempt);
                let is_fine = outcome.is_some_and(|outcome| {
                    member.may_fail() || outcome.receipts.last().expect("it ran").status
                });
                if !is_fine {
                    attempt.pop();
                }
                is_fine || member.is_optional()
            }),
        };
        if is_included {
            included = attempt;
        }
    }
    included
}

/// Compares what a loop holds with the order that it should hold.
#[track_caller]
pub(crate) fn check_order(
    fill: &mut FillLoop<'_, MemoryState>,
    block: &Block,
    state: &MemoryState,
    order: &[OrderItem],
) {
    assert!(fill.items().iter().map(FilledItem::item).eq(order));
    let expected = included(block, state, order);
    let found: Vec<_> = fill.transactions().iter().map(FilledTx::tx).collect();
    assert_eq!(found, expected);
    let of_items = fill.items().iter().flat_map(FilledItem::transactions);
    assert!(of_items.eq(0..found.len()), "each transaction is of one item");
    check_state(fill, block, state);
}

/// Compares what a loop holds with sequential execution of what it includes.
#[track_caller]
pub(crate) fn check_state(
    fill: &mut FillLoop<'_, MemoryState>,
    block: &Block,
    state: &MemoryState,
) {
    let txs: Vec<_> = fill.transactions().iter().map(FilledTx::tx).collect();
    let sealed = fill.seal().expect("the block can be sealed");
    let expected = run(block, state, &txs).expect("what is included belongs there");
    assert_eq!(sealed.first_difference(&expected), None);
    assert_eq!(sealed.gas_used, expected.gas_used);
    assert_eq!(fill.gas_used(), expected.gas_used);
    assert!(fill.receipts().eq(expected.receipts));

    let transactions = txs.iter().map(|tx| block.transactions[tx.index()].clone()).collect();
    let attempt = Block { transactions, ..block.clone() };
    let mut run = SequentialRun::new(&attempt, state).expect("it ran before");
    let balance = |run: &SequentialRun<'_, MemoryState>| {
        let changes = run.changes().expect("in memory");
        let info = match changes.get(&block.env.beneficiary) {
            Some(change) => change.info.clone(),
            None => state.basic_ref(block.env.beneficiary).expect("in memory"),
        };
        info.map_or(U256::ZERO, |info| info.balance)
    };
    let before = balance(&run);
    for (tx, _) in attempt.indexed() {
        run.step(tx).expect("it ran before");
    }
    assert_eq!(fill.changes(), run.changes().expect("in memory"));
    let gained = balance(&run).wrapping_sub(before);
    assert_eq!(fill.payment(), I256::from_raw(gained));
    let each = fill.transactions().iter().map(FilledTx::payment);
    assert_eq!(each.fold(I256::ZERO, I256::wrapping_add), fill.payment());
}

/// Fills orders of a block one after the other, and changes their ends.
#[track_caller]
pub(crate) fn check_orders(
    fill: &mut FillLoop<'_, MemoryState>,
    block: &Block,
    state: &MemoryState,
    (orders, items): (usize, usize),
    random: &mut SplitMix64,
) {
    for _ in 0..orders {
        let mut order = drawn_order(block, items, random);
        fill.fill(&order).expect("in memory");
        check_order(fill, block, state, &order);
        for _ in 0..below(random, 3) {
            assert_eq!(fill.pop(), order.pop());
        }
        let keep = below(random, order.len() + 1);
        fill.truncate(keep);
        order.truncate(keep);
        for item in drawn_order(block, 2, random) {
            fill.push(item.clone()).expect("in memory");
            order.push(item);
        }
        check_order(fill, block, state, &order);
    }
}
