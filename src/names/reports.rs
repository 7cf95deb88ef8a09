//! Places and transactions as JSON prints them, the same in every command: what a machine
//! needs in full, and the words beside it.

use alloy_primitives::{Address, B256, U256};
use forewave_analyzer::{Location, Scope, TxIndex};
use forewave_scheduler::{Cause, ConflictGraph};
use serde::Serialize;

use super::Names;
use crate::input::BlockInput;

/// A location or a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlaceReport {
    /// `balance`, `nonce`, `code` or `storage`; of a scope `mapping`, `contract` or
    /// `everything`.
    pub kind: &'static str,
    /// The account; none of `everything`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The key of `storage`, the declared slot of a `mapping`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<U256>,
    /// In words.
    pub name: String,
}

impl PlaceReport {
    /// A location.
    pub fn of_location(names: &Names, location: &Location) -> Self {
        let (kind, slot) = match location {
            Location::Balance(_) => ("balance", None),
            Location::Nonce(_) => ("nonce", None),
            Location::Code(_) => ("code", None),
            Location::Storage(_, key) => ("storage", Some(*key)),
        };
        Self { kind, address: Some(location.address()), slot, name: names.location(location) }
    }

    /// A scope.
    pub fn of_scope(names: &Names, scope: &Scope) -> Self {
        let (kind, address, slot) = match *scope {
            Scope::Mapping { address, slot } => ("mapping", Some(address), Some(slot)),
            Scope::Contract { address } => ("contract", Some(address), None),
            Scope::Everything => ("everything", None, None),
        };
        Self { kind, address, slot, name: names.scope(scope) }
    }

    /// Where two transactions meet.
    pub fn of_cause(names: &Names, graph: &ConflictGraph, cause: &Cause) -> Self {
        match cause {
            Cause::Location(id) => Self::of_location(names, &graph.accesses().location(*id)),
            Cause::Scope(scope) => Self::of_scope(names, scope),
        }
    }
}

/// Which transaction, and what it calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TxReport {
    /// Its position in the block.
    pub tx: TxIndex,
    /// Its hash.
    pub hash: B256,
    /// Its sender.
    pub from: Address,
    /// Whom it calls or pays; null if it creates a contract.
    pub to: Option<Address>,
    /// The selector of the function that it calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The likely signature of that function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// What it does, in words.
    pub name: String,
}

impl TxReport {
    /// A transaction of a block.
    pub fn new(names: &Names, input: &BlockInput, tx: TxIndex) -> Self {
        let env = &input.block.transactions[tx.index()];
        let function = names.function(env);
        Self {
            tx,
            hash: input.tx_hashes[tx.index()],
            from: env.caller,
            to: env.kind.to().copied(),
            selector: function.map(|(selector, _)| format!("{selector:#010x}")),
            signature: function.and_then(|(_, signature)| signature.map(str::to_owned)),
            name: names.transaction(env),
        }
    }
}
