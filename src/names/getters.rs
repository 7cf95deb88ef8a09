//! Contracts -> names of their declared slots: the slot that a getter reads is what it is called
//! after.
//!
//! `balanceOf(address)` of a token reads one entry of one mapping, so that mapping is named
//! `balanceOf`, wherever it is declared. Each getter is evaluated over the summaries
//! that are there, as a call by itself, proxies included; nothing is summarized for it.

use std::collections::BTreeMap;

use alloy_json_abi::Function;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use forewave_analyzer::{
    Block, EvaluationLimits, KeyOrigin, Location, PredictedAccess, Scratch, StaticPredictor,
    TxEvaluator,
};
use revm::{DatabaseRef, context::TxEnv};

/// Signatures of getters, one on a line; where two read one slot, the first names it.
const GETTERS: &str = include_str!("getters.txt");

/// Operations of the evaluation of one getter.
const OPERATIONS_MAX: u32 = 1 << 11;

/// Contracts of a block that are asked.
const CONTRACTS_MAX: usize = 2_048;

/// Who asks, and for what: an address that no contract knows.
const PROBE: Address = Address::repeat_byte(0xf1);

/// A getter, ready to be called.
struct Getter {
    name: &'static str,
    arguments: usize,
    calldata: Bytes,
}

/// The declared slots of these contracts that a getter names.
pub(super) fn fields<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    predictor: &StaticPredictor,
    contracts: &[Address],
) -> BTreeMap<(Address, U256), &'static str> {
    let getters: Vec<Getter> = GETTERS.lines().map(getter).collect();
    let limits = EvaluationLimits {
        operations_max: OPERATIONS_MAX,
        learnt_operations_max: 0,
        ..EvaluationLimits::default()
    };
    let evaluator = TxEvaluator::new(predictor.summaries(), limits);
    let mut scratch = Scratch::default();
    let mut fields = BTreeMap::new();
    for &contract in contracts.iter().take(CONTRACTS_MAX) {
        for getter in &getters {
            let call = TxEnv {
                caller: PROBE,
                kind: TxKind::Call(contract),
                data: getter.calldata.clone(),
                gas_limit: block.env.gas_limit,
                ..TxEnv::default()
            };
            // A state that does not answer names nothing.
            let Ok(prediction) = evaluator.predict_tx(&mut scratch, block, state, &call) else {
                continue;
            };
            scratch.take_missing();
            if let Some(slot) = read_by(getter, contract, &prediction) {
                fields.entry((contract, slot)).or_insert(getter.name);
            }
        }
    }
    fields
}

fn getter(signature: &'static str) -> Getter {
    let function = Function::parse(signature).expect("a getter of the list is a signature");
    let name = signature.split('(').next().unwrap_or(signature);
    let word = PROBE.into_word();
    // An address where one is asked for; a small number otherwise.
    let argument = |kind: &str| if kind == "address" { word } else { U256::from(1).into() };
    let words = function.inputs.iter().flat_map(|input| argument(&input.ty).0);
    let calldata = function.selector().0.into_iter().chain(words).collect();
    Getter { name, arguments: function.inputs.len(), calldata }
}

/// The one declared slot that a getter reads, beside what decides where its code is.
fn read_by(getter: &Getter, contract: Address, prediction: &PredictedAccess) -> Option<U256> {
    if !prediction.widened().is_empty() {
        return None;
    }
    let is_storage = |location: &Location| matches!(location, Location::Storage(..));
    if prediction.set().writes().iter().any(is_storage) {
        return None;
    }
    let deciding = prediction.deciding_reads().unwrap_or_default();
    let slots: Vec<U256> = prediction
        .set()
        .reads()
        .iter()
        .filter(|location| deciding.binary_search(location).is_err())
        .filter_map(|location| match location {
            Location::Storage(of, key) if *of == contract => Some(*key),
            _ => None,
        })
        .collect();
    let first = *slots.first()?;
    let root = |slot: U256| match prediction.origin(contract, slot) {
        Some(KeyOrigin::Mapping(root)) => Some(root),
        _ => None,
    };
    match getter.arguments {
        0 => Some(first).filter(|_| slots.len() == 1 && root(first).is_none()),
        // An entry may be a struct of several slots.
        _ => root(first).filter(|of| slots.iter().all(|slot| root(*slot) == Some(*of))),
    }
}
