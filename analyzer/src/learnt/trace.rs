//! What one run of a frame computed, as a list of operations on its own inputs.
//!
//! A recorder appends an operation for each instruction whose result depends on an
//! input, and an event for each access. Nothing is compared or simplified here: that is
//! done once, for the few words that an access was made with
//! ([`Function`](super::function)). A word that depends on nothing is
//! [`Word::CONSTANT`]: its value is what the run shows.

use revm::primitives::U256;

/// Operations of one frame.
const NODES_MAX: usize = 1 << 15;

/// Accesses and calls of one frame.
const EVENTS_MAX: usize = 1 << 11;

/// Words of the data of one call, and of an answer.
pub const INPUT_WORDS_MAX: usize = 64;

/// The name of a word in its [`Trace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word(u32);

impl Word {
    /// It is the same in every run.
    pub const CONSTANT: Self = Self(0);
    /// It is not known how it was computed.
    pub const UNKNOWN: Self = Self(1);

    pub(super) const fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(2)
    }
}

/// Which word of an answer is its length.
pub const ANSWER_LEN: u32 = crate::symbolic::RETURNED_LEN;

/// How a word was computed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    Constant(u32),
    Environment(u8),
    CallData(Word),
    Operation(u8, [Word; 3]),
    Keccak { start: u32, len: u32 },
    Load(Word),
    Immutable(u32),
    Returned { event: u32, word: u32 },
}

/// The data of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceInput {
    /// All the call data that the frame was given.
    CallData,
    /// Words in order, each with how many of its low bytes count, and its value in this run.
    Words(Vec<(u8, Word, U256)>),
}

/// One thing that a frame did.
#[derive(Clone, Debug)]
pub enum TraceEvent {
    /// It read a slot.
    Load {
        /// Which.
        key: Word,
        /// Its value in this run.
        slot: U256,
    },
    /// It wrote a slot.
    Store {
        /// Which.
        key: Word,
        /// Its value in this run.
        slot: U256,
    },
    /// It asked for an account, by the instruction.
    Account {
        /// `BALANCE`, `EXTCODESIZE`, `EXTCODEHASH` or `EXTCODECOPY`.
        code: u8,
        /// The address.
        of: Word,
    },
    /// It called.
    Call {
        /// Where in the code.
        pc: u32,
        /// The instruction.
        code: u8,
        /// The address.
        target: Word,
        /// The ether sent along, unless it was none.
        value: Option<Word>,
        /// The data.
        input: TraceInput,
    },
    /// It created a contract.
    Create {
        /// Where in the code.
        pc: u32,
        /// The ether sent along.
        value: Word,
        /// The init code, unless it is too long.
        init: Option<TraceInput>,
        /// The salt of `CREATE2`.
        salt: Option<Word>,
        /// The Keccak-256 of the init code if that is a constant.
        init_hash: Option<Word>,
    },
    /// It destroyed its account; the balance goes to this address.
    Destroy(Word),
    /// Something happened that cannot be told here, such as a call to a precompile.
    Other,
}

/// One run of a frame.
#[derive(Debug, Default)]
pub struct Trace {
    pub(super) nodes: Vec<Node>,
    pub(super) constants: Vec<U256>,
    pub(super) parts: Vec<(u8, Word)>,
    pub(super) events: Vec<TraceEvent>,
    pub(super) answer: Option<Vec<(u8, Word, U256)>>,
    pub(super) is_cut: bool,
}

impl Trace {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.constants.clear();
        self.parts.clear();
        self.events.clear();
        self.answer = None;
        self.is_cut = false;
    }

    fn push(&mut self, node: Node) -> Word {
        if self.nodes.len() >= NODES_MAX {
            return Word::UNKNOWN;
        }
        self.nodes.push(node);
        Word(u32::try_from(self.nodes.len() + 1).expect("bounded by NODES_MAX"))
    }

    /// A constant of that value, by a name of its own.
    pub fn constant(&mut self, value: U256) -> Word {
        let at = u32::try_from(self.constants.len()).unwrap_or(u32::MAX);
        let word = self.push(Node::Constant(at));
        if word != Word::UNKNOWN {
            self.constants.push(value);
        }
        word
    }

    /// The word with a name of its own: a constant takes the value that the run shows.
    pub fn named(&mut self, word: Word, value: U256) -> Word {
        if word == Word::CONSTANT { self.constant(value) } else { word }
    }

    /// What an instruction without operands gives.
    pub fn environment(&mut self, code: u8) -> Word {
        self.push(Node::Environment(code))
    }

    /// The word of call data from an offset in bytes.
    pub fn calldata(&mut self, at: Word) -> Word {
        if at == Word::UNKNOWN { at } else { self.push(Node::CallData(at)) }
    }

    /// What an instruction gives; operands that it does not have are constants.
    pub fn operation(&mut self, code: u8, operands: [Word; 3]) -> Word {
        if operands.contains(&Word::UNKNOWN) {
            return Word::UNKNOWN;
        }
        self.push(Node::Operation(code, operands))
    }

    /// The Keccak-256 of the low bytes of words.
    pub fn keccak(&mut self, parts: &[(u8, Word)]) -> Word {
        if parts.iter().any(|(_, word)| *word == Word::UNKNOWN)
            || parts.len() > crate::expr::HASHED_PARTS_MAX
        {
            return Word::UNKNOWN;
        }
        let start = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let len = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let word = self.push(Node::Keccak { start, len });
        if word != Word::UNKNOWN {
            self.parts.extend(parts);
        }
        word
    }

    /// What a slot of the account holds.
    pub fn load(&mut self, key: Word) -> Word {
        if key == Word::UNKNOWN { key } else { self.push(Node::Load(key)) }
    }

    /// A constant of the code that was taken out of it, by its position.
    pub fn immutable(&mut self, index: u32) -> Word {
        self.push(Node::Immutable(index))
    }

    /// A word of what the call or creation answered that was this event;
    /// [`ANSWER_LEN`] is its length.
    pub fn returned(&mut self, event: u32, word: u32) -> Word {
        self.push(Node::Returned { event, word })
    }

    /// Appends an event; its number.
    pub fn event(&mut self, event: TraceEvent) -> Option<u32> {
        if self.events.len() >= EVENTS_MAX {
            self.is_cut = true;
            return None;
        }
        self.events.push(event);
        u32::try_from(self.events.len() - 1).ok()
    }

    /// The frame answers with these words.
    pub fn answer(&mut self, words: Vec<(u8, Word, U256)>) {
        self.answer = Some(words);
    }
}
