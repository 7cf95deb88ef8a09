//! What the protocol itself touches, and what a transaction declares.

use forewave_analyzer::{AccessListPredictor, Location, ProtocolPredictor};
use revm::{
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::{
        either::Either,
        transaction::{
            AccessList, AccessListItem, Authorization, RecoveredAuthority, RecoveredAuthorization,
        },
    },
    primitives::{Address, B256, TxKind, U256},
};

use crate::scene::{A, B, BENEFICIARY, C, SENDER, Scene, scene};

fn with_both(scene: &Scene, expected: &[&str]) {
    scene.check(expected);
    let none = scene.predict_with(&ProtocolPredictor).pop().expect("a transaction");
    assert_eq!(scene.text(&none).lines().collect::<Vec<_>>(), expected);
}

fn authorization(authority: Address, to: Address, nonce: u64) -> TxEnv {
    let inner = Authorization { chain_id: U256::ZERO, address: to, nonce };
    let authority = RecoveredAuthority::Valid(authority);
    let authorization = RecoveredAuthorization::new_unchecked(inner, authority);
    TxEnv {
        tx_type: 4,
        kind: TxKind::Call(C),
        authorization_list: vec![Either::Right(authorization)],
        ..TxEnv::default()
    }
}

#[test]
fn a_transfer_credits_its_recipient_and_pays_the_beneficiary() {
    let tx = TxEnv { kind: TxKind::Call(B), value: U256::ONE, ..TxEnv::default() };
    let scene = scene().tx(tx);
    with_both(&scene, &["delta balance(b)"]);
    let prediction = scene.predict().pop().expect("a transaction");
    assert_eq!(prediction.gas(), 21_000);
    let set = prediction.set();
    let (balance, nonce) = (Location::Balance(SENDER), Location::Nonce(SENDER));
    assert_eq!(set.reads(), [balance, nonce, Location::Code(SENDER), Location::Code(B)]);
    assert_eq!(set.writes(), [balance, nonce]);
    assert_eq!(set.deltas(), [Location::Balance(B), Location::Balance(BENEFICIARY)]);
}

#[test]
fn a_transfer_touches_the_same_whichever_way_it_is_analysed_and_whoever_takes_part() {
    // A transaction with a list goes the way of those that run code; listing is no access.
    let list = AccessList(vec![AccessListItem { address: C, storage_keys: vec![] }]);
    let parties = [SENDER, BENEFICIARY, A];
    for (from, to) in parties.iter().flat_map(|from| parties.map(|to| (*from, to))) {
        for value in [U256::ZERO, U256::ONE] {
            let tx = TxEnv { caller: from, kind: TxKind::Call(to), value, ..TxEnv::default() };
            let listed = TxEnv { tx_type: 1, access_list: list.clone(), ..tx.clone() };
            let plain = scene().tx(tx.clone()).tx(tx.clone());
            let general = scene().tx(listed.clone()).tx(listed);
            for [plain, general] in [
                [plain.predict(), general.predict()],
                [plain.without_fees().predict(), general.without_fees().predict()],
            ] {
                for (plain, general) in plain.iter().zip(&general) {
                    assert_eq!(plain.set(), general.set(), "{from} to {to}, {value} wei");
                }
            }
        }
    }
}

#[test]
fn a_valid_authorization_writes_nonce_and_code_of_its_authority() {
    let scene = scene().contract(B, "STOP").code(A, Bytecode::new_eip7702(C).original_byte_slice());
    let expected = ["read nonce(a)", "read code(a)", "write nonce(a)", "write code(a)"];
    with_both(&scene.tx(authorization(A, B, 1)), &expected);
}

#[test]
fn an_authorization_of_another_nonce_is_only_looked_at() {
    let scene = scene().contract(B, "STOP").code(A, Bytecode::new_eip7702(C).original_byte_slice());
    with_both(&scene.tx(authorization(A, B, 7)), &["read nonce(a)", "read code(a)"]);
}

#[test]
fn an_authorization_of_a_contract_does_not_apply() {
    let scene = scene().contract(A, "STOP").tx(authorization(A, B, 1));
    with_both(&scene, &["read nonce(a)", "read code(a)"]);
}

#[test]
fn a_delegation_is_in_force_in_its_own_transaction() {
    let mut tx = authorization(C, B, 0);
    tx.kind = TxKind::Call(C);
    // An authority that was empty is looked at for that.
    scene().contract(B, "4 SLOAD STOP").tx(tx).check(&[
        "read balance(c)",
        "read nonce(c)",
        "read code(b)",
        "read storage(c, 0x4)",
        "write nonce(c)",
        "write code(c)",
    ]);
}

#[test]
fn an_access_list_is_taken_as_read_and_written() {
    let list = vec![AccessListItem { address: A, storage_keys: vec![B256::with_last_byte(1)] }];
    let access_list = AccessList(list);
    let tx = TxEnv { tx_type: 1, kind: TxKind::Call(B), access_list, ..TxEnv::default() };
    let scene = scene().tx(tx);
    let prediction = scene.predict_with(&AccessListPredictor).pop().expect("a transaction");
    assert_eq!(
        scene.text(&prediction).lines().collect::<Vec<_>>(),
        ["read code(a)", "read storage(a, 0x1)", "write storage(a, 0x1)"],
    );
}
