//! The commands that look at a block, from outside: formats, files, filters, names, and what is
//! said where something is wrong.

#[path = "support/ran.rs"]
mod ran;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use self::ran::forewave;

#[track_caller]
fn fine(args: &[&str]) -> String {
    let ran = forewave(args);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    ran.stdout
}

fn sample(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks").join(name);
    path.to_str().unwrap().to_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_format_says_how_it_was_predicted_and_what_execution_says() {
    let block = sample("hot-pool");
    for (format, begin) in [
        ("text", "hot-pool · mainnet"),
        ("json", "{\"block\":\"hot-pool\""),
        ("dot", "digraph conflicts {"),
        ("mermaid", "%% hot-pool"),
        ("svg", "<svg xmlns="),
        ("html", "<!doctype html>"),
    ] {
        let drawn = fine(&["graph", &block, "--format", format, "--check"]);
        assert!(drawn.starts_with(begin), "{format}: {}", &drawn[..80]);
        assert!(drawn.contains("predicted edges were real"), "{format}");
        assert!(drawn.contains("static"), "{format}");
        assert!(drawn.contains(".balanceOf[0x"), "{format} names no place in words");
        let legend = if format == "json" { "\"hazards\"" } else { "RAW" };
        assert!(drawn.contains(legend), "{format} has no legend");
        let plain = fine(&["graph", &block, "--format", format]);
        assert!(!plain.contains("predicted edges were real"), "{format}");
    }
}

#[test]
fn a_drawing_goes_to_a_file_whole_and_replaces_only_its_like() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let block = sample("hot-pool");
    for (name, format) in [
        ("a.html", "html"),
        ("a.svg", "svg"),
        ("a.dot", "dot"),
        ("a.mmd", "mermaid"),
        ("a.json", "json"),
        ("a.txt", "text"),
    ] {
        let (at, direct) = (file(name), fine(&["graph", &block, "--format", format]));
        for _ in 0..2 {
            assert_eq!(fine(&["graph", &block, "-o", &at]), "");
            assert_eq!(fs::read_to_string(&at).unwrap(), direct, "{name}");
        }
        fs::write(&at, "something else").unwrap();
        let ran = forewave(["graph", &block, "-o", &at]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains("holds something else"), "{}", ran.stderr);
        assert_eq!(fs::read_to_string(&at).unwrap(), "something else");
    }
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 6, "another file was left behind");
    for args in [vec![&*block, &block, "-o", &file("b.html")], vec![&block, "-o", &file("b.foo")]] {
        let ran = forewave([vec!["graph"], args].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    }
}

#[test]
fn text_keeps_to_its_columns() {
    for name in ["mixed-defi", "independent-transfers", "supply-chain", "nonce-chain"] {
        for width in ["60", "80", "100", "200"] {
            let text = fine(&["graph", &sample(name), "--width", width, "--check"]);
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width.parse().unwrap(), "{name}, {width}: {longest}\n{text}");
        }
    }
    assert_eq!(forewave(["graph", &sample("hot-pool"), "--width", "10"]).code, Some(2));
}

#[test]
fn filters_draw_what_is_asked_for() {
    let block = sample("mixed-defi");
    let whole = json(&fine(&["graph", &block, "--json"]));
    let edges = |value: &Value| value["graph"]["edges"].as_array().unwrap().clone();
    let txs = |value: &Value| -> Vec<u64> {
        let txs = value["graph"]["transactions"].as_array().unwrap();
        txs.iter().map(|it| it["tx"].as_u64().unwrap()).collect()
    };
    let of = |more: &[&str]| json(&fine(&[&["graph", &block, "--json"], more].concat()));

    let raw = of(&["--hazard", "raw"]);
    for edge in edges(&raw) {
        assert!(edge["hazards"].as_array().unwrap().iter().all(|it| it["hazard"] == "raw"));
    }
    assert!(edges(&raw).len() < edges(&whole).len() && !edges(&raw).is_empty());
    let large = of(&["--min-gas", "100000"]);
    let gas = large["graph"]["transactions"].as_array().unwrap();
    assert!(gas.iter().all(|it| it["gas"].as_u64() >= Some(100_000)) && !gas.is_empty());
    let first: Vec<u64> = {
        let chains = whole["schedule"]["waves"][0]["chains"].as_array().unwrap();
        let txs = chains.iter().flat_map(|chain| chain["transactions"].as_array().unwrap());
        let mut txs: Vec<u64> = txs.map(|tx| tx.as_u64().unwrap()).collect();
        txs.sort_unstable();
        txs
    };
    assert_eq!(txs(&of(&["--wave", "0"])), first);
    assert_eq!(txs(&of(&["--wave", "0-3"])), txs(&whole));

    let edge = &edges(&whole)[0];
    let (from, to) = (edge["from"].as_u64().unwrap(), edge["to"].as_u64().unwrap());
    let around = of(&["--only", &format!("tx{to}")]);
    assert!(txs(&around).contains(&from) && txs(&around).len() < txs(&whole).len());
    let sender = whole["transactions"][0]["from"].as_str().unwrap().to_owned();
    let touching = of(&["--only", &sender]);
    assert!(txs(&touching).contains(&0) && txs(&touching).len() < txs(&whole).len());
    assert!(fine(&["graph", &block, "--only", &sender]).contains("shown: only what touches"));
    for (flag, wrong) in
        [("--only", "0x12"), ("--wave", "3-1"), ("--hazard", "rar"), ("--min-gas", "-1")]
    {
        assert_eq!(forewave(["graph", &block, flag, wrong]).code, Some(2), "{flag} {wrong}");
    }
}

#[test]
fn labels_name_addresses_in_every_command_and_a_wrong_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("labels.json");
    let labels = file.to_str().unwrap();
    let block = sample("nonce-chain");
    let whole = json(fine(&["predict", &block, "--json"]).lines().next().unwrap());
    let sender = whole["from"].as_str().unwrap();
    let hostile = "</script><b>&\"x";
    fs::write(&file, serde_json::json!({ sender: hostile }).to_string()).unwrap();
    for args in [
        &["graph", &block][..],
        &["graph", &block, "--json"],
        &["graph", &block, "--format", "dot"],
        &["graph", &block, "--format", "mermaid"],
        &["graph", &block, "--format", "svg"],
        &["graph", &block, "--format", "html"],
        &["predict", &block],
        &["explain", &block, "0", "1"],
        &["explain", &block, "0"],
    ] {
        let drawn = fine(&[args, &["--labels", labels]].concat());
        let said = drawn.contains("script");
        assert!(said, "{args:?}: {drawn}");
        if args.contains(&"svg") || args.contains(&"html") {
            assert!(!drawn.contains(hostile), "{args:?} does not escape");
            let ends = usize::from(args.contains(&"html")) * 2;
            assert_eq!(drawn.matches("</script>").count(), ends);
        }
    }
    fs::write(&file, r#"{"0x12": "a"}"#).unwrap();
    for args in [&["graph", &block][..], &["predict", &block], &["explain", &block, "0"]] {
        let ran = forewave([args, &["--labels", labels]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{args:?}");
        assert!(ran.stderr.contains("labels.json: entry \"0x12\""), "{}", ran.stderr);
    }
    fs::remove_file(&file).unwrap();
    let ran = forewave(["predict", &block, "--labels", labels]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("could not be read"), "{}", ran.stderr);
}

#[test]
fn a_pair_and_a_transaction_are_explained_in_words_and_as_data() {
    let block = sample("nonce-chain");
    let graph = json(&fine(&["graph", &block, "--json"]));
    let edge = &graph["graph"]["edges"][0];
    let [from, to] = ["from", "to"].map(|end| edge[end].to_string());
    let text = fine(&["explain", &block, &format!("tx{to}"), &from]);
    assert!(text.contains(&format!("tx{to} waits for tx{from}")), "{text}");
    assert!(text.contains("execution: the order is real"), "{text}");
    let pair = json(&fine(&["explain", &block, &from, &to, "--json"]));
    assert_eq!((&pair["relation"], &pair["observed_ordered"]), (&"ordered".into(), &true.into()));
    let hazard = &pair["path"][0]["hazards"][0];
    for field in ["hazard", "kind", "address", "name", "observed"] {
        assert!(!hazard[field].is_null(), "{field}: {hazard}");
    }
    assert_eq!(hazard["earlier"]["access"], "write");
    assert_eq!(hazard["later"]["source"], "protocol");
    let unchecked = json(&fine(&["explain", &block, &from, &to, "--json", "--no-check"]));
    assert_eq!(unchecked["observed_ordered"], Value::Null);
    let one = json(&fine(&["explain", &block, &to, "--json"]));
    for field in ["wave", "chain", "remaining_gas", "critical", "before", "after", "reads", "hash"]
    {
        assert!(!one[field].is_null(), "{field}");
    }
    assert_eq!(one["before"][0]["from"].to_string(), from);
    assert_eq!(one["observed"]["missed"], Value::Array(Vec::new()));
    let ran = forewave(["explain", &block, "0", "9999"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("there is no tx9999"), "{}", ran.stderr);
    assert_eq!(forewave(["explain", &block, "1", "1"]).code, Some(2));
    assert_eq!(forewave(["explain", &block, "one"]).code, Some(2));
}

#[test]
fn mermaid_keeps_to_what_mermaid_draws() {
    let text = fine(&["graph", &sample("airdrop"), "--format", "mermaid"]);
    assert!(text.len() <= 50_000 && text.matches("-->").count() <= 500);
    assert!(text.contains("\nflowchart LR\n"), "{text}");
}

#[test]
fn help_has_examples() {
    for command in ["graph", "predict", "explain"] {
        let help = fine(&[command, "--help"]);
        assert!(help.contains("Examples:") && help.contains(&format!("forewave {command} BLOCK")));
    }
}
