//! From selectors to the signatures of functions: a bundled list of common
//! ones, and the ABI of the contract where there is one.
//!
//! A selector is always computed from its signature, never written down. It is
//! four bytes, so a name is what the function is likely called, not a proof.

use alloy_json_abi::JsonAbi;
use alloy_primitives::keccak256;
use hashbrown::HashMap;

/// Signatures of common functions, one on a line.
const COMMON: &str = include_str!("selectors/common.txt");

/// Signatures by selector.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    signatures: HashMap<u32, String>,
}

impl Selectors {
    /// The bundled list.
    pub fn common() -> Self {
        let named = COMMON.lines().map(|signature| (selector(signature), signature.to_owned()));
        Self { signatures: named.collect() }
    }

    /// Adds the functions of an ABI, which know better than the list.
    pub fn extend(&mut self, abi: &JsonAbi) {
        for function in abi.functions() {
            let selector = u32::from_be_bytes(function.selector().0);
            self.signatures.insert(selector, function.signature());
        }
    }

    /// The signature of the function with this selector: `transfer(address,uint256)`.
    pub fn signature(&self, selector: u32) -> Option<&str> {
        self.signatures.get(&selector).map(String::as_str)
    }

    /// The name alone: `transfer`.
    pub fn name(&self, selector: u32) -> Option<&str> {
        self.signature(selector)?.split('(').next()
    }
}

/// The first four bytes of a signature's hash.
fn selector(signature: &str) -> u32 {
    let hash = keccak256(signature);
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_json_abi::Function;

    use super::*;

    #[test]
    fn every_bundled_signature_is_a_function_s_and_has_its_own_selector() {
        let mut selectors = BTreeSet::new();
        for signature in COMMON.lines() {
            let function = Function::parse(signature).unwrap();
            assert_eq!(function.signature(), signature);
            let selector = u32::from_be_bytes(function.selector().0);
            assert_eq!(Selectors::common().signature(selector), Some(signature));
            assert!(selectors.insert(selector), "{signature}");
        }
        assert_eq!(Selectors::common().name(0xa905_9cbb), Some("transfer"));
    }

    #[test]
    fn an_abi_knows_better_than_the_list() {
        let mut selectors = Selectors::common();
        let json = r#"[{"type":"function","name":"dust","inputs":[{"name":"","type":"uint8"}],
            "outputs":[],"stateMutability":"view"}]"#;
        selectors.extend(&serde_json::from_str(json).unwrap());
        assert_eq!(selectors.signature(selector("dust(uint8)")), Some("dust(uint8)"));
    }
}
