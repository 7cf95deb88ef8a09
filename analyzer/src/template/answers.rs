//! What dear precompiles have answered, for whoever asks the same again.
//!
//! The signer of a permit and the product of two points follow from the input
//! alone, whatever the state; and the same pending transactions are analysed
//! against one state after another. Shared by threads and blocks, bounded in
//! bytes: when it is full, it forgets everything. The whole input is compared,
//! so that an answer is always right; what fails is not remembered.

use core::fmt;
use std::sync::{PoisonError, RwLock};

use hashbrown::{Equivalent, HashMap};
use revm::{
    precompile::{Precompile, PrecompileId, PrecompileStatus},
    primitives::{Bytes, hardfork::SpecId, map::DefaultHashBuilder},
};

/// Bytes held at most, about.
const BYTES_MAX: usize = 16 << 20;

/// Inputs longer than this are not remembered.
const INPUT_BYTES_MAX: usize = 4096;

/// Bytes of an answer beside its input and output, about.
const ANSWER_BYTES: usize = 192;

/// What a precompile answers, and the gas it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) gas: u64,
    pub(crate) output: Bytes,
}

/// A question as it is held, or asked: which precompile under which rules, and the input.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Question<B>(PrecompileId, SpecId, B);

impl Equivalent<Question<Box<[u8]>>> for Question<&[u8]> {
    fn equivalent(&self, held: &Question<Box<[u8]>>) -> bool {
        self.1 == held.1 && self.2 == &*held.2 && self.0 == held.0
    }
}

#[derive(Debug, Default)]
struct Held {
    answers: HashMap<Question<Box<[u8]>>, Answer, DefaultHashBuilder>,
    bytes: usize,
}

/// The answers that are remembered.
#[derive(Default)]
pub(crate) struct Answers(RwLock<Held>);

impl Answers {
    /// What `precompile` answers within this gas; none if it fails or takes more.
    pub(crate) fn ask(
        &self,
        precompile: &Precompile,
        spec: SpecId,
        input: &[u8],
        gas_max: u64,
    ) -> Option<Answer> {
        if input.len() > INPUT_BYTES_MAX || is_cheap(precompile.id()) {
            return answer(precompile, input, gas_max);
        }
        let question = Question(precompile.id().clone(), spec, input);
        let known = {
            let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
            held.answers.get(&question).cloned()
        };
        if let Some(known) = known {
            return (known.gas <= gas_max).then_some(known);
        }
        let found = answer(precompile, input, gas_max)?;
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = input.len() + found.output.len() + ANSWER_BYTES;
        if held.bytes + bytes > BYTES_MAX {
            *held = Held::default();
        }
        held.bytes += bytes;
        held.answers.insert(Question(question.0, spec, input.into()), found.clone());
        Some(found)
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// Whether to compute an answer takes no longer than to look it up.
const fn is_cheap(precompile: &PrecompileId) -> bool {
    matches!(precompile, PrecompileId::Identity | PrecompileId::Sha256 | PrecompileId::Ripemd160)
}

/// What `precompile` answers within this gas; none if it fails or takes more.
pub(crate) fn answer(precompile: &Precompile, input: &[u8], gas_max: u64) -> Option<Answer> {
    let done = precompile.execute(input, gas_max, 0).ok()?;
    let is_success = done.status == PrecompileStatus::Success && done.gas_used <= gas_max;
    is_success.then_some(Answer { gas: done.gas_used, output: done.bytes })
}

#[cfg(test)]
mod tests {
    use revm::precompile::{PrecompileSpecId, Precompiles, u64_to_address};

    use super::*;

    #[test]
    fn a_remembered_answer_is_the_answer_under_its_rules_and_within_its_gas() {
        let answers = Answers::default();
        let lengths = |modulus: u8| {
            let mut input = vec![0; 96];
            (input[31], input[63], input[95]) = (1, 1, 1);
            input.extend([3, 200, modulus]);
            input
        };
        for _ in 0..2 {
            for spec in [SpecId::BYZANTIUM, SpecId::BERLIN, SpecId::OSAKA] {
                let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
                for (number, input) in (1..=9).flat_map(|at| [(at, lengths(7)), (at, lengths(9))]) {
                    let Some(precompile) = precompiles.get(&u64_to_address(number)) else {
                        continue;
                    };
                    for gas in [0, 1, 250, 100_000] {
                        let found = answers.ask(precompile, spec, &input, gas);
                        assert_eq!(found, answer(precompile, &input, gas), "{number} with {gas}");
                    }
                }
            }
        }
    }
}
