//! A block of signed envelopes, as alloy has it -> a [`Block`].
//!
//! Nothing is computed but the environment that the fork's rules make of the header; senders are
//! recovered by the caller, who often has them already.

use alloy_consensus::{Header, transaction::Recovered};
use alloy_eips::{eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS, eip7840::BlobParams};
use alloy_evm::{EvmEnv, FromRecoveredTx};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks};
use alloy_primitives::{Address, address};
use forewave_analyzer::{Block, BlockReward, Ommer, StateExtent};
use revm::{
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::hardfork::SpecId,
};

/// A block from its header and signed transactions, whose senders are known.
///
/// `forks` says which rules apply at the header's number and time; alloy's
/// `EthereumChainHardforks` is one for each public network. The block is one of Ethereum: its
/// beneficiary is paid by the fork's rules, and its deposit contract is that of `chain_id`.
/// Where the state that it is run on holds no more than what transactions touch, set
/// [`state_extent`](Block::state_extent).
///
/// ```
/// use alloy_consensus::{Block, BlockBody, Header, TxEnvelope, transaction::Recovered};
/// use alloy_hardforks::EthereumChainHardforks;
/// use forewave::block_from_consensus;
///
/// let header = Header { number: 22_000_000, timestamp: 1_742_000_000, ..Header::default() };
/// let transactions: Vec<Recovered<TxEnvelope>> = Vec::new();
/// let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: None };
/// let forks = EthereumChainHardforks::mainnet();
/// let block = block_from_consensus(&Block::new(header, body), &forks, 1);
/// assert_eq!(block.number(), 22_000_000);
/// ```
pub fn block_from_consensus<T>(
    block: &alloy_consensus::Block<Recovered<T>>,
    forks: &impl EthereumHardforks,
    chain_id: u64,
) -> Block
where
    TxEnv: FromRecoveredTx<T>,
{
    let alloy_consensus::Block { header, body } = block;
    let (cfg, env) = environment(header, forks, chain_id);
    let ommer =
        |ommer: &Header| Ommer::Header { number: ommer.number, beneficiary: ommer.beneficiary };
    Block {
        cfg,
        env,
        parent_hash: header.parent_hash,
        parent_beacon_block_root: header.parent_beacon_block_root,
        deposit_contract: deposit_contract(chain_id),
        state_extent: StateExtent::Whole,
        transactions: body.transactions.iter().map(tx_env).collect(),
        withdrawals: body.withdrawals.clone().unwrap_or_default().into_inner(),
        ommers: body.ommers.iter().map(ommer).collect(),
        reward: BlockReward::OfFork,
        is_dao_fork: forks
            .ethereum_fork_activation(EthereumHardfork::Dao)
            .transitions_at_block(header.number),
        makes_access_list: forks
            .is_ethereum_fork_active_at_timestamp(EthereumHardfork::Amsterdam, header.timestamp),
        access_list: None,
    }
}

/// A transaction as the EVM sees it, from its envelope and sender.
///
/// ```
/// use alloy_consensus::{Signed, TxEnvelope, TxLegacy, transaction::Recovered};
/// use alloy_primitives::{Address, Signature};
/// use forewave::tx_env;
///
/// let unsigned = TxLegacy { nonce: 7, ..TxLegacy::default() };
/// let signed = Signed::new_unhashed(unsigned, Signature::test_signature());
/// let tx = Recovered::new_unchecked(TxEnvelope::from(signed), Address::repeat_byte(1));
/// assert_eq!(tx_env(&tx).nonce, 7);
/// ```
pub fn tx_env<T>(tx: &Recovered<T>) -> TxEnv
where
    TxEnv: FromRecoveredTx<T>,
{
    TxEnv::from_recovered_tx(tx.inner(), tx.signer())
}

/// The environment of the block with this header, where these forks apply.
pub(crate) fn environment(
    header: &Header,
    forks: &impl EthereumHardforks,
    chain_id: u64,
) -> (CfgEnv, BlockEnv) {
    let blob_params = blob_params(forks, header.timestamp);
    let EvmEnv { mut cfg_env, block_env } =
        EvmEnv::<SpecId>::for_eth_block(header, forks, chain_id, blob_params);
    cfg_env.blob_base_fee_update_fraction = blob_params.map(|params| {
        u64::try_from(params.update_fraction).expect("update fractions are a few million")
    });
    (cfg_env, block_env)
}

/// The deposit contract of a chain (EIP-6110); none where it is not known to have one.
pub(crate) fn deposit_contract(chain_id: u64) -> Option<Address> {
    match chain_id {
        1 | 560_048 => Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
        11_155_111 => Some(address!("0x7f02c3e3c98b133055b8b348b2ac625669ed295d")),
        17_000 => Some(address!("0x4242424242424242424242424242424242424242")),
        _ => None,
    }
}

/// The blob parameters at `timestamp` (EIP-4844, EIP-7691, EIP-7892).
pub(crate) fn blob_params(forks: &impl EthereumHardforks, timestamp: u64) -> Option<BlobParams> {
    let schedule: [(EthereumHardfork, fn() -> BlobParams); 5] = [
        (EthereumHardfork::Bpo2, BlobParams::bpo2),
        (EthereumHardfork::Bpo1, BlobParams::bpo1),
        (EthereumHardfork::Osaka, BlobParams::osaka),
        (EthereumHardfork::Prague, BlobParams::prague),
        (EthereumHardfork::Cancun, BlobParams::cancun),
    ];
    schedule
        .into_iter()
        .find(|(fork, _)| forks.is_ethereum_fork_active_at_timestamp(*fork, timestamp))
        .map(|(_, params)| params())
}
