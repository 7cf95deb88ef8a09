//! Bytecode at random: pieces of code that do something, one after another.

use forewave::MemoryState;
use revm::{
    bytecode::{Bytecode, opcode as op},
    primitives::{Address, U256, hardfork::SpecId},
    state::AccountInfo,
};

use super::choices::{CONTRACTS, Choices, anybody, contract};

/// Pieces of a program, at most.
const PIECES_MAX: u8 = 48;

/// A program under construction.
#[derive(Default)]
pub(crate) struct Program {
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

    pub(crate) fn drawn(choices: &mut Choices<'_>) -> Vec<u8> {
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

/// Puts the contracts into a state: programs or delegations, and in the low
/// slots of each what `stored` draws.
pub(crate) fn insert_contracts(
    choices: &mut Choices<'_>,
    spec: SpecId,
    state: &mut MemoryState,
    stored: impl Fn(&mut Choices<'_>) -> U256,
) {
    for n in 0..CONTRACTS {
        let code = if spec.is_enabled_in(SpecId::PRAGUE) && choices.one_in(8) {
            Bytecode::new_eip7702(anybody(choices))
        } else {
            Bytecode::new_legacy(Program::drawn(choices).into())
        };
        let info = AccountInfo::from_bytecode(code)
            .with_nonce(1)
            .with_balance(U256::from(choices.of(&[0_u16, 1000])));
        state.insert_account(contract(n), info);
        for key in 0..4_u8 {
            state.insert_storage(contract(n), U256::from(key), stored(choices));
        }
    }
}
