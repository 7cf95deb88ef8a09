//! From an account in a state to the code that answers its calls: proxies are
//! followed to the implementation that the state names.

use revm::{
    DatabaseRef,
    bytecode::{Bytecode, opcode as op},
    primitives::{Address, U256, keccak256},
};

use super::{AccessSummary, SummaryLimits, summarize};
use crate::{
    alu::compute,
    expr::{ExprArena, ExprId, KeyExpr},
};

/// Expressions evaluated at most for one address; this bounds the depth too.
const EVALUATION_STEPS_MAX: usize = 256;

/// The code that an account delegates to.
#[derive(Clone, Debug)]
pub struct Implementation {
    /// Where that code is.
    pub address: Address,
    /// What it can touch, of the account that delegates.
    pub summary: AccessSummary,
}

/// What the code of an account can touch, and the code that it delegates to,
/// from the nearest on. Empty if the account has no code.
pub fn summarize_account<DB: DatabaseRef>(
    state: &DB,
    account: Address,
    limits: SummaryLimits,
) -> Result<Vec<Implementation>, DB::Error> {
    let mut chain: Vec<Implementation> = Vec::new();
    let mut next = Some(account);
    while let Some(address) = next.filter(|_| chain.len() <= limits.delegations_max) {
        let code = code_of(state, address)?;
        if code.is_empty() || chain.iter().any(|earlier| earlier.address == address) {
            break;
        }
        let summary = summarize(&code, limits);
        next = match summary.delegates_to() {
            Some(target) => {
                let exprs = summary.exprs();
                let steps_left = EVALUATION_STEPS_MAX;
                let word = Evaluation { state, account, exprs, steps_left }.value(target)?;
                word.map(|word| Address::from_word(word.into()))
            }
            None => None,
        };
        chain.push(Implementation { address, summary });
    }
    Ok(chain)
}

fn code_of<DB: DatabaseRef>(state: &DB, address: Address) -> Result<Bytecode, DB::Error> {
    let Some(info) = state.basic_ref(address)? else { return Ok(Bytecode::default()) };
    match info.code {
        Some(code) => Ok(code),
        None => state.code_by_hash_ref(info.code_hash),
    }
}

/// Expressions over the state alone, evaluated.
struct Evaluation<'a, DB> {
    state: &'a DB,
    account: Address,
    exprs: &'a ExprArena,
    /// Expressions that may still be looked at.
    steps_left: usize,
}

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// The value; none if it depends on more than the state, or on too much.
    fn value(&mut self, id: ExprId) -> Result<Option<U256>, DB::Error> {
        let Some(left) = self.steps_left.checked_sub(1) else { return Ok(None) };
        self.steps_left = left;
        Ok(match self.exprs.get(id) {
            KeyExpr::Constant(value) => Some(*value),
            KeyExpr::Environment(op::ADDRESS) => Some(self.account.into_word().into()),
            KeyExpr::Load(key) => match self.value(*key)? {
                Some(key) => Some(self.state.storage_ref(self.account, key)?),
                None => None,
            },
            KeyExpr::Operation(code, [a, b, c]) => {
                match (self.value(*a)?, self.value(*b)?, self.value(*c)?) {
                    (Some(a), Some(b), Some(c)) => compute(*code, [a, b, c]),
                    _ => None,
                }
            }
            KeyExpr::Keccak(parts) => {
                let mut input = Vec::new();
                for part in parts {
                    let Some(word) = self.value(part.word)? else { return Ok(None) };
                    input.extend(&word.to_be_bytes::<32>()[32 - usize::from(part.bytes)..]);
                }
                Some(keccak256(input).into())
            }
            _ => None,
        })
    }
}
