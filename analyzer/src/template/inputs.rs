//! What a transaction and its block give to a template, as words.

use revm::{
    context::TxEnv,
    context_interface::Block as _,
    primitives::{Address, U256, hardfork::SpecId},
};

use super::value::Input;
use crate::Block;

/// One transaction in its block.
#[derive(Debug)]
pub(crate) struct Inputs<'t> {
    pub(crate) block: &'t Block,
    pub(crate) spec: SpecId,
    pub(crate) tx: &'t TxEnv,
    pub(crate) to: Address,
    /// The effective gas price.
    pub(crate) price: U256,
    /// Gas that the transaction's own call is given.
    pub(crate) gas: u64,
}

impl Inputs<'_> {
    /// The word that an input stands for.
    pub(crate) fn word(&self, input: Input) -> U256 {
        let env = &self.block.env;
        match input {
            Input::CallData(at) => word_at(&self.tx.data, at as usize),
            Input::CallDataSize => U256::from(self.tx.data.len()),
            Input::Caller => self.tx.caller.into_word().into(),
            Input::To => self.to.into_word().into(),
            Input::CallValue => self.tx.value,
            Input::GasPrice => self.price,
            Input::Coinbase => env.beneficiary.into_word().into(),
            Input::Timestamp => env.timestamp,
            Input::Number => env.number,
            Input::PrevRandao if self.spec.is_enabled_in(SpecId::MERGE) => {
                env.prevrandao.unwrap_or_default().into()
            }
            Input::PrevRandao => env.difficulty,
            Input::GasLimit => U256::from(env.gas_limit),
            Input::ChainId => U256::from(self.block.cfg.chain_id),
            Input::BaseFee => U256::from(env.basefee),
            Input::BlobBaseFee => U256::from(env.blob_gasprice().unwrap_or_default()),
            Input::BlobHash(at) => {
                let hash = self.tx.blob_hashes.get(at as usize);
                hash.copied().unwrap_or_default().into()
            }
            Input::Gas(spent) => U256::from(self.gas.saturating_sub(spent)),
        }
    }
}

/// The 32 bytes at `at`, zero beyond the end.
#[inline]
pub(crate) fn word_at(data: &[u8], at: usize) -> U256 {
    let rest = data.get(at..).unwrap_or_default();
    if let Some(word) = rest.first_chunk::<32>() {
        return U256::from_be_bytes(*word);
    }
    let mut word = [0; 32];
    word[..rest.len()].copy_from_slice(rest);
    U256::from_be_bytes(word)
}
