//! A chain of several blocks on an anvil, with contracts and blocks of many transactions.

use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::{SolCall, SolValue};
use forewave_fixtures::{
    Contract,
    abi::{Token, WalletFactory},
};
use serde_json::{Value, json};

use crate::anvil::Anvil;

/// What deploys code that stores the hash of the block before the last in slot 0.
const HASH_KEEPER: [u8; 17] = hex!("684360029003405f55005f5260096017f3");

/// The account that every transaction but some is from.
const ACCOUNTS: usize = 10;

/// One call of a method on a node.
pub(crate) fn call(url: &str, method: &str, params: &Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
    let mut response =
        agent.post(url).header("content-type", "application/json").send(body.to_string()).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["error"].is_null(), "{method} {params}: {answer}");
    answer["result"].take()
}

/// A chain whose transactions its own accounts send.
pub(crate) struct Chain<'a> {
    url: &'a str,
    accounts: Vec<Address>,
}

impl<'a> Chain<'a> {
    /// The chain at its first block.
    pub(crate) fn new(anvil: &'a Anvil) -> Self {
        let accounts = call(&anvil.url, "eth_accounts", &json!([]));
        let accounts: Vec<Address> = serde_json::from_value(accounts).unwrap();
        assert_eq!(accounts.len(), ACCOUNTS);
        Self { url: &anvil.url, accounts }
    }

    fn send(&self, from: usize, to: Option<Address>, value: u64, data: &[u8]) -> B256 {
        let mut tx = json!({
            "from": self.accounts[from % ACCOUNTS],
            "value": U256::from(value),
            "gas": "0x2dc6c0",
            "data": hex::encode_prefixed(data),
        });
        if let Some(to) = to {
            tx["to"] = json!(to);
        }
        serde_json::from_value(call(self.url, "eth_sendTransaction", &json!([tx]))).unwrap()
    }

    fn mine(&self) {
        call(self.url, "evm_mine", &json!([]));
    }

    /// The contract that a transaction has created.
    fn created(&self, tx: B256) -> Address {
        let receipt = call(self.url, "eth_getTransactionReceipt", &json!([tx]));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    }

    /// Mines three blocks: contracts, uses of them and of what they create, and such as find
    /// created what the block before has not. Gives the address of the token.
    pub(crate) fn grow(&self) -> Address {
        let arguments = ("Coin", "C").abi_encode_params();
        let token = [&Contract::Token.artifact().bytecode[..], &arguments].concat();
        let token = self.send(0, None, 0, &token);
        let factory = self.send(0, None, 0, &Contract::WalletFactory.artifact().bytecode);
        let keeper = self.send(0, None, 0, &HASH_KEEPER);
        self.mine();
        let [token, factory, keeper] = [token, factory, keeper].map(|tx| self.created(tx));
        for round in 0..4_u64 {
            for holder in 0..ACCOUNTS {
                let to = self.accounts[(holder + 1) % ACCOUNTS];
                let value = U256::from(100 + round);
                self.send(0, Some(token), 0, &Token::mintCall { to, value }.abi_encode());
                let to = Address::repeat_byte(u8::try_from(holder).unwrap() + 0x20);
                self.send(holder, Some(to), 1 + round, &[]);
            }
        }
        self.mine();
        for holder in 1..ACCOUNTS {
            let transfer = Token::transferCall { to: self.accounts[0], value: U256::from(7) };
            self.send(holder, Some(token), 0, &transfer.abi_encode());
            let salt = B256::with_last_byte(u8::try_from(holder).unwrap());
            let deploy = WalletFactory::deployCall { owner: self.accounts[holder], salt };
            self.send(holder, Some(factory), 0, &deploy.abi_encode());
            // What the transaction before has created is used in the same block.
            let wallet = call(
                self.url,
                "eth_call",
                &json!([{
                "to": factory,
                "data": hex::encode_prefixed(
                    WalletFactory::addressOfCall { owner: self.accounts[holder], salt }.abi_encode()
                ),
            }, "latest"]),
            );
            let wallet = Address::from_word(serde_json::from_value(wallet).unwrap());
            self.send(holder, Some(wallet), 5, &[]);
            self.send(holder, Some(keeper), 0, &[]);
        }
        self.mine();
        token
    }
}
