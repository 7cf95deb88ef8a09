//! What stands in for state that may not be read, and what follows from guessing.
//!
//! With [`Knowledge::Code`] nothing but code is known. A slot then holds a
//! guess: a number that no other slot holds, so that it can be recognised when
//! it, or twenty bytes of it, becomes the address of a call. That slot alone is
//! read: it is where a proxy keeps its implementation.
//!
//! A branch that is decided by a guess may go the other way. What lies there is
//! covered by the contract's storage if its code cannot reach out of it, and
//! by everything if it can; what the call returns is a guess as well.

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::{
        Bytecode,
        opcode::{self as op, OpCode},
    },
    primitives::{Address, StorageKey, U256, keccak256, map::DefaultHashBuilder},
};

use super::{
    frame::{Exit, Frame},
    machine::{Abandoned, Machine, Step},
    word::{Provenance, Word},
};
use crate::{AccessKind, Scope, WidenedAccess};

/// Slots whose guesses are recognised as addresses, in one block. A call to the
/// address in any further slot is a call to anywhere.
const POINTERS_MAX: usize = 1 << 16;

/// Branches of one transaction that a guess decides, at most. What guesses so
/// often runs in a loop that nothing known ends.
const GUESSED_BRANCHES_MAX: usize = 512;

/// Bytes that an address can be shifted by inside a word.
const SHIFT_BYTES_MAX: usize = 12;

/// What the analysis may read of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knowledge {
    /// Everything.
    State,
    /// Code, and the slots whose value is the address of a call.
    Code,
}

/// Where an address that was guessed lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pointer {
    account: Address,
    key: StorageKey,
    shift_bytes: usize,
}

/// The addresses that the guesses of a block contain.
#[derive(Debug, Default)]
pub(crate) struct Pointers {
    by_guess: HashMap<Address, Pointer, DefaultHashBuilder>,
}

impl Pointers {
    /// The guess of what a slot holds.
    pub(crate) fn guess(&mut self, account: Address, key: StorageKey) -> U256 {
        let mut preimage = [0; 52];
        preimage[..20].copy_from_slice(account.as_slice());
        preimage[20..].copy_from_slice(&key.to_be_bytes::<32>());
        let guess = keccak256(preimage);
        if self.by_guess.len() < POINTERS_MAX * (SHIFT_BYTES_MAX + 1) {
            for shift_bytes in 0..=SHIFT_BYTES_MAX {
                let start = SHIFT_BYTES_MAX - shift_bytes;
                let address = Address::from_slice(&guess[start..start + 20]);
                self.by_guess.insert(address, Pointer { account, key, shift_bytes });
            }
        }
        guess.into()
    }

    /// The slot that a guessed address was taken from.
    pub(crate) fn find(&self, guess: Address) -> Option<Pointer> {
        self.by_guess.get(&guess).copied()
    }
}

impl Pointer {
    /// The address that lies there in the state before the block.
    pub(crate) fn read<DB: DatabaseRef>(self, db: &DB) -> Result<Address, DB::Error> {
        let value = db.storage_ref(self.account, self.key)? >> (8 * self.shift_bytes);
        Ok(Address::from_word(value.into()))
    }
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// The address that a call or a look names: where it was only guessed but
    /// lies in a slot that is known, that slot is read.
    pub(super) fn resolve(&mut self, name: Word) -> Result<Word, Exit> {
        if !name.provenance.is_unknown() {
            return Ok(name);
        }
        let pointed = self.world.resolve(name.to_address());
        let address = self.known(pointed)?;
        Ok(address.map_or(name, |address| Word::address(address, Provenance::STATE)))
    }

    /// Covers the side of a branch that a guess has decided against.
    ///
    /// Where the state is known, the only such guess is that a precompile
    /// verifies, and that is assumed like any other success.
    pub(super) fn widen_path(&mut self, frame: &mut Frame, code: &Bytecode) -> Step {
        if self.world.knows_state() {
            return Ok(());
        }
        self.guessed_branches += 1;
        if self.guessed_branches > GUESSED_BRANCHES_MAX {
            return Err(self.abandon(Abandoned::Limit));
        }
        frame.is_guessed = true;
        let address = self.world.account(frame.account).address;
        let scope = Scope::Contract { address };
        let widened = WidenedAccess { scope, kind: AccessKind::Write };
        if self.guessed || self.widened.contains(&widened) {
            return Ok(());
        }
        if reaches_out(code) {
            self.guessed = true;
        } else {
            self.widen(widened);
        }
        Ok(())
    }
}

/// Whether code can touch more than its own storage.
fn reaches_out(code: &Bytecode) -> bool {
    let code = code.original_byte_slice();
    let mut pc = 0;
    while let Some(&opcode) = code.get(pc) {
        let outward = matches!(
            opcode,
            op::BALANCE
                | op::SELFBALANCE
                | op::EXTCODESIZE
                | op::EXTCODECOPY
                | op::EXTCODEHASH
                | op::CREATE..=op::CALLCODE
                | op::DELEGATECALL..=op::CREATE2
                | op::STATICCALL
                | op::SELFDESTRUCT
        );
        if outward {
            return true;
        }
        let immediate = OpCode::info_by_op(opcode).map_or(0, |info| info.immediate_size());
        pc += 1 + usize::from(immediate);
    }
    false
}
