//! `env.json`: what a header would say, to a block without transactions.
//!
//! What follows from the parent (base fee, excess blob gas) may be stated by
//! the parent's figures instead.

use alloy_consensus::Header;
use alloy_eips::{
    eip1559::{BaseFeeParams, calc_next_block_base_fee},
    eip4895::Withdrawal,
    eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS,
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U64, U256};
use forewave_analyzer::{Block, MemoryState, Ommer, StateExtent};
use serde::Deserialize;

use crate::{
    conformance::network::UpTo,
    input::{
        InputError, SourceFile,
        chain::{blob_params, environment},
        json::{self, Entries, field_error},
        limits::BLOCK_HASHES_MAX,
    },
};

/// The fields that decide what transactions do. Others, such as `parentUncleHash`,
/// are for fillers that seal the block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatedEnv {
    current_coinbase: Address,
    current_gas_limit: U64,
    current_number: U64,
    current_timestamp: U64,
    current_difficulty: Option<U256>,
    current_random: Option<U256>,
    current_base_fee: Option<U64>,
    current_excess_blob_gas: Option<U64>,
    parent_base_fee: Option<U64>,
    parent_gas_used: Option<U64>,
    parent_gas_limit: Option<U64>,
    parent_excess_blob_gas: Option<U64>,
    parent_blob_gas_used: Option<U64>,
    parent_beacon_block_root: Option<B256>,
    previous_hash: Option<B256>,
    #[serde(default)]
    block_hashes: Entries<U64, B256, BLOCK_HASHES_MAX>,
    #[serde(default)]
    ommers: Vec<StatedOmmer>,
    #[serde(default)]
    withdrawals: Vec<Withdrawal>,
}

/// An ommer, by how far back it is.
#[derive(Deserialize)]
struct StatedOmmer {
    delta: U64,
    address: Address,
}

/// The block that the file states, and the hashes of its ancestors into `state`.
pub(super) fn parse(
    file: &SourceFile,
    fork: EthereumHardfork,
    chain_id: u64,
    state: &mut MemoryState,
) -> Result<Block, InputError> {
    let env: StatedEnv = json::parse(file)?;
    let number: u64 = env.current_number.to();
    for (number, hash) in &env.block_hashes.0 {
        state.insert_block_hash(number.to(), *hash);
    }
    let hash_of = |wanted: u64| {
        let known = env.block_hashes.0.iter().find(|(number, _)| number.to::<u64>() == wanted);
        known.map(|(_, hash)| *hash)
    };
    let parent_hash = env.previous_hash.or_else(|| hash_of(number.checked_sub(1)?));
    let header = Header {
        number,
        timestamp: env.current_timestamp.to(),
        beneficiary: env.current_coinbase,
        gas_limit: env.current_gas_limit.to(),
        difficulty: env.current_difficulty.unwrap_or_default(),
        mix_hash: env.current_random.unwrap_or_default().into(),
        base_fee_per_gas: base_fee(file, &env, fork)?,
        excess_blob_gas: excess_blob_gas(file, &env, fork)?,
        ..Header::default()
    };
    let (cfg, block_env) = environment(&header, &UpTo(fork), chain_id);
    let ommers = env.ommers.iter().enumerate().map(|(position, ommer)| {
        let delta: u64 = ommer.delta.to();
        let older = number.checked_sub(delta).filter(|_| (1..=MAX_OMMER_DEPTH).contains(&delta));
        let number = older.ok_or_else(|| {
            let field = format!("ommers[{position}].delta");
            field_error(&file.path, field, "1 to 6, within the chain", Some(&delta.into()))
        })?;
        Ok(Ommer::Header { number, beneficiary: ommer.address })
    });
    Ok(Block {
        cfg,
        env: block_env,
        parent_hash: parent_hash.unwrap_or_default(),
        parent_beacon_block_root: (fork >= EthereumHardfork::Cancun)
            .then(|| env.parent_beacon_block_root.unwrap_or_default()),
        deposit_contract: Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
        state_extent: StateExtent::Whole,
        transactions: Vec::new(),
        ommers: ommers.collect::<Result<_, _>>()?,
        withdrawals: env.withdrawals,
    })
}

/// How many generations back an ommer can be (Yellow Paper, section 11.1).
const MAX_OMMER_DEPTH: u64 = 6;

/// EIP-1559.
fn base_fee(
    file: &SourceFile,
    env: &StatedEnv,
    fork: EthereumHardfork,
) -> Result<Option<u64>, InputError> {
    if fork < EthereumHardfork::London {
        return Ok(None);
    }
    if let Some(fee) = env.current_base_fee {
        return Ok(Some(fee.to()));
    }
    let (Some(fee), Some(used), Some(limit)) =
        (env.parent_base_fee, env.parent_gas_used, env.parent_gas_limit)
    else {
        let expected = "a number, or parentBaseFee, parentGasUsed and parentGasLimit";
        return Err(field_error(&file.path, "currentBaseFee", expected, None));
    };
    let params = BaseFeeParams::ethereum();
    Ok(Some(calc_next_block_base_fee(used.to(), limit.to(), fee.to(), params)))
}

/// EIP-4844 and what has changed it since.
fn excess_blob_gas(
    file: &SourceFile,
    env: &StatedEnv,
    fork: EthereumHardfork,
) -> Result<Option<u64>, InputError> {
    let Some(params) = blob_params(&UpTo(fork), env.current_timestamp.to()) else {
        return Ok(None);
    };
    if let Some(excess) = env.current_excess_blob_gas {
        return Ok(Some(excess.to()));
    }
    let [excess, used]: [u64; 2] = [env.parent_excess_blob_gas, env.parent_blob_gas_used]
        .map(|stated| stated.unwrap_or_default().to());
    if excess.max(used) > u64::from(u32::MAX) {
        let expected = "less than 2^32, as parentBlobGasUsed";
        let found = excess.max(used).into();
        return Err(field_error(&file.path, "parentExcessBlobGas", expected, Some(&found)));
    }
    let base_fee = env.parent_base_fee.unwrap_or_default().to();
    Ok(Some(params.next_block_excess_blob_gas_osaka(excess, used, base_fee)))
}
