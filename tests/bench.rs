//! `forewave bench` from outside: what it prints, draws and refuses. How fast
//! anything is, no test here says.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn bench<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forewave")).arg("bench").args(args).output().unwrap()
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks").join(name)
}

fn counts(rows: &Value) -> Vec<u64> {
    rows.as_array().unwrap().iter().map(|row| row["threads"].as_u64().unwrap()).collect()
}

#[test]
fn every_count_asked_for_is_measured_once() {
    let blocks = [sample("hot-pool"), sample("mixed-defi")];
    let args = ["--json", "--warm", "--repeat", "2", "--threads", "2,1,2"];
    let ran = bench(args.map(OsStr::new).into_iter().chain(blocks.iter().map(AsRef::as_ref)));
    assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), &b""[..]));
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&report["repeat"], &report["warm"]), (&2.into(), &true.into()));
    assert_eq!(report["blocks"].as_array().unwrap().len(), 2);
    for figures in report["blocks"].as_array().unwrap().iter().chain([&report["total"]]) {
        assert_eq!(counts(&figures["measured"]), [1, 2]);
        let times = &figures["measured"][1]["total_ms"];
        assert!(times["lower"].as_f64() <= times["median"].as_f64());
        assert!(times["median"].as_f64() <= times["upper"].as_f64());
        let reused = |row: &Value| row["reused"].as_u64() > Some(0);
        assert!(figures["measured"].as_array().unwrap().iter().all(reused), "{figures}");
    }
    for block in report["blocks"].as_array().unwrap() {
        assert_eq!(block["mismatches"], Value::Array(vec![]));
    }
}

#[test]
fn a_block_without_transactions_is_measured_too() {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(sample("hot-pool")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    let file = directory.path().join("block.json");
    let mut block: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    block["transactions"] = Value::Array(vec![]);
    block["transactionsRoot"] =
        "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421".into();
    fs::write(&file, block.to_string()).unwrap();
    let ran = bench([OsStr::new("--repeat=1"), directory.path().as_ref()]);
    // The header is that of another block: the outcome cannot match it.
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(text.contains("0 transactions") && !text.contains("NaN"), "{text}");
    assert!(text.contains("gas_used: header"), "{text}");
}

#[test]
fn the_plot_appears_whole_and_alone() {
    let directory = tempfile::tempdir().unwrap();
    let plot = directory.path().join("speed-up.svg");
    let ran = bench([
        OsStr::new("--repeat=1"),
        OsStr::new("--plot"),
        plot.as_ref(),
        sample("mixed-defi").as_ref(),
    ]);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let svg = fs::read_to_string(&plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for label in ["speed-up", "threads", "measured, with quartiles", "mixed-defi"] {
        assert!(svg.contains(label), "{label}");
    }
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["speed-up.svg"]);
}

#[test]
fn a_plot_that_cannot_be_written_is_a_failure_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let plot = directory.path().join("missing").join("speed-up.svg");
    let ran = bench([
        OsStr::new("--repeat=1"),
        OsStr::new("--plot"),
        plot.as_ref(),
        sample("mixed-defi").as_ref(),
    ]);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let message = String::from_utf8(ran.stderr).unwrap();
    assert!(message.contains("speed-up.svg could not be written"), "{message}");
}

#[test]
fn wrong_usage_exits_with_2() {
    let cases: [&[&str]; 4] = [
        &[],
        &["--threads", "0", "block"],
        &["--threads", "1,x", "block"],
        &["--repeat", "0", "block"],
    ];
    for args in cases {
        assert_eq!(bench(args).status.code(), Some(2), "{args:?}");
    }
}
