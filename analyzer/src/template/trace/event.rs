//! What a trace names, and what happened, in order.

use revm::primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use crate::{
    interpreter::Ending,
    template::value::{Operand, ValueId},
};

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
    /// What only an exact path follows.
    Exact(Exact),
}

/// What an exact path follows besides: gas, and what receipts hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exact {
    /// The gas of instructions that cost the same wherever the path goes.
    Charge(u64),
    /// The account is used, which costs more the first time (EIP-2929).
    Warm(AccountRef),
    /// Value is sent to the account, which costs more if it is empty (EIP-161).
    Fund(AccountRef),
    /// `EXP` with this exponent.
    Power(Operand),
    /// The gas that is left.
    GasLeft(ValueId),
    /// A call is given the gas that it asks for, or what there is; with value, a stipend.
    Enter {
        asked: Operand,
        has_value: bool,
        /// Who is touched by it (EIP-161).
        touched: Option<AccountRef>,
    },
    /// The call ends, as success or not; a halt has used its gas up.
    Leave(Ending),
    /// The log at this position of the trace's.
    Log(u32),
    /// The path goes on only where the value is this, and nothing is simpler for it.
    Equals(Operand, U256),
    /// The value is computed here, and the path goes on only where it can be.
    Demand(Operand),
}

/// A log as a path gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Logged<A> {
    pub(crate) account: A,
    pub(crate) topics: Box<[Operand]>,
    /// The words of its data.
    pub(crate) data: Box<[Operand]>,
    /// How many bytes of them.
    pub(crate) bytes: u32,
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
