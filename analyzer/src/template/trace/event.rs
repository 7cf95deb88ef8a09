//! What a trace names, and what happened, in order.

use revm::primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use crate::template::value::{Operand, ValueId};

/// An account that the trace has named, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct AccountRef(pub(crate) u32);

/// A slot that the trace has named, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct SlotRef(pub(crate) u32);

/// A checkpoint that the trace has taken, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct CheckpointRef(pub(crate) u32);

/// A piece of code that the trace has run, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeRef(pub(super) u32);

/// What happened, in order. Those with a value give it the identifier that follows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// Names the next [`AccountRef`].
    Account(Operand),
    /// Names the next [`SlotRef`]; the declared slot that the key points into, if any.
    Slot(AccountRef, Operand, Option<U256>),
    Load(SlotRef, ValueId),
    Store(SlotRef, Operand),
    TransientLoad(AccountRef, Operand, ValueId),
    TransientStore(AccountRef, Operand, Operand),
    Balance(AccountRef, ValueId),
    CodeSize(AccountRef, ValueId),
    CodeHash(AccountRef, ValueId),
    /// The transaction looks at whether the account is empty.
    Emptiness(AccountRef),
    /// Before EIP-161 a call brings its target into being.
    Touch(AccountRef),
    /// Destroys the first account, in favour of the second.
    Destroy(AccountRef, AccountRef),
    /// Moves a value; whether it was there.
    Pay {
        from: AccountRef,
        to: AccountRef,
        value: Operand,
        paid: ValueId,
    },
    /// The address that the account's next creation has; with salt and hash of the
    /// init code if it is given them.
    NewAddress(AccountRef, Option<(Operand, Operand)>, ValueId),
    /// Begins a creation, which takes the next [`CheckpointRef`].
    Create {
        creator: AccountRef,
        created: AccountRef,
        value: Operand,
    },
    /// Gives the account its code.
    Deploy(AccountRef, CodeRef),
    /// Takes the next [`CheckpointRef`].
    Checkpoint,
    Revert(CheckpointRef),
    /// The path goes on only where the value is zero, or is not.
    Truth(Truth),
    /// The path goes on only where the value is this.
    Equals(Operand, U256),
    /// The path goes on only where the account's code has this hash.
    Code(AccountRef, B256),
}

/// A condition that the path depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    pub(crate) value: Operand,
    pub(crate) is_true: bool,
    /// Where it decides, if it is a branch of some code.
    pub(crate) branch: Option<Branch>,
}

/// A conditional jump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    pub(crate) code: CodeRef,
    /// Where it goes on, and where it would otherwise.
    pub(crate) taken: usize,
    pub(crate) left: usize,
}
