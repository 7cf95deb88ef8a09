//! From bytes to a block of hostile programs: what a property test and a fuzzer share.
//!
//! [`Case::from_bytes`] maps every sequence of bytes to a block that the
//! protocol accepts, on a small state. Each byte decides the next choice, so
//! that a fuzzer that changes one byte changes one choice, and where the bytes
//! end the choices are the first ones. The programs call, create, delegate to
//! and destroy each other; whether the analysis of them is right is for
//! [`Case::check`].

use core::ops::AddAssign;

use forewave::{
    AccessKind, AccessSet, Block, Confidence, Limits, Location, MemoryState, PredictedAccess,
    Predictor, StaticPredictor, observe,
};
use revm::{
    bytecode::{Bytecode, opcode as op},
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{
        either::Either,
        transaction::{
            AccessList, AccessListItem, Authorization, RecoveredAuthority, RecoveredAuthorization,
        },
    },
    primitives::{Address, B256, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

/// Contracts of a case.
const CONTRACTS: u8 = 4;
/// Transactions of a case, at most.
const TRANSACTIONS_MAX: u8 = 4;
/// Pieces of a program, at most.
const PIECES_MAX: u8 = 48;
/// The block's number; the hashes of all blocks before it are known.
const NUMBER: u64 = 100;

const SPECS: [SpecId; 15] = [
    SpecId::FRONTIER,
    SpecId::HOMESTEAD,
    SpecId::TANGERINE,
    SpecId::SPURIOUS_DRAGON,
    SpecId::BYZANTIUM,
    SpecId::PETERSBURG,
    SpecId::ISTANBUL,
    SpecId::BERLIN,
    SpecId::LONDON,
    SpecId::MERGE,
    SpecId::SHANGHAI,
    SpecId::CANCUN,
    SpecId::PRAGUE,
    SpecId::PRAGUE,
    SpecId::OSAKA,
];

/// Choices drawn from bytes, one byte each.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    /// The next byte; 0 beyond the last.
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    fn one_in(&mut self, n: u8) -> bool {
        self.below(n) == n - 1
    }

    fn of<T: Copy>(&mut self, options: &[T]) -> T {
        options[usize::from(self.byte()) % options.len()]
    }

    fn bytes(&mut self, len_max: u8) -> Vec<u8> {
        (0..self.below(len_max)).map(|_| self.byte()).collect()
    }
}

/// The contract numbered `n`.
fn contract(n: u8) -> Address {
    Address::repeat_byte(0xa0 + n % CONTRACTS)
}

/// The account numbered `n` that sends transactions.
fn sender(n: u8) -> Address {
    Address::repeat_byte(0x50 + n % 3)
}

/// Anybody: contracts, senders, precompiles, the beneficiary, nobody yet.
fn anybody(choices: &mut Choices<'_>) -> Address {
    match choices.below(12) {
        n @ 0..=5 => contract(n),
        n @ 6..=7 => sender(n),
        8 | 9 => Address::with_last_byte(choices.below(20)),
        10 => beneficiary(),
        _ => Address::repeat_byte(0xee),
    }
}

fn beneficiary() -> Address {
    Address::repeat_byte(0xbe)
}

/// A program under construction.
#[derive(Default)]
struct Program {
    code: Vec<u8>,
    /// Where control can jump back to.
    labels: Vec<usize>,
    /// Pushes of two bytes that wait for the next label.
    forward: Vec<usize>,
}

impl Program {
    fn op(&mut self, code: u8) -> &mut Self {
        self.code.push(code);
        self
    }

    fn push(&mut self, bytes: &[u8]) -> &mut Self {
        let len = u8::try_from(bytes.len()).expect("at most 32 bytes");
        self.op(op::PUSH1 - 1 + len);
        self.code.extend(bytes);
        self
    }

    fn small(&mut self, n: u8) -> &mut Self {
        self.push(&[n])
    }

    fn address(&mut self, address: Address) -> &mut Self {
        self.push(address.as_slice())
    }

    fn label(&mut self) {
        let here = self.code.len();
        let target = u16::try_from(here).unwrap_or(u16::MAX).to_be_bytes();
        for at in self.forward.drain(..) {
            self.code[at..at + 2].copy_from_slice(&target);
        }
        self.labels.push(here);
        self.op(op::JUMPDEST);
    }

    /// Jumps back, or forward to the next label, on the condition on the stack if there is one.
    fn jump(&mut self, choices: &mut Choices<'_>, jump: u8) {
        if self.labels.is_empty() || choices.below(4) > 0 {
            self.push(&[0, 0]);
            self.forward.push(self.code.len() - 2);
        } else {
            let label = self.labels[usize::from(choices.byte()) % self.labels.len()];
            self.push(&u16::try_from(label).unwrap_or(u16::MAX).to_be_bytes());
        }
        self.op(jump);
    }

    /// Pushes a word from anywhere.
    fn word(&mut self, choices: &mut Choices<'_>) -> &mut Self {
        const PUSHED: [u8; 17] = [
            op::CALLER,
            op::ADDRESS,
            op::ORIGIN,
            op::CALLVALUE,
            op::CALLDATASIZE,
            op::GAS,
            op::SELFBALANCE,
            op::RETURNDATASIZE,
            op::TIMESTAMP,
            op::NUMBER,
            op::BASEFEE,
            op::CHAINID,
            op::COINBASE,
            op::MSIZE,
            op::PC,
            op::CODESIZE,
            op::GASPRICE,
        ];
        const LOADED: [u8; 4] = [op::CALLDATALOAD, op::SLOAD, op::MLOAD, op::TLOAD];
        const LOOKED: [u8; 3] = [op::BALANCE, op::EXTCODESIZE, op::EXTCODEHASH];
        match choices.below(8) {
            0 => self.small(choices.byte()),
            1 => {
                let word = core::array::from_fn::<u8, 32, _>(|_| choices.byte());
                self.push(&word)
            }
            2 => self.op(choices.of(&PUSHED)),
            3 => self.small(choices.below(8)).op(choices.of(&LOADED)),
            4 => self.address(anybody(choices)),
            5 => self.address(anybody(choices)).op(choices.of(&LOOKED)),
            6 => self.entry(choices),
            _ => self.small(choices.byte()).op(op::NUMBER).op(op::SUB).op(op::BLOCKHASH),
        }
    }

    /// Pushes where a mapping's entry lies.
    fn entry(&mut self, choices: &mut Choices<'_>) -> &mut Self {
        match choices.below(3) {
            0 => self.op(op::CALLER),
            1 => self.small(choices.below(3)).op(op::SLOAD),
            _ => self.small(4).op(op::CALLDATALOAD),
        };
        self.small(0).op(op::MSTORE).small(choices.below(3)).small(32).op(op::MSTORE);
        self.small(64).small(0).op(op::KECCAK256)
    }

    /// Calls anybody, with operands that mostly make sense.
    fn call(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.of(&[op::CALL, op::STATICCALL, op::DELEGATECALL, op::CALLCODE]);
        for _ in 0..4 {
            self.small(choices.of(&[0, 0, 4, 32, 64, 200]));
        }
        if matches!(kind, op::CALL | op::CALLCODE) {
            self.small(choices.of(&[0, 0, 0, 1, 255]));
        }
        match choices.below(5) {
            0 => self.word(choices),
            1 => self.small(choices.below(4)).op(op::SLOAD),
            _ => self.address(anybody(choices)),
        };
        match choices.below(4) {
            0 => self.push(&[choices.byte(), choices.byte()]),
            _ => self.op(op::GAS),
        };
        self.op(kind);
    }

    /// Creates from memory, from its own code, or from call data.
    fn create(&mut self, choices: &mut Choices<'_>) {
        let len = choices.of(&[0, 1, 32, 96, 255]);
        match choices.below(3) {
            0 => self.word(choices).small(0).op(op::MSTORE),
            1 => self.small(len).small(choices.byte()).small(0).op(op::CODECOPY),
            _ => self.small(len).small(0).small(0).op(op::CALLDATACOPY),
        };
        let is_create2 = choices.one_in(2);
        if is_create2 {
            self.small(choices.below(2));
        }
        self.small(len).small(0).small(choices.of(&[0, 0, 1]));
        self.op(if is_create2 { op::CREATE2 } else { op::CREATE });
    }

    fn piece(&mut self, choices: &mut Choices<'_>) {
        const COPIES: [u8; 4] = [op::CALLDATACOPY, op::CODECOPY, op::RETURNDATACOPY, op::MCOPY];
        const BINARY: [u8; 12] = [
            op::ADD,
            op::SUB,
            op::MUL,
            op::DIV,
            op::AND,
            op::OR,
            op::EQ,
            op::LT,
            op::SHR,
            op::SHL,
            op::EXP,
            op::SIGNEXTEND,
        ];
        match choices.below(20) {
            0 => self.label(),
            1 => self.jump(choices, op::JUMP),
            2 => {
                self.word(choices);
                self.jump(choices, op::JUMPI);
            }
            3..=5 => self.call(choices),
            6 => self.create(choices),
            7 | 8 => {
                self.word(choices);
            }
            9 => {
                self.word(choices).word(choices).op(choices.of(&BINARY));
            }
            10 | 11 => {
                self.word(choices).small(choices.below(4)).op(op::SSTORE);
            }
            12 => {
                self.word(choices).entry(choices).op(op::SSTORE);
            }
            13 => {
                self.word(choices).small(choices.below(3)).op(op::TSTORE);
            }
            14 => {
                self.word(choices).small(choices.byte()).op(choices.of(&[op::MSTORE, op::MSTORE8]));
            }
            15 => {
                for _ in 0..3 {
                    self.small(choices.byte());
                }
                self.op(choices.of(&COPIES));
            }
            16 => {
                self.op(op::POP);
            }
            17 => {
                let end = choices.of(&[op::RETURN, op::REVERT, op::STOP, op::INVALID, op::LOG0]);
                self.small(choices.byte()).small(0).op(end);
            }
            18 if choices.one_in(3) => {
                self.address(anybody(choices)).op(op::SELFDESTRUCT);
            }
            _ => {
                self.op(choices.byte());
            }
        }
    }

    fn drawn(choices: &mut Choices<'_>) -> Vec<u8> {
        let mut program = Self::default();
        for _ in 0..choices.below(PIECES_MAX) {
            program.piece(choices);
        }
        program.label();
        // Reserved for delegations (EIP-3541, EIP-7702).
        if program.code.first() == Some(&0xef) {
            program.code[0] = op::JUMPDEST;
        }
        program.code
    }
}

/// What checked cases amount to. Adds up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    /// Transactions.
    pub txs: usize,
    /// Those that were predicted exactly, and compared with their execution.
    pub exact_txs: usize,
    /// Locations that those touched.
    pub locations: usize,
    /// Accesses that the executor notes for a call that ran out of gas first.
    pub looks_too_many: usize,
    /// Blocks that execution refused, so that nothing was compared.
    pub refused_blocks: usize,
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.txs += other.txs;
        self.exact_txs += other.exact_txs;
        self.locations += other.locations;
        self.looks_too_many += other.looks_too_many;
        self.refused_blocks += other.refused_blocks;
    }
}

/// A block and the state before it.
#[derive(Debug)]
pub(crate) struct Case {
    /// The block.
    pub block: Block,
    /// The state before it.
    pub state: MemoryState,
}

impl Case {
    /// The case that `bytes` decide.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let choices = &mut Choices(bytes);
        let spec = choices.of(&SPECS);
        let state = drawn_state(choices, spec);
        let mut block = empty_block(spec);
        for _ in 0..=choices.below(TRANSACTIONS_MAX) {
            let tx = drawn_transaction(choices, &block);
            block.transactions.push(tx);
        }
        Self { block, state }
    }

    /// Checks what must hold of the analysis of any block: it ends, within its
    /// limits; it always gives the same; and a prediction that claims to be
    /// exact is what the transaction touches.
    ///
    /// # Panics
    ///
    /// If any of that does not hold.
    pub(crate) fn check(&self, limits: Limits) -> Verdict {
        let predictions = self.predict(&StaticPredictor::new(limits));
        assert_eq!(predictions, self.predict(&StaticPredictor::new(limits)));
        let mut verdict = Verdict { txs: predictions.len(), ..Verdict::default() };
        let Ok(observation) = observe(&self.block, &self.state) else {
            return Verdict { refused_blocks: 1, ..verdict };
        };
        for (at, (prediction, observed)) in
            predictions.iter().zip(&observation.accesses).enumerate()
        {
            if prediction.confidence() != Confidence::Exact {
                // What the block does after it may start from another state.
                break;
            }
            let differing = differences(prediction.set(), &observed.0);
            let context = (self.block.spec(), at);
            assert!(differing.iter().all(is_look_too_many), "{context:?}: {differing:?}");
            verdict.looks_too_many += differing.len();
            verdict.exact_txs += 1;
            verdict.locations += observed.0.locations().len();
        }
        verdict
    }

    fn predict(&self, predictor: &impl Predictor<MemoryState>) -> Vec<PredictedAccess> {
        predictor.predict(&self.block, &self.state).expect("the state is in memory")
    }
}

/// An access that only one of two sets has.
#[derive(Debug)]
struct Difference {
    is_observed: bool,
    kind: AccessKind,
    location: Location,
}

fn differences(predicted: &AccessSet, observed: &AccessSet) -> Vec<Difference> {
    let without = |one: &AccessSet, other: &AccessSet, is_observed| -> Vec<Difference> {
        let only = one.iter().filter(|(kind, location)| !other.contains(location, *kind));
        only.map(|(kind, location)| Difference { is_observed, kind, location: *location }).collect()
    };
    let mut differing = without(predicted, observed, false);
    differing.extend(without(observed, predicted, true));
    differing
}

/// A call that runs out of gas may or may not have looked at its target; where
/// the executor cannot tell, it notes the look.
fn is_look_too_many(difference: &Difference) -> bool {
    let is_callee = matches!(difference.location, Location::Code(_) | Location::Balance(_));
    difference.is_observed && difference.kind == AccessKind::Read && is_callee
}

fn drawn_state(choices: &mut Choices<'_>, spec: SpecId) -> MemoryState {
    let mut state = MemoryState::default();
    for n in 0..3 {
        let funds = AccountInfo::from_balance(U256::from(10).pow(U256::from(20)));
        state.insert_account(sender(n), funds);
    }
    for n in 0..CONTRACTS {
        let is_delegated = spec.is_enabled_in(SpecId::PRAGUE) && choices.one_in(8);
        let code = if is_delegated {
            Bytecode::new_eip7702(anybody(choices))
        } else {
            Bytecode::new_legacy(Program::drawn(choices).into())
        };
        let info = AccountInfo::from_bytecode(code)
            .with_nonce(1)
            .with_balance(U256::from(choices.of(&[0_u16, 1000])));
        state.insert_account(contract(n), info);
        for key in 0..4_u8 {
            let value = match choices.below(4) {
                0 => U256::ZERO,
                1 => U256::from(choices.byte()),
                _ => anybody(choices).into_word().into(),
            };
            state.insert_storage(contract(n), U256::from(key), value);
        }
    }
    for number in 0..NUMBER {
        state.insert_block_hash(number, B256::with_last_byte(u8::try_from(number).unwrap_or(0)));
    }
    state
}

fn empty_block(spec: SpecId) -> Block {
    let env = BlockEnv {
        number: U256::from(NUMBER),
        beneficiary: beneficiary(),
        timestamp: U256::from(1000),
        gas_limit: 30_000_000,
        basefee: if spec.is_enabled_in(SpecId::LONDON) { 7 } else { 0 },
        prevrandao: Some(B256::repeat_byte(3)),
        ..BlockEnv::default()
    };
    Block {
        cfg: CfgEnv::new_with_spec(spec),
        env,
        parent_hash: B256::repeat_byte(1),
        parent_beacon_block_root: Some(B256::repeat_byte(2)),
        transactions: Vec::new(),
        withdrawals: Vec::new(),
        ommers: Vec::new(),
    }
}

fn drawn_transaction(choices: &mut Choices<'_>, block: &Block) -> TxEnv {
    let caller = sender(choices.byte());
    let earlier = block.transactions.iter().filter(|tx| tx.caller == caller);
    let mut tx = TxEnv {
        caller,
        nonce: earlier.count() as u64,
        value: U256::from(choices.of(&[0_u8, 0, 1, 200])),
        gas_limit: choices.of(&[1_000_000_u64, 300_000, 120_000]),
        gas_price: 10,
        chain_id: Some(1),
        ..TxEnv::default()
    };
    if choices.one_in(5) {
        tx.kind = TxKind::Create;
        tx.data = Program::drawn(choices).into();
        return tx;
    }
    tx.kind = TxKind::Call(anybody(choices));
    tx.data = choices.bytes(80).into();
    if block.spec().is_enabled_in(SpecId::BERLIN) && choices.one_in(4) {
        let storage_keys = vec![B256::with_last_byte(choices.below(4))];
        tx.access_list =
            AccessList(vec![AccessListItem { address: anybody(choices), storage_keys }]);
        tx.tx_type = 1;
    }
    if block.spec().is_enabled_in(SpecId::PRAGUE) && choices.one_in(4) {
        let inner = Authorization {
            chain_id: U256::ZERO,
            address: anybody(choices),
            nonce: choices.below(3).into(),
        };
        // A sender that never sends: its nonce decides nothing else here.
        let authority = RecoveredAuthority::Valid(Address::repeat_byte(0xdd));
        let recovered = RecoveredAuthorization::new_unchecked(inner, authority);
        tx.authorization_list = vec![Either::Right(recovered)];
        tx.tx_type = 4;
        tx.gas_priority_fee = Some(0);
    }
    tx
}
