//! A block on a small state, and its predictions as text.

use forewave_analyzer::{
    AccessKind, Block, Location, MemoryState, PredictedAccess, Predictor, StateExtent,
    StaticPredictor,
};
use revm::{
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::{Address, B256, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

use crate::assembler::assemble;

/// The sender of every transaction unless it says otherwise.
pub const SENDER: Address = Address::repeat_byte(0x55);
pub const BENEFICIARY: Address = Address::repeat_byte(0xbe);
/// Contracts and other accounts.
pub const A: Address = Address::repeat_byte(0xa1);
pub const B: Address = Address::repeat_byte(0xb2);
pub const C: Address = Address::repeat_byte(0xc3);

/// A state and the transactions of a block on it.
pub struct Scene {
    pub state: MemoryState,
    pub block: Block,
    pub names: Vec<(Address, String)>,
}

impl Scene {
    pub fn new(spec: SpecId) -> Self {
        let mut state = MemoryState::default();
        let funds = U256::from(10).pow(U256::from(20));
        state.insert_account(SENDER, AccountInfo::from_balance(funds));
        let env = BlockEnv {
            number: U256::from(1000),
            beneficiary: BENEFICIARY,
            gas_limit: 30_000_000,
            prevrandao: Some(B256::ZERO),
            ..BlockEnv::default()
        };
        let block = Block {
            cfg: CfgEnv::new_with_spec(spec),
            env,
            parent_hash: B256::repeat_byte(1),
            parent_beacon_block_root: None,
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: Vec::new(),
            withdrawals: Vec::new(),
            ommers: Vec::new(),
            reward: forewave_analyzer::BlockReward::OfFork,
            is_dao_fork: false,
            makes_access_list: false,
            access_list: None,
        };
        let names =
            [(SENDER, "sender"), (BENEFICIARY, "beneficiary"), (A, "a"), (B, "b"), (C, "c")];
        let names = names.map(|(address, name)| (address, name.to_owned())).to_vec();
        Self { state, block, names }
    }

    /// A contract with assembled code; `$a`, `$b` and `$c` stand for the addresses.
    pub fn contract(self, address: Address, text: &str) -> Self {
        let text = [("$a", A), ("$b", B), ("$c", C), ("$sender", SENDER)]
            .iter()
            .fold(text.to_owned(), |text, (name, address)| {
                text.replace(name, &address.to_string())
            });
        self.code(address, &assemble(&text))
    }

    pub fn code(mut self, address: Address, code: &[u8]) -> Self {
        let code = Bytecode::new_raw(code.to_vec().into());
        let info = AccountInfo::from_bytecode(code).with_nonce(1).with_balance(U256::from(1000));
        self.state.insert_account(address, info);
        self
    }

    pub fn slot(mut self, address: Address, key: u64, value: U256) -> Self {
        self.state.insert_storage(address, U256::from(key), value);
        self
    }

    pub fn name(mut self, address: Address, name: &str) -> Self {
        self.names.push((address, name.to_owned()));
        self
    }

    pub fn call(self, to: Address, data: &[u8]) -> Self {
        self.tx(TxEnv { kind: TxKind::Call(to), data: data.to_vec().into(), ..TxEnv::default() })
    }

    /// Adds a transaction; its nonce, and where they are missing its sender and gas, are filled in.
    pub fn tx(mut self, mut tx: TxEnv) -> Self {
        if tx.caller.is_zero() {
            tx.caller = SENDER;
        }
        let earlier = self.block.transactions.iter().filter(|other| other.caller == tx.caller);
        tx.nonce = earlier.count() as u64;
        tx.gas_price = 7;
        tx.gas_limit = tx.gas_limit.min(1_000_000);
        self.block.transactions.push(tx);
        self
    }

    /// The same block, in which gas costs nothing.
    pub fn without_fees(mut self) -> Self {
        self.block.transactions.iter_mut().for_each(|tx| tx.gas_price = 0);
        self
    }

    pub fn predict(&self) -> Vec<PredictedAccess> {
        self.predict_with(&StaticPredictor::default())
    }

    pub fn predict_with(&self, predictor: &impl Predictor<MemoryState>) -> Vec<PredictedAccess> {
        predictor.predict(&self.block, &self.state).expect("the state is whole")
    }

    /// The last transaction's prediction, one access a line, without what
    /// every transaction does: sender, recipient's code, fee.
    pub fn last(&self) -> String {
        self.text(self.predict().last().expect("a transaction"))
    }

    pub fn text(&self, prediction: &PredictedAccess) -> String {
        let named = |line: String| self.named(&line);
        let accesses = prediction.set().iter().filter(|it| !self.is_usual(it.0, it.1));
        let accesses = accesses.map(|(kind, location)| named(format!("{kind:?} {location}")));
        let widened = prediction.widened().iter();
        let widened = widened.map(|widened| named(format!("widened {}", widened.scope)));
        accesses.chain(widened).collect::<Vec<_>>().join("\n")
    }

    /// What the predictor `static` says of the last transaction: as [`text`](Self::text),
    /// with what only some runs do marked as that, then the causes of widening, then
    /// the slots that it was decided by.
    pub fn evaluated(&self) -> Vec<String> {
        let prediction = self.predict_with(&StaticPredictor::default()).pop();
        self.lines(&prediction.expect("a transaction"))
    }

    pub fn lines(&self, prediction: &PredictedAccess) -> Vec<String> {
        let accesses = prediction.accesses().filter(|it| !self.is_usual(it.0, it.1));
        let mut lines: Vec<String> = accesses
            .map(|(kind, location, is_must)| {
                format!("{}{kind:?} {location}", if is_must { "" } else { "may " })
            })
            .collect();
        lines.extend(prediction.widened().iter().map(|it| format!("widened {}", it.scope)));
        lines.extend(prediction.causes().iter().map(|cause| format!("because {cause:?}")));
        lines.extend(
            prediction.deciding_reads().into_iter().flatten().map(|it| format!("decided by {it}")),
        );
        lines.dedup();
        lines.iter().map(|line| self.named(line)).collect()
    }

    /// Whether every transaction does this: sender, recipient's code, fee.
    fn is_usual(&self, kind: AccessKind, location: &Location) -> bool {
        let to = self.block.transactions.last().and_then(|tx| tx.kind.to().copied());
        match location {
            Location::Balance(address) if *address == BENEFICIARY => kind == AccessKind::Delta,
            Location::Balance(address) | Location::Nonce(address) => *address == SENDER,
            Location::Code(address) => {
                *address == SENDER || (Some(*address) == to && kind == AccessKind::Read)
            }
            Location::Storage(..) => false,
        }
    }

    /// The line with names in place of addresses.
    fn named(&self, line: &str) -> String {
        let line = line.to_lowercase();
        self.names.iter().fold(line, |line, (address, name)| {
            line.replace(&address.to_string().to_lowercase(), name)
        })
    }

    /// Checks the last transaction's prediction, line by line.
    pub fn check(&self, expected: &[&str]) {
        assert_eq!(self.last().lines().collect::<Vec<_>>(), expected);
    }
}

/// Call data of whole words.
pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect()
}

/// A scene at the rules of Prague.
pub fn scene() -> Scene {
    Scene::new(SpecId::PRAGUE)
}
