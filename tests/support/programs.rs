//! From bytes to a block of hostile programs: what a property test and a fuzzer share.
//!
//! [`Case::from_bytes`] maps every sequence of bytes to a block that the
//! protocol accepts, on a small state. Each byte decides the next choice, so
//! that a fuzzer that changes one byte changes one choice, and where the bytes
//! end the choices are the first ones. The programs call, create, delegate to
//! and destroy each other; whether the analysis of them is right is for
//! [`Case::check`].

mod choices;
mod program;

use core::ops::AddAssign;

use forewave::{
    AccessKind, AccessSet, Block, Confidence, InterpretingPredictor, Limits, Location, MemoryState,
    PredictedAccess, Predictor, StateExtent, observe, sequential,
};
use revm::{
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

use choices::{Choices, anybody, beneficiary, sender};
use program::{Program, insert_contracts};

/// Transactions of a case, at most.
const TRANSACTIONS_MAX: u8 = 4;
/// The block's number; the hashes of all blocks before it are known.
const NUMBER: u64 = 100;

/// Rounds until every path has been recorded: noted, recorded, replayed.
const ROUNDS: usize = 3;

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
        let predictions = self.predict(&InterpretingPredictor::new(limits));
        assert_eq!(predictions, self.predict(&InterpretingPredictor::new(limits)));
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

    /// Checks templates against the interpreter: whether they are made, found
    /// made by the transaction before or by the round before, every prediction
    /// is the interpreter's, up to the first transaction that fails. A template
    /// assumes that what can only revert is not done, and estimates the gas: so
    /// nothing is paid for it here. Gives how many predictions were compared.
    ///
    /// # Panics
    ///
    /// If a prediction differs.
    pub(crate) fn check_templates(mut self) -> usize {
        self.block.env.basefee = 0;
        for tx in &mut self.block.transactions {
            tx.gas_price = 0;
        }
        let Ok(outcome) = sequential(&self.block, &self.state) else { return 0 };
        let comparable = outcome.receipts.iter().take_while(|receipt| receipt.status).count();
        let expected = self.predict(&InterpretingPredictor::default());
        let learning = InterpretingPredictor::learning();
        for round in 0..ROUNDS {
            let found = self.predict(&learning);
            for at in 0..comparable {
                let (one, other) = (&found[at], &expected[at]);
                let alike = one.set() == other.set() && one.widened() == other.widened();
                assert!(alike, "round {round}, transaction {at}: {one:?} but {other:?}");
            }
        }
        comparable
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
    insert_contracts(choices, spec, &mut state, |choices| match choices.below(4) {
        0 => U256::ZERO,
        1 => U256::from(choices.byte()),
        _ => anybody(choices).into_word().into(),
    });
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
        deposit_contract: None,
        state_extent: StateExtent::Touched,
        transactions: Vec::new(),
        withdrawals: Vec::new(),
        ommers: Vec::new(),
        reward: forewave::BlockReward::OfFork,
        is_dao_fork: false,
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
