//! A seed to a file of conformance tests, spoilt: its JSON, the RLP of its
//! blocks, the archive that it lies in, or the names in that archive.
//!
//! Every case is a function of its seed alone.

use std::{fs, io::Write, path::Path};

use alloy_consensus::{
    Block, BlockBody, Header, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxEnvelope, TxLegacy, transaction::SignerRecoverable,
};
use alloy_eips::{
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, eip7685::EMPTY_REQUESTS_HASH,
    eip7702::Authorization,
};
use alloy_primitives::{Address, B256, Signature, TxKind, U256, hex};
use flate2::{Compression, write::GzEncoder};
use forewave::{
    MemoryState, PredictorKind,
    conformance::{Setup, Verdict, Ways, run_file, source},
    input::{InputError, SourceFile},
    state_root,
};
use forewave_fixtures::SplitMix64;
use rayon::ThreadPool;
use revm::{bytecode::Bytecode, state::AccountInfo};
use serde_json::{Value, json};

use crate::{
    hostile_files::{HostileFiles, NamedFile, Sample, spoil_once},
    hostile_input::check_message,
};

/// Changes made to one piece of RLP.
const CHANGES_MAX: usize = 3;

/// The name of the file that is a case and nothing around it.
const PLAIN: &str = "case.json";

/// RLP headers that lie: of strings and lists that are longer than can be, that
/// are too long for what they hold, and that hold each other.
const HEADERS: &[&[u8]] = &[
    &[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xbb, 0x7f, 0xff, 0xff, 0xff],
    &[0xfb, 0x7f, 0xff, 0xff, 0xff],
    &[0xb8, 0x00],
    &[0xf8, 0x37],
    &[0x81, 0x00],
    &[0xc0; 64],
    &[0xf9, 0x03, 0xe8, 0xf9, 0x03, 0xe5, 0xf9, 0x03, 0xe2],
];

/// Names in archives that lead elsewhere, or spoil what shows them.
const NAMES: &[&str] = &[
    "../../../../etc/case.json",
    "/etc/case.json",
    "inside/\u{1b}[2J\u{202e}.json",
    "<script>alert(1)</script>.json",
    ".hidden.json",
    "a\nb.json",
];

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It is no file of tests, or its archive is damaged.
    Refused,
    /// No case in it passed.
    Failed,
    /// A case in it passed.
    Passed,
}

/// Makes files out of one case whose blocks hold transactions of every type.
#[derive(Debug)]
pub(crate) struct HostileCases<'a> {
    hostile: &'a HostileFiles,
    sample: Sample,
}

impl<'a> HostileCases<'a> {
    pub(crate) fn new(hostile: &'a HostileFiles) -> Self {
        let text = serde_json::to_vec(&case()).unwrap();
        Self { hostile, sample: Sample::new(PLAIN, text) }
    }

    /// One file.
    pub(crate) fn case(&self, seed: u64) -> NamedFile {
        let rng = &mut SplitMix64::new(seed);
        let text = match rng.below(10) {
            0..6 => self.spoil_rlp(rng),
            6..9 => self.hostile.spoil(rng, &self.sample),
            _ => self.sample.text.clone(),
        };
        if rng.percent(60) {
            return NamedFile { name: PLAIN.to_owned(), bytes: text };
        }
        let archive = archive(rng, &text);
        let (name, mut bytes) = match rng.below(3) {
            0 => ("cases.tar", archive),
            1 => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&archive).unwrap();
                ("cases.tgz", encoder.finish().unwrap())
            }
            _ => ("cases.tar.zst", zstd::encode_all(&archive[..], 1).unwrap()),
        };
        if rng.percent(50) {
            spoil_once(rng, &mut bytes);
        }
        NamedFile { name: name.to_owned(), bytes }
    }

    /// The text, of which one piece of hex holds other bytes.
    fn spoil_rlp(&self, rng: &mut SplitMix64) -> Vec<u8> {
        let mut text = self.sample.text.clone();
        let pieces: Vec<_> = self.sample.hex().collect();
        let at = pieces[rng.index(pieces.len())];
        let Ok(mut bytes) = hex::decode(&text[at.start + 1..at.end - 1]) else { return text };
        for _ in 0..=rng.index(CHANGES_MAX) {
            let place = rng.index(bytes.len() + 1);
            if rng.percent(30) {
                let header = HEADERS[rng.index(HEADERS.len())];
                let end = if rng.percent(50) { place } else { bytes.len() };
                bytes.splice(place..end, header.iter().copied());
            } else {
                spoil_once(rng, &mut bytes);
            }
        }
        let spoilt = format!("\"{}\"", hex::encode_prefixed(bytes));
        text.splice(at.start..at.end, spoilt.into_bytes());
        text
    }
}

/// An archive of the text, under a name of which some are tricks.
fn archive(rng: &mut SplitMix64, text: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    let name = if rng.percent(50) { NAMES[rng.index(NAMES.len())] } else { "inside/case.json" };
    let field = &mut header.as_old_mut().name;
    field[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    archive.append(&header, text).unwrap();
    archive.into_inner().unwrap()
}

/// Checks one file; `directory` is where it may lie meanwhile.
#[track_caller]
pub(crate) fn check(file: &NamedFile, directory: &Path, pool: &ThreadPool) -> Fate {
    let path = directory.join(&file.name);
    fs::write(&path, &file.bytes).unwrap();
    let mut fate = Fate::Failed;
    let walked = source::for_each_file(&path, &mut |file| {
        fate = fate.max(judge(&file, pool)?);
        Ok::<_, InputError>(())
    });
    fs::remove_file(&path).unwrap();
    match walked {
        Ok(()) => fate,
        Err(error) => {
            check_message(&error.to_string());
            Fate::Refused
        }
    }
}

/// Runs the cases of a file; however wrong they are, execution in parallel and
/// one after the other agree.
#[track_caller]
pub(crate) fn judge(file: &SourceFile, pool: &ThreadPool) -> Result<Fate, InputError> {
    let pools = core::slice::from_ref(pool);
    let ways = Ways::All;
    let setup = Setup { ways, predictors: &[PredictorKind::Static], pools };
    let reports = run_file(file, &setup, |_| true)?;
    for report in &reports {
        if let Verdict::Failed(reason) = &report.verdict {
            assert!(!reason.contains("sequentially"), "{reason}");
        }
    }
    let passed = reports.iter().any(|report| report.verdict == Verdict::Passed);
    Ok(if passed { Fate::Passed } else { Fate::Failed })
}

/// A case of one empty block and one of five transactions, none of them signed by
/// anybody who has a key. The second is to be rejected, for stating no gas.
pub(crate) fn case() -> Value {
    let rlp = |block: &Block<TxEnvelope>| hex::encode_prefixed(alloy_rlp::encode(block));
    let transactions = transactions();
    let mut state = MemoryState::default();
    let mut pre = serde_json::Map::new();
    for tx in &transactions {
        let sender = tx.recover_signer().unwrap();
        let balance = U256::from(10).pow(U256::from(18));
        state.insert_account(sender, AccountInfo::from_balance(balance));
        pre.insert(sender.to_string(), json!({ "balance": "0xde0b6b3a7640000" }));
    }
    // The contracts that end each block of Prague: no such block is valid without them.
    for contract in [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS]
    {
        let code = Bytecode::new_legacy([0].into());
        state.insert_account(contract, AccountInfo::from_bytecode(code).with_nonce(1));
        pre.insert(contract.to_string(), json!({ "nonce": "0x1", "code": "0x00" }));
    }
    let genesis = Header {
        gas_limit: 30_000_000,
        base_fee_per_gas: Some(7),
        state_root: state_root(&state),
        withdrawals_root: Some(B256::ZERO),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    };
    let (hash, empty) = (genesis.hash_slow(), BlockBody::default());
    let header = Header { number: 1, timestamp: 12, parent_hash: hash, ..genesis.clone() };
    let body = BlockBody { transactions, ..BlockBody::default() };
    let exception = "BlockException.INVALID_GAS_USED";
    json!({ "spoilt": {
        "network": "Prague",
        "pre": pre,
        "genesisRLP": rlp(&Block::new(genesis, empty.clone())),
        "blocks": [
            { "rlp": rlp(&Block::new(header.clone(), empty)) },
            { "rlp": rlp(&Block::new(header.clone(), body)), "expectException": exception },
        ],
        "lastblockhash": header.hash_slow(),
        "config": { "chainid": "0x1" },
        "postStateHash": state_root(&state),
    }})
}

/// A transaction of each type, under a signature that fits somebody.
fn transactions() -> Vec<TxEnvelope> {
    let signature = Signature::new(U256::ONE, U256::from(7), false);
    let to = Address::repeat_byte(0xaa);
    let (gas_limit, fee) = (100_000, 1_000);
    let legacy = TxLegacy {
        chain_id: Some(1),
        gas_limit,
        gas_price: fee,
        to: TxKind::Call(to),
        ..TxLegacy::default()
    };
    let listed = TxEip2930 {
        chain_id: 1,
        gas_limit,
        gas_price: fee,
        to: TxKind::Call(to),
        ..TxEip2930::default()
    };
    let dynamic = TxEip1559 {
        chain_id: 1,
        gas_limit,
        max_fee_per_gas: fee,
        to: TxKind::Create,
        input: vec![0x60, 0, 0x60, 0, 0xf3].into(),
        ..TxEip1559::default()
    };
    let blob = TxEip4844 {
        chain_id: 1,
        gas_limit,
        max_fee_per_gas: fee,
        max_fee_per_blob_gas: fee,
        to,
        blob_versioned_hashes: vec![B256::with_last_byte(1) | B256::from(version())],
        ..TxEip4844::default()
    };
    let authorization = Authorization { chain_id: U256::from(1), address: to, nonce: 0 };
    let delegating = TxEip7702 {
        chain_id: 1,
        gas_limit,
        max_fee_per_gas: fee,
        to,
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    vec![
        legacy.into_signed(signature).into(),
        listed.into_signed(signature).into(),
        dynamic.into_signed(signature).into(),
        blob.into_signed(signature).into(),
        delegating.into_signed(signature).into(),
    ]
}

/// The version of a blob's hash (EIP-4844), in its first byte.
fn version() -> U256 {
    U256::from(1) << 248
}
