//! From what an evaluation recorded to the prediction.

use bitvec::vec::BitVec;
use revm::{DatabaseRef, primitives::StorageKey};

use super::{Evaluation, data::Value, record::Uses};
use crate::{AccessKind, AccessSet, KeyOrigin, Location, PredictedAccess};

/// A location as it was used, and the declared slot of its mapping.
pub(super) type Used = (Location, Uses, Option<StorageKey>);

const KINDS: [AccessKind; 3] = [AccessKind::Read, AccessKind::Write, AccessKind::Delta];

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// The prediction.
    pub(super) fn finish(&mut self) -> PredictedAccess {
        let mut used = core::mem::take(&mut self.scratch.used);
        used.clear();
        let record = &self.scratch.record;
        used.extend(record.fields.iter().map(|field| (field.location, field.uses, None)));
        used.extend(
            record
                .slots
                .iter()
                .map(|slot| (Location::Storage(slot.address, slot.key), slot.uses, slot.scope)),
        );
        used.sort_unstable_by_key(|used| used.0);
        let prediction = PredictedAccess::exact(access_set(&used), self.gas.min(self.tx.gas_limit));
        let prediction = self.with_details(prediction, &used);
        self.scratch.used = used;
        prediction
    }

    fn with_details(&self, mut prediction: PredictedAccess, used: &[Used]) -> PredictedAccess {
        let has_may = used.iter().any(|(_, uses, _)| uses.has_may());
        if has_may {
            let of = |kind| used.iter().filter(move |(_, uses, _)| uses.counts(kind));
            let may: BitVec =
                KINDS.iter().flat_map(|kind| of(*kind).map(|it| !it.1.is_must(*kind))).collect();
            prediction = prediction.with_may(may);
        }
        let origins: Vec<_> = used
            .iter()
            .filter_map(|(location, _, scope)| match (location, scope) {
                (Location::Storage(address, key), Some(scope)) => {
                    Some((*address, *key, KeyOrigin::Mapping(*scope)))
                }
                _ => None,
            })
            .collect();
        let stored = self.scratch.record.slots.iter().filter(|slot| slot.is_stored);
        let values = stored.filter_map(|slot| {
            let value = slot.value.filter(Value::is_known)?;
            Some((Location::Storage(slot.address, slot.key), value.word))
        });
        if !self.scratch.widened.is_empty() {
            let (widened, causes): (Vec<_>, Vec<_>) = self.scratch.widened.iter().copied().unzip();
            prediction = prediction.with_widened(widened).with_causes(causes);
        }
        let payer = Location::Balance(self.tx.caller);
        prediction
            .with_sorted_origins(origins)
            .with_payer_seen(self.scratch.reads.contains(&payer))
            .with_deciding(self.deciding_reads())
            .with_values(values)
    }
}

/// The set of what was used, in the order of the locations.
fn access_set(used: &[Used]) -> AccessSet {
    let mut locations = Vec::with_capacity(2 * used.len());
    let mut starts = [0; 3];
    for (kind, start) in KINDS.into_iter().zip(&mut starts) {
        *start = locations.len();
        let of_kind = used.iter().filter(|(_, uses, _)| uses.counts(kind));
        locations.extend(of_kind.map(|(location, ..)| *location));
    }
    AccessSet::from_sections(locations, starts[1], starts[2])
}
