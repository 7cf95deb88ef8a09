//! The named limits of the analysis: what hostile code can cost at most.

/// Bounds of [`InterpretingPredictor`](crate::InterpretingPredictor).
///
/// Reaching one ends the analysis of the transaction, whose prediction is then
/// widened to [`Scope::Everything`](crate::Scope::Everything). Gas bounds the
/// instructions, the hashing and the copying; the other limits bound what is
/// held in memory. Reaching one of those on recordings and templates only means
/// that a transaction is interpreted. The defaults are beyond what a transaction of a mainnet
/// block can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Gas that the analysis of one transaction follows.
    pub gas_max: u64,
    /// Gas that the analysis of one block follows.
    pub block_gas_max: u64,
    /// Depth of calls; the EVM's own limit is 1024.
    pub call_depth_max: usize,
    /// Bytes of memory, call data and return data of all frames of one transaction together.
    pub memory_bytes_max: usize,
    /// Bytes of call data that one transaction hands from frame to frame and to
    /// precompiles. The EVM charges for the memory that they lie in, but not for
    /// handing it on again and again.
    pub handed_bytes_max: usize,
    /// Accounts and slots touched by one transaction, and changes that it could undo, together.
    pub touched_max: usize,
    /// Accounts and slots known of one block together.
    pub overlay_max: usize,
    /// Declared slots of mappings and arrays told apart in one block. Not
    /// reached but forgotten: a key beyond it is of unknown origin.
    pub mappings_max: usize,
    /// Bytes of init code run by one transaction.
    pub init_code_bytes_max: usize,
    /// Bytes of memory of all frames up to which a transaction is recorded for a template.
    pub recorded_memory_bytes_max: usize,
    /// Values and events recorded of one transaction.
    pub recorded_entries_max: usize,
    /// Operations of one path through a template.
    pub path_operations_max: usize,
    /// Ways on from one guard of a template.
    pub branches_max: usize,
    /// Bytes of the templates of one entry.
    pub template_bytes_max: usize,
    /// Bytes of all templates of a [`TemplateCache`](crate::TemplateCache) together.
    pub cache_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gas_max: 1 << 27,
            block_gas_max: 1 << 32,
            call_depth_max: 1024,
            memory_bytes_max: 64 << 20,
            handed_bytes_max: 256 << 20,
            touched_max: 1 << 20,
            overlay_max: 1 << 21,
            mappings_max: 1 << 16,
            init_code_bytes_max: 16 << 20,
            recorded_memory_bytes_max: 1 << 20,
            recorded_entries_max: 1 << 17,
            path_operations_max: 1 << 15,
            branches_max: 256,
            template_bytes_max: 4 << 20,
            cache_bytes_max: 256 << 20,
        }
    }
}
