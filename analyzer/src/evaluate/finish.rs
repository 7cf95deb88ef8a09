//! From what an evaluation recorded to the prediction.

use bitvec::vec::BitVec;
use revm::DatabaseRef;

use super::Evaluation;
use crate::{AccessKind, AccessSet, KeyOrigin, Location, PredictedAccess};

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// The prediction.
    pub(super) fn finish(&mut self) -> PredictedAccess {
        let record = &self.scratch.record;
        let mut uses: Vec<(AccessKind, Location, bool)> =
            Vec::with_capacity(2 * (record.fields.len() + record.slots.len()));
        let slots = record
            .slots
            .iter()
            .map(|slot| (Location::Storage(slot.address, slot.key), slot.uses));
        for (location, of) in record.fields.iter().map(|it| (it.location, it.uses)).chain(slots) {
            for kind in [AccessKind::Read, AccessKind::Write, AccessKind::Delta] {
                // What is written is not credited besides.
                let is_both = kind == AccessKind::Delta && of.has(AccessKind::Write);
                if of.has(kind) && !is_both {
                    uses.push((kind, location, of.is_must(kind)));
                }
            }
        }
        uses.sort_unstable();
        let of = |kind: AccessKind| {
            let uses = uses.iter().filter(move |(other, ..)| *other == kind);
            uses.map(|(_, location, _)| *location).collect::<Vec<_>>()
        };
        let set = AccessSet::from_sorted(
            &of(AccessKind::Read),
            &of(AccessKind::Write),
            &of(AccessKind::Delta),
        );
        let may: BitVec = uses.iter().map(|(_, _, is_must)| !is_must).collect();
        let gas = self.gas.min(self.tx.gas_limit);
        let origins = record.slots.iter().filter_map(|slot| {
            let scope = slot.scope?;
            Some((slot.address, slot.key, KeyOrigin::Mapping(scope)))
        });
        let values = record.slots.iter().filter(|slot| slot.is_stored).filter_map(|slot| {
            let value = slot.value.filter(super::data::Value::is_known)?;
            Some((Location::Storage(slot.address, slot.key), value.word))
        });
        let sees_payer = record.fields.iter().any(|field| {
            field.location == Location::Balance(self.tx.caller) && self.payer_is_seen()
        });
        let (widened, causes): (Vec<_>, Vec<_>) = self.scratch.widened.iter().copied().unzip();
        PredictedAccess::exact(set, gas)
            .with_widened(widened)
            .with_origins(origins)
            .with_payer_seen(sees_payer)
            .with_may(may)
            .with_causes(causes)
            .with_deciding(self.deciding_reads())
            .with_values(values)
    }

    /// Whether code looks at the balance of the sender.
    fn payer_is_seen(&self) -> bool {
        self.scratch.reads.contains(&Location::Balance(self.tx.caller))
    }
}
