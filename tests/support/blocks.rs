//! From bytes to a block of random transactions on random and compiled
//! contracts, at every fork: what a property test and a long run share.
//!
//! Senders are few, so that most transactions depend on others; some have no
//! funds before the block, some are delegated, one is the beneficiary. All five
//! transaction types occur, with lists, blobs and authorizations that are right
//! or wrong. A block is valid, unless it is meant not to be: nonces are put
//! right, and transactions that cannot be are left out. Some blocks are of plain
//! transfers only.

use core::iter::repeat_with;

use alloy_eips::{
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
    eip4844::VERSIONED_HASH_VERSION_KZG,
    eip4895::Withdrawal,
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE},
    eip7840::BlobParams,
};
use forewave::{Block, MemoryState, StateExtent};
use revm::{
    Context, Database, ExecuteCommitEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{
        either::Either,
        transaction::{
            AccessList, AccessListItem, Authorization, RecoveredAuthority, RecoveredAuthorization,
        },
    },
    database::CacheDB,
    database_interface::WrapDatabaseRef,
    primitives::{Address, B256, TxKind, U256, eip7825, hardfork::SpecId},
    state::AccountInfo,
};

use super::{
    choices::{Choices, anybody, beneficiary, contract},
    program::{Program, insert_contracts},
    stage::{delegate, drawn_call, person, state_with_contracts},
};

/// A fork with a number and a time at which mainnet follows it. Weights by repetition.
type Slot = (SpecId, u64, u64);

const SLOTS: [Slot; 21] = [
    (SpecId::FRONTIER, 100_000, 1_440_000_000),
    (SpecId::HOMESTEAD, 1_200_000, 1_458_000_000),
    (SpecId::TANGERINE, 2_500_000, 1_477_000_000),
    (SpecId::SPURIOUS_DRAGON, 3_000_000, 1_484_000_000),
    (SpecId::BYZANTIUM, 5_000_000, 1_517_000_000),
    (SpecId::PETERSBURG, 8_000_000, 1_561_000_000),
    (SpecId::ISTANBUL, 10_000_000, 1_589_000_000),
    (SpecId::BERLIN, 12_500_000, 1_621_000_000),
    (SpecId::LONDON, 14_000_000, 1_642_000_000),
    (SpecId::MERGE, 16_000_000, 1_668_000_011),
    SHANGHAI,
    SHANGHAI,
    CANCUN,
    CANCUN,
    CANCUN,
    CANCUN,
    PRAGUE,
    PRAGUE,
    PRAGUE,
    PRAGUE,
    (SpecId::OSAKA, 23_950_000, 1_764_900_011),
];

const SHANGHAI: Slot = (SpecId::SHANGHAI, 17_500_000, 1_687_000_007);
const CANCUN: Slot = (SpecId::CANCUN, 19_500_000, 1_711_230_011);
const PRAGUE: Slot = (SpecId::PRAGUE, 22_500_000, 1_747_447_007);

/// A block and the state before it.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) block: Block,
    pub(crate) state: MemoryState,
}

/// The block of at most `txs_max` transactions that the choices decide.
pub(crate) fn drawn(choices: &mut Choices<'_>, txs_max: u8) -> Drawn {
    let slot = choices.of(&SLOTS);
    let state = drawn_state(choices, slot);
    let mut block = empty_block(choices, slot);
    let only_payments = choices.one_in(12);
    for _ in 0..=choices.below(txs_max) {
        let tx = if only_payments {
            drawn_payment(choices, &block)
        } else {
            drawn_transaction(choices, &block)
        };
        block.transactions.push(tx);
    }
    repair(&mut block, &state);
    if choices.one_in(24) && !block.transactions.is_empty() {
        spoil(choices, &mut block);
    }
    Drawn { block, state }
}

fn drawn_state(choices: &mut Choices<'_>, (spec, number, _): Slot) -> MemoryState {
    let mut state = state_with_contracts();
    for hash in 0..=u8::MAX {
        state.insert_block_hash(number - 1 - u64::from(hash), B256::with_last_byte(hash));
    }
    if spec.is_enabled_in(SpecId::CANCUN) && choices.one_in(4) {
        insert_system_contracts(&mut state);
    }
    // Without means before the block.
    state.insert_account(person(8), AccountInfo::default());
    state.remove_account(person(9));
    state.insert_account(person(10), AccountInfo::from_balance(U256::from(choices.byte())));
    insert_contracts(choices, spec, &mut state, |choices| match choices.below(5) {
        0 => U256::ZERO,
        1 => U256::from(choices.byte()),
        2 => person(choices.byte()).into_word().into(),
        _ => anybody(choices).into_word().into(),
    });
    if spec.is_enabled_in(SpecId::PRAGUE) {
        let delegated = Bytecode::new_eip7702(drawn_delegate(choices));
        let info = AccountInfo::from_bytecode(delegated).with_nonce(7);
        state.insert_account(person(7), info.with_balance(U256::from(u64::MAX)));
    }
    state
}

fn empty_block(choices: &mut Choices<'_>, (spec, number, timestamp): Slot) -> Block {
    let since = |fork| spec.is_enabled_in(fork);
    let mut cfg = CfgEnv::new_with_spec(spec).with_chain_id(1);
    let params = match spec {
        _ if since(SpecId::OSAKA) => Some(BlobParams::osaka()),
        _ if since(SpecId::PRAGUE) => Some(BlobParams::prague()),
        _ if since(SpecId::CANCUN) => Some(BlobParams::cancun()),
        _ => None,
    };
    let mut env = BlockEnv {
        number: U256::from(number),
        beneficiary: match choices.below(6) {
            0 => person(11),
            1 => contract(0),
            2 => person(8),
            _ => beneficiary(),
        },
        timestamp: U256::from(timestamp),
        gas_limit: if choices.one_in(40) { 3_000_000 } else { 1_000_000_000 },
        basefee: if since(SpecId::LONDON) { 7 } else { 0 },
        prevrandao: since(SpecId::MERGE).then_some(B256::repeat_byte(3)),
        difficulty: if since(SpecId::MERGE) { U256::ZERO } else { U256::from(131_072) },
        ..BlockEnv::default()
    };
    if let Some(params) = params {
        let fraction = u64::try_from(params.update_fraction).expect("a few million");
        cfg.set_max_blobs_per_tx(params.max_blobs_per_tx);
        cfg.blob_base_fee_update_fraction = Some(fraction);
        env.set_blob_excess_gas_and_price(0, fraction);
    }
    if since(SpecId::OSAKA) {
        cfg.tx_gas_limit_cap = Some(eip7825::TX_GAS_LIMIT_CAP);
    }
    let withdrawals = (0..choices.below(4)).map(|index| Withdrawal {
        index: index.into(),
        validator_index: index.into(),
        address: if choices.one_in(2) { anybody(choices) } else { person(choices.byte()) },
        amount: choices.below(3).into(),
    });
    let withdrawals: Vec<Withdrawal> = withdrawals.collect();
    Block {
        cfg,
        env,
        parent_hash: B256::repeat_byte(1),
        parent_beacon_block_root: since(SpecId::CANCUN).then_some(B256::repeat_byte(2)),
        deposit_contract: None,
        state_extent: StateExtent::Touched,
        transactions: Vec::new(),
        withdrawals: if since(SpecId::SHANGHAI) { withdrawals } else { Vec::new() },
        ommers: Vec::new(),
        reward: forewave::BlockReward::OfFork,
        is_dao_fork: false,
        makes_access_list: false,
        access_list: None,
    }
}

/// Adds the system contracts, without which blocks are executed just as well.
fn insert_system_contracts(state: &mut MemoryState) {
    for (address, code) in [
        (BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone()),
        (HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone()),
        (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone()),
        (CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone()),
    ] {
        let info = AccountInfo::from_bytecode(Bytecode::new_legacy(code)).with_nonce(1);
        state.insert_account(address, info);
    }
}

fn drawn_delegate(choices: &mut Choices<'_>) -> Address {
    match choices.below(6) {
        0 => Address::ZERO,
        1 => person(choices.byte()),
        2 => anybody(choices),
        3 => delegate(),
        _ => contract(choices.byte()),
    }
}

fn drawn_transaction(choices: &mut Choices<'_>, block: &Block) -> TxEnv {
    let since = |fork| block.spec().is_enabled_in(fork);
    let mut tx = TxEnv {
        caller: person(choices.byte()),
        gas_limit: choices.of(&[100_000, 100_000, 60_000, 300_000, 1_000_000]),
        gas_price: choices.of(&[10, 10, 7, 30]),
        chain_id: (since(SpecId::SPURIOUS_DRAGON) && !choices.one_in(8)).then_some(1),
        ..TxEnv::default()
    };
    match choices.below(16) {
        0..=4 => transfer(choices, &mut tx),
        5..=9 if since(SpecId::SHANGHAI) => {
            let call = drawn_call(choices, tx.caller);
            (tx.kind, tx.value, tx.data) = (TxKind::Call(call.to), call.wei, call.data);
            tx.gas_limit = tx.gas_limit.max(300_000);
        }
        10 => {
            tx.kind = TxKind::Create;
            tx.value = U256::from(choices.of(&[0_u8, 0, 5]));
            tx.data = Program::drawn(choices).into();
            tx.gas_limit = tx.gas_limit.max(100_000);
            return tx;
        }
        _ => {
            tx.kind = TxKind::Call(anybody(choices));
            tx.value = U256::from(choices.of(&[0_u8, 0, 1, 200]));
            tx.data = choices.bytes(80).into();
        }
    }
    if since(SpecId::BERLIN) && choices.one_in(5) {
        tx.access_list = drawn_list(choices);
        tx.tx_type = 1;
    }
    if since(SpecId::LONDON) && choices.one_in(3) {
        tx.gas_priority_fee = Some(choices.of(&[0, 1, tx.gas_price]));
        tx.tx_type = 2;
    }
    if since(SpecId::CANCUN) && choices.one_in(12) {
        let hash = |byte| {
            let mut hash = B256::with_last_byte(byte);
            hash.0[0] = VERSIONED_HASH_VERSION_KZG;
            hash
        };
        tx.blob_hashes = (0..=choices.below(2)).map(hash).collect();
        (tx.max_fee_per_blob_gas, tx.tx_type) = (choices.of(&[1, 100]), 3);
        tx.gas_priority_fee = tx.gas_priority_fee.or(Some(0));
    } else if since(SpecId::PRAGUE) && choices.one_in(6) {
        tx.authorization_list = drawn_authorizations(choices, block, tx.caller);
        tx.tx_type = 4;
        tx.gas_limit += 25_000 * tx.authorization_list.len() as u64;
        tx.gas_priority_fee = tx.gas_priority_fee.or(Some(0));
    }
    tx
}

/// A plain transfer among people, of whom one may be delegated and one the
/// beneficiary: not often, so that most blocks of such transfers are ordinary.
fn drawn_payment(choices: &mut Choices<'_>, block: &Block) -> TxEnv {
    let since = |fork| block.spec().is_enabled_in(fork);
    let usual = |choices: &mut Choices<'_>| {
        let number = choices.of(&[0, 1, 2, 3, 4, 5, 6, 9, 10]);
        if choices.one_in(64) { person(choices.byte()) } else { person(number) }
    };
    let mut tx = TxEnv {
        caller: usual(choices),
        gas_price: choices.of(&[10, 10, 7, 30]),
        chain_id: since(SpecId::SPURIOUS_DRAGON).then_some(1),
        ..TxEnv::default()
    };
    transfer(choices, &mut tx);
    tx.kind = TxKind::Call(usual(choices));
    if since(SpecId::BERLIN) && choices.one_in(8) {
        tx.access_list = drawn_list(choices);
        tx.tx_type = 1;
        tx.gas_limit = 100_000;
    }
    if since(SpecId::LONDON) && choices.one_in(3) {
        tx.gas_priority_fee = Some(choices.of(&[0, 1, tx.gas_price]));
        tx.tx_type = 2;
    }
    tx
}

/// Mostly of little; sometimes of what makes the recipient able to send.
fn transfer(choices: &mut Choices<'_>, tx: &mut TxEnv) {
    let to = if choices.one_in(3) { anybody(choices) } else { person(choices.byte()) };
    tx.kind = TxKind::Call(to);
    tx.value = U256::from(choices.of(&[0_u64, 1, 77, 30_000_000, 1_000_000_000]));
    tx.gas_limit = choices.of(&[21_000, 21_000, 50_000, 100_000]);
}

fn drawn_list(choices: &mut Choices<'_>) -> AccessList {
    let items = (0..=choices.below(2)).map(|_| AccessListItem {
        address: anybody(choices),
        storage_keys: (0..choices.below(3)).map(B256::with_last_byte).collect(),
    });
    AccessList(items.collect())
}

/// Authorizations of people, most of them with the nonce that they may have.
fn drawn_authorizations(
    choices: &mut Choices<'_>,
    block: &Block,
    caller: Address,
) -> Vec<Either<alloy_eips::eip7702::SignedAuthorization, RecoveredAuthorization>> {
    let count = 1 + choices.below(3);
    let authorizations = repeat_with(|| {
        let authority = if choices.one_in(3) { caller } else { person(choices.byte()) };
        let sent = block.transactions.iter().filter(|tx| tx.caller == authority).count() as u64;
        let own = u64::from(authority == caller);
        let inner = Authorization {
            chain_id: U256::from(choices.of(&[0_u8, 1, 1, 9])),
            address: drawn_delegate(choices),
            nonce: sent + own + u64::from(choices.of(&[0_u8, 0, 0, 1])),
        };
        let authority = RecoveredAuthority::Valid(authority);
        Either::Right(RecoveredAuthorization::new_unchecked(inner, authority))
    });
    authorizations.take(count.into()).collect()
}

/// Puts nonces right and leaves out what cannot be executed, by plain execution
/// without what the protocol does before the block: that may rarely matter, and
/// then the block is invalid.
fn repair(block: &mut Block, state: &MemoryState) {
    let mut evm = Context::mainnet()
        .with_db(CacheDB::new(WrapDatabaseRef(state)))
        .with_block(block.env.clone())
        .with_cfg(block.cfg.clone())
        .build_mainnet();
    block.transactions.retain_mut(|tx| {
        let sender = evm.ctx.journaled_state.database.basic(tx.caller);
        tx.nonce = sender.expect("accounts are in memory").unwrap_or_default().nonce;
        evm.transact_commit(tx.clone()).is_ok()
    });
}

/// Makes one transaction invalid.
fn spoil(choices: &mut Choices<'_>, block: &mut Block) {
    let len = block.transactions.len();
    let tx = &mut block.transactions[usize::from(choices.byte()) % len];
    match choices.below(5) {
        0 => tx.nonce = tx.nonce.wrapping_add(1),
        1 => tx.nonce = tx.nonce.wrapping_sub(1),
        2 => tx.value = U256::MAX,
        3 => tx.gas_limit = 20_000,
        _ => tx.gas_price = u128::from(u64::MAX),
    }
}
