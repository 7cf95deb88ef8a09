//! What each transaction used, from what the block's access list says that the beneficiary had after it:
//! an estimate, made without the state, for whether threads share the block.

use alloy_eips::eip7928::AccountChanges;
use forewave_analyzer::Block;
use revm::{
    context_interface::Transaction,
    primitives::{U256, hardfork::SpecId},
};

/// The gas of each transaction, where the fee says it: the beneficiary's balance grew by a price
/// that is known, and by nothing that its gas limit rules out.
pub(in crate::run) fn gas_by_fees(block: &Block, list: &[AccountChanges]) -> Vec<Option<u64>> {
    let mut gas = vec![None; block.transactions.len()];
    let beneficiary = block.env.beneficiary;
    let Ok(at) = list.binary_search_by_key(&beneficiary, |account| account.address) else {
        return gas;
    };
    for pair in list[at].balance_changes.windows(2) {
        let [before, after] = pair else { continue };
        let index = after.block_access_index.get();
        // Of transactions without a change in between nothing is known.
        if before.block_access_index.get() + 1 != index {
            continue;
        }
        let tx = usize::try_from(index - 1).unwrap_or(usize::MAX);
        let Some((env, gas)) = block.transactions.get(tx).zip(gas.get_mut(tx)) else { continue };
        let base_fee = u128::from(block.env.basefee);
        let burnt = if block.spec().is_enabled_in(SpecId::LONDON) { base_fee } else { 0 };
        let price = env.effective_gas_price(base_fee).saturating_sub(burnt);
        let fee = after.post_balance.checked_sub(before.post_balance);
        let used = fee.and_then(|fee| fee.checked_div(U256::from(price)));
        let used = used.and_then(|used| u64::try_from(used).ok());
        *gas = used.filter(|used| *used <= env.gas_limit);
    }
    gas
}

#[cfg(test)]
mod tests {
    use alloy_eips::eip7928::{BalanceChange, BlockAccessIndex};
    use forewave_analyzer::{BlockReward, StateExtent};
    use revm::{
        context::{BlockEnv, CfgEnv, TxEnv},
        primitives::{Address, B256},
    };

    use super::*;

    #[test]
    fn gas_is_what_the_beneficiary_got_over_the_tip() {
        let tx = |gas_price| TxEnv { gas_limit: 100, gas_price, ..TxEnv::default() };
        let beneficiary = Address::repeat_byte(9);
        let block = Block {
            cfg: CfgEnv::new_with_spec(SpecId::PRAGUE),
            env: BlockEnv { beneficiary, basefee: 7, ..BlockEnv::default() },
            parent_hash: B256::ZERO,
            parent_beacon_block_root: None,
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: [10, 10, 9, 7, 10, 10].map(tx).to_vec(),
            withdrawals: vec![],
            ommers: vec![],
            reward: BlockReward::OfFork,
            is_dao_fork: false,
            makes_access_list: true,
            access_list: None,
        };
        // The fourth pays no tip, and is not there; the sixth sends ether as well.
        let balances = [(1, 1_000), (2, 1_090), (3, 1_130), (5, 1_160), (6, 9_000), (7, 9_500)];
        let change =
            |(index, wei)| BalanceChange::new(BlockAccessIndex::new(index), U256::from::<u64>(wei));
        let balance_changes = balances.map(change).to_vec();
        let account = AccountChanges { balance_changes, ..AccountChanges::new(beneficiary) };
        let found = gas_by_fees(&block, &[account]);
        assert_eq!(found, [None, Some(30), Some(20), None, None, None]);
        assert_eq!(gas_by_fees(&block, &[]), [None; 6]);
    }
}
