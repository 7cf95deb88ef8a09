//! What wrong access lists must come to, checked on one block: a judgement that names the place, and a run
//! that ends as in sequential execution.

#[path = "corruptions.rs"]
mod corruptions;

use std::sync::Arc;

use alloy_eips::eip7928::{AccountChanges, constants::ITEM_COST};
use alloy_primitives::U256;
use forewave::{
    Block, BlockOutcome, ListFault, MemoryState, RunPlan, execute, judge_access_list, list_items,
    sequential,
};
use rayon::ThreadPool;

use self::corruptions::{Edit, apply, edits, names, parts};

/// A block whose list is made, and what its sequential execution gives.
pub(crate) struct Listed<'s> {
    block: Block,
    state: &'s MemoryState,
    truth: BlockOutcome,
}

impl<'s> Listed<'s> {
    pub(crate) fn new(block: Block, state: &'s MemoryState) -> Self {
        let block = Block { makes_access_list: true, ..block };
        let truth = sequential(&block, state).unwrap();
        Self { block, state, truth }
    }

    fn list(&self) -> &[AccountChanges] {
        self.truth.access_list.as_deref().unwrap()
    }

    /// The index after the last transaction.
    fn last(&self) -> u64 {
        self.block.transactions.len() as u64 + 1
    }

    /// The block with room for its list: before Amsterdam, blocks paid less for what they touch
    /// than lists allow for.
    fn roomy(&self) -> Block {
        let mut block = self.block.clone();
        let (items, _) = list_items(self.list(), 0);
        block.env.gas_limit = block.env.gas_limit.max((items + 1) * ITEM_COST as u64);
        block
    }

    /// Every wrong entry is rejected, and the fault names its place; true ones are not. Gives the number
    /// of wrong ones.
    pub(crate) fn check_judgements(&self, name: &str) -> usize {
        let block = self.roomy();
        assert_eq!(judge_access_list(&block, self.list(), self.list()), [], "{name}");
        let mut judged = 0;
        for part in self.list().iter().flat_map(parts) {
            let made = [part];
            assert_eq!(judge_access_list(&block, &made, &made), [], "{name}");
            for edit in edits(&made[0], self.last()) {
                let (given, place) = apply(&made[0], edit);
                let faults = judge_access_list(&block, &given, &made);
                let is_named = faults.iter().any(|fault| names(fault, place));
                assert!(is_named, "{name}: {edit:?} of {:?}: {faults:?}", made[0]);
                judged += 1;
            }
        }
        judged + self.check_whole_lists(name, block)
    }

    /// The same for what can be wrong with a list as a whole.
    fn check_whole_lists(&self, name: &str, mut block: Block) -> usize {
        let list = self.list();
        let rejects = |given: &[AccountChanges], what: &str| {
            let faults = judge_access_list(&block, given, list);
            assert!(!faults.is_empty(), "{name}: {what}");
            faults
        };
        let mut judged = 0;
        for made in list.windows(2) {
            let given = [made[1].clone(), made[0].clone()];
            let faults = judge_access_list(&block, &given, made);
            assert!(names(&faults[0], place_of(&made[0])), "{name}: {faults:?}");
            judged += 1;
        }
        for account in list.iter().filter(|account| is_of_protocol(account)) {
            let without_reads = |one: &AccountChanges| {
                let storage_reads = Vec::new();
                if one.address == account.address {
                    AccountChanges { storage_reads, ..one.clone() }
                } else {
                    one.clone()
                }
            };
            let given: Vec<AccountChanges> = list.iter().map(without_reads).collect();
            let faults = rejects(&given, "without the reads of a system call");
            assert_eq!(faults.len(), account.storage_reads.len(), "{name}: {faults:?}");
            judged += 1;
        }
        let (items, _) = list_items(list, 0);
        block.env.gas_limit = items * ITEM_COST as u64;
        assert_eq!(judge_access_list(&block, list, list), [], "{name}");
        block.env.gas_limit -= 1;
        let items_max = items - 1;
        let too_large = [ListFault::TooLarge { items, items_max }];
        assert_eq!(judge_access_list(&block, list, list), too_large, "{name}");
        judged + 1
    }

    /// Runs by the true list and by so many wrong ones, drawn by `seed`, end as in sequential execution. Gives
    /// the number of wrong ones.
    pub(crate) fn check_runs(
        &self,
        name: &str,
        pools: &[ThreadPool],
        lists: usize,
        seed: u64,
    ) -> usize {
        let mut random = Random(seed);
        self.check_run(name, self.list(), pools, "as it is");
        let mut runs = 0;
        for _ in 0..lists {
            let Some((wrong, what)) = self.wrong_list(&mut random) else { continue };
            self.check_run(name, &wrong, pools, &what);
            runs += 1;
        }
        runs
    }

    fn check_run(&self, name: &str, list: &[AccountChanges], pools: &[ThreadPool], what: &str) {
        let plan = plan_by(&self.block, list);
        for pool in pools {
            let threads = pool.current_num_threads();
            let outcome = execute(&self.block, self.state, &plan, pool).unwrap();
            let difference = outcome.first_difference(&self.truth);
            assert_eq!(difference, None, "{name}, {threads} threads, by its list {what}");
            assert_eq!(outcome.access_list, self.truth.access_list, "{name}, by its list {what}");
        }
    }

    /// The list with one thing wrong; none where it came out true.
    fn wrong_list(&self, random: &mut Random) -> Option<(Vec<AccountChanges>, String)> {
        let list = self.list();
        // Half of the time something that the run by the list rests on.
        let is_changed = |position: &usize| {
            let account = &list[*position];
            let slots = account.storage_changes.len();
            slots + account.balance_changes.len() + account.code_changes.len() > 0
        };
        let changed: Vec<usize> = (0..list.len()).filter(is_changed).collect();
        let position = if random.below(2) == 0 || changed.is_empty() {
            random.below(list.len())
        } else {
            changed[random.below(changed.len())]
        };
        let all = edits(&list[position], self.last());
        let edit = all[random.below(all.len())];
        let (entries, _) = apply(&list[position], edit);
        let mut wrong = list.to_vec();
        wrong.splice(position..=position, entries);
        if edit == Edit::AddAccount {
            wrong.dedup_by(|one, other| one.address == other.address);
        }
        let what = format!("with {edit:?} of {:?}", list[position]);
        (wrong != list).then_some((wrong, what))
    }
}

/// The plan to run a block by a list.
fn plan_by(block: &Block, list: &[AccountChanges]) -> RunPlan {
    let listed = Block { access_list: Some(Arc::new(list.to_vec())), ..block.clone() };
    RunPlan::by_access_list(&listed).on_all_threads()
}

fn place_of(account: &AccountChanges) -> corruptions::Place {
    corruptions::Place { address: account.address, slot: None, index: None }
}

/// Whether these are slots that a contract of the protocol has read; such contracts keep queues
/// in slots 0 to 3.
fn is_of_protocol(account: &AccountChanges) -> bool {
    use alloy_eips::{
        eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
        eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    };
    let contracts = [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS];
    let is_queue = account.storage_reads.iter().any(|slot| *slot < U256::from(4));
    contracts.contains(&account.address) && is_queue
}

/// The generator `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("below a usize")
    }
}
