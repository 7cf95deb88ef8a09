//! What a builder's own simulation measured of a transaction or bundle <-> access sets.
//!
//! Builders keep a trace of the state that a simulation used: slots with the values that were read
//! and written, balances that were looked at, ether sent and received, contracts created and
//! destroyed. [`MeasuredAccess`] has that shape. The two vocabularies differ, so each way
//! something is lost:
//!
//! | Measured | -> access set | <- access set |
//! |---|---|---|
//! | slot read, value | read; the value is lost | value unknown |
//! | slot written, value | read and write; [values](crate::PredictedAccess::values) in a prediction | value unknown |
//! | balance read, value | read; the value is lost | value unknown |
//! | ether received | delta, unless sent as well; the amount is lost | amount unknown |
//! | ether sent | read and write, since it must suffice; the amount is lost | from a written balance; amount unknown |
//! | contract created | nonce and code read and written | from written code; so an account that was delegated (EIP-7702) seems created |
//! | contract destroyed | nonce, code and balance read and written; its storage only in a prediction, as a scope | never |
//! | (not measured) | nonces, code that was called, fees: what [`with_protocol`](MeasuredAccess::with_protocol) adds | nonces and code that are read are lost |
//!
//! Everything measured becomes an access at least as wide. The other way nothing of slots and
//! balances is lost, and a scope is refused.

use std::collections::{BTreeMap, BTreeSet};

use revm::primitives::{Address, StorageKey, StorageValue, U256};
use serde::{Deserialize, Serialize};

use crate::{
    AccessSet, AccessSetBuilder, KeyOrigin, Location, PredictedAccess, Scope, WidenedAccess,
    access::AccessKind,
};

/// State that a simulation used. A value or an amount is `None` where it is not known: a
/// builder knows all of them, an access set none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredAccess {
    /// Slots that were read, with the values found.
    pub read_slots: BTreeMap<(Address, StorageKey), Option<StorageValue>>,
    /// Slots that were written, with the values left.
    pub written_slots: BTreeMap<(Address, StorageKey), Option<StorageValue>>,
    /// Balances that were looked at, in wei.
    pub read_balances: BTreeMap<Address, Option<U256>>,
    /// Ether that accounts received, in wei.
    pub received: BTreeMap<Address, Option<U256>>,
    /// Ether that accounts sent, in wei.
    pub sent: BTreeMap<Address, Option<U256>>,
    /// Contracts that were created.
    pub created: BTreeSet<Address>,
    /// Contracts that were destroyed.
    pub destroyed: BTreeSet<Address>,
}

/// What is known of the reads that decide what a measured transaction touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasuredDeciding {
    /// Nothing: it must be measured again whenever anything may have changed.
    Unknown,
    /// It holds as long as all that it read is the same: no other access can follow from the
    /// same values.
    AllReads,
}

impl MeasuredAccess {
    /// What is named in an access set, without any value.
    pub fn of_set(set: &AccessSet) -> Self {
        let mut measured = Self::default();
        for (kind, location) in set.iter() {
            match (kind, *location) {
                (AccessKind::Read, Location::Storage(address, key)) => {
                    measured.read_slots.insert((address, key), None);
                }
                (AccessKind::Write | AccessKind::Delta, Location::Storage(address, key)) => {
                    measured.written_slots.insert((address, key), None);
                }
                (AccessKind::Read, Location::Balance(address)) => {
                    measured.read_balances.insert(address, None);
                }
                (AccessKind::Write, Location::Balance(address)) => {
                    measured.sent.insert(address, None);
                }
                (AccessKind::Delta, Location::Balance(address)) => {
                    measured.received.insert(address, None);
                }
                (AccessKind::Write | AccessKind::Delta, Location::Code(address)) => {
                    measured.created.insert(address);
                }
                (_, Location::Nonce(_)) | (AccessKind::Read, Location::Code(_)) => {}
            }
        }
        measured
    }

    /// What a prediction says, with the values that it knows slots to have afterwards. A prediction that is widened has
    /// no such form: the widest scope that it has is returned.
    pub fn of_prediction(prediction: &PredictedAccess) -> Result<Self, Scope> {
        if let crate::Confidence::Widened(scope) = prediction.confidence() {
            return Err(scope);
        }
        let mut measured = Self::of_set(prediction.set());
        for &(location, value) in prediction.values() {
            if let Location::Storage(address, key) = location
                && let Some(known) = measured.written_slots.get_mut(&(address, key))
            {
                *known = Some(value);
            }
        }
        Ok(measured)
    }

    /// The accesses, without values. The storage of destroyed contracts is
    /// not named: [`to_prediction`](Self::to_prediction) covers it.
    pub fn to_set(&self) -> AccessSet {
        let mut set = AccessSetBuilder::new();
        self.add_to(&mut set);
        set.build()
    }

    /// The accesses as a prediction, with the gas that the simulation used.
    pub fn to_prediction(&self, gas: u64, deciding: MeasuredDeciding) -> PredictedAccess {
        self.prediction_of(self.to_set(), &[], gas, deciding)
    }

    /// The accesses of a transaction as a prediction, with those that simulations do not
    /// record: nonces, code, what the sender pays, fees. `protocol` is what
    /// [`ProtocolPredictor`](crate::ProtocolPredictor) says of the transaction.
    pub fn with_protocol(
        &self,
        protocol: &PredictedAccess,
        gas: u64,
        deciding: MeasuredDeciding,
    ) -> PredictedAccess {
        let mut set = AccessSetBuilder::new();
        self.add_to(&mut set);
        for (kind, location) in protocol.set().iter() {
            set.add(kind, *location);
        }
        self.prediction_of(set.build(), protocol.origins(), gas, deciding)
    }

    fn add_to(&self, set: &mut AccessSetBuilder) {
        for &(address, key) in self.read_slots.keys() {
            set.read(Location::Storage(address, key));
        }
        for &(address, key) in self.written_slots.keys() {
            // Gas depends on the old value (EIP-2200).
            set.read(Location::Storage(address, key)).write(Location::Storage(address, key));
        }
        for &address in self.read_balances.keys() {
            set.read(Location::Balance(address));
        }
        for &address in self.sent.keys() {
            set.read(Location::Balance(address)).write(Location::Balance(address));
        }
        for &address in self.received.keys() {
            set.delta(Location::Balance(address));
        }
        for &address in self.created.iter().chain(&self.destroyed) {
            for location in [Location::Nonce(address), Location::Code(address)] {
                set.read(location).write(location);
            }
        }
        for &address in &self.destroyed {
            set.read(Location::Balance(address)).write(Location::Balance(address));
        }
    }

    fn prediction_of(
        &self,
        set: AccessSet,
        origins: &[(Address, StorageKey, KeyOrigin)],
        gas: u64,
        deciding: MeasuredDeciding,
    ) -> PredictedAccess {
        let storage = self.destroyed.iter().map(|&address| WidenedAccess {
            scope: Scope::Contract { address },
            kind: AccessKind::Write,
        });
        let values = self.written_slots.iter().filter_map(|(&(address, key), value)| {
            Some((Location::Storage(address, key), (*value)?))
        });
        let decided_by = match deciding {
            MeasuredDeciding::Unknown => None,
            MeasuredDeciding::AllReads => Some(set.reads().to_vec()),
        };
        let prediction = PredictedAccess::exact(set, gas)
            .with_widened(storage)
            .with_origins(origins.iter().copied())
            .with_values(values);
        match decided_by {
            None => prediction,
            Some(reads) => prediction.with_deciding(reads),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        prelude::{Just, ProptestConfig, Strategy, any},
        prop_assert, prop_assert_eq, prop_oneof, proptest,
        test_runner::RngSeed,
    };

    use super::*;
    use crate::Confidence;

    fn address() -> impl Strategy<Value = Address> {
        (1u8..5).prop_map(Address::repeat_byte)
    }

    fn slots() -> impl Strategy<Value = BTreeMap<(Address, StorageKey), Option<StorageValue>>> {
        let slot = (address(), 0u8..4).prop_map(|(address, key)| (address, U256::from(key)));
        let value = any::<Option<u8>>().prop_map(|value| value.map(U256::from));
        vec((slot, value), 0..5).prop_map(|slots| slots.into_iter().collect())
    }

    fn amounts() -> impl Strategy<Value = BTreeMap<Address, Option<U256>>> {
        let amount = any::<Option<u8>>().prop_map(|amount| amount.map(U256::from));
        vec((address(), amount), 0..4).prop_map(|amounts| amounts.into_iter().collect())
    }

    fn accounts() -> impl Strategy<Value = BTreeSet<Address>> {
        vec(address(), 0..2).prop_map(|accounts| accounts.into_iter().collect())
    }

    fn measured() -> impl Strategy<Value = MeasuredAccess> {
        let ether = (amounts(), amounts(), amounts());
        (slots(), slots(), ether, accounts(), accounts()).prop_map(
            |(read_slots, written_slots, (read_balances, received, sent), created, destroyed)| {
                MeasuredAccess {
                    read_slots,
                    written_slots,
                    read_balances,
                    received,
                    sent,
                    created,
                    destroyed,
                }
            },
        )
    }

    fn set() -> impl Strategy<Value = AccessSet> {
        let kind =
            prop_oneof![Just(AccessKind::Read), Just(AccessKind::Write), Just(AccessKind::Delta)];
        let location = prop_oneof![
            (address(), 0u8..4).prop_map(|(at, key)| Location::Storage(at, U256::from(key))),
            address().prop_map(Location::Balance),
            address().prop_map(Location::Nonce),
            address().prop_map(Location::Code),
        ];
        vec((kind, location), 0..12).prop_map(|accesses| {
            let mut set = AccessSetBuilder::new();
            for (kind, location) in accesses {
                set.add(kind, location);
            }
            set.build()
        })
    }

    /// Whether the one who has `wide` meets everybody whom the one who has `kind` meets.
    fn is_as_wide(wide: &AccessSet, kind: AccessKind, location: &Location) -> bool {
        let has = |kind| wide.contains(location, kind);
        match kind {
            AccessKind::Read | AccessKind::Write => has(kind),
            AccessKind::Delta => has(AccessKind::Delta) || has(AccessKind::Write),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 512,
            rng_seed: RngSeed::Fixed(0x0f0e_77a5),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_was_measured_comes_back_without_values(before in measured()) {
            let set = before.to_set();
            let after = MeasuredAccess::of_set(&set);
            let keys = |slots: &BTreeMap<(Address, StorageKey), _>| -> Vec<_> {
                slots.keys().copied().collect()
            };
            prop_assert_eq!(keys(&after.written_slots), keys(&before.written_slots));
            let read: BTreeSet<_> =
                before.read_slots.keys().chain(before.written_slots.keys()).copied().collect();
            prop_assert_eq!(keys(&after.read_slots), read.into_iter().collect::<Vec<_>>());
            for address in before.read_balances.keys() {
                prop_assert!(after.read_balances.contains_key(address));
            }
            for address in before.sent.keys() {
                prop_assert!(after.sent.contains_key(address));
            }
            for address in before.received.keys() {
                let moved = after.received.contains_key(address) || after.sent.contains_key(address);
                prop_assert!(moved);
            }
            for address in before.created.iter().chain(&before.destroyed) {
                prop_assert!(after.created.contains(address));
            }
            prop_assert_eq!(after.to_set(), set, "another round changes nothing");
        }

        #[test]
        fn a_set_comes_back_as_wide_but_for_reads_of_nonces_and_code(before in set()) {
            let after = MeasuredAccess::of_set(&before).to_set();
            for (kind, location) in before.iter() {
                let is_lost = match location {
                    Location::Nonce(_) => true,
                    Location::Code(_) => kind == AccessKind::Read,
                    Location::Balance(_) => false,
                    // Slots are not credited.
                    Location::Storage(..) => kind == AccessKind::Delta,
                };
                prop_assert!(is_lost || is_as_wide(&after, kind, location), "{:?} {}", kind, location);
            }
        }

        #[test]
        fn a_prediction_of_slots_and_balances_comes_back_with_its_values(before in measured()) {
            let before = MeasuredAccess { created: BTreeSet::new(), destroyed: BTreeSet::new(), ..before };
            let prediction = before.to_prediction(7, MeasuredDeciding::AllReads);
            prop_assert_eq!(prediction.deciding_reads(), Some(prediction.set().reads()));
            prop_assert_eq!(prediction.gas(), 7);
            let after = MeasuredAccess::of_prediction(&prediction).unwrap();
            prop_assert_eq!(&after.written_slots, &before.written_slots);
            prop_assert_eq!(after.to_prediction(7, MeasuredDeciding::AllReads), prediction);
        }
    }

    #[test]
    fn a_destroyed_contract_stands_for_all_its_storage() {
        let address = Address::repeat_byte(7);
        let measured = MeasuredAccess { destroyed: [address].into(), ..MeasuredAccess::default() };
        let prediction = measured.to_prediction(0, MeasuredDeciding::Unknown);
        let scope = Scope::Contract { address };
        assert_eq!(prediction.confidence(), Confidence::Widened(scope));
        assert_eq!(prediction.deciding_reads(), None);
        assert_eq!(MeasuredAccess::of_prediction(&prediction), Err(scope));
    }

    #[test]
    fn what_the_protocol_touches_is_added_to_what_a_simulation_measured() {
        let [sender, pool, fees] = [1u8, 2, 3].map(Address::repeat_byte);
        let mut protocol = AccessSetBuilder::new();
        protocol
            .read(Location::Nonce(sender))
            .write(Location::Nonce(sender))
            .read(Location::Code(pool))
            .delta(Location::Balance(fees));
        let protocol = PredictedAccess::exact(protocol.build(), 21_000);
        let slot = (pool, U256::from(8));
        let measured = MeasuredAccess {
            written_slots: [(slot, Some(U256::from(5)))].into(),
            received: [(sender, None)].into(),
            ..MeasuredAccess::default()
        };
        let all = measured.with_protocol(&protocol, 90_000, MeasuredDeciding::Unknown);
        let slot = Location::Storage(pool, U256::from(8));
        assert_eq!(all.set().reads(), [Location::Nonce(sender), Location::Code(pool), slot]);
        assert_eq!(all.set().writes(), [Location::Nonce(sender), slot]);
        assert_eq!(all.set().deltas(), [Location::Balance(sender), Location::Balance(fees)]);
        assert_eq!(all.values(), [(slot, U256::from(5))]);
        assert_eq!(all.gas(), 90_000);
    }
}
