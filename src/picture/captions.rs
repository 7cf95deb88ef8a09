//! How a graph was predicted and how sure it is, in words: what stands above every picture.

use std::collections::BTreeMap;

use forewave_analyzer::{Confidence, PredictedAccess, Scope};

use super::{CheckReport, Filter};
use crate::{PredictorKind, explain::Explained};

/// How a predictor comes to its predictions.
pub(crate) const fn how(predictor: PredictorKind) -> &'static str {
    match predictor {
        PredictorKind::None => "what the protocol touches; no code looked at",
        PredictorKind::AccessList => "what the protocol touches, and the access lists",
        PredictorKind::Bal => {
            "every change that the block's access list names; a list names no reader, so that \
             reads before and after a write are not ordered"
        }
        PredictorKind::Recon => "each transaction run alone on the state before the block",
        PredictorKind::Static => "summaries of the code evaluated; nothing executed",
        PredictorKind::StaticLate => {
            "summaries of the code evaluated, again where an earlier transaction writes what \
             decides; nothing executed"
        }
        PredictorKind::Hybrid => {
            "summaries of the code evaluated; run alone where they do not suffice"
        }
        PredictorKind::Oracle => "what the transactions did touch: the block was run",
    }
}

/// The captions of a picture: one line each.
pub(super) fn captions(
    block: &Explained<'_>,
    filter: &Filter,
    check: Option<&CheckReport>,
) -> Vec<String> {
    let predictions = block.plan.predictions();
    let mut captions = vec![format!("predicted by {}: {}", block.predictor, how(block.predictor))];
    if block.predictor != PredictorKind::Bal {
        captions.push(certainty(predictions));
    } else if block.input.block.access_list.is_none() {
        captions.push("the block came with no access list: only what the protocol touches".into());
    }
    if !filter.is_everything() {
        captions.push(format!("shown: only {filter}"));
    }
    if let Some(CheckReport { real, unseen, missed }) = check {
        let drawn = real + unseen.len();
        captions.push(format!(
            "execution: {real} of {drawn} predicted edges were real, {} not needed; {} missed",
            unseen.len(),
            missed.len()
        ));
    }
    captions
}

/// How many predictions are not certain, and why.
fn certainty(predictions: &[PredictedAccess]) -> String {
    let is_may =
        |it: &&PredictedAccess| it.accesses().any(|(.., must)| !must) || !it.widened().is_empty();
    let may = predictions.iter().filter(is_may).count();
    let mut widened: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for prediction in predictions {
        let Confidence::Widened(scope) = prediction.confidence() else { continue };
        let to = match scope {
            Scope::Everything => "everything",
            Scope::Contract { .. } => "a contract",
            Scope::Mapping { .. } => "a mapping",
        };
        let causes: Vec<String> = prediction.causes().iter().map(ToString::to_string).collect();
        *widened.entry((to, causes.join(", "))).or_default() += 1;
    }
    if may == 0 {
        return "every predicted access is named, and made by every run".to_owned();
    }
    let count: usize = widened.values().sum();
    let text = format!(
        "{may} of {} transactions may touch more or less than they must",
        predictions.len()
    );
    if count > 0 {
        let parts = widened.iter().map(|((to, causes), count)| match causes.as_str() {
            "" => format!("{count} to {to}"),
            causes => format!("{count} to {to} ({causes})"),
        });
        let parts: Vec<String> = parts.collect();
        return format!("{text}; {count} widened: {}", parts.join(", "));
    }
    text
}
