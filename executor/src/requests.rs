//! Requests to the consensus layer (EIP-7685), from what a block did: deposits out
//! of the deposit contract's logs (EIP-6110), and in front of them their type.

use alloy_eips::{eip6110::DEPOSIT_REQUEST_TYPE, eip7685::Requests};
use forewave_analyzer::TxIndex;
use revm::primitives::{Address, B256, Bytes, Log, b256};

use crate::{ExecutionError, TxReceipt};

/// `DepositEvent(bytes,bytes,bytes,bytes,bytes)`.
const DEPOSIT_EVENT: B256 =
    b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
/// Where in the event's data each field's length stands, and the length: public
/// key, withdrawal credentials, amount, signature, index.
const DEPOSIT_FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];
/// Bytes of the event's data.
const DEPOSIT_EVENT_LEN: usize = 576;
/// Bytes of an ABI word.
const WORD: usize = 32;

/// Puts the deposits that `contract` logged in front of the other requests.
pub(crate) fn with_deposits<E: core::error::Error>(
    contract: Option<Address>,
    receipts: &[TxReceipt],
    others: Requests,
) -> Result<Requests, ExecutionError<E>> {
    let mut deposits = Vec::new();
    for (position, receipt) in receipts.iter().enumerate() {
        for (log, event) in receipt.logs.iter().enumerate() {
            if Some(event.address) == contract && event.topics().first() == Some(&DEPOSIT_EVENT) {
                let tx = TxIndex::new(position);
                let misshapen = ExecutionError::DepositLayout { tx, log };
                push_deposit(event, &mut deposits).ok_or(misshapen)?;
            }
        }
    }
    let mut requests = Requests::default();
    requests.push_request_with_type(DEPOSIT_REQUEST_TYPE, deposits);
    requests.extend(others);
    Ok(requests)
}

/// Appends the fields of a deposit, if its data is laid out as EIP-6110 demands.
fn push_deposit(event: &Log, deposits: &mut Vec<u8>) -> Option<()> {
    let data: &Bytes = &event.data.data;
    if data.len() != DEPOSIT_EVENT_LEN {
        return None;
    }
    let word_is = |at: usize, value: usize| {
        data[at..at + WORD] == B256::left_padding_from(&value.to_be_bytes())[..]
    };
    for (field, (offset, len)) in DEPOSIT_FIELDS.into_iter().enumerate() {
        if !word_is(field * WORD, offset) || !word_is(offset, len) {
            return None;
        }
        deposits.extend_from_slice(&data[offset + WORD..][..len]);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use revm::primitives::LogData;

    use super::*;

    const CONTRACT: Address = Address::repeat_byte(0xde);

    fn event_data() -> Vec<u8> {
        let mut data = vec![0; DEPOSIT_EVENT_LEN];
        for (field, (offset, len)) in DEPOSIT_FIELDS.into_iter().enumerate() {
            for (at, value) in [(field * WORD, offset), (offset, len)] {
                data[at + WORD - 8..at + WORD].copy_from_slice(&(value as u64).to_be_bytes());
            }
            data[offset + WORD..][..len].fill(u8::try_from(field).unwrap() + 1);
        }
        data
    }

    fn requests(
        contract: Option<Address>,
        topic: B256,
        data: Vec<u8>,
    ) -> Result<Vec<Bytes>, ExecutionError<Infallible>> {
        let log = Log { address: CONTRACT, data: LogData::new_unchecked(vec![topic], data.into()) };
        let receipt = TxReceipt {
            tx_type: 0,
            status: true,
            gas_used: 0,
            regular_gas_used: 0,
            cumulative_gas_used: 0,
            logs: vec![Log::default(), log],
            created_address: None,
        };
        let others = Requests::new(vec![Bytes::from_static(&[2, 9])]);
        with_deposits(contract, &[receipt], others).map(Requests::take)
    }

    #[test]
    fn deposits_come_first_with_their_type_and_only_from_the_chains_contract() {
        let deposit = [[1; 48].as_slice(), &[2; 32], &[3; 8], &[4; 96], &[5; 8]].concat();
        let deposit = Bytes::from([[0].as_slice(), &deposit].concat());
        let other = Bytes::from_static(&[2, 9]);
        let found = requests(Some(CONTRACT), DEPOSIT_EVENT, event_data());
        assert_eq!(found, Ok(vec![deposit, other.clone()]));
        for contract in [None, Some(Address::ZERO)] {
            let found = requests(contract, DEPOSIT_EVENT, event_data());
            assert_eq!(found, Ok(vec![other.clone()]));
        }
        let found = requests(Some(CONTRACT), B256::ZERO, vec![]);
        assert_eq!(found, Ok(vec![other]));
    }

    #[test]
    fn an_event_of_another_layout_makes_the_block_invalid() {
        let wrong = Err(ExecutionError::DepositLayout { tx: TxIndex::new(0), log: 1 });
        let mut cut = event_data();
        cut.pop();
        assert_eq!(requests(Some(CONTRACT), DEPOSIT_EVENT, cut), wrong);
        for (field, (offset, _)) in DEPOSIT_FIELDS.into_iter().enumerate() {
            for at in [field * WORD, field * WORD + WORD - 1, offset, offset + WORD - 1] {
                let mut data = event_data();
                data[at] ^= 1;
                assert_eq!(requests(Some(CONTRACT), DEPOSIT_EVENT, data), wrong);
            }
        }
    }
}
