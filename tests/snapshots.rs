//! What `forewave graph` prints for every sample block, and its schedule, as
//! reviewed files in `tests/snapshots`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use forewave::{
    Plan, PredictorKind,
    input::{BlockInput, LoadOptions},
    predict,
    report::{BlockHeading, GraphReport},
};
use serde_json::Value;

/// Calls `check` with each sample block and its name.
fn for_each_sample(check: impl Fn(&str, &Path)) {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let mut directories: Vec<PathBuf> =
        fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for directory in &directories {
            let name = directory.file_name().unwrap().to_str().unwrap();
            check(name, directory);
        }
    });
}

fn plan(directory: &Path) -> (BlockInput, Plan) {
    let input = BlockInput::load(directory, &LoadOptions::default()).unwrap();
    let predictions = predict(&input.block, &input.state, &PredictorKind::Static).unwrap();
    (input, Plan::new(predictions))
}

#[test]
fn the_text_graph_of_every_sample_block_is_as_reviewed() {
    for_each_sample(|name, directory| {
        let output = Command::new(env!("CARGO_BIN_EXE_forewave"))
            .arg("graph")
            .arg(directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        insta::assert_snapshot!(format!("{name}.graph"), String::from_utf8(output.stdout).unwrap());
    });
}

/// `docs/json.md` states the fields; the text has what a person reviews.
#[test]
fn the_json_graph_of_every_sample_block_says_what_its_plan_does() {
    for_each_sample(|name, directory| {
        let (input, plan) = plan(directory);
        let heading = BlockHeading::new(name, &input);
        let report = GraphReport::new(heading, PredictorKind::Static, &plan);
        let json = serde_json::to_value(report).unwrap();
        let list = |path: &str| json.pointer(path).and_then(Value::as_array).unwrap().clone();
        assert_eq!(json["predictor"], "static", "{name}");
        let txs = list("/graph/transactions");
        assert_eq!(txs.len(), input.block.transactions.len(), "{name}");
        assert!(txs.iter().all(|tx| tx["gas"].as_u64() >= Some(21_000)), "{name}");
        let edges = list("/graph/edges");
        assert_eq!(edges.len(), plan.graph().edge_count(), "{name}");
        for edge in &edges {
            assert!(edge["from"].as_u64() < edge["to"].as_u64(), "{name}: {edge}");
            assert!(!edge["hazards"].as_array().unwrap().is_empty(), "{name}: {edge}");
        }
    });
}

#[test]
fn the_schedule_of_every_sample_block_is_as_reviewed() {
    for_each_sample(|name, directory| {
        let (_, plan) = plan(directory);
        insta::assert_snapshot!(format!("{name}.schedule"), plan.schedule().to_string());
    });
}
