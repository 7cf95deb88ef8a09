//! What the fill loop includes, drops and takes back, on small states.

#[allow(dead_code, reason = "this target builds fewer programs than the others")]
mod common;

use std::time::{Duration, Instant};

use forewave_analyzer::{Block, MemoryState, TxIndex};
use forewave_executor::{
    Bundle, CancelToken, DropReason, ExecutionError, FillLoop, FilledTx, Member, OrderItem,
    ReuseCache,
};
use revm::{
    bytecode::opcode,
    context::TxEnv,
    primitives::{Address, I256, U256, hardfork::SpecId},
    state::AccountInfo,
};

use common::{ETHER, Program, account, beneficiary, block, call, create, deploy, funded};

const SPECS: [SpecId; 3] = [SpecId::SHANGHAI, SpecId::OSAKA, SpecId::AMSTERDAM];

fn tx(n: usize) -> TxIndex {
    TxIndex::new(n)
}

/// What a fill includes of one item, by number, and what it says of it.
fn outcome(fill: &FillLoop<'_, MemoryState>) -> (Vec<usize>, String) {
    let item = fill.items().last().expect("an item was pushed");
    let included = &fill.transactions()[item.transactions()];
    let mut words: Vec<_> = item.left_out().iter().map(|it| format!("without {it}")).collect();
    words.extend(item.dropped().map(|dropped| format!("dropped: {dropped}")));
    (included.iter().map(|tx| tx.tx().index()).collect(), words.join("; "))
}

#[test]
fn a_bundle_is_included_as_its_members_allow() {
    let mut state = funded();
    let reverts = account(20);
    deploy(
        &mut state,
        reverts,
        Program::new().push(U256::from(0)).push(U256::from(0)).op(opcode::REVERT).build(),
    );
    // 0: fine, 1: reverts, 2: nonce too high, 3: fine.
    let txs = vec![
        call(1, 0, account(30), 1, &[]),
        call(2, 0, reverts, 0, &[]),
        call(3, 7, account(30), 1, &[]),
        call(4, 0, account(30), 1, &[]),
    ];
    let [fine, failing, invalid, last] = [0, 1, 2, 3].map(|n| Member::new(tx(n)));
    let invalid_nonce = "is invalid: nonce 7 too high, expected 0";
    let failed = "failed, which its bundle does not allow";
    let cases: [(Vec<Member>, Vec<usize>, String); 9] = [
        (vec![fine, last], vec![0, 3], String::new()),
        (vec![fine, failing, last], vec![], format!("dropped: tx1 {failed}")),
        (vec![fine, failing.that_may_fail(), last], vec![0, 1, 3], String::new()),
        (vec![fine, failing.optional(), last], vec![0, 3], format!("without tx1 {failed}")),
        (vec![failing.that_may_fail().optional(), last], vec![1, 3], String::new()),
        (vec![fine, invalid, last], vec![], format!("dropped: tx2 {invalid_nonce}")),
        (vec![invalid.that_may_fail()], vec![], format!("dropped: tx2 {invalid_nonce}")),
        (vec![invalid.optional(), fine], vec![0], format!("without tx2 {invalid_nonce}")),
        (vec![invalid.optional(), failing], vec![], format!("dropped: tx1 {failed}")),
    ];
    for spec in SPECS {
        let block = block(spec, txs.clone());
        let cache = ReuseCache::new();
        let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
        let untouched = fill.changes();
        for (members, included, words) in &cases {
            fill.push(Bundle::new(members.iter().copied())).unwrap();
            assert_eq!(outcome(&fill), (included.clone(), words.clone()), "{spec:?} {members:?}");
            if included.is_empty() {
                assert_eq!(fill.changes(), untouched, "{spec:?} {members:?}");
            }
            fill.pop();
            assert_eq!((fill.changes(), fill.gas_used()), (untouched.clone(), 0));
        }
    }
}

#[test]
fn a_transaction_by_itself_is_included_though_it_fails_and_dropped_if_invalid() {
    let mut state = funded();
    let reverts = account(20);
    let code = Program::new().push(U256::from(7)).push(U256::from(0)).op(opcode::MSTORE);
    let code = code.push(U256::from(32)).push(U256::from(0)).op(opcode::REVERT).build();
    deploy(&mut state, reverts, code);
    let rich = TxEnv { value: U256::MAX >> 1, ..call(2, 0, account(30), 0, &[]) };
    let block = block(SpecId::OSAKA, vec![call(1, 0, reverts, 0, &[]), rich]);
    let cache = ReuseCache::new();
    let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
    fill.fill(&[tx(0).into(), tx(1).into()]).unwrap();
    let [included] = fill.transactions() else { panic!("one is included") };
    assert!(!included.is_success());
    assert_eq!(included.output().unwrap()[31], 7, "revert data");
    // Three of ten wei each are the tip, the other seven are burnt.
    assert_eq!(included.payment(), I256::try_from(3 * included.gas_used()).unwrap());
    let dropped = fill.items()[1].dropped().unwrap();
    assert!(matches!(dropped.reason, DropReason::Invalid(_)), "{dropped}");
}

#[test]
fn what_an_order_leaves_no_gas_for_is_dropped_by_the_budget_that_lacks_it() {
    let mut state = funded();
    // Eight new slots: state gas by EIP-8037.
    let code = (0..8).fold(Program::new(), |code, key| code.push(U256::from(1)).store(key)).build();
    deploy(&mut state, account(20), code);
    let of = |from| TxEnv { gas_limit: 2_000_000, ..call(from, 0, account(20), 0, &[]) };
    for (spec, gas_limit) in [(SpecId::OSAKA, 2_050_000), (SpecId::AMSTERDAM, 2_200_000)] {
        let mut block = block(spec, vec![of(1), of(2)]);
        block.env.gas_limit = gas_limit;
        let cache = ReuseCache::new();
        let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
        for order in [[tx(0).into(), tx(1).into()], [tx(1).into(), tx(0).into()]] {
            fill.fill(&order).unwrap();
            assert_eq!(fill.transactions().len(), 1, "{spec:?}");
            let reason = &fill.items()[1].dropped().unwrap().reason;
            let available = gas_limit - fill.gas_used();
            let expected = DropReason::GasLimitExceeded { limit: 2_000_000, available };
            assert_eq!(*reason, expected, "{spec:?}");
        }
    }
}

#[test]
fn what_a_transaction_does_to_the_beneficiary_is_its_payment_and_no_reason_to_run_again() {
    let mut state = funded();
    state.insert_account(beneficiary(), AccountInfo::default());
    // Stores the beneficiary's balance.
    let code = Program::new().op(opcode::COINBASE).op(opcode::BALANCE).store(0).build();
    deploy(&mut state, account(20), code);
    let txs = vec![
        call(1, 0, beneficiary(), 1_000_000, &[]),
        call(2, 0, account(20), 0, &[]),
        call(3, 0, account(30), 1, &[]),
    ];
    let block = block(SpecId::OSAKA, txs);
    let cache = ReuseCache::new();
    let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
    fill.push(tx(0)).unwrap();
    let fee = I256::try_from(3 * 21_000 + 1_000_000).unwrap();
    assert_eq!((fill.payment(), fill.transactions()[0].payment()), (fee, fee));
    // The reader sees another balance in each order, and the same again in the same.
    for order in [[0, 1, 2], [1, 0, 2], [2, 0, 1]] {
        let order = order.map(|n| OrderItem::from(tx(n)));
        fill.truncate(0);
        fill.fill(&order).unwrap();
        fill.truncate(0);
        fill.fill(&order).unwrap();
        assert!(fill.transactions().iter().all(FilledTx::is_reused));
        let at = fill.transactions().iter().position(|filled| filled.tx() == tx(1)).unwrap();
        let before: I256 =
            fill.transactions()[..at].iter().fold(I256::ZERO, |sum, it| sum + it.payment());
        let seen = fill.slot(account(20), U256::ZERO).unwrap();
        assert_eq!(I256::from_raw(seen), before);
    }
}

#[test]
fn a_payment_out_of_a_contract_asks_only_that_its_balance_suffices() {
    let mut state = funded();
    // Pays a hundred wei to its caller.
    let payer = account(20);
    let code = Program::new()
        .push(U256::from(0))
        .push(U256::from(0))
        .push(U256::from(0))
        .push(U256::from(0))
        .push(U256::from(100));
    deploy(&mut state, payer, code.op(opcode::CALLER).op(opcode::GAS).op(opcode::CALL).build());
    let txs = vec![
        call(1, 0, payer, 150, &[]),
        call(2, 0, payer, 0, &[]),
        call(3, 0, payer, 30, &[]),
        call(4, 0, payer, 200, &[]),
    ];
    for spec in SPECS {
        let block = block(spec, txs.clone());
        let cache = ReuseCache::new();
        let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
        let mut fill_with = |order: &[usize]| {
            fill.truncate(0);
            let order: Vec<OrderItem> = order.iter().map(|n| tx(*n).into()).collect();
            fill.fill(&order).unwrap();
            let left = fill.account(payer).unwrap().unwrap().balance;
            let ran = fill.transactions().iter().filter(|tx| !tx.is_reused()).count();
            (left.to::<u64>(), ran)
        };
        assert_eq!(fill_with(&[3, 0, 1]), (50, 3), "{spec:?}");
        // With other balances that suffice nothing runs.
        assert_eq!(fill_with(&[0, 3, 1]), (50, 0), "{spec:?}");
        assert_eq!(fill_with(&[3, 1]), (0, 0), "{spec:?}");
        // With one that does not, the payment fails.
        assert_eq!(fill_with(&[0, 1, 2]), (80, 2), "{spec:?}");
        assert_eq!(fill_with(&[1, 0]), (50, 1), "{spec:?}");
    }
}

#[test]
fn what_is_created_and_destroyed_is_undone_with_its_storage() {
    let state = funded();
    // Stores two slots as it is created, and is destroyed by being called.
    let runtime = u64::from_be_bytes([0, 0, 0, 0, 0, 0, opcode::CALLER, opcode::SELFDESTRUCT]);
    let init = Program::new().push(U256::from(5)).store(1).push(U256::from(6)).store(2);
    let init = init.push(U256::from(runtime)).push(U256::from(0)).op(opcode::MSTORE);
    let init_code = init.push(U256::from(2)).push(U256::from(30)).op(opcode::RETURN).build();
    let created = account(1).create(0);
    let txs =
        vec![create(1, 0, 40, init_code), call(2, 0, created, 0, &[]), call(1, 1, created, 0, &[])];
    for spec in [SpecId::BYZANTIUM, SpecId::SHANGHAI, SpecId::OSAKA, SpecId::AMSTERDAM] {
        let block = block(spec, txs.clone());
        let cache = ReuseCache::new();
        let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
        let mut states = vec![fill.changes()];
        for n in 0..3 {
            assert!(fill.push(tx(n)).unwrap().is_included());
            states.push(fill.changes());
        }
        let slots = |fill: &mut FillLoop<'_, MemoryState>| {
            [1, 2].map(|key| fill.slot(created, U256::from(key)).unwrap().to::<u64>())
        };
        let is_destroyed = !spec.is_enabled_in(SpecId::CANCUN);
        assert_eq!(slots(&mut fill), if is_destroyed { [0, 0] } else { [5, 6] }, "{spec:?}");
        while let Some(expected) = states.pop() {
            assert_eq!(fill.changes(), expected, "{spec:?}");
            if states.len() == 1 {
                assert_eq!(slots(&mut fill), [5, 6], "{spec:?}");
            }
            fill.pop();
        }
        assert_eq!(slots(&mut fill), [0, 0], "{spec:?}");
    }
}

#[test]
fn a_deadline_ends_a_fill_between_transactions_and_leaves_what_was_filled() {
    let (state, cache) = (funded(), ReuseCache::new());
    let block = block(SpecId::OSAKA, (1..4).map(|n| call(n, 0, account(30), 1, &[])).collect());
    let order: Vec<OrderItem> = (0..3).map(|n| tx(n).into()).collect();

    let token = CancelToken::new();
    let mut fill = FillLoop::new(&block, &state, &cache).unwrap().until(&token);
    fill.push(tx(2)).unwrap();
    token.cancel();
    assert_eq!(fill.push(tx(0)).unwrap_err(), ExecutionError::Cancelled);
    assert_eq!(fill.push(Bundle::new([tx(0)])).unwrap_err(), ExecutionError::Cancelled);
    assert_eq!((fill.items().len(), fill.transactions().len()), (1, 1));
    assert_eq!(fill.seal().unwrap().receipts.len(), 1);

    let passed = CancelToken::at(Instant::now());
    let mut late = FillLoop::new(&block, &state, &cache).unwrap().until(&passed);
    assert_eq!(late.fill(&order), Err(ExecutionError::Cancelled));
    let coming = CancelToken::after(Duration::from_secs(1000));
    let mut early = FillLoop::new(&block, &state, &cache).unwrap().until(&coming);
    assert_eq!(early.fill(&order), Ok(()));
    assert_eq!(early.transactions().len(), 3);
}

#[test]
fn an_order_may_name_only_what_the_loop_has() {
    let (state, cache) = (funded(), ReuseCache::new());
    let block: Block = block(SpecId::OSAKA, vec![]);
    let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
    let unknown = ExecutionError::UnknownTransaction { tx: tx(0), transactions: 0 };
    assert_eq!(fill.push(tx(0)).unwrap_err(), unknown);
    let added = call(1, 0, Address::repeat_byte(9), ETHER, &[]);
    let number = fill.add(&added);
    assert_eq!((number, fill.candidate(number)), (tx(0), Some(&added)));
    assert!(fill.push(number).unwrap().is_included());
    assert_eq!(fill.account(Address::repeat_byte(9)).unwrap().unwrap().balance, U256::from(ETHER));
}
