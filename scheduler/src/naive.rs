//! The obvious, quadratic version of the conflict graph: the oracle of the
//! fast one.
//!
//! It looks at each pair of transactions and each place, and asks who is in
//! between. It knows no bounds, so the two agree only on blocks below them.

use std::collections::BTreeSet;

use forewave_analyzer::{AccessKind, KeyOrigin, Location, PredictedAccess, Scope};

use crate::Hazard;

/// What an access names: one location, or all that a scope covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    Location(Location),
    Scope(Scope),
}

/// (earlier, later, how, where), transactions by position.
pub(crate) type Conflicts = BTreeSet<(usize, usize, Hazard, Named)>;

/// Every conflict of the block.
pub(crate) fn conflicts(block: &[PredictedAccess]) -> Conflicts {
    let mut found = Conflicts::new();
    let locations: BTreeSet<Location> =
        block.iter().flat_map(|prediction| prediction.set().locations()).collect();
    let scopes: BTreeSet<Scope> =
        block.iter().flat_map(PredictedAccess::widened).map(|widened| widened.scope).collect();
    for later in 0..block.len() {
        for earlier in 0..later {
            for location in &locations {
                for hazard in at_location(block, *location, earlier, later) {
                    found.insert((earlier, later, hazard, Named::Location(*location)));
                }
            }
            for scope in &scopes {
                for hazard in at_scope(block, *scope, earlier, later) {
                    found.insert((earlier, later, hazard, Named::Scope(*scope)));
                }
            }
        }
    }
    found
}

fn at_location(
    block: &[PredictedAccess],
    location: Location,
    earlier: usize,
    later: usize,
) -> Vec<Hazard> {
    let has = |tx: usize, kind| block[tx].set().contains(&location, kind);
    let reads = |tx| has(tx, AccessKind::Read);
    let replaces = |tx| has(tx, AccessKind::Write);
    let credits = |tx| has(tx, AccessKind::Delta);
    let changes = |tx| replaces(tx) || credits(tx);
    let is_hidden = (earlier + 1..later).any(replaces);
    hazards(
        is_hidden,
        [
            changes(earlier) && reads(later),
            reads(earlier) && !replaces(earlier) && changes(later),
            replaces(earlier) && changes(later) || changes(earlier) && replaces(later),
        ],
    )
}

fn at_scope(block: &[PredictedAccess], scope: Scope, earlier: usize, later: usize) -> Vec<Hazard> {
    let whole = |tx: usize| block[tx].widened().iter().filter(|it| it.scope == scope);
    let reads_all = |tx| whole(tx).count() > 0;
    let replaces_all = |tx| whole(tx).any(|it| it.kind == AccessKind::Write);
    let part = |tx: usize, is_change: bool| {
        accesses(&block[tx]).into_iter().any(|(named, kind)| {
            named != Named::Scope(scope)
                && is_change == (kind != AccessKind::Read)
                && covers(block, scope, named)
        })
    };
    // A widened write is a read too.
    let reads = |tx| reads_all(tx) || part(tx, false) || widened_change(block, scope, tx);
    let changes = |tx| replaces_all(tx) || part(tx, true);
    let is_hidden = (earlier + 1..later).any(replaces_all);
    hazards(
        is_hidden,
        [
            replaces_all(earlier) && reads(later) || changes(earlier) && reads_all(later),
            !replaces_all(earlier)
                && (reads_all(earlier) && changes(later) || reads(earlier) && replaces_all(later)),
            replaces_all(earlier) && changes(later) || changes(earlier) && replaces_all(later),
        ],
    )
}

/// Whether a write widened to a narrower scope, which reads too, is covered.
fn widened_change(block: &[PredictedAccess], scope: Scope, tx: usize) -> bool {
    let narrower = block[tx].widened().iter().filter(|it| it.scope != scope);
    narrower.map(|it| Named::Scope(it.scope)).any(|named| covers(block, scope, named))
}

fn hazards(is_hidden: bool, [raw, war, waw]: [bool; 3]) -> Vec<Hazard> {
    let all = [(raw, Hazard::Raw), (war, Hazard::War), (waw, Hazard::Waw)];
    all.into_iter().filter(|(holds, _)| *holds && !is_hidden).map(|(_, hazard)| hazard).collect()
}

/// Every access, named and widened.
pub(crate) fn accesses(prediction: &PredictedAccess) -> Vec<(Named, AccessKind)> {
    let named = prediction.set().iter().map(|(kind, it)| (Named::Location(*it), kind));
    let widened = prediction.widened().iter().map(|it| (Named::Scope(it.scope), it.kind));
    named.chain(widened).collect()
}

/// Whether `scope` covers all or some of what is named, or the reverse.
pub(crate) fn overlaps(block: &[PredictedAccess], a: Named, b: Named) -> bool {
    match (a, b) {
        (Named::Scope(a), _) if covers(block, a, b) => true,
        (_, Named::Scope(b)) => covers(block, b, a),
        _ => a == b,
    }
}

fn covers(block: &[PredictedAccess], scope: Scope, named: Named) -> bool {
    match (scope, named) {
        (Scope::Everything, _) => true,
        (Scope::Contract { address }, Named::Location(Location::Storage(account, _))) => {
            address == account
        }
        (Scope::Contract { address }, Named::Scope(inner)) => match inner {
            Scope::Contract { address: account } | Scope::Mapping { address: account, .. } => {
                address == account
            }
            Scope::Everything => false,
        },
        (Scope::Mapping { address, slot }, Named::Location(Location::Storage(account, key))) => {
            let origins: BTreeSet<KeyOrigin> =
                block.iter().filter_map(|it| it.origin(account, key)).collect();
            let may_be = origins.len() != 1 || origins.contains(&KeyOrigin::Mapping(slot));
            address == account && may_be
        }
        (Scope::Mapping { .. }, Named::Scope(inner)) => scope == inner,
        (Scope::Contract { .. } | Scope::Mapping { .. }, _) => false,
    }
}
