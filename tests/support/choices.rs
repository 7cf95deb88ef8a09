//! Choices drawn from bytes, one byte each, and whom random programs deal with.

use revm::primitives::Address;

/// Contracts of a case.
pub(crate) const CONTRACTS: u8 = 4;

/// Choices drawn from bytes, one byte each.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    /// The next byte; 0 beyond the last.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    pub(crate) fn one_in(&mut self, n: u8) -> bool {
        self.below(n) == n - 1
    }

    pub(crate) fn of<T: Copy>(&mut self, options: &[T]) -> T {
        options[usize::from(self.byte()) % options.len()]
    }

    pub(crate) fn bytes(&mut self, len_max: u8) -> Vec<u8> {
        (0..self.below(len_max)).map(|_| self.byte()).collect()
    }
}

/// The contract numbered `n`.
pub(crate) fn contract(n: u8) -> Address {
    Address::repeat_byte(0xa0 + n % CONTRACTS)
}

/// The account numbered `n` that sends transactions.
pub(crate) fn sender(n: u8) -> Address {
    Address::repeat_byte(0x50 + n % 3)
}

/// Anybody: contracts, senders, precompiles, the beneficiary, nobody yet.
pub(crate) fn anybody(choices: &mut Choices<'_>) -> Address {
    match choices.below(12) {
        n @ 0..=5 => contract(n),
        n @ 6..=7 => sender(n),
        8 | 9 => Address::with_last_byte(choices.below(20)),
        10 => beneficiary(),
        _ => Address::repeat_byte(0xee),
    }
}

pub(crate) fn beneficiary() -> Address {
    Address::repeat_byte(0xbe)
}
