//! Plain transfers of ether to accounts without code: no interpreter, no
//! journal. Validation and gas are revm's own functions; what is left is a
//! nonce, three balances and a receipt.
//!
//! Whatever is out of the ordinary is given back to the EVM: an invalid
//! transaction, calldata, authorizations, a precompile, code or a hoard at
//! the recipient, the beneficiary as a party, and forks before EIP-161, whose
//! touched accounts have rules of their own.

use revm::{
    Database,
    context::{
        ContextSetters, TxEnv,
        result::{EVMError, ExecutionResult, Output, ResultGas, SuccessReason},
    },
    context_interface::{Cfg, Transaction},
    handler::{pre_execution, validation},
    primitives::{Address, Bytes, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

use crate::{
    looks::Looked,
    tracking::{AccountRead, Reads, Record, TrackingEvm, is_hoard},
    transition::{AccountTransition, BalanceChange, Lifecycle, Transition},
};

/// What a plain transfer does, or `None` if `tx` is none or is better left to
/// the EVM. State errors are left to the EVM as well, which meets them again.
pub(crate) fn transfer<D: Database>(
    evm: &mut TrackingEvm<D>,
    tx: &TxEnv,
) -> Option<(ExecutionResult, Record)> {
    let spec = evm.ctx.cfg.spec;
    let beneficiary = evm.ctx.block.beneficiary;
    let TxKind::Call(to) = tx.kind else { return None };
    let ordinary = tx.data.is_empty()
        && tx.authorization_list.is_empty()
        && (SpecId::SPURIOUS_DRAGON..SpecId::AMSTERDAM).contains(&spec)
        && ![tx.caller, to].contains(&beneficiary)
        && !evm.precompiles.contains(&to);
    if !ordinary {
        return None;
    }
    let view = &mut evm.ctx.journaled_state.database.inner;
    let recipient = view.basic(to).ok()?;
    if recipient.as_ref().is_some_and(|info| !info.is_code_hash_empty_or_zero() || is_hoard(info)) {
        return None;
    }
    let sender = sender_with_code(view, tx.caller)?;

    evm.ctx.set_tx(tx.clone());
    let gas = validated_gas(evm, &sender)?;
    let (tx, block, cfg) = (&evm.ctx.tx, &evm.ctx.block, &evm.ctx.cfg);
    let price = tx.effective_gas_price(u128::from(block.basefee));
    let charged = pre_execution::calculate_caller_fee(sender.balance, tx, block, cfg).ok()?;
    let refunded = U256::from(price) * U256::from(tx.gas_limit - gas.tx_gas_used());
    let sent = if to == tx.caller { U256::ZERO } else { tx.value };
    let left = (charged + refunded).checked_sub(sent)?;
    // EIP-1559 burns the base fee.
    let burnt = if spec.is_enabled_in(SpecId::LONDON) { u128::from(block.basefee) } else { 0 };
    let fee = U256::from(price.saturating_sub(burnt)) * U256::from(gas.tx_gas_used());

    let cost = tx.max_balance_spending().unwrap_or(U256::MAX);
    let paid = match sender.balance {
        before if before >= cost => BalanceChange::settle(before, left),
        before if before == left => BalanceChange::Keep,
        _ => BalanceChange::Set(left),
    };
    let mut accounts = vec![
        (tx.caller, touched(paid, Some(sender.nonce + 1))),
        (beneficiary, touched(credit(fee), None)),
    ];
    if to != tx.caller {
        accounts.push((to, touched(credit(sent), None)));
    }
    let record = Record {
        reads: reads(tx, cost, sender, to, recipient),
        transition: Transition { accounts },
    };
    let output = Output::Call(Bytes::new());
    let result =
        ExecutionResult::Success { reason: SuccessReason::Stop, gas, logs: vec![], output };
    Some((result, record))
}

/// The sender with its code loaded, which validation looks at (EIP-3607).
fn sender_with_code<D: Database>(view: &mut D, caller: Address) -> Option<AccountInfo> {
    let mut sender = view.basic(caller).ok()?.unwrap_or_default();
    if sender.code.is_none() {
        sender.code = Some(view.code_by_hash(sender.code_hash).ok()?);
    }
    Some(sender)
}

/// The gas that the transaction uses, if it is valid.
fn validated_gas<D: Database>(evm: &mut TrackingEvm<D>, sender: &AccountInfo) -> Option<ResultGas> {
    validation::validate_env::<_, EVMError<D::Error>>(&mut evm.ctx).ok()?;
    let (tx, cfg) = (&evm.ctx.tx, &evm.ctx.cfg);
    let gas = validation::validate_initial_tx_gas_with_gas_params(
        tx,
        cfg.spec,
        cfg.gas_params(),
        cfg.is_eip7623_disabled(),
        cfg.is_amsterdam_eip8037_enabled(),
        cfg.tx_gas_limit_cap(),
        None,
    )
    .ok()?;
    pre_execution::validate_account_nonce_and_code(
        sender,
        tx.nonce,
        cfg.is_eip3607_disabled(),
        cfg.is_nonce_check_disabled(),
    )
    .ok()?;
    // A nonce at its limit cannot be bumped; what becomes of it is revm's to say.
    sender.nonce.checked_add(1)?;
    let spent = gas.initial_total_gas();
    Some(ResultGas::default().with_total_gas_spent(spent).with_floor_gas(gas.floor_gas()))
}

fn touched(balance: BalanceChange, nonce: Option<u64>) -> AccountTransition {
    AccountTransition { lifecycle: Lifecycle::Kept, balance, nonce, code: None, storage: vec![] }
}

fn credit(wei: U256) -> BalanceChange {
    if wei.is_zero() { BalanceChange::Keep } else { BalanceChange::Credit(wei) }
}

fn reads(
    tx: &TxEnv,
    cost: U256,
    sender: AccountInfo,
    to: Address,
    recipient: Option<AccountInfo>,
) -> Reads {
    let enough = if sender.balance >= cost { Looked::COVER } else { Looked::BALANCE };
    let looked = enough | Looked::COVER | Looked::NONCE | Looked::CODE;
    let mut accounts = vec![AccountRead { address: tx.caller, looked, info: Some(sender) }];
    if to != tx.caller {
        accounts.push(AccountRead { address: to, looked: Looked::CODE, info: recipient });
    }
    Reads { accounts, storage: vec![], cost }
}

#[cfg(test)]
mod tests {
    use forewave_analyzer::{Block, MemoryState};
    use revm::{
        ExecuteEvm,
        bytecode::Bytecode,
        context::{
            BlockEnv, CfgEnv,
            transaction::{AccessList, AccessListItem},
        },
        database_interface::WrapDatabaseRef,
        primitives::B256,
    };

    use super::*;
    use crate::{
        flat_state::FlatState,
        tracking::{take_record, tracking_evm},
    };

    const FORKS: [SpecId; 8] = [
        SpecId::TANGERINE,
        SpecId::SPURIOUS_DRAGON,
        SpecId::BERLIN,
        SpecId::LONDON,
        SpecId::SHANGHAI,
        SpecId::CANCUN,
        SpecId::PRAGUE,
        SpecId::OSAKA,
    ];

    fn address(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    fn block(spec: SpecId) -> Block {
        let basefee = if spec.is_enabled_in(SpecId::LONDON) { 7 } else { 0 };
        let mut env = BlockEnv {
            beneficiary: address(0xbe),
            gas_limit: 30_000_000,
            basefee,
            prevrandao: Some(B256::ZERO),
            ..BlockEnv::default()
        };
        env.set_blob_excess_gas_and_price(0, 5_007_716);
        Block {
            cfg: CfgEnv::new_with_spec(spec),
            env,
            parent_hash: B256::ZERO,
            parent_beacon_block_root: None,
            transactions: vec![],
            withdrawals: vec![],
            ommers: vec![],
        }
    }

    /// Senders: rich, just able, a wei short, delegated, with code, at the last
    /// nonce. Recipients: none, funded, empty, code, delegated, precompile.
    fn state(just: U256) -> MemoryState {
        let mut state = MemoryState::default();
        let rich = U256::from(u64::MAX);
        let code =
            |code| AccountInfo { balance: rich, nonce: 3, ..AccountInfo::from_bytecode(code) };
        let legacy = Bytecode::new_raw(vec![0].into());
        let plain = |balance, nonce| AccountInfo { balance, nonce, ..AccountInfo::default() };
        state.insert_account(address(0x21), plain(rich, 3));
        state.insert_account(address(0x22), plain(just, 3));
        state.insert_account(address(0x23), plain(just.saturating_sub(U256::ONE), 3));
        state.insert_account(address(0x24), code(Bytecode::new_eip7702(address(0x77))));
        state.insert_account(address(0x25), code(legacy.clone()));
        state.insert_account(address(0x26), plain(rich, u64::MAX));
        state.insert_account(address(0x31), AccountInfo::from_balance(U256::ONE));
        state.insert_account(address(0x32), AccountInfo::default());
        state.insert_account(address(0x33), code(legacy));
        state.insert_account(address(0x34), code(Bytecode::new_eip7702(address(0x33))));
        state
    }

    /// Transactions that differ in one field each from a valid transfer.
    fn variants(caller: Address, to: Address) -> Vec<TxEnv> {
        let base = TxEnv {
            caller,
            kind: TxKind::Call(to),
            value: U256::from(5),
            nonce: 3,
            gas_limit: 21_000,
            gas_price: 10,
            chain_id: Some(1),
            ..TxEnv::default()
        };
        let list = |keys| AccessList(vec![AccessListItem { address: to, storage_keys: keys }]);
        let typed = |tx_type| TxEnv { tx_type, gas_limit: 30_000, ..base.clone() };
        vec![
            TxEnv { chain_id: None, ..base.clone() },
            TxEnv { chain_id: Some(2), ..base.clone() },
            TxEnv { nonce: 2, ..base.clone() },
            TxEnv { nonce: 4, ..base.clone() },
            TxEnv { nonce: u64::MAX, ..base.clone() },
            TxEnv { value: U256::ZERO, ..base.clone() },
            TxEnv { value: U256::MAX, ..base.clone() },
            TxEnv { gas_limit: 20_999, ..base.clone() },
            TxEnv { gas_limit: 50_000, ..base.clone() },
            TxEnv { gas_limit: 20_000_000, ..base.clone() },
            TxEnv { gas_limit: 31_000_000, ..base.clone() },
            TxEnv { gas_price: 6, ..base.clone() },
            TxEnv { gas_price: 0, ..base.clone() },
            TxEnv { gas_price: u128::MAX, ..base.clone() },
            TxEnv { data: vec![0, 1].into(), gas_limit: 30_000, ..base.clone() },
            TxEnv { kind: TxKind::Create, gas_limit: 60_000, ..base.clone() },
            TxEnv { access_list: list(vec![B256::ZERO; 2]), ..typed(1) },
            TxEnv { access_list: list(vec![B256::ZERO; 3]), ..typed(1) },
            TxEnv { gas_priority_fee: Some(1), ..typed(2) },
            TxEnv { gas_priority_fee: Some(11), ..typed(2) },
            TxEnv { gas_priority_fee: Some(10), access_list: list(vec![]), ..typed(2) },
            TxEnv {
                blob_hashes: vec![B256::repeat_byte(1)],
                max_fee_per_blob_gas: 3,
                gas_priority_fee: Some(1),
                ..typed(3)
            },
            TxEnv {
                blob_hashes: vec![B256::ZERO],
                max_fee_per_blob_gas: 3,
                gas_priority_fee: Some(1),
                ..typed(3)
            },
            TxEnv { gas_priority_fee: Some(1), ..typed(4) },
            base,
        ]
    }

    /// What becomes of the state, whoever did it.
    fn changes(state: &MemoryState, record: &Record) -> crate::StateChanges {
        let mut flat = FlatState::new(state);
        flat.apply(&record.transition).expect("memory can be read");
        flat.into_changes().expect("memory can be read")
    }

    #[test]
    fn a_transfer_done_directly_is_what_revm_makes_of_it() {
        let mut direct = 0;
        for spec in FORKS {
            let block = block(spec);
            for just in [21_000 * 10 + 5, 30_000 * 10 + 5] {
                let state = state(U256::from(just));
                for (sender, recipient) in (0x21..=0x26u8).flat_map(|s| {
                    (0x30..=0x34u8)
                        .chain([s, 0xbe])
                        .map(move |r| (address(s), address(r)))
                        .chain([(address(s), Address::with_last_byte(4))])
                        .chain([(address(0xbe), address(s))])
                }) {
                    for mut tx in variants(sender, recipient) {
                        if let Some(hash) = tx.blob_hashes.first_mut() {
                            hash.0[0] = 1;
                        }
                        direct += usize::from(check(&block, &state, &tx));
                    }
                }
            }
        }
        assert!(direct > 1_000, "only {direct} transactions were done directly");
    }

    /// Compares both ways, and says whether the direct one was taken.
    fn check(block: &Block, state: &MemoryState, tx: &TxEnv) -> bool {
        let mut evm = tracking_evm(block, WrapDatabaseRef(state));
        let Some((result, record)) = transfer(&mut evm, tx) else { return false };
        let mut evm = tracking_evm(block, WrapDatabaseRef(state));
        let run = evm.transact(tx.clone()).unwrap_or_else(|error| panic!("{error} in {tx:?}"));
        let expected = take_record(&mut evm, tx, &run.state);
        assert_eq!(result, run.result, "{tx:?}");
        assert_eq!(changes(state, &record), changes(state, &expected), "{tx:?}");
        let kinds = |record: &Record| {
            let mut kinds: Vec<_> = record.transition.changes().collect();
            kinds.sort_unstable();
            kinds
        };
        assert_eq!(kinds(&record), kinds(&expected), "{tx:?}");
        let looked = |record: &Record| {
            let reads = record.reads.accounts.iter().filter(|read| !read.looked.is_empty());
            let mut looked: Vec<_> = reads.map(|read| (read.address, read.looked.bits())).collect();
            looked.sort_unstable();
            looked
        };
        assert_eq!(looked(&record), looked(&expected), "{tx:?}");
        true
    }
}
