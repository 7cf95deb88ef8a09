//! From what was learnt of a function to what is reported of it, in words.

use forewave_analyzer::{LearntEffect, LearntFunction, LearntInput, Selected};
use revm::bytecode::opcode as op;
use serde::Serialize;

use crate::selectors::Selectors;

/// Arguments of a call that are shown.
const ARGUMENTS_MAX: usize = 8;

/// What runs of a function did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LearntReport {
    /// Runs that were seen.
    pub runs: u32,
    /// Runs that did something which cannot be expressed.
    pub runs_not_expressed: u32,
    /// What they did, most frequent first.
    pub effects: Vec<LearntLine>,
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LearntLine {
    /// Runs in which it happened.
    pub runs: u32,
    /// What happened, in words.
    pub effect: String,
}

/// The report on a function.
pub(super) fn report(function: &LearntFunction, selectors: &Selectors) -> LearntReport {
    let told = function.told();
    let mut effects: Vec<LearntLine> = function
        .effects()
        .iter()
        .map(|(effect, runs)| LearntLine {
            runs: *runs,
            effect: words(function, effect, selectors),
        })
        .collect();
    effects.sort_by(|a, b| b.runs.cmp(&a.runs).then_with(|| a.effect.cmp(&b.effect)));
    LearntReport { runs: told.runs, runs_not_expressed: told.dropped, effects }
}

/// The name of an entry that has this function.
pub(super) const fn entry(selected: Selected) -> &'static str {
    match selected {
        Selected::Short => "receive",
        Selected::Fallback => "fallback",
        Selected::Selector(_) => "function",
    }
}

fn words(function: &LearntFunction, effect: &LearntEffect, selectors: &Selectors) -> String {
    let names = |selector: u32| selectors.name(selector).map(str::to_owned);
    let value = |id| function.words(id).with_names(&names).to_string();
    let slot = |id| function.words(id).with_names(&names).as_slot();
    match effect {
        LearntEffect::Read(key) => format!("reads {}", slot(*key)),
        LearntEffect::Write(key) => format!("writes {}", slot(*key)),
        LearntEffect::Account { code: op::BALANCE, of } => {
            format!("reads balance of {}", value(*of))
        }
        LearntEffect::Account { of, .. } => format!("reads code of {}", value(*of)),
        LearntEffect::Destroy(to) => format!("destroys to {}", value(*to)),
        LearntEffect::Create { salt: Some(salt), .. } => {
            format!("creates a contract with salt {}", value(*salt))
        }
        LearntEffect::Create { .. } => "creates a contract".to_owned(),
        LearntEffect::Call { code, target, input, .. } => {
            let verb = match *code {
                op::DELEGATECALL | op::CALLCODE => "delegates to",
                _ => "calls",
            };
            let target = function.words(*target).with_names(&names);
            let target =
                target.as_address().map_or_else(|| target.to_string(), |it| it.to_string());
            format!("{verb} {target}{}", arguments(function, input, selectors))
        }
    }
}

/// The data of a call: forwarded, or a function with its arguments.
fn arguments(function: &LearntFunction, input: &LearntInput, selectors: &Selectors) -> String {
    let LearntInput::Words(parts) = input else { return " with all its call data".to_owned() };
    let names = |selector: u32| selectors.name(selector).map(str::to_owned);
    let value = |id| function.words(id).with_names(&names).to_string();
    let Some(((4, selector), words)) = parts.split_first().map(|(first, rest)| (*first, rest))
    else {
        return String::new();
    };
    let selector = function.value(selector).and_then(|value| u32::try_from(value).ok());
    let name = match selector {
        Some(selector) => {
            selectors.name(selector).map_or_else(|| format!("{selector:#010x}"), str::to_owned)
        }
        None => "..".to_owned(),
    };
    let mut shown: Vec<String> =
        words.iter().take(ARGUMENTS_MAX).map(|(_, word)| value(*word)).collect();
    if words.len() > ARGUMENTS_MAX {
        shown.push("..".to_owned());
    }
    format!(".{}({})", name.split('(').next().unwrap_or_default(), shown.join(", "))
}
