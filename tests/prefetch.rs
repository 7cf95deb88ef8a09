//! Reading ahead changes nothing but the time: on every sample block, with
//! predictions and without, on states that fail, and under work that panics.

use std::{
    collections::HashMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Mutex,
    thread,
};

use forewave::{
    ExecutionError, MemoryState, PredictedAccess, PredictorKind, Prefetched, StateError, StateView,
    TxIndex, execute_block,
    input::{BlockInput, LoadOptions},
    predict, sequential, with_prefetch,
};
use forewave_fixtures::{Scenario, Workload};
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue, U256},
    state::AccountInfo,
};

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn samples() -> Vec<BlockInput> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let paths = fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| BlockInput::load(&path, &LoadOptions::default()).unwrap()).collect()
}

/// What a state can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Question {
    Account(Address),
    Code(B256),
    Slot(Address, StorageKey),
    BlockHash(u64),
}

/// A state that counts what it is asked for, takes batches, keeps code apart,
/// and fails at one account if told to.
#[derive(Debug)]
struct Watched<'a> {
    state: &'a MemoryState,
    asked: Mutex<HashMap<Question, usize>>,
    batch: usize,
    broken: Option<Address>,
}

impl<'a> Watched<'a> {
    fn new(state: &'a MemoryState, batch: usize) -> Self {
        Self { state, asked: Mutex::default(), batch, broken: None }
    }

    fn ask(&self, question: Question) {
        *self.asked.lock().unwrap().entry(question).or_default() += 1;
    }

    /// The slots that were asked for.
    fn slots(&self) -> Vec<(Address, StorageKey)> {
        let asked = self.asked.lock().unwrap();
        let slots = asked.keys().filter_map(|question| match *question {
            Question::Slot(address, key) => Some((address, key)),
            _ => None,
        });
        slots.collect()
    }

    fn account(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        self.ask(Question::Account(address));
        if self.broken == Some(address) {
            return Err(StateError::MissingBlockHash(0));
        }
        let info = self.state.basic_ref(address)?;
        Ok(info.map(|info| AccountInfo { code: None, ..info }))
    }
}

impl DatabaseRef for Watched<'_> {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        self.account(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StateError> {
        self.ask(Question::Code(code_hash));
        self.state.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, StateError> {
        self.ask(Question::Slot(address, key));
        self.state.storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        self.ask(Question::BlockHash(number));
        self.state.block_hash_ref(number)
    }
}

impl StateView for Watched<'_> {
    fn batch_reads_max(&self) -> usize {
        self.batch
    }

    fn accounts(&self, addresses: &[Address]) -> Result<Vec<Option<AccountInfo>>, StateError> {
        assert!((1..=self.batch).contains(&addresses.len()), "{addresses:?}");
        addresses.iter().map(|&address| self.account(address)).collect()
    }

    fn slots(&self, slots: &[(Address, StorageKey)]) -> Result<Vec<StorageValue>, StateError> {
        assert!((1..=self.batch).contains(&slots.len()), "{slots:?}");
        slots.iter().map(|&(address, key)| self.storage_ref(address, key)).collect()
    }
}

#[test]
fn every_sample_block_ends_as_in_sequential_execution_and_nothing_is_read_twice() {
    let workers = pool(2);
    for (threads, batch) in [(1, 1), (3, 5), (16, 1)] {
        let fetchers = pool(threads);
        for BlockInput { block, state, header, .. } in samples() {
            let truth = sequential(&block, &state).unwrap();
            let oracle = predict(&block, &state, &PredictorKind::Oracle).unwrap();
            let half: Vec<_> = oracle.iter().take(oracle.len() / 2).cloned().collect();
            let wide: Vec<_> =
                oracle.iter().map(|it| PredictedAccess::everything(it.gas())).collect();
            for predictions in [vec![], half, wide, oracle] {
                let watched = Watched::new(&state, batch);
                let ((one, other), stats) =
                    with_prefetch(&block, &watched, &predictions, &fetchers, |state| {
                        let predictor = PredictorKind::Static;
                        let parallel = execute_block(&block, state, &predictor, &workers).unwrap();
                        (parallel, sequential(&block, state).unwrap())
                    });
                let what = format!("block {} with {threads} fetchers", header.number);
                assert_eq!(one.first_difference(&truth), None, "{what}");
                assert_eq!(other.first_difference(&truth), None, "{what}");
                let asked = watched.asked.into_inner().unwrap();
                let twice = asked.iter().find(|(_, times)| **times > 1);
                assert_eq!(twice, None, "{what}");
                assert_eq!(stats.ahead + stats.on_demand, asked.len() as u64, "{what}");
            }
        }
    }
}

#[test]
fn a_state_that_fails_fails_the_work_as_it_would_without_reading_ahead() {
    let workload = Scenario::TokenTransfers.generate(40, 3);
    let (block, fetchers) = (&workload.block, pool(4));
    for tx in [0, 7, 39] {
        let broken = Some(block.transactions[tx].caller);
        let watched = Watched { broken, ..Watched::new(&workload.state, 4) };
        let (outcome, _) =
            with_prefetch(block, &watched, &[], &fetchers, |state| sequential(block, state));
        let source = StateError::MissingBlockHash(0);
        let expected = ExecutionError::State { tx: TxIndex::new(tx), source };
        assert_eq!(outcome.err(), Some(expected));
    }
}

#[test]
fn what_is_read_for_a_wrong_guess_is_bounded() {
    // for (n = slot[0]; n > 0; n -= 1) slot[n]
    const COUNTS_DOWN: &[u8] = &[
        0x5f, 0x54, 0x5b, 0x80, 0x15, 0x60, 0x12, 0x57, 0x80, 0x54, 0x50, 0x60, 1, 0x90, 0x03,
        0x60, 0x02, 0x56, 0x5b, 0x00,
    ];
    const CONTRACTS: u8 = 20;
    // The slot that was guessed, and those of the eight guesses that follow it. Run to its
    // end, each call would read 470.
    const READS_EACH_MAX: usize = 9;
    let Workload { mut block, mut state } = Scenario::Transfers.generate(CONTRACTS.into(), 3);
    let code = Bytecode::new_raw(COUNTS_DOWN.into());
    for (n, tx) in (1..=CONTRACTS).zip(&mut block.transactions) {
        let contract = Address::repeat_byte(n);
        state.insert_account(contract, AccountInfo::default().with_code(code.clone()));
        (tx.kind, tx.gas_limit, tx.value) = (contract.into(), 1_000_000, U256::ZERO);
        block.env.gas_limit += tx.gas_limit;
    }
    let watched = Watched::new(&state, 4);
    let work = |state: &Prefetched<'_, _>| {
        let fetched = |slots: usize| watched.slots().len() >= slots;
        while !fetched(usize::from(CONTRACTS)) {
            thread::yield_now();
        }
        sequential(&block, state).unwrap()
    };
    let (outcome, _) = with_prefetch(&block, &watched, &[], &pool(3), work);
    assert_eq!(outcome.first_difference(&sequential(&block, &state).unwrap()), None);
    let slots = watched.slots();
    for n in 1..=CONTRACTS {
        let read = slots.iter().filter(|(address, _)| *address == Address::repeat_byte(n)).count();
        assert!((1..=READS_EACH_MAX).contains(&read), "{read} slots of contract {n}");
    }
}

#[test]
fn a_panic_of_the_work_ends_the_fetchers_and_reaches_the_caller() {
    let workload = Scenario::Transfers.generate(500, 3);
    let watched = Watched::new(&workload.state, 1);
    let fetchers = pool(2);
    let run = || with_prefetch(&workload.block, &watched, &[], &fetchers, |_| panic!("enough"));
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("the work panics");
    assert_eq!(payload.downcast_ref(), Some(&"enough"));
}
