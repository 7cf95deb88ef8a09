//! The accounts of blocks to shards, such that few transactions need accounts of two and the
//! shards have about as much gas: a balanced minimum cut, found by METIS.
//!
//! Accounts and transactions are the nodes of the graph that is cut, and each account that a
//! transaction touches is an edge between the two. A transaction weighs its gas, an account
//! nothing. An account that no transaction changes can be on every shard and is left out, and
//! so are fees to the beneficiary, which every shard can add up on its own.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, keccak256};
use forewave_analyzer::{Block, Location, ObservedAccess};
use metis::{
    Graph, Idx,
    option::{NCuts, NIter, Seed, UFactor},
};
use serde::Serialize;

/// Gas that one unit of weight stands for: METIS counts in 32 bits.
const GAS_UNIT: u64 = 1000;

/// Partitions that METIS makes and takes the best of.
const CUTS: Idx = 4;

/// Rounds of refinement at each level.
const ROUNDS: Idx = 20;

/// The same partition for the same blocks.
const SEED: Idx = 1;

/// Accounts and transactions for each shard below which there is nothing to choose.
const NODES_PER_SHARD_MIN: usize = 4;

/// Blocks could not be divided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// There is too little to divide.
    #[error("{nodes} accounts and transactions are too few for {shards} shards")]
    TooFew {
        /// Accounts and transactions.
        nodes: usize,
        /// Shards.
        shards: usize,
    },
    /// There are more edges than METIS can count.
    #[error("{0} touched accounts are more than METIS can count")]
    TooMany(usize),
    /// METIS failed.
    #[error("METIS could not divide the accounts: {0}")]
    Failed(String),
}

/// Which accounts the transactions of blocks touch.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    txs: Vec<Touches>,
    changed: BTreeSet<Address>,
}

#[derive(Clone, Debug)]
struct Touches {
    gas: u64,
    sender: Address,
    accounts: BTreeSet<Address>,
}

/// How good a division is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// Transactions that touch an account of another shard than their own.
    pub cross_shard_txs: usize,
    /// Their gas.
    pub cross_shard_gas: u64,
    /// Accounts of other shards that transactions touch: the edges that are cut.
    pub cut: usize,
    /// Gas of the heaviest shard over the mean.
    pub imbalance: f64,
    /// The shards.
    pub shards: Vec<Shard>,
}

/// What is on one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shard {
    /// Accounts.
    pub accounts: usize,
    /// Transactions.
    pub txs: usize,
    /// Their gas.
    pub gas: u64,
    /// The account that most of its transactions touch.
    pub hottest: Option<Address>,
}

/// `forewave partition --json`: a division by minimum cut, and by a hash for comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionReport {
    /// Transactions.
    pub txs: usize,
    /// Their gas.
    pub gas: u64,
    /// Accounts that are divided.
    pub accounts: usize,
    /// Accounts that are only read, and so on every shard.
    pub everywhere: usize,
    /// Accounts that transactions touch, each counted for each transaction.
    pub touches: usize,
    /// By minimum cut.
    pub min_cut: Quality,
    /// By a hash of the address; each transaction is where most of its accounts are.
    pub by_hash: Quality,
    /// The shard of each account, by minimum cut.
    pub shard_of: BTreeMap<Address, usize>,
}

impl Traffic {
    /// Adds the transactions of a block.
    pub fn add(&mut self, block: &Block, accesses: &[ObservedAccess], gas: &[u64]) {
        let fee = Location::Balance(block.env.beneficiary);
        for ((tx, ObservedAccess(set)), gas) in block.transactions.iter().zip(accesses).zip(gas) {
            let credits = set.deltas().iter().filter(|at| **at != fee);
            let changed = set.writes().iter().chain(credits).map(Location::address);
            let mut accounts: BTreeSet<Address> = changed.collect();
            self.changed.extend(&accounts);
            accounts.extend(set.reads().iter().map(Location::address));
            self.txs.push(Touches { gas: *gas, sender: tx.caller, accounts });
        }
    }

    /// Divides the accounts among so many shards, none of which gets more gas than the mean
    /// by more than so many per cent, as far as the transactions allow.
    pub fn partition(
        mut self,
        shards: usize,
        imbalance_percent: u16,
    ) -> Result<PartitionReport, PartitionError> {
        let all: BTreeSet<Address> = self.txs.iter().flat_map(|tx| &tx.accounts).copied().collect();
        for tx in &mut self.txs {
            tx.accounts.retain(|account| self.changed.contains(account));
        }
        let accounts: Vec<Address> = self.changed.iter().copied().collect();
        let (of_accounts, of_txs) = cut(&self.txs, &accounts, shards, imbalance_percent)?;
        let shard_of: BTreeMap<Address, usize> =
            accounts.iter().copied().zip(of_accounts).collect();
        let hashed = accounts.iter().map(|account| (*account, by_hash(*account, shards))).collect();
        let homes: Vec<usize> = self.txs.iter().map(|tx| home(tx, &hashed, shards)).collect();
        Ok(PartitionReport {
            txs: self.txs.len(),
            gas: self.txs.iter().map(|tx| tx.gas).sum(),
            accounts: accounts.len(),
            everywhere: all.len() - accounts.len(),
            touches: self.txs.iter().map(|tx| tx.accounts.len()).sum(),
            min_cut: quality(&self.txs, &shard_of, &of_txs, shards),
            by_hash: quality(&self.txs, &hashed, &homes, shards),
            shard_of,
        })
    }
}

/// The shards of accounts and of transactions.
fn cut(
    txs: &[Touches],
    accounts: &[Address],
    shards: usize,
    imbalance_percent: u16,
) -> Result<(Vec<usize>, Vec<usize>), PartitionError> {
    let nodes = accounts.len() + txs.len();
    if shards == 1 {
        return Ok((vec![0; accounts.len()], vec![0; txs.len()]));
    }
    if nodes < shards.saturating_mul(NODES_PER_SHARD_MIN) {
        return Err(PartitionError::TooFew { nodes, shards });
    }
    let edges: usize = txs.iter().map(|tx| tx.accounts.len()).sum();
    let too_many = || PartitionError::TooMany(edges);
    let count = |value: usize| Idx::try_from(value).map_err(|_| too_many());
    count(nodes.max(2 * edges))?;
    let numbers: BTreeMap<Address, usize> =
        accounts.iter().enumerate().map(|(at, account)| (*account, at)).collect();
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    for (at, tx) in txs.iter().enumerate() {
        for account in &tx.accounts {
            let number = numbers[account];
            rows[number].push(accounts.len() + at);
            rows[accounts.len() + at].push(number);
        }
    }
    let (mut starts, mut neighbours) = (vec![0], Vec::with_capacity(2 * edges));
    for row in rows {
        for neighbour in row {
            neighbours.push(count(neighbour)?);
        }
        starts.push(count(neighbours.len())?);
    }
    let mut weights: Vec<Idx> = vec![0; accounts.len()];
    for tx in txs {
        weights.push(Idx::try_from((tx.gas / GAS_UNIT).max(1)).map_err(|_| too_many())?);
    }
    let mut part: Vec<Idx> = vec![0; nodes];
    let failed = |error: &dyn core::fmt::Display| PartitionError::Failed(error.to_string());
    // One balance constraint: the weight.
    Graph::new(1, count(shards)?, &starts, &neighbours)
        .map_err(|error| failed(&error))?
        .set_vwgt(&weights)
        .set_option(Seed(SEED))
        .set_option(NCuts(CUTS))
        .set_option(NIter(ROUNDS))
        .set_option(UFactor(Idx::from(imbalance_percent) * 10))
        .part_kway(&mut part)
        .map_err(|error| failed(&error))?;
    let shard = |part: &Idx| usize::try_from(*part).expect("METIS numbers parts from zero");
    let (of_accounts, of_txs) = part.split_at(accounts.len());
    Ok((of_accounts.iter().map(shard).collect(), of_txs.iter().map(shard).collect()))
}

/// The shard that the hash of an address names.
fn by_hash(account: Address, shards: usize) -> usize {
    let hash = keccak256(account);
    let number = hash.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    usize::try_from(number % shards as u64).expect("it is less than the number of shards")
}

/// The shard of most accounts of a transaction; of as many, its sender's, then the first.
fn home(tx: &Touches, shard_of: &BTreeMap<Address, usize>, shards: usize) -> usize {
    let mut counts = vec![0_usize; shards];
    for account in &tx.accounts {
        counts[shard_of[account]] += 1;
    }
    let own = shard_of.get(&tx.sender).copied();
    let rank = |shard: &usize| (counts[*shard], Some(*shard) == own, core::cmp::Reverse(*shard));
    (0..shards).max_by_key(rank).unwrap_or_default()
}

fn quality(
    txs: &[Touches],
    shard_of: &BTreeMap<Address, usize>,
    homes: &[usize],
    shards: usize,
) -> Quality {
    let mut found = Quality {
        cross_shard_txs: 0,
        cross_shard_gas: 0,
        cut: 0,
        imbalance: 1.0,
        shards: vec![Shard::default(); shards],
    };
    let mut touched: Vec<BTreeMap<Address, usize>> = vec![BTreeMap::new(); shards];
    for (tx, home) in txs.iter().zip(homes) {
        let shard = &mut found.shards[*home];
        shard.txs += 1;
        shard.gas += tx.gas;
        let remote = tx.accounts.iter().filter(|account| shard_of[*account] != *home).count();
        found.cut += remote;
        if remote > 0 {
            found.cross_shard_txs += 1;
            found.cross_shard_gas += tx.gas;
        }
        for account in &tx.accounts {
            *touched[shard_of[account]].entry(*account).or_default() += 1;
        }
    }
    for shard in shard_of.values() {
        found.shards[*shard].accounts += 1;
    }
    for (shard, touched) in found.shards.iter_mut().zip(&touched) {
        let rank = |(account, count): &(&Address, &usize)| (**count, core::cmp::Reverse(**account));
        shard.hottest = touched.iter().max_by_key(rank).map(|(account, _)| *account);
    }
    let gas: u64 = txs.iter().map(|tx| tx.gas).sum();
    let most = found.shards.iter().map(|shard| shard.gas).max().unwrap_or_default();
    if gas > 0 {
        found.imbalance = most as f64 * shards as f64 / gas as f64;
    }
    found
}
