//! What templates consist of: operations, guards, paths, and programs for values
//! that are stored before anybody needs them.

use std::sync::Arc;

use hashbrown::HashMap;
use revm::{
    bytecode::Bytecode,
    primitives::{B256, Bytes, KECCAK_EMPTY, U256, map::DefaultHashBuilder},
};
use serde::{Deserialize, Serialize};

use super::{
    trace::{AccountRef, CheckpointRef, Logged, SlotRef},
    tree::Attempt,
    value::{Operand, Value},
};
use crate::interpreter::Ending;

/// One step of a path. Those that give a value give it the next number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// What follows from other values and the transaction.
    Value(Value),
    /// What the slot holds, without asking what that is.
    Load(SlotRef),
    /// Makes a loaded value known.
    Settle(Operand),
    TransientLoad(AccountRef, Operand),
    Balance(AccountRef),
    CodeSize(AccountRef),
    CodeHash(AccountRef),
    Pay {
        from: AccountRef,
        to: AccountRef,
        value: Operand,
    },
    /// Names the next account.
    Account(Operand),
    /// Names the next slot; the constant that is its declared slot, if any.
    Slot(AccountRef, Operand, Option<Operand>),
    /// Stores a value, be it known or as it was loaded.
    Store(SlotRef, Operand),
    /// Stores what the program computes, when somebody asks.
    Defer(SlotRef, #[serde(with = "shared")] Arc<Program>),
    TransientStore(AccountRef, Operand, Operand),
    Emptiness(AccountRef),
    Touch(AccountRef),
    /// Destroys the first account, in favour of the second.
    Destroy(AccountRef, AccountRef),
    /// The address that the account's next creation has; with salt and hash of the
    /// init code (EIP-1014) if it is given them.
    NewAddress(AccountRef, Option<(Operand, Operand)>),
    /// Begins a creation, which takes the next checkpoint.
    Create {
        creator: AccountRef,
        created: AccountRef,
        value: Operand,
    },
    /// Gives the account its code.
    Deploy(AccountRef, #[serde(with = "shared")] Arc<Deployment>),
    /// Takes the next checkpoint.
    Checkpoint,
    Revert(CheckpointRef),
    /// Of an exact path: gas that the path decides.
    Charge(u64),
    /// The account is used, which costs more if it is cold.
    Warm(AccountRef),
    /// Value is sent to the account, which costs more if it is empty.
    Fund(AccountRef),
    /// `EXP` with this exponent.
    Power(Operand),
    /// The gas that is left.
    GasLeft,
    /// A call begins, with the gas that it asks for or what there is.
    Enter {
        asked: Operand,
        has_value: bool,
        touched: Option<AccountRef>,
    },
    /// A call ends.
    Leave(Ending),
    Log(#[serde(with = "shared")] Arc<Logged<AccountRef>>),
}

/// What a guard looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Test {
    /// Whether the value is zero: 0, or 1.
    Truth(Operand),
    /// Whether what the instruction computes is zero: 0, or 1.
    Computed(u8, [Operand; 2]),
    /// The value.
    Value(Operand),
    /// The hash of the account's code.
    Code(AccountRef),
}

/// Code that a creation leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Bytes", into = "Bytes")]
pub(crate) struct Deployment {
    pub(crate) code: Bytecode,
    pub(crate) hash: B256,
}

impl From<Bytes> for Deployment {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self { code: Bytecode::default(), hash: KECCAK_EMPTY };
        }
        let code = Bytecode::new_legacy(bytes);
        Self { hash: code.hash_slow(), code }
    }
}

impl From<Deployment> for Bytes {
    fn from(deployment: Deployment) -> Self {
        deployment.code.original_bytes()
    }
}

impl Test {
    /// Whether it is about zero or not, and nothing else.
    pub(crate) const fn is_truth(self) -> bool {
        matches!(self, Self::Truth(_) | Self::Computed(..))
    }
}

/// How the transaction's own call ends on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) ending: Ending,
    /// Gas that the recorded run took, before refunds; all there is if it halts.
    pub(crate) gas: u64,
    pub(crate) refund: i64,
}

/// Operations up to a guard, and how the recorded run answered it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) operations: Vec<Operation>,
    pub(crate) test: Test,
    pub(crate) answer: U256,
}

/// A path: its segments, and the operations after the last guard.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) segments: Vec<Segment>,
    pub(crate) rest: Vec<Operation>,
    pub(crate) outcome: Outcome,
    /// What tries it: where a frame ran out of gas, the first guard is on the gas.
    pub(crate) attempt: Attempt,
}

/// The constants of a tree's paths, each once.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    pub(crate) words: Vec<U256>,
    positions: HashMap<U256, usize, DefaultHashBuilder>,
}

impl Constants {
    /// The constant, as operations name it.
    pub(crate) fn intern(&mut self, word: U256) -> Operand {
        let words = &mut self.words;
        Operand::constant(*self.positions.entry(word).or_insert_with(|| {
            words.push(word);
            words.len() - 1
        }))
    }
}

/// How to compute a stored value from what was at hand when it was stored.
///
/// Its operands are the captured values, then the values of its operations.
/// It holds its constants itself, so that it can outlive its tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Program {
    /// Where on the path the captured values are.
    pub(crate) captures: Box<[Operand]>,
    pub(crate) operations: Box<[Value]>,
    pub(crate) constants: Box<[U256]>,
}

impl Program {
    /// How long it takes to compute, in simple instructions, about.
    pub(crate) fn cost(&self) -> u32 {
        self.operations.iter().map(Value::cost).fold(0, u32::saturating_add)
    }

    /// Bytes that the program holds, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.captures)
            + size_of_val(&*self.operations)
            + size_of_val(&*self.constants)
            + self.operations.iter().map(Value::bytes).sum::<usize>()
    }
}

impl Operation {
    /// Bytes that the operation holds, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Value(value) => value.bytes(),
                Self::Defer(_, program) => program.bytes(),
                Self::Log(log) => {
                    size_of::<Logged<AccountRef>>()
                        + size_of_val(&*log.topics)
                        + size_of_val(&*log.data)
                }
                Self::Deploy(_, deployment) => size_of::<Deployment>() + 2 * deployment.code.len(),
                _ => 0,
            }
    }
}

/// What is shared, saved as what it is.
mod shared {
    use serde::{Deserializer, Serializer};

    use super::{Arc, Deserialize, Serialize};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        shared: &Arc<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        T::serialize(shared, to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}
