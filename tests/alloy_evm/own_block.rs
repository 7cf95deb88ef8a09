//! A block whose transactions call the precompile and run the opcode of [`custom`](super::custom),
//! some of them look at the beneficiary's fees, and others have nothing to do with any of it.

use std::sync::Arc;

use alloy_consensus::{Header, Signed, TxEip1559, TxEnvelope, transaction::Recovered};
use alloy_eips::eip7840::BlobParams;
use alloy_evm::{EvmEnv, eth::spec::EthSpec};
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use forewave::MemoryState;
use revm::{
    bytecode::{Bytecode, opcode},
    state::AccountInfo,
};

use super::{
    custom::{COUNTER, TALLY},
    load::Loaded,
};

const TRANSACTIONS: u64 = 120;
const SENDERS: u64 = 50;

/// Stores what the opcode says of the caller.
const TALLIES_CALLER: Address = Address::repeat_byte(0xa1);
/// Stores what the opcode says of the beneficiary.
const TALLIES_FEES: Address = Address::repeat_byte(0xa2);
/// Calls the precompile and stores under the caller what it answers.
const COUNTS: Address = Address::repeat_byte(0xa3);

/// Transactions of each kind come in turns of seven.
pub(crate) const COUNTING: u64 = TRANSACTIONS.div_ceil(7) + (TRANSACTIONS - 1).div_ceil(7);

fn sender(number: u64) -> Address {
    Address::left_padding_from(&(0x5000 + number % SENDERS).to_be_bytes())
}

fn code(state: &mut MemoryState, address: Address, bytes: &[u8]) {
    let code = Bytecode::new_raw(bytes.to_vec().into());
    let info = AccountInfo {
        nonce: 1,
        code_hash: code.hash_slow(),
        code: Some(code),
        ..AccountInfo::default()
    };
    state.insert_account(address, info);
}

pub(crate) fn own_block() -> Loaded {
    let mut state = MemoryState::default();
    for number in 0..SENDERS {
        state.insert_account(sender(number), AccountInfo::from_balance(U256::from(10_u64.pow(18))));
    }
    let store_at = |slot| [opcode::PUSH1, slot, opcode::SSTORE, opcode::STOP];
    code(&mut state, TALLIES_CALLER, &[&[opcode::CALLER, TALLY][..], &store_at(0)].concat());
    code(&mut state, TALLIES_FEES, &[&[opcode::COINBASE, TALLY][..], &store_at(1)].concat());
    let call = [
        &[opcode::PUSH1, 32, opcode::PUSH0, opcode::PUSH0, opcode::PUSH0, opcode::PUSH0][..],
        &[opcode::PUSH20],
        COUNTER.as_slice(),
        &[opcode::GAS, opcode::CALL, opcode::POP],
        &[opcode::PUSH0, opcode::MLOAD, opcode::CALLER, opcode::SSTORE, opcode::STOP],
    ];
    code(&mut state, COUNTS, &call.concat());
    let header = Header {
        number: 19_500_000,
        timestamp: 1_711_230_011,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        base_fee_per_gas: Some(10),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::repeat_byte(5)),
        ..Header::default()
    };
    let spec = EthSpec::mainnet();
    let env = EvmEnv::for_eth_block(&header, &spec, 1, Some(BlobParams::cancun()));
    let transactions = (0..TRANSACTIONS).map(|number| {
        let to = match number % 7 {
            0 => COUNTS,
            1 => COUNTER,
            2 => TALLIES_CALLER,
            3 if number % 5 == 0 => TALLIES_FEES,
            _ => Address::left_padding_from(&(0x9000 + number).to_be_bytes()),
        };
        let tx = TxEip1559 {
            chain_id: 1,
            nonce: number / SENDERS,
            gas_limit: 200_000,
            max_fee_per_gas: 100,
            max_priority_fee_per_gas: 3,
            to: TxKind::Call(to),
            value: U256::from(u64::from(number % 7 > 3)),
            ..TxEip1559::default()
        };
        let signed = Signed::new_unhashed(tx, Signature::test_signature());
        Recovered::new_unchecked(TxEnvelope::from(signed), sender(number))
    });
    let transactions = transactions.collect();
    let state = Arc::new(state);
    Loaded { header, transactions, withdrawals: Vec::new(), env, spec, state }
}
