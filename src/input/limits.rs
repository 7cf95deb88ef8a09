//! The named limits of loading: what a hostile file can cost at most.
//!
//! A block of a gigagas stays well below each. Bytes bound what is read and
//! counts what is built from it, since a few bytes of JSON can become a few
//! hundred in memory.

/// The most bytes of `block.json`, after decompression.
pub const BLOCK_BYTES_MAX: u64 = 256 << 20;

/// The most bytes of `pre_state.json`, after decompression.
pub const PRE_STATE_BYTES_MAX: u64 = 1 << 30;

/// The most bytes of `block_hashes.json`, after decompression.
pub const BLOCK_HASHES_BYTES_MAX: u64 = 16 << 20;

/// The most bytes of `block_access_list.json`, after decompression.
pub const ACCESS_LIST_BYTES_MAX: u64 = 256 << 20;

/// The most values in `block_access_list.json`: objects, arrays, and what is in them.
pub const ACCESS_LIST_VALUES_MAX: usize = 1 << 24;

/// The most bytes of one file of conformance tests, after decompression.
pub const CASES_BYTES_MAX: u64 = 512 << 20;

/// The most values in `block.json`: objects, arrays, and what is in them.
pub const BLOCK_VALUES_MAX: usize = 1 << 22;

/// The most accounts in `pre_state.json`.
pub const ACCOUNTS_MAX: usize = 1 << 21;

/// The most slots in `pre_state.json`, of all accounts together.
pub const SLOTS_MAX: usize = 1 << 23;

/// The most entries in `block_hashes.json`; `BLOCKHASH` reaches 256 blocks back.
pub const BLOCK_HASHES_MAX: usize = 1 << 16;

/// The most characters that a message repeats of a wrong value or of a reason.
pub(super) const QUOTED_CHARS_MAX: usize = 200;
