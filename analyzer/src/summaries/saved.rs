//! Summaries as bytes: a header, then the programs of every skeleton and the code
//! hashes that share it, and what was learnt of functions.
//!
//! The header names the format and its version and holds the length and the
//! Keccak-256 of what follows. What does not fit is refused as a whole, with the
//! reason; so is a program that could not be evaluated.

use std::{
    io::{self, Read, Write},
    sync::{Arc, PoisonError},
};

use revm::primitives::{B256, U256, keccak256};
use serde::{Deserialize, Serialize};

use super::{CodeSummary, Programs, SummaryCache};
use crate::learnt::{Learnt, LearntLimits, SavedLearnt};

/// What a file of summaries begins with.
const MAGIC: [u8; 8] = *b"FWSUMM\r\n";

/// Version of the format. A change of what an operation means, or of what a skeleton
/// leaves out, is one too.
const VERSION: u32 = 2;

/// Bytes of the header: magic, version, length, checksum.
const HEADER_BYTES: usize = 8 + 4 + 8 + 32;

/// Why summaries could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// The bytes could not be read.
    #[error("the summaries could not be read: {0}")]
    Read(#[from] io::Error),
    /// The bytes are something else.
    #[error("these are no summaries: the first eight bytes are not those of a file of summaries")]
    NotSummaries,
    /// Another version has written them.
    #[error("the summaries are of version {found}, expected {VERSION}")]
    Version {
        /// The version that has.
        found: u32,
    },
    /// They are more than the cache may hold.
    #[error("the summaries are {found} bytes long, more than the {bytes_max} allowed")]
    TooLong {
        /// How long they say they are.
        found: u64,
        /// How long they may be.
        bytes_max: usize,
    },
    /// They are not what was saved.
    #[error("the checksum of the summaries is not that of their header")]
    Checksum,
    /// They cannot be understood, or evaluated.
    #[error("the summaries are malformed: {0}")]
    Malformed(String),
}

/// One skeleton: its hash, its programs, and the code that has it, each with what
/// fills its inputs.
#[derive(Debug, Serialize, Deserialize)]
struct SavedSkeleton {
    hash: B256,
    programs: Arc<Programs>,
    codes: Vec<(B256, Vec<U256>)>,
}

/// Everything.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    skeletons: Vec<SavedSkeleton>,
    learnt: Vec<SavedLearnt>,
}

impl SummaryCache {
    /// Writes every summary to `to`. The same summaries give the same bytes.
    pub fn save(&self, mut to: impl Write) -> io::Result<()> {
        let saved = Saved { skeletons: self.saved(), learnt: self.learnt.saved() };
        let mut bytes = Vec::new();
        ciborium::into_writer(&saved, &mut bytes).map_err(io::Error::other)?;
        to.write_all(&MAGIC)?;
        to.write_all(&VERSION.to_be_bytes())?;
        to.write_all(&(bytes.len() as u64).to_be_bytes())?;
        to.write_all(keccak256(&bytes).as_slice())?;
        to.write_all(&bytes)
    }

    fn saved(&self) -> Vec<SavedSkeleton> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let mut saved: Vec<SavedSkeleton> = kept
            .by_skeleton
            .iter()
            .map(|(hash, programs)| SavedSkeleton {
                hash: *hash,
                programs: Arc::clone(programs),
                codes: kept
                    .by_code
                    .iter()
                    .filter(|(_, summary)| Arc::ptr_eq(&summary.programs, programs))
                    .map(|(code, summary)| (*code, summary.inputs.to_vec()))
                    .collect(),
            })
            .collect();
        saved.sort_unstable_by_key(|skeleton| skeleton.hash);
        for skeleton in &mut saved {
            skeleton.codes.sort_unstable();
        }
        saved
    }

    /// Reads what [`save`](Self::save) wrote, at most `bytes_max` bytes of it.
    ///
    /// # Errors
    ///
    /// If it is something else, of another version, too long or damaged.
    pub fn load(mut from: impl Read, bytes_max: usize) -> Result<Self, SummaryError> {
        let mut header = [0; HEADER_BYTES];
        from.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SummaryError::NotSummaries,
            _ => SummaryError::Read(error),
        })?;
        let (magic, rest) = header.split_at(8);
        let (version, rest) = rest.split_at(4);
        let (length, checksum) = rest.split_at(8);
        if magic != MAGIC {
            return Err(SummaryError::NotSummaries);
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let found = u32::try_from(number(version)).unwrap_or(u32::MAX);
        if found != VERSION {
            return Err(SummaryError::Version { found });
        }
        let found = number(length);
        if usize::try_from(found).map_or(true, |found| found > bytes_max) {
            return Err(SummaryError::TooLong { found, bytes_max });
        }
        let mut bytes = Vec::new();
        from.take(found).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != found || keccak256(&bytes) != checksum {
            return Err(SummaryError::Checksum);
        }
        let saved: Saved = ciborium::from_reader(&*bytes)
            .map_err(|error| SummaryError::Malformed(error.to_string()))?;
        Self::restore(saved)
    }

    fn restore(saved: Saved) -> Result<Self, SummaryError> {
        let learnt = Learnt::restore(saved.learnt, LearntLimits::default()).map_err(|at| {
            SummaryError::Malformed(format!("learnt entry {at} is none that was learnt"))
        })?;
        let cache = Self::default().with_learnt(learnt);
        {
            let mut kept = cache.kept.write().unwrap_or_else(PoisonError::into_inner);
            for (at, SavedSkeleton { hash, programs, codes }) in
                saved.skeletons.into_iter().enumerate()
            {
                if !programs.are_sound() {
                    let what = format!("entry {at} names what its programs do not have");
                    return Err(SummaryError::Malformed(what));
                }
                kept.bytes += programs.size();
                for (code, inputs) in codes {
                    let programs = Arc::clone(&programs);
                    let inputs = inputs.into();
                    kept.by_code.insert(code, CodeSummary { programs, inputs, skeleton: hash });
                }
                kept.by_skeleton.insert(hash, programs);
            }
        }
        Ok(cache)
    }
}
