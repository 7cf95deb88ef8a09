//! One account as the analysis sees it: current values, values at the start of
//! the transaction, and how the transaction has used them so far.

use revm::{
    bytecode::Bytecode,
    primitives::{Address, B256, KECCAK_EMPTY, U256},
    state::AccountInfo,
};

/// The balance of an account whose balance may not be read, in wei: more than there is.
const PRESUMED_BALANCE: U256 = U256::from_limbs([0, 1 << 56, 0, 0]);

/// Position of an account in [`World`](super::world::World).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct AccountId(pub(super) u32);

/// The values of an account that transactions change.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, undone together")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountValues {
    pub(crate) balance: U256,
    pub(crate) nonce: u64,
    pub(crate) code_hash: B256,
    /// In the state, even if empty: before Spurious Dragon that is a difference.
    pub(crate) exists: bool,
    /// Created by this transaction (EIP-6780).
    pub(crate) created: bool,
    /// Destroyed by this transaction.
    pub(crate) destroyed: bool,
    /// Loaded by this transaction (EIP-2929).
    pub(crate) warm: bool,
}

impl AccountValues {
    /// Empty as EIP-161 means it.
    pub(crate) fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && !self.has_code()
    }

    pub(crate) fn has_code(&self) -> bool {
        self.code_hash != KECCAK_EMPTY && self.code_hash != B256::ZERO
    }
}

/// What the transaction has looked at. It stays looked at when a frame reverts.
#[allow(clippy::struct_excessive_bools, reason = "one for each field of an account")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccountReads {
    pub(crate) balance: bool,
    /// That code looked at the balance, not only a payment at whether it suffices.
    pub(crate) balance_by_code: bool,
    pub(crate) nonce: bool,
    pub(crate) code: bool,
    /// Whether it is empty, and nothing more.
    pub(crate) emptiness: bool,
}

/// An account, loaded once for the block.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) address: Address,
    pub(crate) now: AccountValues,
    /// At the start of the transaction that last touched it.
    pub(crate) start: AccountValues,
    pub(crate) reads: AccountReads,
    /// The code with hash `now.code_hash`, once it was asked for.
    pub(crate) code: Option<Bytecode>,
    /// Whether the transaction named it from a guess of what may not be read:
    /// then there is no such account, and a scope stands for the one there is.
    pub(crate) is_guess: bool,
    /// Grows when the storage is cleared; slots of an earlier one are zero.
    pub(crate) generation: u32,
    /// The last transaction that touched it.
    pub(crate) touched_by: u32,
    /// Its position among those that the transaction has touched, by address.
    pub(super) rank: u32,
}

impl Account {
    /// An account as the state before the block has it.
    pub(crate) fn new(address: Address, info: Option<AccountInfo>) -> Self {
        let exists = info.is_some();
        let info = info.unwrap_or_default();
        let now = AccountValues {
            balance: info.balance,
            nonce: info.nonce,
            code_hash: if info.code_hash.is_zero() { KECCAK_EMPTY } else { info.code_hash },
            exists,
            created: false,
            destroyed: false,
            warm: false,
        };
        let code = if now.has_code() { info.code } else { Some(Bytecode::default()) };
        let reads = AccountReads::default();
        Self {
            address,
            now,
            start: now,
            reads,
            code,
            is_guess: false,
            generation: 0,
            touched_by: 0,
            rank: 0,
        }
    }

    /// Puts guesses in the place of balance and nonce: enough, and as any
    /// account has that never created another.
    pub(crate) fn forget(&mut self) {
        self.now.balance = PRESUMED_BALANCE;
        self.now.nonce = u64::from(self.now.has_code());
        self.now.exists = true;
        self.start = self.now;
    }

    /// Opens the account for transaction number `tx`.
    pub(crate) fn open(&mut self, tx: u32) {
        self.touched_by = tx;
        self.now.created = false;
        self.now.destroyed = false;
        self.now.warm = false;
        self.start = self.now;
        self.is_guess = false;
        self.reads = AccountReads::default();
    }
}
