//! The RLP of a block to a [`Block`] with the header that judges it.

use alloy_consensus::{
    Header, Transaction, TxEip4844Variant, TxEnvelope, transaction::SignerRecoverable,
};
use alloy_eips::{
    eip4844::DATA_GAS_PER_BLOB, eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS, eip7840::BlobParams,
};
use alloy_evm::FromRecoveredTx;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::Address;
use alloy_rlp::Decodable;
use forewave_analyzer::{Block, BlockReward, Ommer, StateExtent, TxIndex};
use revm::context::TxEnv;

use super::{network::UpTo, rejection::Rejection};
use crate::input::{
    ExpectedHeader,
    chain::{blob_params, environment},
};

/// A block as it came over the wire.
pub(super) type WireBlock = alloy_consensus::Block<TxEnvelope>;

/// Decodes a block; nothing may follow it.
pub(super) fn decode(mut rlp: &[u8]) -> Result<WireBlock, Rejection> {
    let block = WireBlock::decode(&mut rlp).map_err(|error| Rejection::Rlp(error.to_string()))?;
    if !rlp.is_empty() {
        return Err(Rejection::Rlp("bytes follow the block".into()));
    }
    if block.body.transactions.iter().any(has_sidecar) {
        let why = "a blob transaction carries its blobs, which a block does not hold (EIP-4844)";
        return Err(Rejection::Rlp(why.into()));
    }
    Ok(block)
}

/// Whether a blob transaction is as it is sent between nodes, with its blobs.
pub(crate) fn has_sidecar(tx: &TxEnvelope) -> bool {
    let TxEnvelope::Eip4844(tx) = tx else { return false };
    matches!(tx.tx(), TxEip4844Variant::TxEip4844WithSidecar(_))
}

/// What a header commits to that executing the block gives.
pub(super) fn expected_header(header: &Header) -> ExpectedHeader {
    ExpectedHeader {
        hash: Some(header.hash_slow()),
        number: header.number,
        gas_used: Some(header.gas_used),
        logs_bloom: Some(header.logs_bloom),
        receipts_root: Some(header.receipts_root),
        requests_hash: header.requests_hash,
        access_list_hash: header.block_access_list_hash,
    }
}

/// The block as forewave executes it by the rules of `fork`.
pub(super) fn block(
    wire: &WireBlock,
    fork: EthereumHardfork,
    chain_id: u64,
) -> Result<Block, Rejection> {
    let WireBlock { header, body } = wire;
    check_blob_limit(wire, blob_params(&UpTo(fork), header.timestamp))?;
    let (cfg, env) = environment(header, &UpTo(fork), chain_id);
    let transactions = body.transactions.iter().enumerate();
    let transactions = transactions.map(|(position, tx)| {
        let signer = signer(tx, fork).ok_or(Rejection::Signature(TxIndex::new(position)))?;
        Ok(TxEnv::from_recovered_tx(tx, signer))
    });
    let ommers = body.ommers.iter();
    Ok(Block {
        cfg,
        env,
        parent_hash: header.parent_hash,
        parent_beacon_block_root: header.parent_beacon_block_root,
        deposit_contract: Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
        state_extent: StateExtent::Whole,
        transactions: transactions.collect::<Result<_, _>>()?,
        withdrawals: body.withdrawals.clone().unwrap_or_default().into_inner(),
        ommers: ommers
            .map(|ommer| Ommer::Header { number: ommer.number, beneficiary: ommer.beneficiary })
            .collect(),
        reward: BlockReward::OfFork,
        is_dao_fork: false,
        makes_access_list: fork >= EthereumHardfork::Amsterdam,
        access_list: None,
    })
}

/// Who signed a transaction. A signature with a high `s` is valid in Frontier alone
/// (EIP-2), one that names the chain since Spurious Dragon (EIP-155).
pub(crate) fn signer(tx: &TxEnvelope, fork: EthereumHardfork) -> Option<Address> {
    let names_chain = matches!(tx, TxEnvelope::Legacy(_)) && tx.chain_id().is_some();
    if names_chain && fork < EthereumHardfork::SpuriousDragon {
        return None;
    }
    if fork >= EthereumHardfork::Homestead {
        tx.recover_signer().ok()
    } else {
        tx.recover_signer_unchecked().ok()
    }
}

/// The transactions carry no more blobs than the fork allows a block (EIP-4844).
fn check_blob_limit(wire: &WireBlock, params: Option<BlobParams>) -> Result<(), Rejection> {
    let Some(params) = params else { return Ok(()) };
    let (used, limit) = (blob_gas(wire), params.max_blob_count * DATA_GAS_PER_BLOB);
    if used > limit { Err(Rejection::BlobGasLimit { used, limit }) } else { Ok(()) }
}

/// The header states the blob gas of the transactions, where it states any.
pub(super) fn check_blob_gas(wire: &WireBlock) -> Result<(), Rejection> {
    let used = blob_gas(wire);
    match wire.header.blob_gas_used {
        Some(stated) if stated != used => Err(Rejection::BlobGasUsed { used, stated }),
        _ => Ok(()),
    }
}

fn blob_gas(wire: &WireBlock) -> u64 {
    wire.body.transactions.iter().filter_map(TxEnvelope::blob_gas_used).sum()
}
