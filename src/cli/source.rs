//! Where the blocks of a command are from: directories, or a node.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
};

use forewave::{
    fetch::{BlockId, Fetcher},
    input::{BlockInput, LoadOptions},
};

use super::{
    args::{BlockArgs, NodeArgs, block_range},
    diagnostic::Failure,
    name,
    node::HttpNode,
    progress::Progress,
    thread_pool_of,
};

/// A block with its name in headings.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) input: BlockInput,
}

/// The blocks that a command is about, none of them loaded yet.
#[derive(Debug)]
pub(super) enum Source {
    /// Block directories.
    Directories {
        /// Where they are.
        paths: Vec<PathBuf>,
        /// How they are loaded.
        options: LoadOptions,
    },
    /// Blocks of a node.
    Node {
        /// What fetches them.
        fetcher: Fetcher<HttpNode>,
        /// Which ones.
        blocks: Vec<BlockId>,
    },
}

/// What fetches from a node, and the blocks there that are meant.
pub(super) type BlocksOfNode = (Fetcher<HttpNode>, Vec<BlockId>);

/// What fetches from the node that is named, if one is, and the blocks there that these
/// arguments name, in their order.
pub(super) fn fetcher_of<'a>(
    args: &NodeArgs,
    options: LoadOptions,
    arguments: impl Iterator<Item = Cow<'a, str>>,
) -> Result<Option<BlocksOfNode>, Failure> {
    if !args.is_named() {
        return Ok(None);
    }
    // Wrong usage is found before the node is asked.
    let ranges: Vec<_> = arguments.map(|argument| block_range(&argument)).collect();
    let Some(fetcher) = fetcher(args, options)? else { return Ok(None) };
    let mut blocks = Vec::new();
    for range in &ranges {
        blocks.extend(fetcher.blocks(range)?);
    }
    Ok(Some((fetcher, blocks)))
}

fn fetcher(args: &NodeArgs, options: LoadOptions) -> Result<Option<Fetcher<HttpNode>>, Failure> {
    let Some(node) = args.node() else { return Ok(None) };
    let readers = thread_pool_of(args.connections())?;
    Ok(Some(Fetcher::new(node, options, readers)?))
}

impl Source {
    /// The source that the arguments name; a node has been asked for its chain.
    pub(super) fn open(args: &BlockArgs) -> Result<Self, Failure> {
        let options = args.load_options();
        let arguments = args.blocks.iter().map(|path| path.to_string_lossy());
        Ok(match fetcher_of(&args.node, options, arguments)? {
            Some((fetcher, blocks)) => Self::Node { fetcher, blocks },
            None => Self::Directories { paths: args.blocks.clone(), options },
        })
    }

    /// How many blocks.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Directories { paths, .. } => paths.len(),
            Self::Node { blocks, .. } => blocks.len(),
        }
    }

    /// How many requests a node has answered, where the blocks are a node's.
    pub(super) fn answered(&self) -> Option<Arc<AtomicUsize>> {
        match self {
            Self::Directories { .. } => None,
            Self::Node { fetcher, .. } => Some(fetcher.node().answered()),
        }
    }

    /// Loads or fetches a block, with a bar for as long as a node takes.
    pub(super) fn load_shown(&self, at: usize) -> Result<Loaded, Failure> {
        let _progress = self.answered().map(|answered| Progress::new(1, Some(answered)));
        self.load(at)
    }

    /// A block by its position, as messages call it.
    pub(super) fn path(&self, at: usize) -> Cow<'_, Path> {
        match self {
            Self::Directories { paths, .. } => Cow::Borrowed(&paths[at]),
            Self::Node { blocks, .. } => Cow::Owned(format!("block {}", blocks[at]).into()),
        }
    }

    /// Loads or fetches a block.
    pub(super) fn load(&self, at: usize) -> Result<Loaded, Failure> {
        match self {
            Self::Directories { paths, options } => {
                let input = BlockInput::load(&paths[at], options)?;
                Ok(Loaded { name: name(&paths[at]), input })
            }
            Self::Node { fetcher, blocks } => {
                let fetched = fetcher.fetch(blocks[at])?;
                Ok(Loaded { name: fetched.name(), input: fetched.input })
            }
        }
    }
}
