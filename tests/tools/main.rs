//! `lint`, `stats`, `partition`, `completions` and `man` from outside.

mod lint;
mod partition;
mod stats;

#[path = "../support/ran.rs"]
mod ran;

use std::path::PathBuf;

use serde_json::Value;

use self::ran::forewave;

/// The one JSON object that a command prints.
fn json(args: &[&str]) -> Value {
    let ran = forewave(args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn fixture(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path);
    path.to_str().unwrap().to_owned()
}

fn block(name: &str) -> String {
    fixture(&format!("blocks/{name}"))
}

/// Every sample block.
fn blocks() -> Vec<String> {
    let entries = std::fs::read_dir(fixture("blocks")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn completions_and_the_manual_know_every_command() {
    for args in [&["completions", "bash"][..], &["completions", "fish"], &["man"]] {
        let ran = forewave(args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for command in ["graph", "run", "fetch", "stats", "lint", "partition", "t8n"] {
            let is_named =
                ran.stdout.contains(command) || ran.stdout.contains(&command.to_uppercase());
            assert!(is_named, "{args:?} {command}");
        }
    }
    assert_eq!(forewave(["completions", "tcsh"]).code, Some(2));
}
