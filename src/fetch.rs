//! A node and a block's number to the files of a block directory, which reproduce the
//! block's header.
//!
//! ```text
//! eth_getBlockByNumber ─> block ─┐
//! prestateTracer, if any ─> state ┴─> run; what is missing is read ─> files ─> run again: the header?
//! ```
//!
//! A tracer says what transactions touch, not what the protocol does at the block's two ends
//! nor which block hashes are read: running the block finds that, and reads it from the node
//! as it was after the block before. Where a tracer's answer does not lead to the header, or
//! there is none, everything is read so.
//!
//! From Amsterdam on the node is asked for the block's access list (EIP-7928) as well.
//!
//! Nothing here does I/O: a [`Node`] is what does.

mod blocks;
mod list;
mod node;
mod remote;
mod touched;
mod way;

use core::sync::atomic::{AtomicBool, Ordering};
use std::{path::PathBuf, sync::Arc};

use alloy_primitives::B256;
use forewave_analyzer::Block;
use forewave_executor::{BlockOutcome, ExecutionError, sequential, with_prefetch};
use rayon::ThreadPool;
use serde_json::{Value, json, value::RawValue};

pub(crate) use self::remote::Known;
use self::touched::Touched;
pub use self::{
    blocks::{BlockId, BlockRange, BlockRangeError},
    node::{Call, Node, NodeError, Refusal},
    remote::NodeState,
    way::Way,
};
use crate::{
    compare::{Mismatch, Unchecked, compare_header, unchecked},
    input::{
        BlockFiles, BlockInput, Chain, InputError, LoadOptions, SourceFile, parse_access_list,
    },
};

/// A block could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The node did not answer a call.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node has no such block.
    #[error("the node has no block {0}")]
    NoBlock(BlockId),
    /// There is no state before the first block.
    #[error("block 0 is the genesis block: there is no state before it to run it on")]
    Genesis,
    /// The node's answers are not a block that can be loaded.
    #[error("what the node gives is not accepted: {0}")]
    Input(#[from] InputError),
    /// The block that the node gives cannot be run on the state that it gives.
    #[error("block {block} does not run on the state that the node gives: {message}")]
    NotExecutable {
        /// The block's number.
        block: u64,
        /// Why not.
        message: String,
    },
    /// The block runs, but not to what its header says.
    #[error(
        "block {block} does not reproduce its header from what the node gives: {}",
        differences(mismatches)
    )]
    Differs {
        /// The block's number.
        block: u64,
        /// Where it differs.
        mismatches: Vec<Mismatch>,
    },
    /// The access list that the node gives is not the one that the header commits to.
    #[error(
        "the access list that the node gives of block {block} has hash {found}, its header states \
         {stated}"
    )]
    OtherList {
        /// The block's number.
        block: u64,
        /// The hash in its header.
        stated: B256,
        /// The hash of the list.
        found: B256,
    },
}

fn differences(mismatches: &[Mismatch]) -> String {
    let difference = |it: &Mismatch| {
        format!("{} is {} in the header, {} by execution", it.field, it.expected, it.found)
    };
    mismatches.iter().map(difference).collect::<Vec<_>>().join("; ")
}

/// A block that was fetched, in the form of a block directory.
#[derive(Clone, Debug)]
pub struct FetchedBlock {
    /// Its files.
    pub files: BlockFiles,
    /// The same, loaded.
    pub input: BlockInput,
    /// What its header says that was not compared; all that was is reproduced.
    pub unchecked: Vec<Unchecked>,
    /// Where the state is from.
    pub way: Way,
    /// The ways that were tried before, and why they did not do.
    pub tried: Vec<(Way, String)>,
    /// Why the node gave no access list of the block, where its header commits to one.
    pub no_list: Option<String>,
    /// Accounts in `pre_state.json`.
    pub accounts: usize,
    /// Slots in `pre_state.json`.
    pub slots: usize,
    /// Hashes in `block_hashes.json`.
    pub block_hashes: usize,
}

impl FetchedBlock {
    /// The name of the block's directory: chain and number.
    pub fn name(&self) -> String {
        directory_name(self.input.chain, self.input.header.number)
    }
}

/// The name of a block's directory: chain and number.
pub fn directory_name(chain: Chain, number: u64) -> String {
    match chain.name() {
        Some(name) => format!("{name}-{number}"),
        None => format!("{}-{number}", chain.id()),
    }
}

/// Fetches blocks from one node.
#[derive(Debug)]
pub struct Fetcher<N> {
    node: N,
    options: LoadOptions,
    /// Of the threads that read ahead.
    readers: ThreadPool,
    /// The ways whose methods the node does not have.
    absent: [AtomicBool; Way::TRACED.len()],
    /// Whether the node does not have the method for access lists.
    has_no_lists: AtomicBool,
}

impl<N: Node> Fetcher<N> {
    /// A fetcher that has asked the node for its chain, unless `options` name one.
    pub fn new(node: N, options: LoadOptions, readers: ThreadPool) -> Result<Self, FetchError> {
        let chain = match options.chain {
            Some(chain) => chain,
            None => Chain::from_id(node::chain_id(&node)?),
        };
        let options = LoadOptions { chain: Some(chain), ..options };
        let (absent, has_no_lists) = Default::default();
        Ok(Self { node, options, readers, absent, has_no_lists })
    }

    /// The node.
    pub const fn node(&self) -> &N {
        &self.node
    }

    /// The node's chain.
    pub fn chain(&self) -> Chain {
        self.options.chain.expect("it is set as the fetcher is made")
    }

    /// The blocks of a range, ascending; tags at its ends are looked up.
    pub fn blocks(&self, range: &BlockRange) -> Result<Vec<BlockId>, FetchError> {
        let number = |id| match id {
            BlockId::Number(number) => Ok(number),
            tag => self.number_of(tag),
        };
        match *range {
            BlockRange::One(BlockId::Pending) => Ok(vec![BlockId::Pending]),
            BlockRange::One(id) => Ok(vec![BlockId::Number(number(id)?)]),
            BlockRange::FromTo(first, last) => {
                Ok((number(first)?..=number(last)?).map(BlockId::Number).collect())
            }
        }
    }

    fn number_of(&self, tag: BlockId) -> Result<u64, FetchError> {
        let header = node::block(&self.node, tag, node::Transactions::Hashes)?;
        node::number(&header).ok_or(FetchError::NoBlock(tag))
    }

    /// What an account holds before a block, and everything else then.
    pub fn state_before(&self, id: BlockId) -> Result<NodeState<'_>, FetchError> {
        let number = match id {
            BlockId::Number(number) => number,
            tag => self.number_of(tag)?,
        };
        let parent = number.checked_sub(1).ok_or(FetchError::Genesis)?;
        Ok(NodeState::new(&self.node, parent, Known::default()))
    }

    /// Fetches one block, and the access list that its header commits to, if the node has it.
    pub fn fetch(&self, id: BlockId) -> Result<FetchedBlock, FetchError> {
        let mut fetched = self.fetch_to_run(id)?;
        let number = fetched.input.header.number;
        let Some(stated) = fetched.input.header.access_list_hash else { return Ok(fetched) };
        if self.has_no_lists.load(Ordering::Relaxed) {
            fetched.no_list = Some("the node does not offer the method".to_owned());
            return Ok(fetched);
        }
        match list::access_list(&self.node, number, stated)? {
            Ok(file) => {
                let list = Arc::new(parse_access_list(&file)?);
                fetched.input.block.access_list = Some(list);
                fetched.files.access_list = Some(file);
            }
            Err(none) => {
                self.has_no_lists.fetch_or(none.is_absent, Ordering::Relaxed);
                fetched.no_list = Some(none.message);
            }
        }
        Ok(fetched)
    }

    /// Fetches what running a block needs.
    fn fetch_to_run(&self, id: BlockId) -> Result<FetchedBlock, FetchError> {
        let answer = self.block_answer(id)?;
        let alone = self.parse(&answer, b"{}".to_vec(), None)?;
        let number = alone.header.number;
        let parent = number.checked_sub(1).ok_or(FetchError::Genesis)?;
        let mut tried = Vec::new();
        for way in Way::TRACED {
            if self.absent[way as usize].load(Ordering::Relaxed) {
                tried.push((way, "the node does not offer the method".to_owned()));
                continue;
            }
            let known = match way.known(&self.node, &alone, id, &self.readers) {
                Ok(known) => known,
                Err(fault) => {
                    self.absent[way as usize].fetch_or(fault.is_absent, Ordering::Relaxed);
                    tried.push((way, fault.message));
                    continue;
                }
            };
            let state = NodeState::new(&self.node, parent, known);
            match self.files(&answer, &alone, &state) {
                Ok(found) => return Ok(FetchedBlock { way, tried, ..found }),
                Err(error @ FetchError::Node(_)) => return Err(error),
                Err(error) => tried.push((way, error.to_string())),
            }
        }
        let state = NodeState::new(&self.node, parent, Known::default());
        let found = self.files(&answer, &alone, &state)?;
        Ok(FetchedBlock { tried, ..found })
    }

    /// The block as the node states it. Where nothing in it names the chain, that is added.
    fn block_answer(&self, id: BlockId) -> Result<Vec<u8>, FetchError> {
        let answer = node::block(&self.node, id, node::Transactions::Whole)?;
        if answer.get() == "null" {
            return Err(FetchError::NoBlock(id));
        }
        let names_chain = answer.get().contains("\"chainId\"");
        if names_chain || self.chain() == Chain::Mainnet {
            return Ok(answer.get().into());
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_str(answer.get()) else {
            return Ok(answer.get().into());
        };
        fields.insert("chainId".to_owned(), json!(self.chain().id()));
        Ok(Value::Object(fields).to_string().into_bytes())
    }

    fn parse(
        &self,
        block: &[u8],
        pre_state: Vec<u8>,
        block_hashes: Option<Vec<u8>>,
    ) -> Result<BlockInput, InputError> {
        BlockInput::parse(&files(block, pre_state, block_hashes), &self.options)
    }

    /// Runs the block on what is known and read, and what that touches on its own.
    fn files(
        &self,
        answer: &[u8],
        alone: &BlockInput,
        state: &NodeState<'_>,
    ) -> Result<FetchedBlock, FetchError> {
        let (block, number) = (&alone.block, alone.header.number);
        let (ran, _) = with_prefetch(block, state, &[], &self.readers, |state| {
            let touched = Touched::new(state);
            sequential(block, &touched).map(|_| touched.into_parts())
        });
        let mut parts = ran.map_err(|error| failed(number, error))?;
        parts.add_known(state.known());
        let files = files(answer, parts.pre_state(), parts.block_hashes());
        let input = BlockInput::parse(&files, &self.options)?;
        let outcome = run(&input.block, &input, number)?;
        let mismatches = compare_header(&outcome, &input.header, input.block.spec());
        if !mismatches.is_empty() {
            return Err(FetchError::Differs { block: number, mismatches });
        }
        let unchecked = unchecked(&input.header, input.chain, input.block.spec());
        let (accounts, slots, block_hashes) = parts.counts();
        let (way, tried, no_list) = (Way::OnDemand, Vec::new(), None);
        Ok(FetchedBlock {
            files,
            input,
            unchecked,
            way,
            tried,
            no_list,
            accounts,
            slots,
            block_hashes,
        })
    }
}

fn run(block: &Block, input: &BlockInput, number: u64) -> Result<BlockOutcome, FetchError> {
    sequential(block, &input.state)
        .map_err(|error| FetchError::NotExecutable { block: number, message: error.to_string() })
}

/// A node that does not answer is told apart from a block that does not run.
fn failed(block: u64, error: ExecutionError<NodeError>) -> FetchError {
    match error {
        ExecutionError::State { source, .. } | ExecutionError::SystemState(source) => source.into(),
        other => FetchError::NotExecutable { block, message: other.to_string() },
    }
}

/// Files in memory, named as they will be on disk.
fn files(block: &[u8], pre_state: Vec<u8>, block_hashes: Option<Vec<u8>>) -> BlockFiles {
    let file = |name: &str, bytes| SourceFile { path: PathBuf::from(name), bytes };
    BlockFiles {
        block: file("block.json", block.to_vec()),
        pre_state: file("pre_state.json", pre_state),
        block_hashes: block_hashes.map(|bytes| file("block_hashes.json", bytes)),
        access_list: None,
    }
}

/// An answer as it is.
type Answer = Box<RawValue>;
