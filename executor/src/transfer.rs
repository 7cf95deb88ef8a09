//! Plain transfers of ether to accounts without code: no interpreter, no
//! journal. Intrinsic gas and charges are revm's own functions; what is left is
//! a nonce, three balances and a receipt, from Amsterdam on with the log of EIP-7708.
//!
//! Whatever is out of the ordinary is given back to the EVM: an invalid
//! transaction, calldata, blobs, authorizations, a precompile or code at the
//! recipient, the beneficiary as a party, state gas that the limit does not cover, and
//! forks before EIP-161, whose touched accounts have rules of their own.

use forewave_analyzer::Block;
use revm::{
    Database,
    context::{
        TxEnv,
        result::{ExecutionResult, Output, ResultGas, SuccessReason},
    },
    context_interface::{
        Cfg, Transaction, cfg::gas_params::Eip2780TxInfo, transaction::TransactionType,
    },
    handler::{EthPrecompiles, validation},
    interpreter::GasTracker,
    primitives::{
        Address, B256, Bytes, Log, LogData, TxKind, U256,
        eip7708::{ETH_TRANSFER_LOG_ADDRESS, ETH_TRANSFER_LOG_TOPIC},
        hardfork::SpecId,
    },
    state::AccountInfo,
};

use crate::{
    looks::Looked,
    reads::{AccountRead, Reads, Seen, is_hoard},
    touched::Touched,
    tracking::Record,
    transition::{AccountTransition, BalanceChange, Transition},
};

/// What is the same for all transfers of one block.
#[derive(Debug)]
pub(crate) struct TransferRules<'a> {
    block: &'a Block,
    precompiles: EthPrecompiles,
}

/// A plain transfer that is valid, what it found and what it does.
#[derive(Debug)]
pub(crate) struct Transfer {
    caller: Address,
    sender: Seen,
    nonce: u64,
    /// The most that the transaction may cost the sender, who must have as much.
    most: U256,
    /// What the sender has left in the end.
    left: U256,
    to: Address,
    recipient: Seen,
    /// What arrives at the recipient; zero if that is the sender.
    sent: U256,
    beneficiary: Address,
    /// What the beneficiary receives.
    fee: U256,
    gas: ResultGas,
    /// Whether what is sent is logged (EIP-7708).
    logs: bool,
    /// What is looked at of the accounts that are parties, over what the transfer is about: what it
    /// costs depends on whether they exist (EIP-8037).
    looked_for_gas: Looked,
}

impl<'a> TransferRules<'a> {
    /// The rules of a block, if it has transfers of this kind.
    pub(crate) fn new(block: &'a Block) -> Option<Self> {
        let Block { cfg, env, .. } = block;
        let spec = block.spec();
        let complete = (spec < SpecId::MERGE || env.prevrandao.is_some())
            && (spec < SpecId::CANCUN || env.blob_excess_gas_and_price.is_some());
        let usual = cfg.tx_chain_id_check()
            && !cfg.is_nonce_check_disabled()
            && !cfg.is_balance_check_disabled()
            && !cfg.is_fee_charge_disabled()
            && !cfg.is_base_fee_check_disabled()
            && !cfg.is_priority_fee_check_disabled();
        // The rules of Amsterdam belong to its own blocks.
        let is_of_fork = spec.is_enabled_in(SpecId::AMSTERDAM)
            || !(cfg.is_amsterdam_eip8037_enabled() || cfg.is_amsterdam_eip2780_enabled());
        (spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) && is_of_fork && complete && usual)
            .then(|| Self { block, precompiles: EthPrecompiles::new(spec) })
    }

    /// What `tx` does, or `None` if it is no plain transfer or is better left to
    /// the EVM. State errors are left to the EVM as well, which meets them again.
    pub(crate) fn transfer(&self, view: &mut impl Database, tx: &TxEnv) -> Option<Transfer> {
        let Block { cfg, env, .. } = self.block;
        let (TxKind::Call(to), caller, beneficiary) = (tx.kind, tx.caller, env.beneficiary) else {
            return None;
        };
        let is_ordinary = tx.data.is_empty()
            && tx.authorization_list.is_empty()
            && ![caller, to].contains(&beneficiary)
            && !self.precompiles.contains(&to);
        is_ordinary.then_some(())?;
        let recipient = view.basic(to).ok()?;
        may_receive(recipient.as_ref()).then_some(())?;
        self.is_valid_in_block(tx).then_some(())?;
        let gas = self.gas(tx, recipient.as_ref())?;
        let sender = view.basic(caller).ok()?.unwrap_or_default();
        may_send(view, &sender, tx.nonce)?;
        // What a hoard can send may overflow what the recipient has.
        let most = tx.max_balance_spending().ok()?;
        (sender.balance >= most && !is_hoard(sender.balance)).then_some(())?;
        let price = tx.effective_gas_price(u128::from(env.basefee));
        let sent = if to == caller { U256::ZERO } else { tx.value };
        let cost = U256::from(price) * U256::from(gas.tx_gas_used()) + sent;
        // EIP-1559 burns the base fee.
        let is_burnt = cfg.spec.is_enabled_in(SpecId::LONDON);
        let burnt = if is_burnt { u128::from(env.basefee) } else { 0 };
        let is_amsterdam = cfg.spec.is_enabled_in(SpecId::AMSTERDAM);
        Some(Transfer {
            caller,
            sender: Seen::new(Some(&sender)),
            nonce: tx.nonce,
            most,
            left: sender.balance.checked_sub(cost)?,
            to,
            recipient: Seen::new(recipient.as_ref()),
            sent,
            beneficiary,
            fee: U256::from(price.saturating_sub(burnt)) * U256::from(gas.tx_gas_used()),
            gas,
            logs: is_amsterdam && !cfg.is_eip7708_disabled() && !sent.is_zero(),
            looked_for_gas: if is_amsterdam { Looked::EXISTENCE } else { Looked::empty() },
        })
    }

    /// What revm's validation asks of a transaction without looking at the state.
    fn is_valid_in_block(&self, tx: &TxEnv) -> bool {
        let Block { cfg, env, .. } = self.block;
        let base_fee = u128::from(env.basefee);
        let is_of_chain = |chain_id| chain_id == cfg.chain_id();
        let (is_known, is_of_chain, pays) = match TransactionType::from(tx.tx_type) {
            TransactionType::Legacy => {
                (true, tx.chain_id.is_none_or(is_of_chain), tx.gas_price >= base_fee)
            }
            TransactionType::Eip2930 => {
                let is_known = cfg.spec.is_enabled_in(SpecId::BERLIN);
                (is_known, tx.chain_id.is_some_and(is_of_chain), tx.gas_price >= base_fee)
            }
            TransactionType::Eip1559 => {
                let is_known = cfg.spec.is_enabled_in(SpecId::LONDON);
                let pays = tx.gas_priority_fee.unwrap_or_default() <= tx.gas_price
                    && tx.gas_price >= base_fee;
                (is_known, tx.chain_id.is_some_and(is_of_chain), pays)
            }
            _ => (false, false, false),
        };
        // What exceeds the cap can pay for state (EIP-8037).
        let cap =
            if cfg.is_amsterdam_eip8037_enabled() { u64::MAX } else { cfg.tx_gas_limit_cap() };
        is_known && is_of_chain && pays && tx.gas_limit <= cap.min(env.gas_limit)
    }

    /// The gas that the transaction uses, if its limit allows for it.
    fn gas(&self, tx: &TxEnv, recipient: Option<&AccountInfo>) -> Option<ResultGas> {
        let cfg = &self.block.cfg;
        let is_self_transfer = tx.kind.to() == Some(&tx.caller);
        let eip2780 = cfg.is_amsterdam_eip2780_enabled();
        let gas = validation::validate_initial_tx_gas_with_gas_params(
            tx,
            cfg.spec,
            cfg.gas_params(),
            cfg.is_eip7623_disabled(),
            cfg.is_amsterdam_eip8037_enabled(),
            cfg.tx_gas_limit_cap(),
            eip2780.then_some(Eip2780TxInfo { value: tx.value, is_self_transfer }),
        );
        let gas = gas.ok()?;
        let result = ResultGas::default().with_floor_gas(gas.floor_gas());
        // A new account pays for the state that it takes.
        let is_new = recipient.is_none_or(AccountInfo::is_empty);
        if !(eip2780 && is_new && !tx.value.is_zero()) {
            return Some(result.with_total_gas_spent(gas.initial_total_gas()));
        }
        let (remaining, reservoir) =
            gas.initial_gas_and_reservoir(tx.gas_limit, cfg.tx_gas_limit_cap());
        let mut left = GasTracker::new(tx.gas_limit, remaining, reservoir);
        let cost = cfg.gas_params().new_account_state_gas();
        left.record_state_cost(cost).then_some(())?;
        let spent = tx.gas_limit - left.remaining() - left.reservoir();
        Some(result.with_total_gas_spent(spent).with_state_gas_spent(cost))
    }
}

/// Whether the sender's code (EIP-3607) and nonce allow it to send. A nonce at
/// its limit cannot be bumped; what becomes of it is revm's to say.
fn may_send(view: &mut impl Database, sender: &AccountInfo, nonce: u64) -> Option<()> {
    if !sender.is_code_hash_empty_or_zero() {
        let is_delegated = match &sender.code {
            Some(code) => code.is_eip7702(),
            None => view.code_by_hash(sender.code_hash).ok()?.is_eip7702(),
        };
        is_delegated.then_some(())?;
    }
    (sender.nonce == nonce && nonce < u64::MAX).then_some(())
}

/// Whether what arrives at the account adds to its balance and does nothing else.
fn may_receive(recipient: Option<&AccountInfo>) -> bool {
    recipient.is_none_or(|info| info.is_code_hash_empty_or_zero() && !is_hoard(info.balance))
}

impl Transfer {
    /// What revm would answer.
    pub(crate) fn result(&self) -> ExecutionResult {
        let logs = if self.logs { vec![self.log()] } else { Vec::new() };
        let (reason, output) = (SuccessReason::Stop, Output::Call(Bytes::new()));
        ExecutionResult::Success { reason, gas: self.gas, logs, output }
    }

    /// The log of what is sent (EIP-7708).
    fn log(&self) -> Log {
        let parties = [self.caller, self.to].map(|party| B256::left_padding_from(party.as_slice()));
        let topics = core::iter::once(ETH_TRANSFER_LOG_TOPIC).chain(parties).collect();
        let data = Bytes::copy_from_slice(&self.sent.to_be_bytes::<32>());
        Log { address: ETH_TRANSFER_LOG_ADDRESS, data: LogData::new_unchecked(topics, data) }
    }

    /// What becomes of the accounts.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Address, AccountTransition)> {
        let paid = BalanceChange::settle(self.sender.balance, self.left);
        let sender = AccountTransition::payment(paid, Some(self.nonce + 1));
        let received = || AccountTransition::payment(credit(self.sent), None);
        let recipient = (self.to != self.caller).then(|| (self.to, received()));
        let fee = AccountTransition::payment(credit(self.fee), None);
        [(self.caller, sender), (self.beneficiary, fee)].into_iter().chain(recipient)
    }

    /// What it depended on and did.
    pub(crate) fn record(&self) -> Record {
        let looked = Looked::COVER | Looked::NONCE | Looked::CODE;
        let read = |address, looked, seen, cover| {
            let looked = looked | self.looked_for_gas;
            AccountRead { address, looked, seen, cover }
        };
        let mut accounts = vec![read(self.caller, looked, self.sender, self.most)];
        if self.to != self.caller {
            accounts.push(read(self.to, Looked::CODE, self.recipient, U256::ZERO));
        }
        let reads = Reads { accounts, ..Reads::default() };
        let transition = Transition::of(self.changes().collect());
        Record { reads, transition, touched: None }
    }

    /// What it touched.
    pub(crate) fn touched(&self) -> Touched {
        Touched::by_payment(self.changes())
    }
}

fn credit(wei: U256) -> BalanceChange {
    if wei.is_zero() { BalanceChange::Keep } else { BalanceChange::Credit(wei) }
}

#[cfg(test)]
mod tests {
    use forewave_analyzer::{Block, MemoryState, StateExtent};
    use revm::{
        ExecuteEvm,
        bytecode::Bytecode,
        context::{
            BlockEnv, CfgEnv,
            transaction::{AccessList, AccessListItem},
        },
        context_interface::cfg::GasParams,
        database_interface::WrapDatabaseRef,
        primitives::B256,
    };

    use super::*;
    use crate::{
        flat_state::FlatState,
        tracking::{take_record, tracking_evm},
    };

    const FORKS: [SpecId; 9] = [
        SpecId::TANGERINE,
        SpecId::SPURIOUS_DRAGON,
        SpecId::BERLIN,
        SpecId::LONDON,
        SpecId::SHANGHAI,
        SpecId::CANCUN,
        SpecId::PRAGUE,
        SpecId::OSAKA,
        SpecId::AMSTERDAM,
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
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: vec![],
            withdrawals: vec![],
            ommers: vec![],
            reward: forewave_analyzer::BlockReward::OfFork,
            is_dao_fork: false,
            makes_access_list: true,
            access_list: None,
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
        let with_new_account =
            21_000 + GasParams::new_spec(SpecId::AMSTERDAM).new_account_state_gas();
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
            TxEnv { gas_limit: with_new_account, ..base.clone() },
            TxEnv { gas_limit: with_new_account - 1, ..base.clone() },
            TxEnv { gas_limit: with_new_account, value: U256::ZERO, ..base.clone() },
            TxEnv { access_list: list(vec![B256::ZERO; 9]), gas_limit: 90_000, ..typed(1) },
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
    fn changes(block: &Block, state: &MemoryState, record: &Record) -> crate::StateChanges {
        let mut flat = FlatState::for_block(state, block);
        flat.apply(&record.transition).expect("memory can be read");
        flat.changes().expect("memory can be read")
    }

    #[test]
    fn a_transfer_done_directly_is_what_revm_makes_of_it() {
        for spec in FORKS {
            let block = block(spec);
            let (mut direct, mut logged, mut paid_for_state) = (0, 0, 0);
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
                        let Some(result) = check(&block, &state, &tx) else { continue };
                        direct += 1;
                        logged += result.logs().len();
                        paid_for_state += usize::from(result.gas().state_gas_spent_final() > 0);
                    }
                }
            }
            let counts = (direct > 100, logged > 50, paid_for_state > 10);
            let is_amsterdam = spec.is_enabled_in(SpecId::AMSTERDAM);
            let is_told = spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
            let found = format!("{spec:?}: {direct} {logged} {paid_for_state}");
            assert_eq!(counts, (is_told, is_amsterdam, is_amsterdam), "{found}");
        }
    }

    /// Compares both ways, and gives the result if the direct one was taken.
    fn check(block: &Block, state: &MemoryState, tx: &TxEnv) -> Option<ExecutionResult> {
        let rules = TransferRules::new(block)?;
        let mut evm = tracking_evm(block, WrapDatabaseRef(state));
        let direct = rules.transfer(&mut WrapDatabaseRef(state), tx)?;
        let (result, record) = (direct.result(), direct.record());
        let run = evm.transact(tx.clone()).unwrap_or_else(|error| panic!("{error} in {tx:?}"));
        let expected = take_record(&mut evm, tx, &run.state);
        assert_eq!(result, run.result, "{tx:?}");
        assert_eq!(changes(block, state, &record), changes(block, state, &expected), "{tx:?}");
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
        let touched = |touched: &Touched| {
            let mut accounts = touched.accounts().to_vec();
            accounts.sort_by_key(|account| account.address);
            accounts
        };
        let noted = expected.touched.expect("the block's list is made");
        assert_eq!(touched(&direct.touched()), touched(&noted), "{tx:?}");
        Some(result)
    }
}
