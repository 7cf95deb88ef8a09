//! Predictions of candidates -> the places at which some of them can meet, as numbers, and
//! what each transaction does there.
//!
//! Which candidates a block will have is not known yet. So that its conflict graph has no
//! heavier path than is computed here, the origin of a key counts as known only to transactions that
//! say it themselves; the graph takes it as known once any transaction of the block does.

use forewave_analyzer::{KeyOrigin, Location, PredictedAccess};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::{
    csr::Csr,
    scope::{cover, for_each_widened_use, is_in_mapping_scope, used_scopes},
    table::for_each_location,
    uses::Uses,
};

/// By transaction: what it does at places that matter, each place once.
#[derive(Debug)]
pub(super) struct Places {
    uses: Csr<(u32, Uses)>,
    len: usize,
}

impl Places {
    /// The places of these predictions.
    pub(super) fn new(predictions: &[&PredictedAccess]) -> Self {
        let scopes = used_scopes(predictions.iter().copied());
        let disputed = disputed_origins(&scopes, predictions);
        let mut ids: HashMap<Location, u32, DefaultHashBuilder> = HashMap::new();
        let mut uses: Vec<(usize, (u32, Uses))> = Vec::new();
        let scopes_len = number(scopes.len());
        let mut covering = Vec::new();
        for (tx, prediction) in predictions.iter().enumerate() {
            let start = uses.len();
            for_each_widened_use(&scopes, prediction, |scope, kinds| {
                uses.push((tx, (number(scope), kinds)));
            });
            for_each_location(prediction.set(), |location, kinds| {
                let next = scopes_len + number(ids.len());
                let id = *ids.entry(*location).or_insert(next);
                uses.push((tx, (id, kinds)));
                if scopes.is_empty() {
                    return;
                }
                covering.clear();
                let origin = own_origin(prediction, location, &disputed);
                cover(&scopes, location, origin, &mut covering);
                let part = as_part(kinds);
                uses.extend(covering.iter().map(|&scope| (tx, (number(scope), part))));
            });
            merge(&mut uses, start);
        }
        Self::shared(predictions.len(), scopes.len() + ids.len(), &uses)
    }

    /// Only the places at which one transaction can read what another wrote, numbered anew.
    fn shared(txs: usize, places: usize, uses: &[(usize, (u32, Uses))]) -> Self {
        let reads = Uses::READ | Uses::GLANCE;
        let writes = Uses::WRITE | Uses::CREDIT;
        // Number of users, and all that they do.
        let mut of_place = vec![(0u32, Uses::NONE); places];
        for &(_, (place, kinds)) in uses {
            let (users, all) = &mut of_place[place as usize];
            *users += 1;
            *all |= kinds;
        }
        let mut len = 0;
        let numbers: Vec<Option<u32>> = of_place
            .iter()
            .map(|&(users, all)| {
                let matters = users > 1 && all.intersects(reads) && all.intersects(writes);
                matters.then(|| {
                    len += 1;
                    len - 1
                })
            })
            .collect();
        let kept = uses.iter().filter_map(|&(tx, (place, kinds))| {
            numbers[place as usize].map(|place| (tx, (place, kinds)))
        });
        Self { uses: Csr::group(txs, kept), len: len as usize }
    }

    /// The number of places.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// What a transaction does where.
    pub(super) fn of(&self, tx: usize) -> &[(u32, Uses)] {
        self.uses.row(tx)
    }
}

/// What covers a named access meets only who is widened.
fn as_part(kinds: Uses) -> Uses {
    let mut part = Uses::NONE;
    if kinds.contains(Uses::READ) {
        part |= Uses::GLANCE;
    }
    if kinds.intersects(Uses::WRITE | Uses::CREDIT) {
        part |= Uses::CREDIT;
    }
    part
}

/// Sorts the uses of the last transaction and puts those of one place together.
fn merge(uses: &mut Vec<(usize, (u32, Uses))>, start: usize) {
    uses[start..].sort_unstable_by_key(|&(_, (place, _))| place);
    let mut kept = start;
    for at in start..uses.len() {
        let (tx, (place, kinds)) = uses[at];
        match uses[start..kept].last_mut() {
            Some((_, (last, all))) if *last == place => *all |= kinds,
            _ => {
                uses[kept] = (tx, (place, kinds));
                kept += 1;
            }
        }
    }
    uses.truncate(kept);
}

/// Keys of whose origin candidates contradict each other.
fn disputed_origins(
    scopes: &[forewave_analyzer::Scope],
    predictions: &[&PredictedAccess],
) -> HashMap<Location, Option<KeyOrigin>, DefaultHashBuilder> {
    let mut known = HashMap::default();
    if scopes.is_empty() {
        return known;
    }
    for &(address, key, origin) in predictions.iter().flat_map(|prediction| prediction.origins()) {
        let location = Location::Storage(address, key);
        if is_in_mapping_scope(scopes, &location) {
            let first = known.entry(location).or_insert(Some(origin));
            *first = first.filter(|first| *first == origin);
        }
    }
    known
}

/// What a prediction itself says of a key's origin, if no other contradicts.
fn own_origin(
    prediction: &PredictedAccess,
    location: &Location,
    agreed: &HashMap<Location, Option<KeyOrigin>, DefaultHashBuilder>,
) -> Option<KeyOrigin> {
    let Location::Storage(address, key) = *location else { return None };
    let agreed = agreed.get(location).copied().flatten();
    agreed.and_then(|_| prediction.origin(address, key))
}

fn number(position: usize) -> u32 {
    u32::try_from(position).expect("candidates name fewer than 2^32 places")
}
