//! Where a list can be rejected while its block still executes: it names more reads than the gas that
//! is left can pay for (EIP-7928).
//!
//! ```text
//! reads that no transaction has made yet x ITEM_COST > gas limit - regular gas so far
//! ```
//!
//! The first read of a slot costs a transaction at least `ITEM_COST`. The protocol's own reads cost
//! nothing: its contracts' slots are not counted.

use alloy_eips::eip7928::{AccountChanges, constants::ITEM_COST};
use forewave_analyzer::{Block, Location, ObservedAccess, TxIndex};
use forewave_executor::SYSTEM_CONTRACTS;
use hashbrown::HashSet;
use revm::{context_interface::Cfg, primitives::map::DefaultHashBuilder};

use super::ListFault;

/// The first point of the block from which on the list `given` names more reads than gas is left
/// for, by what each transaction touched and the regular gas that it took; before Amsterdam there is
/// no such rule.
pub fn unaffordable_reads(
    block: &Block,
    given: &[AccountChanges],
    accesses: &[ObservedAccess],
    regular_gas: impl IntoIterator<Item = u64>,
) -> Option<ListFault> {
    if !block.cfg.is_amsterdam_eip8037_enabled() {
        return None;
    }
    let read = given.iter().filter(|account| !SYSTEM_CONTRACTS.contains(&account.address));
    let read = read.flat_map(|account| {
        account.storage_reads.iter().map(|slot| Location::Storage(account.address, *slot))
    });
    let mut left: HashSet<Location, DefaultHashBuilder> = read.collect();
    let mut gas_left = block.env.gas_limit;
    let fault = |after, left: &HashSet<_, _>, gas_left| {
        let reads = left.len() as u64;
        let is_paid = reads.saturating_mul(ITEM_COST as u64) <= gas_left;
        (!is_paid).then_some(ListFault::Unaffordable { after, reads, gas_left })
    };
    let before = fault(None, &left, gas_left);
    before.or_else(|| {
        let steps = accesses.iter().zip(regular_gas);
        steps.enumerate().find_map(|(position, (accesses, regular_gas))| {
            let touched = accesses.0.reads().iter().chain(accesses.0.writes());
            touched.for_each(|at| {
                left.remove(at);
            });
            gas_left = gas_left.saturating_sub(regular_gas);
            fault(Some(TxIndex::new(position)), &left, gas_left)
        })
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, U256};
    use forewave_analyzer::{AccessKind, AccessSetBuilder, BlockReward, StateExtent};
    use revm::{
        context::{BlockEnv, CfgEnv},
        primitives::hardfork::SpecId,
    };

    use super::*;

    const CONTRACT: Address = Address::repeat_byte(7);

    fn block(spec: SpecId, gas_limit: u64) -> Block {
        Block {
            cfg: CfgEnv::new_with_spec(spec),
            env: BlockEnv { gas_limit, ..BlockEnv::default() },
            parent_hash: B256::ZERO,
            parent_beacon_block_root: None,
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: vec![],
            withdrawals: vec![],
            ommers: vec![],
            reward: BlockReward::OfFork,
            is_dao_fork: false,
            makes_access_list: true,
            access_list: None,
        }
    }

    /// Transactions, each with the slots that it reads and the regular gas that it uses.
    fn observed(txs: &[(&[u64], u64)]) -> (Vec<ObservedAccess>, Vec<u64>) {
        let accesses = txs.iter().map(|(slots, _)| {
            let mut set = AccessSetBuilder::new();
            for slot in *slots {
                set.add(AccessKind::Read, Location::Storage(CONTRACT, U256::from(*slot)));
            }
            ObservedAccess(set.build())
        });
        (accesses.collect(), txs.iter().map(|(_, gas)| *gas).collect())
    }

    fn reads(address: Address, slots: u64) -> AccountChanges {
        let storage_reads = (0..slots).map(U256::from).collect();
        AccountChanges { storage_reads, ..AccountChanges::new(address) }
    }

    #[test]
    fn a_list_is_rejected_where_the_gas_that_is_left_cannot_pay_for_its_reads() {
        let txs: &[(&[u64], u64)] = &[(&[0], 4_000), (&[1], 3_000), (&[], 1_000)];
        let (accesses, gas) = observed(txs);
        let judge = |slots, gas_limit, spec| {
            let block = block(spec, gas_limit);
            unaffordable_reads(&block, &[reads(CONTRACT, slots)], &accesses, gas.iter().copied())
        };
        let fault = |after, reads, gas_left| {
            let after = Option::map(after, TxIndex::new);
            Some(ListFault::Unaffordable { after, reads, gas_left })
        };
        let spec = SpecId::AMSTERDAM;
        assert_eq!(judge(2, 8_000, spec), None, "both are read");
        assert_eq!(judge(5, 9_999, spec), fault(None, 5, 9_999));
        assert_eq!(judge(5, 10_000, spec), fault(Some(0), 4, 6_000));
        assert_eq!(judge(4, 10_000, spec), fault(Some(1), 2, 3_000));
        assert_eq!(judge(3, 9_000, spec), fault(Some(2), 1, 1_000));
        assert_eq!(judge(3, 10_000, spec), None, "the last transaction could have left this much");
        assert_eq!(judge(5, 9_999, SpecId::OSAKA), None);
        let of_protocol = [reads(SYSTEM_CONTRACTS[2], 5)];
        let found =
            unaffordable_reads(&block(spec, 8_000), &of_protocol, &accesses, gas.iter().copied());
        assert_eq!(found, None);
    }
}
