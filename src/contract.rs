//! From an [`AccessSummary`] to what is reported of a contract: what each
//! function touches, in words. `forewave analyze` prints it, as text or JSON.

mod learnt;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use forewave_analyzer::{
    AccessSummary, CallKind, Completeness, Effect, Entry, EntrySummary, ExprId, GaveUp,
    Implementation, LearntFunction, Selected, Target,
};
use serde::Serialize;

pub use self::learnt::{LearntLine, LearntReport};
use crate::selectors::Selectors;

/// What a piece of code does, function by function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContractReport {
    /// Where the code is, if it was read from a state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Where the code passes all its call data on to, to run on its own state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegates_to: Option<String>,
    /// Functions by selector, then `receive`, then `fallback`. Functions that
    /// always revert are not here.
    pub functions: Vec<FunctionReport>,
}

/// What one function does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionReport {
    /// `function`, `receive` (no call data) or `fallback` (no such function).
    pub entry: &'static str,
    /// The selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The signature, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// What is read and not written.
    pub reads: Vec<String>,
    /// What is written and not read.
    pub writes: Vec<String>,
    /// What is both read and written.
    pub reads_and_writes: Vec<String>,
    /// Calls to other accounts.
    pub calls: Vec<String>,
    /// Calls that run other code on the account's own state.
    pub delegates: Vec<String>,
    /// Ether sent: how much to whom.
    pub sends: Vec<String>,
    /// Whether it creates contracts.
    pub creates: bool,
    /// Whom the account's balance goes to, where the account destroys itself.
    pub destroys_to: Vec<String>,
    /// `complete`, `delegated`, `widened` or `given_up`.
    pub completeness: &'static str,
    /// Why it is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What runs of it did, if some were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learnt: Option<LearntReport>,
}

impl ContractReport {
    /// The report with what was learnt of the code's functions.
    #[must_use]
    pub fn with_learnt(mut self, functions: &[LearntFunction], selectors: &Selectors) -> Self {
        for function in functions {
            let entry = learnt::entry(function.selected());
            let selector = match function.selected() {
                Selected::Selector(selector) => Some(format!("{selector:#010x}")),
                _ => None,
            };
            let mut reports = self.functions.iter_mut();
            if let Some(report) =
                reports.find(|report| report.entry == entry && report.selector == selector)
            {
                report.learnt = Some(learnt::report(function, selectors));
            }
        }
        self
    }

    /// The report on code of which no account is known.
    pub fn new(summary: &AccessSummary, selectors: &Selectors) -> Self {
        let writer = Writer { summary, selectors };
        Self {
            address: None,
            delegates_to: summary.delegates_to().map(|target| writer.whom(target)),
            functions: summary.entries().iter().map(|entry| writer.function(entry)).collect(),
        }
    }

    /// The reports on an account and the code that it delegates to.
    pub fn of_account(chain: &[Implementation], selectors: &Selectors) -> Vec<Self> {
        let report = |code: &Implementation| Self {
            address: Some(code.address),
            ..Self::new(&code.summary, selectors)
        };
        chain.iter().map(report).collect()
    }
}

/// Writes the expressions of one summary.
struct Writer<'a> {
    summary: &'a AccessSummary,
    selectors: &'a Selectors,
}

impl Writer<'_> {
    fn function(&self, summary: &EntrySummary) -> FunctionReport {
        let (entry, selector) = match summary.entry {
            Entry::Selector(selector) => ("function", Some(selector)),
            Entry::Receive => ("receive", None),
            Entry::Fallback => ("fallback", None),
        };
        let (completeness, reason) = completeness(summary.completeness);
        let signature = selector.and_then(|selector| self.selectors.signature(selector));
        let mut report = FunctionReport {
            entry,
            selector: selector.map(|selector| format!("{selector:#010x}")),
            signature: signature.map(str::to_owned),
            reads: Vec::new(),
            writes: Vec::new(),
            reads_and_writes: Vec::new(),
            calls: Vec::new(),
            delegates: Vec::new(),
            sends: Vec::new(),
            creates: summary.effects.contains(&Effect::Create),
            destroys_to: Vec::new(),
            completeness,
            reason,
            learnt: None,
        };
        let called: BTreeSet<String> = summary
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Call { target, .. } => Some(self.value(*target)),
                _ => None,
            })
            .collect();
        let mut places: BTreeMap<String, (bool, bool)> = BTreeMap::new();
        for effect in &summary.effects {
            match *effect {
                // A call looks at the code of its target anyway.
                Effect::Read(Target::Code(of)) if called.contains(&self.value(of)) => {}
                Effect::Read(target) => places.entry(self.place(target)).or_default().0 = true,
                Effect::Write(target) => places.entry(self.place(target)).or_default().1 = true,
                Effect::Call { kind, target, selector, value, forwards } => {
                    let text = self.call(target, selector, forwards);
                    if let Some(value) = value {
                        report.sends.push(format!(
                            "{} to {}",
                            self.value(value),
                            self.whom(target)
                        ));
                    }
                    match kind {
                        CallKind::Delegate => report.delegates.push(text),
                        // Ether sent along with no data is no call to speak of.
                        CallKind::Call if value.is_some() && selector.is_none() => {}
                        CallKind::Call | CallKind::Static => report.calls.push(text),
                    }
                }
                Effect::Create => {}
                Effect::Destroy(to) => report.destroys_to.push(self.value(to)),
            }
        }
        let keys: Vec<String> = places.keys().cloned().collect();
        for (text, access) in places {
            let is_part = |other: &String| *other != text && covers(other, &text);
            if keys.iter().any(is_part) && access != (true, true) {
                continue;
            }
            match access {
                (true, true) => report.reads_and_writes.push(text),
                (false, true) => report.writes.push(text),
                _ => report.reads.push(text),
            }
        }
        for list in [
            &mut report.calls,
            &mut report.delegates,
            &mut report.sends,
            &mut report.destroys_to,
            &mut report.reads,
            &mut report.writes,
            &mut report.reads_and_writes,
        ] {
            tidy(list);
        }
        report
    }

    fn place(&self, target: Target) -> String {
        match target {
            Target::Storage(key) => self.summary.words(key).with_names(&self.names()).as_slot(),
            Target::Balance(of) => format!("balance of {}", self.value(of)),
            Target::Code(of) => format!("code of {}", self.value(of)),
        }
    }

    fn names(&self) -> impl Fn(u32) -> Option<String> {
        |selector| self.selectors.name(selector).map(str::to_owned)
    }

    fn value(&self, id: ExprId) -> String {
        self.summary.words(id).with_names(&self.names()).to_string()
    }

    /// An account: by its address, or by where the address comes from.
    fn whom(&self, id: ExprId) -> String {
        let words = self.summary.words(id);
        if let Some(address) = words.as_address() {
            return address.to_string();
        }
        let text = self.value(id);
        let is_place = ["slot ", "mapping(", "array("].iter().any(|start| text.starts_with(start));
        if is_place {
            format!("the address in {text}")
        } else if text == ".." {
            "an unknown address".to_owned()
        } else {
            text
        }
    }

    fn call(&self, target: ExprId, selector: Option<u32>, forwards: bool) -> String {
        let whom = self.whom(target);
        match selector {
            _ if forwards => whom,
            Some(selector) => match self.selectors.name(selector) {
                Some(name) => format!("{whom}.{name}"),
                None => format!("{whom}.{selector:#010x}"),
            },
            None => format!("{whom} (function not known)"),
        }
    }
}

/// Sorts, and drops what is said twice or covered by something wider.
fn tidy(list: &mut Vec<String>) {
    list.sort_unstable();
    list.dedup();
    let all = list.clone();
    list.retain(|text| !all.iter().any(|other| other != text && covers(other, text)));
}

/// Whether a text with `[..]` in it says what another one says in particular.
fn covers(wide: &str, narrow: &str) -> bool {
    if wide == "any slot" {
        return !narrow.starts_with("balance of") && !narrow.starts_with("code of");
    }
    let mut pieces = wide.split("[..]");
    let Some(mut rest) = pieces.next().and_then(|first| narrow.strip_prefix(first)) else {
        return false;
    };
    for piece in pieces {
        let Some(after) = skip_brackets(rest) else { return false };
        let Some(after) = after.strip_prefix(piece) else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// What follows a bracket with all that is in it.
fn skip_brackets(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then(|| &text[at + 1..]);
        }
    }
    None
}

/// A completeness as a word, and why it is no better.
const fn completeness(completeness: Completeness) -> (&'static str, Option<&'static str>) {
    match completeness {
        Completeness::Complete => ("complete", None),
        Completeness::Delegated => ("delegated", None),
        Completeness::WidenedToMapping => {
            ("widened", Some("which entry or whom depends on a loop or on what is not known"))
        }
        Completeness::WidenedToContract => ("widened", Some("any slot may be touched")),
        Completeness::GivenUp(GaveUp::Jump) => {
            ("given_up", Some("a jump leads to a place that is not known"))
        }
        Completeness::GivenUp(GaveUp::Memory) => ("given_up", Some("limit of memory pieces")),
        Completeness::GivenUp(GaveUp::Paths) => ("given_up", Some("limit of paths")),
        Completeness::GivenUp(GaveUp::Expressions) => ("given_up", Some("limit of expressions")),
        Completeness::GivenUp(GaveUp::Steps) => ("given_up", Some("limit of steps")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_place_covers_those_in_it() {
        let cases = [
            ("mapping(slot 0)[..]", "mapping(slot 0)[arg0[1]]", true),
            ("mapping(slot 0)[arg0[..]]", "mapping(slot 0)[arg0[0]]", true),
            ("mapping(slot 0)[..][caller]", "mapping(slot 0)[arg0][caller]", true),
            ("mapping(slot 0)[..]", "mapping(slot 0)[arg0]+1", false),
            ("mapping(slot 0)[..]", "mapping(slot 1)[arg0]", false),
            ("any slot", "slot 4", true),
            ("any slot", "balance of caller", false),
            ("slot 4", "slot 4+1", false),
        ];
        for (wide, narrow, expected) in cases {
            assert_eq!(covers(wide, narrow), expected, "{wide} {narrow}");
        }
    }
}
