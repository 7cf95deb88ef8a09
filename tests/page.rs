//! The page that `forewave graph --format html` writes, in a headless Chromium where there is one:
//! it opens without an error or a request, says what the prediction says, and answers.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use forewave::{
    Plan, PredictorKind, TxIndex,
    input::{BlockInput, LoadOptions},
    predict,
};
use serde_json::Value;

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// How long a page may take until it answers, in milliseconds.
const READY_MS_MAX: f64 = 2_000.0;

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A browser to open pages in; one line that says so where there is none.
fn browser() -> Option<&'static str> {
    let found = BROWSERS.into_iter().find(|name| is_there(name)).filter(|_| is_there("node"));
    if found.is_none() {
        eprintln!(
            "skipped: the page is tested with chromium and node (apt-get install chromium nodejs)"
        );
    }
    found
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks").join(name)
}

/// Draws a block, opens its page and says what was seen there.
fn look(browser: &str, block: &Path, more: &[&str]) -> (Value, usize) {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    let mut draw = Command::new(env!("CARGO_BIN_EXE_forewave"));
    let output = draw.arg("graph").arg(block).arg("-o").arg(&page).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/page.mjs");
    let seen = Command::new("node").arg(script).arg(browser).arg(&page).output().unwrap();
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    let bytes = usize::try_from(std::fs::metadata(&page).unwrap().len()).unwrap();
    (serde_json::from_slice(&seen.stdout).unwrap(), bytes)
}

/// Checks what holds of the page of every block.
#[track_caller]
fn check(seen: &Value) {
    assert_eq!(seen["problems"], Value::Array(Vec::new()), "the console has errors");
    assert_eq!(seen["requests"], Value::Array(Vec::new()), "the page asks the network");
    assert!(seen["ready_ms"].as_f64().unwrap() < READY_MS_MAX, "{}", seen["ready_ms"]);
    assert_eq!(seen["search"]["index"], "1 found");
    assert_eq!(seen["search"]["hash"], "1 found");
    assert_eq!(seen["search"]["nothing"], "0 found");
    assert_ne!(seen["search"]["sender"], "0 found");
    assert_eq!(seen["left"]["found"], "", "Esc leaves the search");
    assert_eq!(seen["themes_differ"], true);
    assert_eq!(seen["without_hazards_differs"], true);
    assert!(seen["gantt"]["on_one_core"].as_str().unwrap().ends_with("1.00 times one core"));
}

#[test]
fn a_click_and_a_pointer_show_what_the_graph_says() {
    let Some(browser) = browser() else { return };
    let path = sample("mixed-defi");
    let (seen, _) = look(browser, &path, &["--check"]);
    check(&seen);
    let input = BlockInput::load(&path, &LoadOptions::default()).unwrap();
    let predictions = predict(&input.block, &input.state, &PredictorKind::Static).unwrap();
    let plan = Plan::new(predictions);
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let tx = |value: &Value| TxIndex::new(number(value));
    let (from, to) = (tx(&seen["edge"]["from"]), tx(&seen["edge"]["to"]));
    let edge = plan.graph().edge(from, to).expect("the page draws edges of the graph");
    let said = seen["edge"]["clicked"].as_str().unwrap();
    let hazards = said.lines().filter(|line| line.starts_with("RAW ") || line.starts_with("WA"));
    assert_eq!(hazards.count(), edge.hazards().len(), "{said}");
    assert!(said.contains(".balanceOf[0x"), "{said}");
    let tip = seen["edge"]["tip"].as_str().unwrap();
    assert!(tip.starts_with(&format!("{to} after {from}\nRAW ")), "{tip}");
    let clicked = seen["edge"]["clicked_tx"].as_str().unwrap();
    assert!(clicked.starts_with(&format!("{to} ")), "{clicked}");
    assert!(clicked.contains(&input.tx_hashes[to.index()].to_string()), "{clicked}");
    for line in said.lines().filter(|line| line.starts_with("RAW ")) {
        assert!(clicked.contains(line), "{line} is not in {clicked}");
    }
    // What a click lights up: all before it, all after it, and whom it meets.
    let chain: BTreeSet<usize> =
        seen["edge"]["chain"].as_array().unwrap().iter().map(number).collect();
    let graph = plan.graph();
    let mut expected: BTreeSet<usize> = graph.ancestors(to).iter().map(TxIndex::index).collect();
    let after = graph.transactions().filter(|later| graph.ancestors(*later).contains(to));
    expected.extend(after.map(TxIndex::index));
    let meets = graph.conflicts_before(to).chain(graph.conflicts_after(to));
    expected.extend(meets.chain([to]).map(TxIndex::index));
    assert_eq!(chain, expected);
    let captions = seen["captions"].as_str().unwrap();
    assert!(captions.contains("predicted by static: summaries"), "{captions}");
    assert!(captions.contains("predicted edges were real"), "{captions}");
}

#[test]
fn the_page_of_a_thousand_transactions_answers_in_time() {
    let largest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/blocks/mainnet-15274915");
    if !largest.exists() {
        eprintln!("skipped: no blocks at {}", largest.display());
        return;
    }
    let Some(browser) = browser() else { return };
    let (seen, bytes) = look(browser, &largest, &["--predictor", "none"]);
    check(&seen);
    assert!(bytes < 3_000_000, "{bytes} bytes");
}
