//! Well-known contracts: system contracts and what is at one address on every chain, and what
//! most blocks of mainnet call.
//!
//! Checksums guard the addresses against slips of the pen.

use std::{borrow::Cow, collections::BTreeMap};

use alloy_primitives::Address;

use crate::input::Chain;

/// One on a line: the chain or `any`, the address with its checksum, the name.
const TABLE: &str = include_str!("known.txt");

/// The names of a chain.
pub(super) fn addresses(chain: Chain) -> BTreeMap<Address, Cow<'static, str>> {
    let of_chain = |on: &str| on == "any" || chain.name() == Some(on);
    rows().filter(|(on, ..)| of_chain(on)).map(|(_, at, name)| (at, name.into())).collect()
}

fn rows() -> impl Iterator<Item = (&'static str, Address, &'static str)> {
    TABLE.lines().map(|line| {
        let mut fields = line.splitn(3, ' ');
        let mut next = || fields.next().expect("a row of the table has three fields");
        let (chain, address, name) = (next(), next(), next());
        let address = Address::parse_checksummed(address, None);
        (chain, address.expect("an address of the table has its checksum"), name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_and_each_name_is_there_once() {
        let rows: Vec<_> = rows().collect();
        for (position, (chain, address, name)) in rows.iter().enumerate() {
            assert!(matches!(*chain, "any" | "mainnet"), "{chain}");
            for (_, other, other_name) in &rows[..position] {
                assert_ne!((address, name), (other, name));
                assert_ne!(name, other_name);
            }
        }
    }

    #[test]
    fn mainnet_s_tokens_are_not_other_chains() {
        let weth: Address = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2".parse().unwrap();
        let permit2: Address = "0x000000000022D473030F116dDEE9F6B43aC78BA3".parse().unwrap();
        let (mainnet, other) = (addresses(Chain::Mainnet), addresses(Chain::Sepolia));
        assert_eq!((mainnet.get(&weth).unwrap(), other.get(&weth)), (&"WETH".into(), None));
        assert_eq!(other.get(&permit2), mainnet.get(&permit2));
    }
}
