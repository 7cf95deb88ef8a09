//! What is explained of the sample blocks, against the graph and the predictions themselves, and
//! what `predict --json` answers to questions.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use forewave::{
    AccessKind, Cause, Hazard, Location, PredictorKind, TxIndex,
    explain::{EdgeReport, Explained, Observed, Relation, Source, UseReport},
    input::{BlockInput, LoadOptions},
    names::Labels,
    observe, predict,
    report::BlockHeading,
};
use serde_json::Value;

fn samples() -> Vec<PathBuf> {
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 20);
    paths
}

fn explained(input: &BlockInput, predictor: PredictorKind) -> (BlockHeading, Explained<'_>) {
    let predictions = predict(&input.block, &input.state, &predictor).unwrap();
    let summaries = PredictorKind::shared_static();
    let explained =
        Explained::new(input, predictor, predictions, &summaries, &Labels::default()).unwrap();
    let observed = Observed::new(&input.block, &input.state).unwrap();
    (BlockHeading::new("sample", input), explained.with_observed(Some(observed)))
}

/// Calls `check` with each sample block as each of these predictors sees it.
fn for_each(predictors: &[PredictorKind], check: impl Fn(&BlockHeading, &Explained<'_>)) {
    for path in samples() {
        let input = BlockInput::load(&path, &LoadOptions::default()).unwrap();
        for predictor in predictors {
            let (heading, explained) = explained(&input, *predictor);
            check(&heading, &explained);
        }
    }
}

/// Whether a prediction makes this use of the location.
fn uses(explained: &Explained<'_>, tx: TxIndex, said: UseReport, at: &Location) -> bool {
    let prediction = &explained.plan.predictions()[tx.index()];
    prediction
        .accesses()
        .any(|(kind, location, must)| kind == said.access && location == at && must == said.must)
}

#[test]
fn every_edge_of_every_sample_block_is_explained_by_its_hazards_and_places() {
    use PredictorKind::{AccessList, None, Oracle, Recon, Static};
    for_each(&[Static, Recon, None, AccessList, Oracle], |heading, explained| {
        let graph = explained.plan.graph();
        for edge in graph.edges() {
            let pair = explained.pair(heading, edge.to, edge.from);
            assert_eq!((pair.earlier.tx, pair.later.tx), (edge.from, edge.to));
            let direct = explained.direct(edge.from, edge.to).unwrap();
            if edge.orders_execution() {
                assert_eq!((pair.relation, &pair.path), (Relation::Ordered, &vec![direct.clone()]));
            }
            assert_eq!(direct.hazards.len(), edge.hazards().len());
            for ((hazard, cause), said) in edge.hazards().zip(&direct.hazards) {
                assert_eq!(said.hazard, hazard);
                assert_eq!(said.place.name, explained.names.cause(graph, &cause));
                let Cause::Location(id) = cause else {
                    assert!(matches!(said.place.kind, "mapping" | "contract" | "everything"));
                    continue;
                };
                let at = graph.accesses().location(id);
                assert_eq!(said.place.address, Some(at.address()));
                if let Location::Storage(_, key) = at {
                    assert_eq!((said.place.kind, said.place.slot), ("storage", Some(key)));
                }
                let (earlier, later) = (said.earlier.unwrap(), said.later.unwrap());
                assert!(uses(explained, edge.from, earlier, &at), "{edge:?} {said:?}");
                assert!(uses(explained, edge.to, later, &at), "{edge:?} {said:?}");
                let is_read = [earlier, later].map(|it| it.access == AccessKind::Read);
                let expected = match hazard {
                    Hazard::Raw => [false, true],
                    Hazard::War => [true, false],
                    Hazard::Waw => [false, false],
                };
                assert_eq!(is_read, expected, "{said:?}");
            }
        }
    });
}

#[test]
fn a_path_is_there_exactly_where_one_waits_for_the_other() {
    for_each(&[PredictorKind::Static], |heading, explained| {
        let graph = explained.plan.graph();
        for later in graph.transactions() {
            let ancestors = graph.ancestors(later);
            for earlier in (0..later.index()).map(TxIndex::new) {
                let pair = explained.pair(heading, earlier, later);
                assert_eq!(pair.relation == Relation::Ordered, ancestors.contains(earlier));
                let Some((first, last)) = pair.path.first().zip(pair.path.last()) else {
                    assert_eq!(pair.relation, Relation::Independent);
                    continue;
                };
                assert_eq!((first.from, last.to), (earlier, later));
                let leads_on = |ends: &[EdgeReport]| ends[0].to == ends[1].from;
                assert!(pair.path.windows(2).all(leads_on), "{:?}", pair.path);
                let orders = pair.path.iter().all(|edge| edge.orders);
                assert_eq!(orders, pair.relation == Relation::Ordered);
            }
        }
    });
}

#[test]
fn what_execution_says_of_an_edge_is_what_it_touched() {
    for_each(&[PredictorKind::Oracle], |_, explained| {
        // Predicted from the truth, every edge is real and none is missed.
        let check = explained.check().unwrap();
        assert_eq!((check.unseen, check.missed), (Vec::new(), Vec::new()));
        assert_eq!(check.real, explained.plan.graph().edge_count());
    });
    for_each(&[PredictorKind::None], |heading, explained| {
        // Without a look at the code, what it orders is missed, and said to be.
        let check = explained.check().unwrap();
        let truth = observe(&explained.input.block, &explained.input.state).unwrap();
        for missed in &check.missed {
            let [first, second] = [missed.from, missed.to].map(|tx| &truth.accesses[tx.index()].0);
            let met = |at: &Location| {
                first.contains(at, AccessKind::Write) || first.contains(at, AccessKind::Delta)
            };
            assert!(second.reads().iter().any(met), "{missed:?}");
            let pair = explained.pair(heading, missed.from, missed.to);
            assert_eq!(pair.observed_ordered, Some(true));
            assert!(!pair.missed.is_empty());
        }
        let of_tokens = explained.input.block.transactions.iter().any(|tx| tx.data.len() >= 4);
        let has_raw = explained.observed.as_ref().unwrap().graph().edge_count() > check.real;
        assert!(!check.missed.is_empty() || !of_tokens || !has_raw || check.unseen.is_empty());
    });
}

#[test]
fn every_access_says_what_it_was_predicted_from() {
    use PredictorKind::{AccessList, None, Recon, Static};
    let expected = [
        (None, vec![Source::Protocol]),
        (AccessList, vec![Source::Protocol, Source::AccessList]),
        (Static, vec![Source::Protocol, Source::Summary]),
        (Recon, vec![Source::Protocol, Source::Simulation]),
    ];
    let input = samples().into_iter().find(|path| path.ends_with("access-list")).unwrap();
    let input = BlockInput::load(&input, &LoadOptions::default()).unwrap();
    for (predictor, sources) in expected {
        let (heading, explained) = explained(&input, predictor);
        let found: BTreeSet<Source> = explained
            .plan
            .graph()
            .transactions()
            .flat_map(|tx| {
                let report = explained.prediction(&heading, tx);
                let all = [report.reads, report.writes, report.deltas].concat();
                all.into_iter().map(|access| access.source).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(found, sources.into_iter().collect(), "{predictor}");
    }
}

fn forewave(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_forewave")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The transactions that touch a slot of a contract, by the lines of `predict --json`.
fn touching(lines: &str, address: &str, slot: &str) -> Vec<u64> {
    let touches = |prediction: &Value| {
        ["reads", "writes", "deltas"].iter().any(|kind| {
            let accesses = prediction[kind].as_array().unwrap();
            accesses.iter().any(|it| it["address"] == address && it["slot"] == slot)
        })
    };
    let predictions = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    predictions.filter(touches).map(|it| it["tx"].as_u64().unwrap()).collect()
}

#[test]
fn who_touches_a_slot_is_a_question_to_the_lines_of_predict() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks/hot-pool");
    let input = BlockInput::load(&path, &LoadOptions::default()).unwrap();
    let predictions = predict(&input.block, &input.state, &PredictorKind::Static).unwrap();
    let lines = forewave(&["predict", path.to_str().unwrap(), "--json"]);
    assert_eq!(lines.lines().count(), input.block.transactions.len());
    // The slot that most transactions touch.
    let mut counts = std::collections::BTreeMap::new();
    for location in predictions.iter().flat_map(|it| it.set().locations()) {
        if let Location::Storage(address, key) = location {
            *counts.entry((address, key)).or_insert(0) += 1;
        }
    }
    let ((address, key), count) = counts.into_iter().max_by_key(|(_, count)| *count).unwrap();
    assert!(count > 2);
    let at = Location::Storage(address, key);
    let expected: Vec<u64> = (0_u64..)
        .zip(&predictions)
        .filter(|(_, it)| it.set().locations().contains(&at))
        .map(|(tx, _)| tx)
        .collect();
    let address = serde_json::to_value(address).unwrap().as_str().unwrap().to_owned();
    let slot = format!("{key:#x}");
    assert_eq!(touching(&lines, &address, &slot), expected);

    // The line of the docs asks the same, where there is a jq.
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tools.md");
    let docs = fs::read_to_string(docs).unwrap();
    let marker = "| jq -c --arg address ADDRESS --arg slot SLOT '";
    let line = docs.split_once(marker).expect("the docs have the line").1;
    let query = line.split_once('\'').unwrap().0;
    let jq = Command::new("jq")
        .args(["-c", "--arg", "address", &address, "--arg", "slot", &slot, query])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut jq) = jq else {
        eprintln!("skipped: jq is not installed, so the line of the docs is not run");
        return;
    };
    let mut stdin = jq.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = jq.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let found: Vec<u64> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["tx"].as_u64().unwrap())
        .collect();
    assert_eq!(found, expected);
}
