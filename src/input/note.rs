//! What a block's files leave open: the block loads, and what is unknown is zero
//! or absent, so what comes of it may not be what the chain has.

use core::fmt;

use alloy_primitives::{Address, map::HashSet};
use forewave_analyzer::{Block, MemoryState, TxIndex};
use revm::{DatabaseRef, primitives::hardfork::SpecId};

use super::block_json::Absent;

/// Something that the files do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputNote {
    /// The block has no `miner`; fees go to the zero address.
    BeneficiaryUnknown,
    /// The block has no `mixHash`; `PREVRANDAO` gives zero.
    PrevrandaoUnknown,
    /// The state has no account for a sender that has sent transactions before.
    SenderAbsent {
        /// Its first transaction in the block.
        tx: TxIndex,
        /// The sender.
        sender: Address,
        /// The nonce, which is more than zero.
        nonce: u64,
    },
}

impl fmt::Display for InputNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeneficiaryUnknown => {
                f.write_str("block.json has no `miner`; the fees are paid to the zero address")
            }
            Self::PrevrandaoUnknown => {
                f.write_str("block.json has no `mixHash`; PREVRANDAO gives zero")
            }
            Self::SenderAbsent { tx, sender, nonce } => write!(
                f,
                "pre_state.json lacks {sender}, the sender of {tx}, which has nonce {nonce}; \
                 the pre-state is not whole"
            ),
        }
    }
}

/// What these files leave open.
pub(super) fn notes(block: &Block, state: &MemoryState, absent: &Absent) -> Vec<InputNote> {
    let mut notes = Vec::new();
    if absent.contains("miner") {
        notes.push(InputNote::BeneficiaryUnknown);
    }
    if absent.contains("mixHash") && block.spec().is_enabled_in(SpecId::MERGE) {
        notes.push(InputNote::PrevrandaoUnknown);
    }
    let mut senders = HashSet::<Address>::default();
    let first = block
        .indexed()
        .find(|(_, tx)| senders.insert(tx.caller) && tx.nonce > 0 && !is_held(state, tx.caller));
    notes.extend(first.map(|(index, tx)| InputNote::SenderAbsent {
        tx: index,
        sender: tx.caller,
        nonce: tx.nonce,
    }));
    notes
}

fn is_held(state: &MemoryState, address: Address) -> bool {
    matches!(state.basic_ref(address), Ok(Some(_)))
}
