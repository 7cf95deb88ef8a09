//! What a transaction costs before its code runs.
//!
//! Of a call, each byte of call data costs the same as every other that is zero,
//! or is not. So what such a byte costs is asked once for the block, and bytes
//! are only counted.

use revm::{
    context::{TxEnv, transaction::TransactionType},
    context_interface::{
        Transaction as _,
        cfg::{GasParams, gas::InitialAndFloorGas},
    },
};

/// Bytes whose count fits a byte.
const COUNTED_BYTES: usize = 255;

/// Gas of one byte of call data, and what it adds to the floor (EIP-7623).
#[derive(Clone, Copy, Debug)]
struct ByteGas {
    initial: u64,
    floor: u64,
}

/// The prices of call data under the rules of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallDataGas {
    zero: ByteGas,
    other: ByteGas,
}

impl CallDataGas {
    /// The prices under these rules.
    pub(crate) fn new(params: &GasParams) -> Self {
        let of = |input| params.initial_tx_gas(input, false, 0, 0, 0, None);
        let none = of(&[]);
        let [zero, other] = [&[0], &[1]].map(|byte| {
            let one = of(byte);
            ByteGas {
                initial: one.initial_regular_gas() - none.initial_regular_gas(),
                floor: one.floor_gas() - none.floor_gas(),
            }
        });
        Self { zero, other }
    }

    /// What `tx` costs before its code runs, and at least.
    pub(crate) fn of(&self, params: &GasParams, tx: &TxEnv) -> InitialAndFloorGas {
        if tx.kind.is_create() {
            return params.initial_tx_gas_for_tx(tx, None);
        }
        let (mut accounts, mut slots) = (0, 0);
        if tx.tx_type() != TransactionType::Legacy {
            accounts = tx.access_list.len() as u64;
            slots = tx.access_list.iter().map(|item| item.storage_keys.len() as u64).sum();
        }
        let authorizations = tx.authorization_list.len() as u64;
        let rest = params.initial_tx_gas(&[], false, accounts, slots, authorizations, None);
        let others: u64 = tx.data.chunks(COUNTED_BYTES).map(count_others).sum();
        let zeros = tx.data.len() as u64 - others;
        let Self { zero, other } = self;
        let initial = zero.initial * zeros + other.initial * others;
        let floor = zero.floor * zeros + other.floor * others;
        rest.with_initial_regular_gas(rest.initial_regular_gas() + initial)
            .with_floor_gas(rest.floor_gas() + floor)
    }
}

/// How many bytes are not zero.
fn count_others(bytes: &[u8]) -> u64 {
    u64::from(bytes.iter().map(|byte| u8::from(*byte != 0)).sum::<u8>())
}

#[cfg(test)]
mod tests {
    use revm::{
        context::transaction::{AccessList, AccessListItem},
        primitives::{Address, B256, TxKind, hardfork::SpecId},
    };

    use super::*;

    #[test]
    fn the_intrinsic_gas_is_that_of_revm_under_all_rules() {
        let list = AccessList(vec![AccessListItem {
            address: Address::ZERO,
            storage_keys: vec![B256::ZERO; 3],
        }]);
        for spec in [SpecId::FRONTIER, SpecId::ISTANBUL, SpecId::BERLIN, SpecId::OSAKA] {
            let params = GasParams::new_spec(spec);
            let prices = CallDataGas::new(&params);
            for len in (0..70).chain([254, 255, 256, 1000]) {
                for kind in [TxKind::Create, TxKind::Call(Address::ZERO)] {
                    for tx_type in [0, 1] {
                        let data: Vec<u8> =
                            (0..len).map(|at: u32| u8::from(!at.is_multiple_of(3)) * 200).collect();
                        let access_list = list.clone();
                        let data = data.into();
                        let tx = TxEnv { kind, data, tx_type, access_list, ..TxEnv::default() };
                        let expected = params.initial_tx_gas_for_tx(&tx, None);
                        assert_eq!(prices.of(&params, &tx), expected, "{spec:?}, {len} bytes");
                    }
                }
            }
        }
    }
}
