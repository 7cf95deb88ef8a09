//! The difficulty of a block from its parent, before the Merge.

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::U256;

/// The least difficulty (Yellow Paper, section 4.4.4).
const DIFFICULTY_MIN: u64 = 131_072;

/// The difficulty changes by so many parts of the parent's.
const BOUND_DIVISOR: u64 = 2_048;

/// Seconds after the parent from which on Frontier lowers the difficulty.
const FRONTIER_SECONDS: u64 = 13;

/// The most steps by which it falls at once (EIP-2).
const FALL_MAX: u64 = 99;

/// Blocks after which the bomb doubles.
const BOMB_PERIOD: u64 = 100_000;

/// What the difficulty follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent {
    pub(super) difficulty: U256,
    pub(super) timestamp: u64,
    pub(super) has_ommers: bool,
}

/// The difficulty of the block with this number and timestamp, which is later than
/// the parent's. `None` beyond 256 bits.
pub(super) fn difficulty(
    fork: EthereumHardfork,
    number: u64,
    timestamp: u64,
    parent: &Parent,
) -> Option<U256> {
    let step = parent.difficulty / U256::from(BOUND_DIVISOR);
    let (rise, fall) = steps(fork, timestamp.saturating_sub(parent.timestamp), parent);
    let risen = parent.difficulty.checked_add(step.checked_mul(U256::from(rise))?)?;
    let moved = risen.saturating_sub(step.checked_mul(U256::from(fall))?);
    moved.checked_add(bomb(fork, number)?).map(|sum| sum.max(U256::from(DIFFICULTY_MIN)))
}

/// By how many steps the difficulty rises, and by how many it falls.
fn steps(fork: EthereumHardfork, seconds: u64, parent: &Parent) -> (u64, u64) {
    if fork < EthereumHardfork::Homestead {
        return if seconds < FRONTIER_SECONDS { (1, 0) } else { (0, 1) };
    }
    // EIP-2, and EIP-100 since Byzantium, which counts the parent's ommers.
    let (rise, slower) = if fork < EthereumHardfork::Byzantium {
        (1, seconds / 10)
    } else {
        (1 + u64::from(parent.has_ommers), seconds / 9)
    };
    if slower <= rise { (rise - slower, 0) } else { (0, (slower - rise).min(FALL_MAX)) }
}

/// The bomb, which later forks put off (EIP-649, EIP-1234, EIP-2384, EIP-3554,
/// EIP-4345, EIP-5133). `None` beyond 256 bits.
fn bomb(fork: EthereumHardfork, number: u64) -> Option<U256> {
    let delays = [
        (EthereumHardfork::GrayGlacier, 11_400_000),
        (EthereumHardfork::ArrowGlacier, 10_700_000),
        (EthereumHardfork::London, 9_700_000),
        (EthereumHardfork::MuirGlacier, 9_000_000),
        (EthereumHardfork::Constantinople, 5_000_000),
        (EthereumHardfork::Byzantium, 3_000_000),
    ];
    let delay = delays.into_iter().find(|(since, _)| fork >= *since).map_or(0, |(_, delay)| delay);
    let periods = number.saturating_sub(delay) / BOMB_PERIOD;
    match periods.checked_sub(2) {
        None => Some(U256::ZERO),
        Some(doublings) if doublings < 256 => Some(U256::ONE << doublings),
        Some(_) => None,
    }
}
