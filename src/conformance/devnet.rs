//! Amsterdam as it was while its tests were first filled, in April 2026.
//!
//! The published cases of EIP-7928 come from a test network that did not have EIP-2780, EIP-8038
//! and EIP-8282 yet, and priced state otherwise (EIP-8037). Such a case is recognized by its genesis, which
//! lacks the contracts of EIP-8282: by the rules of the fork no block could follow it. Everything but
//! these prices is the fork's own, access lists above all.
//!
//! What revm no longer has is not emulated: a transaction that sets code (EIP-7702) paid for state in advance.

use alloy_eips::eip8282::BUILDER_DEPOSIT_CONTRACT_ADDRESS;
use forewave_analyzer::{Block, MemoryState};
use revm::{
    context_interface::cfg::{GasId, GasParams},
    primitives::hardfork::SpecId,
};

use crate::access_list::{EntryAt, ListFault};

/// Gas of a byte of state, and what is charged by the byte.
const STATE_BYTE: u64 = 1_174;
const SLOT_BYTES: u64 = 32;
const ACCOUNT_BYTES: u64 = 112;
const AUTHORIZATION_BYTES: u64 = 23;

/// Gas of a byte of an access list (EIP-7981).
const LIST_BYTE: u64 = 64;

/// Whether the chain of this genesis follows the fork as it was then.
pub(super) fn is_of_devnet(genesis: &MemoryState) -> bool {
    genesis.accounts().all(|(address, ..)| address != BUILDER_DEPOSIT_CONTRACT_ADDRESS)
}

/// Makes a block of the fork follow it as it was then.
pub(super) fn follow(block: &mut Block) {
    block.cfg.enable_amsterdam_eip2780 = false;
    block.cfg.set_gas_params(prices());
}

/// Why a case is not judged that only differs in what gas decides.
pub(super) const OTHER_GAS: &str = "its access list is right but for balances: gas is priced by rules \
     that revm no longer has (EIP-8037 before EIP-2780, EIP-8038)";

/// Whether a fault of a list may come of gas: what senders and the beneficiary have left.
pub(super) const fn is_of_gas(fault: &ListFault) -> bool {
    let ListFault::Entry { at: EntryAt::Balance(_), given, made, .. } = fault else { return false };
    given.is_some() && made.is_some()
}

/// What things cost.
fn prices() -> GasParams {
    let (mut prices, before) =
        (GasParams::new_spec(SpecId::AMSTERDAM), GasParams::new_spec(SpecId::OSAKA));
    let as_before = [
        GasId::warm_storage_read_cost(),
        GasId::cold_account_additional_cost(),
        GasId::cold_storage_additional_cost(),
        GasId::cold_storage_cost(),
        GasId::transfer_value_cost(),
        GasId::sstore_static(),
        GasId::sstore_reset_without_cold_load_cost(),
        GasId::sstore_reset_refund(),
        GasId::sstore_clearing_slot_refund(),
        GasId::tx_floor_cost_base_gas(),
    ];
    prices.override_gas(as_before.map(|id| (id, before.get(id))));
    prices.override_gas([
        (GasId::create(), 9_000),
        (GasId::tx_create_cost(), 9_000),
        (GasId::new_account_cost_for_selfdestruct(), 0),
        (GasId::sstore_set_without_load_cost(), 2_800),
        (GasId::sstore_set_refund(), 2_800),
        (GasId::sstore_set_state_gas(), SLOT_BYTES * STATE_BYTE),
        (GasId::new_account_state_gas(), ACCOUNT_BYTES * STATE_BYTE),
        (GasId::create_state_gas(), ACCOUNT_BYTES * STATE_BYTE),
        (GasId::code_deposit_state_gas(), STATE_BYTE),
        (GasId::tx_eip7702_state_gas_bytecode(), AUTHORIZATION_BYTES * STATE_BYTE),
        (GasId::tx_eip7702_regular_gas(), 7_500),
        (GasId::tx_access_list_address_cost(), 2_400 + 20 * LIST_BYTE),
        (GasId::tx_access_list_storage_key_cost(), 1_900 + 32 * LIST_BYTE),
    ]);
    prices
}
