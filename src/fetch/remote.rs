//! The state after a block as a node has it, over what a tracer has told of it.

use std::sync::{Mutex, PoisonError};

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use forewave_analyzer::MemoryState;
use forewave_executor::StateView;
use hashbrown::{HashMap, HashSet};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{KECCAK_EMPTY, StorageKey, StorageValue},
    state::AccountInfo,
};
use serde_json::json;

use super::{
    Node, NodeError,
    node::{Call, Refusal, ask, number, read},
};

/// The most reads of one request; an account is three of them.
const BATCH_READS_MAX: usize = 16;

/// What is known before the node is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Accounts and slots.
    pub(crate) state: MemoryState,
    /// The accounts and the slots of each that are known, be it to be empty.
    pub(crate) mentioned: HashMap<Address, HashSet<U256>>,
}

/// The state after a block, read from a node; each read is a request.
#[derive(Debug)]
pub struct NodeState<'n> {
    node: &'n dyn Node,
    number: u64,
    known: Known,
    code: Mutex<HashMap<B256, Bytecode>>,
}

impl<'n> NodeState<'n> {
    pub(super) fn new(node: &'n dyn Node, number: u64, known: Known) -> Self {
        Self { node, number, known, code: Mutex::default() }
    }

    pub(super) const fn known(&self) -> &Known {
        &self.known
    }

    /// A call about the state, of which the block is the last parameter.
    fn state_call(&self, method: &'static str, mut params: Vec<String>) -> Call {
        params.push(format!("{:#x}", self.number));
        Call { method, params: json!(params), block: self.number.to_string() }
    }

    fn account_calls(&self, address: Address) -> [Call; 3] {
        ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"]
            .map(|method| self.state_call(method, vec![address.to_string()]))
    }

    /// An account from its three answers. One without anything does not exist: since
    /// EIP-161 there are none, and before it a node does not tell.
    fn account(
        &self,
        calls: &[Call],
        answers: Vec<Result<super::Answer, Refusal>>,
    ) -> Result<Option<AccountInfo>, NodeError> {
        let mut texts = Vec::with_capacity(answers.len());
        for (call, answer) in calls.iter().zip(answers) {
            texts.push(answer.map_err(|refusal| NodeError::new(call, refusal))?);
        }
        let ([balance_call, nonce_call, code_call], [balance, nonce, code]) =
            (calls, texts.as_slice())
        else {
            let message = "fewer answers than calls".to_owned();
            return Err(NodeError::new(&calls[0], Refusal::Transport(message)));
        };
        let balance: U256 = read(balance_call, balance)?;
        let nonce: U64 = read(nonce_call, nonce)?;
        let bytes: Bytes = read(code_call, code)?;
        let code = Bytecode::new_raw_checked(bytes).map_err(|error| {
            NodeError::new(code_call, Refusal::Transport(format!("not valid bytecode: {error}")))
        })?;
        if balance.is_zero() && nonce.is_zero() && code.is_empty() {
            return Ok(None);
        }
        let code_hash = if code.is_empty() { KECCAK_EMPTY } else { code.hash_slow() };
        let mut codes = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        codes.insert(code_hash, code.clone());
        let nonce = nonce.to();
        Ok(Some(AccountInfo {
            balance,
            nonce,
            code_hash,
            code: Some(code),
            ..AccountInfo::default()
        }))
    }

    fn slot_call(&self, address: Address, key: StorageKey) -> Call {
        let params = vec![address.to_string(), B256::from(key).to_string()];
        self.state_call("eth_getStorageAt", params)
    }

    fn is_known(&self, address: Address) -> bool {
        self.known.mentioned.contains_key(&address)
    }

    fn known_account(&self, address: Address) -> Option<AccountInfo> {
        self.known.state.basic_ref(address).expect("a state in memory answers")
    }

    fn known_slot(&self, address: Address, key: StorageKey) -> Option<StorageValue> {
        let slots = self.known.mentioned.get(&address)?;
        slots
            .contains(&key)
            .then(|| self.known.state.storage_ref(address, key).expect("a state in memory answers"))
    }
}

impl DatabaseRef for NodeState<'_> {
    type Error = NodeError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, NodeError> {
        if self.is_known(address) {
            return Ok(self.known_account(address));
        }
        let calls = self.account_calls(address);
        self.account(&calls, self.node.call(&calls))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, NodeError> {
        let codes = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = codes.get(&code_hash) {
            return Ok(code.clone());
        }
        self.known.state.code_by_hash_ref(code_hash).map_err(|error| {
            let call = self.state_call("eth_getCode", Vec::new());
            NodeError::new(&call, Refusal::Transport(error.to_string()))
        })
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, NodeError> {
        if let Some(known) = self.known_slot(address, key) {
            return Ok(known);
        }
        let call = self.slot_call(address, key);
        read(&call, &ask(self.node, &call)?)
    }

    fn block_hash_ref(&self, block: u64) -> Result<B256, NodeError> {
        let call = Call {
            method: "eth_getBlockByNumber",
            params: json!([format!("{block:#x}"), false]),
            block: block.to_string(),
        };
        let answer = ask(self.node, &call)?;
        let header: serde_json::Value = read(&call, &answer)?;
        let hash = header.get("hash").and_then(|hash| hash.as_str()?.parse().ok());
        hash.filter(|_| number(&answer) == Some(block)).ok_or_else(|| {
            NodeError::new(&call, Refusal::Transport("the node has no such block".to_owned()))
        })
    }
}

impl StateView for NodeState<'_> {
    fn batch_reads_max(&self) -> usize {
        BATCH_READS_MAX
    }

    fn accounts(&self, addresses: &[Address]) -> Result<Vec<Option<AccountInfo>>, NodeError> {
        let unknown: Vec<Address> =
            addresses.iter().filter(|at| !self.is_known(**at)).copied().collect();
        let calls: Vec<Call> = unknown.iter().flat_map(|at| self.account_calls(*at)).collect();
        let mut answers = self.node.call(&calls).into_iter();
        let mut read = HashMap::new();
        for (address, calls) in unknown.iter().zip(calls.chunks(3)) {
            let answers = answers.by_ref().take(3).collect();
            read.insert(*address, self.account(calls, answers)?);
        }
        let one = |at: &Address| read.get(at).cloned().unwrap_or_else(|| self.known_account(*at));
        Ok(addresses.iter().map(one).collect())
    }

    fn slots(&self, slots: &[(Address, StorageKey)]) -> Result<Vec<StorageValue>, NodeError> {
        let calls: Vec<Call> = slots
            .iter()
            .filter(|(address, key)| self.known_slot(*address, *key).is_none())
            .map(|&(address, key)| self.slot_call(address, key))
            .collect();
        let mut answers = calls.iter().zip(self.node.call(&calls));
        let value = |&(address, key): &(Address, StorageKey)| {
            if let Some(known) = self.known_slot(address, key) {
                return Ok(known);
            }
            let Some((call, answer)) = answers.next() else {
                return self.storage_ref(address, key);
            };
            read(call, &answer.map_err(|refusal| NodeError::new(call, refusal))?)
        };
        slots.iter().map(value).collect()
    }
}
