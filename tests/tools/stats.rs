//! What stats says of the sample blocks.

use std::fs;

use serde_json::Value;

use crate::{block, blocks, forewave, json};

/// The objects of `stats --json`: one for each block, then the total.
fn stats(args: &[&str]) -> Vec<Value> {
    let ran = forewave([&["stats", "--json"], args].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn span(report: &Value, rule: &str) -> u64 {
    let rows = report["what_if"].as_array().unwrap();
    rows.iter().find(|row| row["rule"] == rule).unwrap()["span"].as_u64().unwrap()
}

#[test]
fn spans_and_hazards_are_those_of_the_graph_of_what_was_touched() {
    let all = blocks();
    let paths: Vec<&str> = all.iter().map(String::as_str).collect();
    let found = stats(&paths);
    let graphs = forewave([&["graph", "--json", "--predictor", "oracle"], &paths[..]].concat());
    let (total, each) = found.split_last().unwrap();
    let mut sum = 0;
    for (block, graph) in each.iter().zip(graphs.stdout.lines()) {
        let graph: Value = serde_json::from_str(graph).unwrap();
        let (name, stats) = (&block["block"], &block["stats"]);
        assert_eq!(*name, graph["block"]);
        assert_eq!(stats["span"], graph["schedule"]["span"], "{name}");
        assert_eq!(stats["work"], graph["schedule"]["work"], "{name}");
        assert_eq!(block["width"], graph["schedule"]["width"], "{name}");
        let of_kind = |spot: &Value, kind| spot["hazards"][kind].as_u64().unwrap();
        for kind in ["raw", "war", "waw"] {
            let spots = graph["hot_spots"].as_array().unwrap();
            let hazards: u64 = spots.iter().map(|spot| of_kind(spot, kind)).sum();
            assert_eq!(of_kind(stats, kind), hazards, "{name} {kind}");
        }
        sum += stats["span"].as_u64().unwrap();
    }
    assert_eq!((each.len(), &total["total"]["span"]), (all.len(), &sum.into()));
}

#[test]
fn each_rule_orders_no_more_than_the_one_before() {
    let all = blocks();
    let paths: Vec<&str> = all.iter().map(String::as_str).collect();
    for report in stats(&paths).iter().filter(|report| report["total"].is_null()) {
        let stats = &report["stats"];
        let rules = ["credits_ordered", "as_it_is", "nonces_ignored", "payments_ignored"];
        let spans = rules.map(|rule| span(stats, rule));
        assert!(spans.is_sorted_by(|a, b| a >= b), "{} {spans:?}", report["block"]);
        assert!(span(stats, "without_worst") <= span(stats, "as_it_is"));
    }
    // One sender's transactions wait for its nonce and balance and for nothing else.
    let chain = &stats(&[&block("nonce-chain")])[0]["stats"];
    assert!(span(chain, "payments_ignored") < span(chain, "as_it_is"), "{chain:#}");
    assert!(chain["path_gas_of_senders"].as_u64().unwrap() > 0);
    // All that is left to wait for is gone without the one contract.
    let blobs = &stats(&[&block("blobs")])[0]["stats"];
    assert!(span(blobs, "without_worst") < span(blobs, "as_it_is") / 2, "{blobs:#}");
    // A swap also waits for the balances that the pool has of two tokens.
    let pool = &stats(&[&block("hot-pool")])[0]["stats"];
    assert_eq!(span(pool, "without_worst"), span(pool, "as_it_is"), "{pool:#}");
}

#[test]
fn output_does_not_depend_on_the_threads() {
    let all = blocks();
    let paths: Vec<&str> = all.iter().map(String::as_str).collect();
    let with = |threads| forewave([&["stats", "--threads", threads], &paths[..]].concat()).stdout;
    assert_eq!(with("1"), with("4"));
}

#[test]
fn a_table_and_a_plot_are_written_and_what_is_there_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (csv, svg) = (file("a.csv"), file("a.svg"));
    let (first, second) = (block("mixed-defi"), block("hot-pool"));
    for _ in 0..2 {
        let ran = forewave(["stats", &first, &second, "--csv", &csv, "--plot", &svg]);
        assert!(ran.code == Some(0) && ran.stdout.contains("2 blocks"), "{ran:?}");
    }
    let table = fs::read_to_string(&csv).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("mixed-defi,19500013,mainnet,"), "{table}");
    let cells = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|line| cells(line) == cells(lines[0])), "{table}");
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg "));
    fs::write(&csv, "mine").unwrap();
    let ran = forewave(["stats", &first, "--csv", &csv]);
    assert!(ran.code == Some(1) && ran.stdout.is_empty(), "{ran:?}");
    assert_eq!(fs::read_to_string(&csv).unwrap(), "mine");
}

#[test]
fn a_block_that_fails_is_named_and_the_others_are_counted() {
    let ran = forewave(["stats", "--json", "/no/such/block", &block("hot-pool")]);
    assert_eq!(ran.code, Some(1));
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1]["total"]["blocks"]), (2, &1.into()));
    assert_eq!(lines[1]["failed"][0]["block"], "block");
    let wide = json(&["graph", "--json", "--predictor", "oracle", &block("hot-pool")]);
    assert_eq!(lines[0]["number"], wide["number"]);
}
