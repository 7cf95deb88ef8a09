//! `env.json`: what a header would say, to a block without transactions.
//!
//! What follows from the parent (difficulty, base fee, excess blob gas) may be
//! stated by the parent's figures instead. What the fork needs and the file does
//! not say is asked for by name: nothing is taken to be zero.

use alloy_consensus::{Header, constants::EMPTY_OMMER_ROOT_HASH};
use alloy_eips::{
    eip1559::{BaseFeeParams, calc_next_block_base_fee},
    eip4895::Withdrawal,
    eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS,
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U64, U256};
use forewave_analyzer::{Block, MemoryState, Ommer, StateExtent};
use serde::Deserialize;
use serde_json::Value;

use super::{
    TransitionRules,
    difficulty::{Parent, difficulty},
};
use crate::{
    conformance::network::UpTo,
    input::{
        InputError, SourceFile,
        chain::{blob_params, environment},
        json::{self, Entries, field_error},
        limits::BLOCK_HASHES_MAX,
    },
};

/// The fields that decide what transactions do. Others are for fillers that seal
/// the block.
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
    parent_difficulty: Option<U256>,
    parent_timestamp: Option<U64>,
    parent_uncle_hash: Option<B256>,
    parent_base_fee: Option<U64>,
    parent_gas_used: Option<U64>,
    parent_gas_limit: Option<U64>,
    parent_excess_blob_gas: Option<U64>,
    parent_blob_gas_used: Option<U64>,
    parent_beacon_block_root: Option<B256>,
    previous_hash: Option<B256>,
    slot_number: Option<U64>,
    block_hashes: Option<Entries<U64, B256, BLOCK_HASHES_MAX>>,
    ommers: Option<Vec<StatedOmmer>>,
    withdrawals: Option<Vec<Withdrawal>>,
}

/// An ommer, by how far back it is.
#[derive(Deserialize)]
struct StatedOmmer {
    delta: U64,
    address: Address,
}

/// How many generations back an ommer can be (Yellow Paper, section 11.1).
const MAX_OMMER_DEPTH: u64 = 6;

/// Figures of the parent beyond which what follows from them overflows.
const PARENT_FEE_MAX: u64 = 1 << 62;
const PARENT_BLOB_GAS_MAX: u64 = u32::MAX as u64;

/// The block that the file states, and the hashes of its ancestors into `state`.
pub(super) fn parse(
    file: &SourceFile,
    rules: &TransitionRules,
    state: &mut MemoryState,
) -> Result<Block, InputError> {
    let stated: StatedEnv = json::parse(file)?;
    let env = Env { file, stated, fork: rules.fork };
    let header = Header {
        number: env.number(),
        timestamp: env.stated.current_timestamp.to(),
        beneficiary: env.stated.current_coinbase,
        gas_limit: env.stated.current_gas_limit.to(),
        difficulty: env.difficulty()?,
        mix_hash: env.random()?.into(),
        base_fee_per_gas: env.base_fee()?,
        excess_blob_gas: env.excess_blob_gas()?,
        slot_number: env.slot_number()?,
        ..Header::default()
    };
    let (cfg, block_env) = environment(&header, &UpTo(rules.fork), rules.chain_id);
    Ok(Block {
        cfg,
        env: block_env,
        parent_hash: env.parent_hash(state)?,
        parent_beacon_block_root: env.beacon_root()?,
        deposit_contract: Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
        state_extent: StateExtent::Whole,
        transactions: Vec::new(),
        ommers: env.ommers()?,
        withdrawals: env.withdrawals()?,
        reward: rules.reward,
        is_dao_fork: rules.fork == EthereumHardfork::Dao,
        makes_access_list: rules.fork >= EthereumHardfork::Amsterdam,
        access_list: None,
    })
}

/// The file's fields, under the rules of a fork.
struct Env<'a> {
    file: &'a SourceFile,
    stated: StatedEnv,
    fork: EthereumHardfork,
}

impl Env<'_> {
    fn number(&self) -> u64 {
        self.stated.current_number.to()
    }

    fn wrong(&self, field: impl Into<String>, expected: &str, found: Option<&Value>) -> InputError {
        field_error(&self.file.path, field, expected, found)
    }

    /// What the fork needs and the file does not state.
    fn missing(&self, field: &str, expected: &str) -> InputError {
        self.wrong(field, &format!("{expected}, which {} needs", self.fork), None)
    }

    /// Zero since the Merge.
    fn difficulty(&self) -> Result<U256, InputError> {
        let stated = self.stated.current_difficulty;
        if self.fork >= EthereumHardfork::Paris {
            return match stated.filter(|stated| !stated.is_zero()) {
                None => Ok(U256::ZERO),
                Some(stated) => {
                    let expected = "zero or nothing, as there is none since the Merge";
                    Err(self.wrong("currentDifficulty", expected, Some(&stated.to_string().into())))
                }
            };
        }
        if let Some(stated) = stated {
            return Ok(stated);
        }
        let (Some(of_parent), Some(before)) =
            (self.stated.parent_difficulty, self.stated.parent_timestamp)
        else {
            let expected = "a number, or parentDifficulty and parentTimestamp";
            return Err(self.missing("currentDifficulty", expected));
        };
        let [before, timestamp]: [u64; 2] =
            [before, self.stated.current_timestamp].map(|stated| stated.to());
        if before >= timestamp {
            let expected = format!("less than currentTimestamp, {timestamp}");
            return Err(self.wrong("parentTimestamp", &expected, Some(&before.into())));
        }
        let parent =
            Parent { difficulty: of_parent, timestamp: before, has_ommers: self.has_ommers()? };
        difficulty(self.fork, self.number(), timestamp, &parent).ok_or_else(|| {
            let expected = "a number, since what follows from the parent exceeds 256 bits";
            self.wrong("currentDifficulty", expected, None)
        })
    }

    /// Whether the parent has ommers; it has none where nothing is said.
    fn has_ommers(&self) -> Result<bool, InputError> {
        match self.stated.parent_uncle_hash {
            None => Ok(false),
            Some(hash) if hash.is_zero() => {
                let expected = "the hash of the parent's list of ommers";
                Err(self.wrong("parentUncleHash", expected, Some(&hash.to_string().into())))
            }
            Some(hash) => Ok(hash != EMPTY_OMMER_ROOT_HASH),
        }
    }

    /// EIP-4399.
    fn random(&self) -> Result<U256, InputError> {
        match self.stated.current_random {
            Some(random) => Ok(random),
            None if self.fork < EthereumHardfork::Paris => Ok(U256::ZERO),
            None => Err(self.missing("currentRandom", "32 bytes")),
        }
    }

    /// EIP-1559.
    fn base_fee(&self) -> Result<Option<u64>, InputError> {
        if self.fork < EthereumHardfork::London {
            return Ok(None);
        }
        if let Some(fee) = self.stated.current_base_fee {
            return Ok(Some(fee.to()));
        }
        let (Some(fee), Some(used), Some(limit)) = (
            self.stated.parent_base_fee,
            self.stated.parent_gas_used,
            self.stated.parent_gas_limit,
        ) else {
            let expected = "a number, or parentBaseFee, parentGasUsed and parentGasLimit";
            return Err(self.missing("currentBaseFee", expected));
        };
        let [fee, used, limit]: [u64; 3] = [fee, used, limit].map(|stated| stated.to());
        if used > limit {
            let expected = format!("at most parentGasLimit, {limit}");
            return Err(self.wrong("parentGasUsed", &expected, Some(&used.into())));
        }
        self.check_parent_fee(fee)?;
        Ok(Some(calc_next_block_base_fee(used, limit, fee, BaseFeeParams::ethereum())))
    }

    fn check_parent_fee(&self, fee: u64) -> Result<(), InputError> {
        if fee <= PARENT_FEE_MAX {
            return Ok(());
        }
        Err(self.wrong("parentBaseFee", "at most 2^62", Some(&fee.into())))
    }

    /// EIP-4844 and what has changed it since.
    fn excess_blob_gas(&self) -> Result<Option<u64>, InputError> {
        let timestamp = self.stated.current_timestamp.to();
        let Some(params) = blob_params(&UpTo(self.fork), timestamp) else { return Ok(None) };
        if let Some(excess) = self.stated.current_excess_blob_gas {
            return Ok(Some(excess.to()));
        }
        let (Some(excess), Some(used)) =
            (self.stated.parent_excess_blob_gas, self.stated.parent_blob_gas_used)
        else {
            let expected = "a number, or parentExcessBlobGas and parentBlobGasUsed";
            return Err(self.missing("currentExcessBlobGas", expected));
        };
        let (excess, used): (u64, u64) = (excess.to(), used.to());
        for (field, value) in [("parentExcessBlobGas", excess), ("parentBlobGasUsed", used)] {
            if value > PARENT_BLOB_GAS_MAX {
                return Err(self.wrong(field, "less than 2^32", Some(&value.into())));
            }
        }
        let base_fee = match self.stated.parent_base_fee {
            Some(fee) => fee.to(),
            // EIP-7918: the least price of blobs follows from the parent's base fee.
            None if self.fork >= EthereumHardfork::Osaka => {
                let expected = "a number, from which currentExcessBlobGas follows";
                return Err(self.missing("parentBaseFee", expected));
            }
            None => 0,
        };
        Ok(Some(params.next_block_excess_blob_gas_osaka(excess, used, base_fee)))
    }

    /// The parent's hash, which EIP-2935 stores; `BLOCKHASH` asks the state.
    fn parent_hash(&self, state: &mut MemoryState) -> Result<B256, InputError> {
        let stated = self.stated.block_hashes.iter().flat_map(|hashes| &hashes.0);
        for (number, hash) in stated.clone() {
            state.insert_block_hash(number.to(), *hash);
        }
        let Some(parent) = self.number().checked_sub(1) else { return Ok(B256::ZERO) };
        let listed = stated.clone().find(|(number, _)| number.to::<u64>() == parent);
        match (self.stated.previous_hash, listed.map(|(_, hash)| *hash)) {
            (Some(previous), Some(listed)) if previous != listed => {
                let expected = format!("the hash of block {parent} in blockHashes, {listed}");
                let found = previous.to_string().into();
                Err(self.wrong("previousHash", &expected, Some(&found)))
            }
            (Some(hash), _) | (None, Some(hash)) => {
                state.insert_block_hash(parent, hash);
                Ok(hash)
            }
            (None, None) if self.fork < EthereumHardfork::Prague => Ok(B256::ZERO),
            (None, None) => {
                let field = format!("blockHashes.{parent}");
                Err(self.missing(&field, "the hash of the parent"))
            }
        }
    }

    /// EIP-4788.
    fn beacon_root(&self) -> Result<Option<B256>, InputError> {
        match self.stated.parent_beacon_block_root {
            _ if self.fork < EthereumHardfork::Cancun => Ok(None),
            Some(root) => Ok(Some(root)),
            None => Err(self.missing("parentBeaconBlockRoot", "32 bytes")),
        }
    }

    /// EIP-7843.
    fn slot_number(&self) -> Result<Option<u64>, InputError> {
        match self.stated.slot_number {
            _ if self.fork < EthereumHardfork::Amsterdam => Ok(None),
            Some(slot) => Ok(Some(slot.to())),
            None => Err(self.missing("slotNumber", "a number")),
        }
    }

    fn ommers(&self) -> Result<Vec<Ommer>, InputError> {
        let ommers = self.stated.ommers.iter().flatten().enumerate().map(|(position, ommer)| {
            let delta: u64 = ommer.delta.to();
            let is_near = (1..=MAX_OMMER_DEPTH).contains(&delta);
            let older = self.number().checked_sub(delta).filter(|_| is_near);
            let number = older.ok_or_else(|| {
                let field = format!("ommers[{position}].delta");
                self.wrong(field, "1 to 6, within the chain", Some(&delta.into()))
            })?;
            Ok(Ommer::Header { number, beneficiary: ommer.address })
        });
        ommers.collect()
    }

    /// EIP-4895.
    fn withdrawals(&self) -> Result<Vec<Withdrawal>, InputError> {
        let is_known = self.fork >= EthereumHardfork::Shanghai;
        match &self.stated.withdrawals {
            None if is_known => Err(self.missing("withdrawals", "a list, which may be empty")),
            Some(stated) if !is_known && !stated.is_empty() => {
                let expected = format!("none, as {} has no withdrawals", self.fork);
                Err(self.wrong("withdrawals", &expected, Some(&stated.len().into())))
            }
            stated => Ok(stated.clone().unwrap_or_default()),
        }
    }
}
