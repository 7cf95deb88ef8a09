//! What a contract's functions do to what they make of calls: which of them can never run side
//! by side, for any callers and any arguments, and where they meet. `forewave lint`
//! prints it, as text or JSON.
//!
//! Two calls conflict where one writes what the other reads or writes. At a place that does
//! not depend on caller or arguments every two calls of two such functions meet. A lock against
//! reentry is at the end as it was, so that it orders nothing.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use forewave_analyzer::{
    AccessSummary, Completeness, Effect, Entry, EntrySummary, Frequency, Implementation,
    SharedPlace, Target, WriteKind,
};
use serde::Serialize;

use crate::selectors::Selectors;

/// `forewave lint --json`: what makes calls of a contract conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LintReport {
    /// The account, where the code was read from a state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// How many functions were looked at.
    pub functions: usize,
    /// Functions of which not everything is known, so that they may conflict with more.
    pub incomplete: Vec<String>,
    /// Places that every caller meets and some function writes.
    pub places: Vec<PlaceReport>,
    /// Pairs of functions that meet at such places; a function may be paired with itself.
    pub pairs: Vec<PairReport>,
    /// Functions that write something, and meet no other at such a place.
    pub free: Vec<String>,
}

/// A place that every caller meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlaceReport {
    /// The place in words, such as `slot 3`.
    pub place: String,
    /// The function without arguments that answers with it, such as `totalSupply`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The functions that write it.
    pub writers: Vec<WriterReport>,
    /// The functions that read it and do not write it.
    pub readers: Vec<String>,
}

/// A function that writes a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriterReport {
    /// The function.
    pub function: String,
    /// `always` or `sometimes`.
    pub when: &'static str,
    /// `added` to itself, `set` to any value, or a `lock`.
    pub how: &'static str,
}

/// Two functions that meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PairReport {
    /// The two, in the order of their selectors.
    pub functions: [String; 2],
    /// `always`: no two calls of them can run side by side; `sometimes`: not all.
    pub when: &'static str,
    /// `both_change` the same place, or one changes what the `other_reads`.
    pub how: &'static str,
    /// The places where they meet, those where they always do first.
    pub at: Vec<String>,
}

/// What one function does at one place.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    reads: Option<Frequency>,
    writes: Option<(Frequency, WriteKind)>,
}

impl Use {
    /// How often it changes the place.
    fn changes(self) -> Option<Frequency> {
        self.writes.filter(|(_, kind)| *kind != WriteKind::Lock).map(|(often, _)| often)
    }

    /// How often it depends on the place. What a write costs depends on what is there.
    fn looks(self) -> Option<Frequency> {
        self.changes().max(self.reads)
    }
}

/// A function of the contract.
#[derive(Debug)]
struct Function {
    name: String,
    uses: BTreeMap<Place, Use>,
    writes: bool,
    is_complete: bool,
}

/// A place, in the order in which places are listed: by the length of their words first, so
/// that slot 10 follows slot 9.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(usize, String);

impl Place {
    fn new(text: String) -> Self {
        Self(text.len(), text)
    }
}

impl LintReport {
    /// The report on code of which no account is known.
    pub fn new(summary: &AccessSummary, selectors: &Selectors) -> Self {
        Self::of([summary].into_iter(), None, selectors)
    }

    /// The report on an account: its own code and what that delegates to, which share a state.
    pub fn of_account(chain: &[Implementation], selectors: &Selectors) -> Self {
        let address = chain.first().map(|code| code.address);
        Self::of(chain.iter().map(|code| &code.summary), address, selectors)
    }

    fn of<'a>(
        summaries: impl Iterator<Item = &'a AccessSummary>,
        address: Option<Address>,
        selectors: &Selectors,
    ) -> Self {
        let mut functions = Vec::new();
        let mut names = BTreeMap::new();
        for summary in summaries {
            // What passes every call on is not a function of its own.
            let passes_on = summary.delegates_to().is_some();
            for entry in summary.entries() {
                if passes_on && entry.entry == Entry::Fallback {
                    continue;
                }
                let function = function(summary, entry, selectors);
                names.extend(getter(summary, entry, selectors));
                functions.push(function);
            }
        }
        let places = places(&functions, &names);
        let pairs = pairs(&functions, &names);
        let paired: BTreeSet<&str> =
            pairs.iter().flat_map(|pair| &pair.functions).map(String::as_str).collect();
        let is_free =
            |it: &&Function| it.writes && it.is_complete && !paired.contains(it.name.as_str());
        let free = functions.iter().filter(is_free).map(|it| it.name.clone()).collect();
        let incomplete = functions.iter().filter(|it| !it.is_complete);
        Self {
            address,
            functions: functions.len(),
            incomplete: incomplete.map(|it| it.name.clone()).collect(),
            places,
            pairs,
            free,
        }
    }
}

/// The name of an entry: its signature's, or what is known of it.
fn named(entry: Entry, selectors: &Selectors) -> String {
    match entry {
        Entry::Selector(selector) => {
            let name = selectors.signature(selector);
            name.map_or_else(|| format!("{selector:#010x}"), str::to_owned)
        }
        Entry::Receive => "receive".to_owned(),
        Entry::Fallback => "fallback".to_owned(),
    }
}

fn words(summary: &AccessSummary, place: SharedPlace) -> Place {
    Place::new(match place {
        SharedPlace::Slot(key) => summary.words(key).as_slot(),
        SharedPlace::Nonce => "nonce of the contract".to_owned(),
        SharedPlace::Balance => "balance of the contract".to_owned(),
    })
}

fn function(summary: &AccessSummary, entry: &EntrySummary, selectors: &Selectors) -> Function {
    let mut uses: BTreeMap<Place, Use> = BTreeMap::new();
    for it in entry.shared_uses(summary.exprs()) {
        uses.insert(words(summary, it.place), Use { reads: it.reads, writes: it.writes });
    }
    let is_write =
        |effect: &Effect| !matches!(effect, Effect::Read(_) | Effect::Call { value: None, .. });
    Function {
        name: named(entry.entry, selectors),
        uses,
        writes: entry.effects.iter().any(is_write),
        is_complete: !matches!(
            entry.completeness,
            Completeness::GivenUp(_) | Completeness::WidenedToContract
        ),
    }
}

/// The slot that a function without arguments answers with, and the function's name.
fn getter(
    summary: &AccessSummary,
    entry: &EntrySummary,
    selectors: &Selectors,
) -> Option<(Place, String)> {
    let Entry::Selector(selector) = entry.entry else { return None };
    let name = selectors.signature(selector)?.strip_suffix("()")?;
    match entry.effects.as_slice() {
        [Effect::Read(Target::Storage(key))] => {
            Some((Place::new(summary.words(*key).as_slot()), name.to_owned()))
        }
        _ => None,
    }
}

fn places(functions: &[Function], names: &BTreeMap<Place, String>) -> Vec<PlaceReport> {
    let all: BTreeSet<&Place> = functions.iter().flat_map(|it| it.uses.keys()).collect();
    let report = |place: &Place| {
        let using = || functions.iter().filter_map(|it| Some((it, it.uses.get(place)?)));
        let writer = |(it, used): (&Function, &Use)| {
            used.writes.map(|(often, kind)| WriterReport {
                function: it.name.clone(),
                when: often_word(often),
                how: match kind {
                    WriteKind::Lock => "lock",
                    WriteKind::Added => "added",
                    WriteKind::Set => "set",
                },
            })
        };
        let only_reads = |(it, used): (&Function, &Use)| {
            (used.writes.is_none() && used.reads.is_some()).then(|| it.name.clone())
        };
        PlaceReport {
            place: place.1.clone(),
            name: names.get(place).cloned(),
            writers: using().filter_map(writer).collect(),
            readers: using().filter_map(only_reads).collect(),
        }
    };
    let reports = all.into_iter().map(report);
    reports.filter(|place| !place.writers.is_empty()).collect()
}

/// Every two functions of which one changes what the other depends on. Views have no part in
/// it: what calls them decides by what it does itself.
fn pairs(functions: &[Function], names: &BTreeMap<Place, String>) -> Vec<PairReport> {
    let mut pairs = Vec::new();
    for (at, first) in functions.iter().enumerate().filter(|(_, it)| it.writes) {
        for second in functions[at..].iter().filter(|it| it.writes) {
            let mut meetings: Vec<(Frequency, &Place)> = Vec::new();
            let mut how = "other_reads";
            for (place, a) in &first.uses {
                let Some(b) = second.uses.get(place) else { continue };
                meetings.extend(meeting(*a, *b).map(|often| (often, place)));
                if a.changes().and(b.changes()).is_some() {
                    how = "both_change";
                }
            }
            meetings.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
            let Some((often, _)) = meetings.first() else { continue };
            let said = |place: &Place| match names.get(place) {
                Some(name) => format!("{} ({name})", place.1),
                None => place.1.clone(),
            };
            pairs.push(PairReport {
                functions: [first.name.clone(), second.name.clone()],
                when: often_word(*often),
                how,
                at: meetings.iter().map(|(_, place)| said(place)).collect(),
            });
        }
    }
    pairs
}

/// How often two calls meet at a place.
fn meeting(a: Use, b: Use) -> Option<Frequency> {
    let both = |a: Option<Frequency>, b: Option<Frequency>| Some(a?.min(b?));
    both(a.changes(), b.looks()).max(both(b.changes(), a.looks()))
}

const fn often_word(often: Frequency) -> &'static str {
    match often {
        Frequency::Always => "always",
        Frequency::Sometimes => "sometimes",
    }
}
