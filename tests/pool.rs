//! The pool of predictions: what it takes, what it holds after each head, and that it says of
//! its orders what a fresh prediction says.

#[path = "pool/fallible.rs"]
mod fallible;

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use forewave::{
    AccessSetBuilder, Block, CancelToken, ConflictGroups, ConflictRule, Location, MemoryState,
    PredictedAccess, PredictorKind, StateChanges, apply_changes,
    input::{BlockInput, LoadOptions},
    pool::{Order, OrderId, OrderMember, Pool, PoolError, PoolLimits, Readiness},
    predict, sequential,
};
use forewave_fixtures::{Scenario, SplitMix64};
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{Address, Bytes, StorageKey, StorageValue},
    state::AccountInfo,
};

use self::fallible::{Fallible, Gone};

fn threads() -> Arc<ThreadPool> {
    Arc::new(ThreadPoolBuilder::new().num_threads(2).build().unwrap())
}

fn pool(block: &Block, state: &MemoryState, limits: PoolLimits) -> Pool<MemoryState> {
    Pool::new(block, state.clone(), threads(), limits)
}

fn fill(pool: &Pool<MemoryState>, transactions: &[TxEnv]) -> Vec<OrderId> {
    let orders = transactions.iter().cloned().map(Order::transaction).collect();
    let inserted = pool.insert_all(orders, &CancelToken::new());
    inserted.into_iter().map(|inserted| inserted.unwrap().id).collect()
}

/// A transfer with these fees: at most, and as priority.
fn priced(block: &Block, at: usize, max_fee: u128, tip: u128) -> TxEnv {
    let tx = block.transactions[at].clone();
    TxEnv { gas_price: max_fee, gas_priority_fee: Some(tip), ..tx }
}

/// All predictions of a pool are what is predicted on `state` now.
fn assert_fresh(pool: &Pool<MemoryState>, block: &Block, state: &MemoryState, what: &str) {
    for id in pool.ids() {
        let pooled = pool.get(id).unwrap();
        let transactions = vec![pooled.order.members()[0].tx().clone()];
        let alone = Block { transactions, ..block.clone() };
        let fresh = predict(&alone, state, &PredictorKind::Static).unwrap();
        let [held] = &pooled.predictions[..] else { panic!("one transaction") };
        assert_eq!(held.set(), fresh[0].set(), "{what}: {id}");
        assert_eq!(held.widened(), fresh[0].widened(), "{what}: {id}");
        assert_eq!(held.deciding_reads(), fresh[0].deciding_reads(), "{what}: {id}");
    }
}

/// Runs the first transactions of a block, and gives what they change.
fn run(block: &Block, state: &MemoryState, transactions: usize) -> StateChanges {
    let transactions = block.transactions[..transactions].to_vec();
    let first = Block { transactions, withdrawals: vec![], ..block.clone() };
    sequential(&first, state).unwrap().state
}

fn samples() -> impl Iterator<Item = (String, Block, MemoryState)> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let paths = fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.collect();
    paths.sort();
    paths.into_iter().map(|path| {
        let input = BlockInput::load(&path, &LoadOptions::default()).unwrap();
        (path.display().to_string(), input.block, input.state)
    })
}

#[test]
fn after_each_head_the_pool_predicts_as_if_it_were_new() {
    let generated = [
        Scenario::MixedDefi,
        Scenario::TurnedBranches,
        Scenario::HashedTargets,
        Scenario::NonceChain,
        Scenario::Votes,
    ];
    let generated = generated.into_iter().map(|scenario| {
        let workload = scenario.generate(40, 3);
        (scenario.to_string(), workload.block, workload.state)
    });
    let mut turned = 0;
    for (what, block, mut state) in generated.chain(samples()) {
        if block.transactions.len() < 2 {
            continue;
        }
        let pool = pool(&block, &state, PoolLimits::default());
        fill(&pool, &block.transactions);
        assert_fresh(&pool, &block, &state, &what);
        let changes = run(&block, &state, block.transactions.len() / 2);
        apply_changes(&mut state, &changes);
        let before: BTreeSet<OrderId> = pool.ids().into_iter().collect();
        let report = pool.on_head(&block, state.clone(), &changes, &CancelToken::new());
        assert!(report.failure.is_none() && report.stale.is_empty(), "{what}: {report:?}");
        assert_eq!(report.dropped.len(), block.transactions.len() / 2, "{what}");
        let after: BTreeSet<OrderId> = pool.ids().into_iter().collect();
        assert!(report.dropped.iter().all(|id| before.contains(id) && !after.contains(id)));
        assert_fresh(&pool, &block, &state, &what);
        turned += report.predicted.len();
    }
    assert!(turned > 10, "{turned} predictions were made again");
}

#[test]
fn only_what_a_changed_slot_decides_is_predicted_again() {
    let workload = Scenario::TurnedBranches.generate(30, 1);
    let (block, mut state) = (workload.block, workload.state);
    let transfers = Scenario::Transfers.generate(30, 1).block.transactions;
    let transfers: Vec<_> = transfers.into_iter().map(|tx| TxEnv { nonce: 1, ..tx }).collect();
    let pool = pool(&block, &state, PoolLimits::default());
    let turned = fill(&pool, &block.transactions);
    fill(&pool, &transfers);
    let deciding = pool.get(turned[0]).unwrap().predictions[0].deciding_reads().unwrap().to_vec();
    let slot = deciding.iter().find_map(|read| match read {
        Location::Storage(address, key) => Some((*address, *key)),
        _ => None,
    });
    let (address, key) = slot.expect("a slot decides the branch");
    let mut changes = StateChanges::new();
    let info = state.basic_ref(address).unwrap();
    let value = state.storage_ref(address, key).unwrap() + StorageValue::from(1);
    changes.insert(
        address,
        forewave::AccountChange {
            info,
            storage: [(key, value)].into(),
            ..forewave::AccountChange::default()
        },
    );
    apply_changes(&mut state, &changes);
    let report = pool.on_head(&block, state.clone(), &changes, &CancelToken::new());
    let decided = |id: &OrderId| {
        let slot = Location::Storage(address, key);
        let pooled = pool.get(*id).unwrap();
        pooled.predictions[0].deciding_reads().unwrap().contains(&slot)
    };
    let expected: Vec<OrderId> = pool.ids().into_iter().filter(decided).collect();
    assert_eq!(report.predicted, expected);
    assert!(!expected.is_empty() && expected.len() <= turned.len());
    assert!(report.dropped.is_empty());
}

#[test]
fn code_that_changes_turns_the_orders_that_call_it() {
    let workload = Scenario::TokenTransfers.generate(5, 1);
    let (block, mut state) = (workload.block, workload.state);
    let pool = pool(&block, &state, PoolLimits::default());
    let ids = fill(&pool, &block.transactions);
    let token = block.transactions[0].kind.to().copied().unwrap();
    // PUSH0 SLOAD
    let code = Bytecode::new_legacy(Bytes::from_static(&[0x5f, 0x54]));
    let info = AccountInfo::from_bytecode(code);
    let change = forewave::AccountChange { info: Some(info), ..forewave::AccountChange::default() };
    let changes: StateChanges = [(token, change)].into();
    apply_changes(&mut state, &changes);
    let report = pool.on_head(&block, state.clone(), &changes, &CancelToken::new());
    assert_eq!(report.predicted, ids);
    assert_eq!(pool.readers(&Location::Storage(token, StorageKey::ZERO)), ids);
    assert_fresh(&pool, &block, &state, "other code");
}

#[test]
fn a_replacement_offers_a_tenth_more_of_both_fees() {
    let workload = Scenario::Transfers.generate(1, 1);
    let block = &workload.block;
    let pool = pool(block, &workload.state, PoolLimits::default());
    let first = pool.insert(Order::transaction(priced(block, 0, 1_000, 100))).unwrap();
    for (max_fee, tip) in [(1_000, 100), (1_099, 110), (1_100, 109), (2_000, 100)] {
        let refused = pool.insert(Order::transaction(priced(block, 0, max_fee, tip)));
        let (by, max_fee, priority_fee) = (first.id, 1_100, 110);
        assert_eq!(refused, Err(PoolError::Underpriced { by, max_fee, priority_fee }));
    }
    // A bundle with the same transaction is another way to use it.
    let bundle = Order::bundle([OrderMember::new(priced(block, 0, 1_000, 100))]);
    let bundle = pool.insert(bundle).unwrap();
    assert_eq!(bundle.replaced, None);
    let second = pool.insert(Order::transaction(priced(block, 0, 1_100, 110))).unwrap();
    assert_eq!(second.replaced, Some(first.id));
    assert_eq!(pool.ids(), [bundle.id, second.id]);
    assert_eq!(pool.conflicts_of(bundle.id), [second.id]);
}

#[test]
fn a_later_nonce_waits_for_those_before_it() {
    let workload = Scenario::NonceChain.generate(4, 1);
    let (block, mut state) = (workload.block, workload.state);
    let pool = pool(&block, &state, PoolLimits { nonces_ahead_max: 3, ..PoolLimits::default() });
    let txs = &block.transactions;
    let insert = |at: usize| pool.insert(Order::transaction(txs[at].clone())).unwrap().id;
    let (third, first) = (insert(2), insert(0));
    let readiness = |id| pool.readiness(id).unwrap();
    assert_eq!([first, third].map(readiness), [Readiness::Next, Readiness::Gapped]);
    let second = insert(1);
    assert_eq!([first, second, third].map(readiness), {
        [Readiness::Next, Readiness::Behind, Readiness::Behind]
    });
    let sender = txs[0].caller;
    assert_eq!(pool.orders_of(&sender), [(0, first), (1, second), (2, third)]);
    let far = TxEnv { nonce: 4, ..txs[3].clone() };
    let far = pool.insert(Order::transaction(far)).unwrap_err();
    assert_eq!(far, PoolError::NonceTooHigh { member: 0, sender, nonce: 4, next: 0, max: 3 });
    let changes = run(&block, &state, 2);
    apply_changes(&mut state, &changes);
    let report = pool.on_head(&block, state, &changes, &CancelToken::new());
    assert_eq!(report.dropped, [first, second]);
    assert_eq!(readiness(third), Readiness::Next);
    let passed = pool.insert(Order::transaction(txs[1].clone())).unwrap_err();
    assert_eq!(passed, PoolError::NonceTooLow { member: 0, sender, nonce: 1, next: 2 });
}

#[test]
fn a_bundle_is_one_order_and_stands_without_what_is_optional() {
    let workload = Scenario::Transfers.generate(3, 1);
    let (block, mut state) = (workload.block, workload.state);
    let pool = pool(&block, &state, PoolLimits::default());
    let [one, two, three] = [0, 1, 2].map(|at| OrderMember::new(block.transactions[at].clone()));
    let stands = pool.insert(Order::bundle([one.clone().optional(), two.clone()])).unwrap().id;
    let falls = pool.insert(Order::bundle([one, three.clone().reverting()])).unwrap().id;
    let apart = pool.insert(Order::bundle([three])).unwrap().id;
    // The first two share a transaction, the last two another one.
    assert_eq!(pool.group_of(apart), [stands, falls, apart]);
    assert_eq!(pool.conflicts_of(apart), [falls]);
    let changes = run(&block, &state, 1);
    apply_changes(&mut state, &changes);
    let report = pool.on_head(&block, state, &changes, &CancelToken::new());
    assert_eq!(report.dropped, [falls]);
    assert_eq!(pool.groups(), (vec![vec![stands], vec![apart]], vec![]));
    let pooled = pool.get(stands).unwrap();
    assert!(pooled.order.members()[0].is_optional());
    assert_eq!(pooled.predictions.len(), 2);
}

#[test]
fn a_full_pool_lets_the_lowest_fee_go_and_splits_no_bundle() {
    let workload = Scenario::Transfers.generate(5, 1);
    let block = &workload.block;
    let pool = pool(block, &workload.state, PoolLimits { orders_max: 3, ..PoolLimits::default() });
    let tx = |at, tip| priced(block, at, 1_000, tip);
    let insert = |order| pool.insert(order).map(|inserted| (inserted.id, inserted.evicted));
    let (cheap, _) = insert(Order::transaction(tx(0, 5))).unwrap();
    let bundle = Order::bundle([OrderMember::new(tx(1, 2)), OrderMember::new(tx(2, 10))]);
    assert_eq!(bundle.fee(), 6);
    let (bundle, _) = insert(bundle).unwrap();
    let (dear, _) = insert(Order::transaction(tx(3, 9))).unwrap();
    let newest = Order::transaction(tx(4, 5));
    assert_eq!(insert(newest.clone()), Err(PoolError::Full { fee: 5 }));
    let (first, evicted) = insert(newest.clone().with_fee(7)).unwrap();
    assert_eq!(evicted, [cheap]);
    pool.remove(first).unwrap();
    let (first, evicted) = insert(newest.with_fee(7)).unwrap();
    assert_eq!(evicted, []);
    let (last, evicted) = insert(Order::transaction(tx(0, 8))).unwrap();
    assert_eq!(evicted, [bundle]);
    assert_eq!(pool.ids(), [dear, first, last]);
    assert_eq!(pool.writers(&Location::Nonce(tx(1, 0).caller)), []);
}

#[test]
fn memory_is_bounded_in_bytes() {
    let workload = Scenario::TokenTransfers.generate(60, 1);
    let block = &workload.block;
    let limits = PoolLimits { bytes_max: 100_000, ..PoolLimits::default() };
    let pool = pool(block, &workload.state, limits);
    let (mut taken, mut gone) = (0, 0);
    for (at, tip) in (0..60).zip([3, 1, 2].into_iter().cycle()) {
        match pool.insert(Order::transaction(priced(block, at, 1_000, tip))) {
            Ok(inserted) => (taken, gone) = (taken + 1, gone + inserted.evicted.len()),
            Err(error) => assert_eq!(error, PoolError::Full { fee: tip }),
        }
        assert!(pool.bytes() <= 100_000);
    }
    assert!(gone > 0 && pool.len() == taken - gone);
    let fees = pool.ids().into_iter().map(|id| pool.get(id).unwrap().order.fee());
    assert!(fees.min() >= Some(2), "the cheapest have left");
}

#[test]
fn a_deadline_leaves_orders_stale_until_they_are_refreshed() {
    let workload = Scenario::TurnedBranches.generate(8, 1);
    let (block, mut state) = (workload.block, workload.state);
    let pool = pool(&block, &state, PoolLimits::default());
    fill(&pool, &block.transactions);
    let changes = run(&block, &state, 4);
    apply_changes(&mut state, &changes);
    let passed = CancelToken::at(std::time::Instant::now());
    let report = pool.on_head(&block, state.clone(), &changes, &passed);
    assert_eq!((report.dropped.len(), report.predicted.len()), (4, 0));
    assert!(!report.stale.is_empty());
    assert_eq!(report.failure, Some(PoolError::Cancelled));
    let order = Order::transaction(block.transactions[7].clone());
    assert_eq!(pool.insert_until(order, &passed), Err(PoolError::Cancelled));
    let refreshed = pool.refresh(&CancelToken::new());
    assert_eq!((&refreshed.predicted, refreshed.stale.len()), (&report.stale, 0));
    assert_fresh(&pool, &block, &state, "refreshed");
}

#[test]
fn predictions_of_the_callers_own_stand_until_what_they_read_has_changed() {
    let workload = Scenario::TokenTransfers.generate(2, 1);
    let (block, mut state) = (workload.block, workload.state);
    let pool = pool(&block, &state, PoolLimits::default());
    let read = Location::Storage(Address::repeat_byte(9), StorageKey::ZERO);
    let measured =
        PredictedAccess::exact(AccessSetBuilder::new().read(read).clone().build(), 50_000);
    let order = Order::transaction(block.transactions[1].clone());
    let refused = pool.insert_measured(order.clone(), vec![]).unwrap_err();
    assert_eq!(refused, PoolError::Predictions { found: 0, expected: 1 });
    let id = pool.insert_measured(order, vec![measured.clone()]).unwrap().id;
    let changes = run(&block, &state, 1);
    apply_changes(&mut state, &changes);
    let report = pool.on_head(&block, state.clone(), &changes, &CancelToken::new());
    assert_eq!(report.predicted, []);
    assert_eq!(*pool.get(id).unwrap().predictions, [measured]);
    let change = forewave::AccountChange {
        info: Some(AccountInfo::default().with_nonce(1)),
        storage: [(StorageKey::ZERO, StorageValue::from(1))].into(),
        ..forewave::AccountChange::default()
    };
    let changes: StateChanges = [(read.address(), change)].into();
    apply_changes(&mut state, &changes);
    let report = pool.on_head(&block, state.clone(), &changes, &CancelToken::new());
    assert_eq!(report.predicted, [id]);
    assert_fresh(&pool, &block, &state, "measured no more");
}

#[test]
fn orders_of_other_shapes_are_refused_by_name() {
    let workload = Scenario::Transfers.generate(1, 1);
    let pool = pool(
        &workload.block,
        &workload.state,
        PoolLimits { members_max: 2, ..PoolLimits::default() },
    );
    let member = OrderMember::new(workload.block.transactions[0].clone());
    for found in [0, 3] {
        let order = Order::bundle(vec![member.clone(); found]);
        let refused = pool.insert(order).unwrap_err();
        assert_eq!(refused, PoolError::Members { found, max: 2 });
        assert_eq!(refused.to_string(), {
            format!("an order has 1 to 2 transactions, this one {found}")
        });
    }
}

#[test]
fn a_state_that_fails_or_panics_leaves_the_pool_as_it_was() {
    let workload = Scenario::Transfers.generate(2, 1);
    let [fails, panics] = [false, false].map(AtomicBool::new);
    let state = Arc::new(Fallible { state: workload.state.clone(), fails, panics });
    let pool = Pool::new(&workload.block, state.clone(), threads(), PoolLimits::default());
    let order = |at: usize| Order::transaction(workload.block.transactions[at].clone());
    state.fails.store(true, Ordering::Relaxed);
    let failed = pool.insert(order(0)).unwrap_err();
    assert_eq!(failed, PoolError::State { member: 0, source: Gone });
    state.panics.store(true, Ordering::Relaxed);
    let panicked = pool.insert(order(0)).unwrap_err();
    assert_eq!(panicked.to_string(), "the prediction panicked: out of luck");
    assert!(pool.is_empty());
    for fault in [&state.fails, &state.panics] {
        fault.store(false, Ordering::Relaxed);
    }
    let id = pool.insert(order(0)).unwrap().id;
    state.panics.store(true, Ordering::Relaxed);
    let changes = run(&workload.block, &workload.state, 1);
    let report = pool.on_head(&workload.block, state, &changes, &CancelToken::new());
    assert_eq!(report.dropped, [id]);
}

#[test]
fn threads_that_insert_remove_and_follow_heads_leave_one_consistent_pool() {
    let workload = Scenario::MixedDefi.generate(160, 5);
    let (block, state) = (workload.block, workload.state);
    let pool = Arc::new(pool(&block, &state, PoolLimits::default()));
    let heads = [20, 40, 60].map(|transactions| {
        let changes = run(&block, &state, transactions);
        let mut after = state.clone();
        apply_changes(&mut after, &changes);
        (after, changes)
    });
    thread::scope(|scope| {
        for worker in 0..3_u64 {
            let (pool, block) = (pool.clone(), &block);
            scope.spawn(move || {
                let mut random = SplitMix64::new(worker);
                for _ in 0..400 {
                    let at = random.index(block.transactions.len());
                    let order = Order::transaction(block.transactions[at].clone());
                    let _ = pool.insert(order);
                    let ids = pool.ids();
                    if random.percent(40) && !ids.is_empty() {
                        let id = ids[random.index(ids.len())];
                        pool.conflicts_of(id);
                        pool.remove(id);
                    }
                }
            });
        }
        // Changes of each head are since the first, which is all that differs at most.
        for (after, changes) in heads {
            let report = pool.on_head(&block, after, &changes, &CancelToken::new());
            assert_eq!(report.failure, None);
        }
    });
    let last = run(&block, &state, 60);
    let mut after = state;
    apply_changes(&mut after, &last);
    pool.refresh(&CancelToken::new());
    assert_fresh(&pool, &block, &after, "after all heads");
    let mut groups = ConflictGroups::new(ConflictRule::Strict);
    groups.ignore(Location::Balance(block.env.beneficiary));
    for id in pool.ids() {
        groups.insert(id, pool.get(id).unwrap().predictions.iter());
    }
    assert_eq!(pool.groups(), (groups.bounded_groups(), groups.unbounded().collect()));
    assert!(pool.len() > 20);
}
