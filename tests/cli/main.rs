//! The command line from outside: exit codes, what is printed where, and what
//! is said about input that is wrong.

mod access_lists;
mod conformance;
mod incomplete;
mod outputs;
mod refused;
mod rpc_answers;
mod t8n;

#[path = "../support/ran.rs"]
mod ran;

use std::{
    fs,
    io::{Seek, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use forewave::is_printable;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::ran::{Ran, forewave};

/// The same with something on standard input.
fn forewave_with_input<S: AsRef<std::ffi::OsStr>>(
    args: impl IntoIterator<Item = S>,
    input: &str,
) -> Ran {
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    stdin.rewind().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forewave"));
    let output = command.args(args).stdin(stdin).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Ran { code: output.status.code(), stdout, stderr }
}

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks").join(name)
}

/// A copy of a sample block that a test may spoil.
struct Copied {
    directory: TempDir,
}

impl Copied {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(sample("hot-pool")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
        }
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path().join(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path().join(file), bytes).unwrap();
        self
    }

    fn edit(&self, file: &str, change: impl FnOnce(&mut Value)) -> &Self {
        let mut value = serde_json::from_slice(&self.read(file)).unwrap();
        change(&mut value);
        self.write(file, value.to_string())
    }

    /// Replaces a file by its gzip, of which the last `cut` bytes are missing.
    fn compress(&self, file: &str, cut: usize) -> &Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.read(file)).unwrap();
        let gzip = encoder.finish().unwrap();
        self.write(&format!("{file}.gz"), &gzip[..gzip.len() - cut]);
        fs::remove_file(self.path().join(file)).unwrap();
        self
    }

    fn graph(&self, more: &[&str]) -> Ran {
        let args = [self.path().to_str().unwrap()];
        forewave(["graph"].iter().chain(&args).chain(more))
    }
}

/// Checks that a spoilt block is refused with all of `parts` in the message.
#[track_caller]
fn check_refused(ran: &Ran, parts: &[&str]) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    for part in parts {
        assert!(ran.stderr.contains(part), "`{part}` is not in {}", ran.stderr);
    }
}

#[test]
fn run_compares_with_sequential_execution_and_with_the_header() {
    let args = ["run", "--compare", "--json", "--threads", "2", "--repeat", "3"];
    let path = sample("hot-pool");
    let ran = forewave(args.iter().map(|arg| Path::new(*arg)).chain([path.as_path()]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    for field in ["matches_sequential", "matches_header"] {
        assert_eq!(report[field], true, "{field}");
    }
    assert_eq!(report["threads"], 2);
    for field in [
        "predicted",
        "number",
        "txs",
        "gas_used",
        "reexecuted",
        "waves",
        "sequential_ms",
        "parallel_ms",
        "predict_ms",
        "plan_ms",
        "run_ms",
        "shared_by",
        "speedup",
    ] {
        assert!(report[field].is_number(), "{field}: {}", report[field]);
    }
}

#[test]
fn run_says_by_whom_each_block_was_predicted_and_on_how_many_threads_it_ran() {
    let path = sample("mixed-defi");
    for (threads, predictor, predicted) in
        [("1", "recon", 0), ("2", "none", 0), ("2", "recon", 36), ("2", "static", 36)]
    {
        let args = ["run", "--threads", threads, "--predictor", predictor].map(Path::new);
        let ran = forewave(args.into_iter().chain([path.as_path()]));
        let by = format!("waves by {predictor}");
        assert!(ran.stdout.contains(&by), "{by}: {}", ran.stdout);
        let says_so = ran.stdout.contains("1 block ran without a prediction");
        assert_eq!(says_so, predicted == 0, "{}", ran.stdout);
        let ran = forewave(args.into_iter().chain([Path::new("--json"), path.as_path()]));
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let shared_by: usize = threads.parse().unwrap();
        assert_eq!(report["shared_by"], shared_by, "{threads} {predictor}");
        assert_eq!(report["predicted"], predicted, "{threads} {predictor}");
    }
}

#[test]
fn a_header_that_the_block_does_not_reproduce_is_printed_field_by_field() {
    let block = Copied::new();
    block.edit("block.json", |block| block["gasUsed"] = json!("0x1"));
    let ran = forewave([Path::new("run"), Path::new("--compare"), block.path()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("differs from header"), "{}", ran.stdout);
    assert!(ran.stdout.contains("gas_used: header 1, parallel "), "{}", ran.stdout);
}

#[test]
fn score_measures_the_predictors_that_were_asked_for_side_by_side() {
    let (one, other) = (sample("hot-pool"), sample("nonce-chain"));
    let args = ["score", "--json", "--repeat", "1", "--predictor", "static,oracle"];
    let ran = forewave(args.iter().map(Path::new).chain([one.as_path(), other.as_path()]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["blocks"].as_array().unwrap().len(), 2);
    let predictors = report["total"]["predictors"].as_object().unwrap();
    assert_eq!(predictors.keys().collect::<Vec<_>>(), ["oracle", "static"]);
    for field in ["location_recall", "location_precision", "exact_txs", "dependency_recall"] {
        assert_eq!(predictors["oracle"][field], 1.0, "{field}");
    }
    let text = forewave([Path::new("score"), &one]);
    assert!(text.stdout.contains("access-list"), "{}", text.stdout);
}

#[test]
fn the_graph_is_drawn_for_people_machines_and_graphviz() {
    let path = sample("hot-pool");
    let graph =
        |format| forewave([Path::new("graph"), Path::new("--format"), Path::new(format), &path]);
    assert!(graph("text").stdout.contains("\nwave0 "));
    assert!(graph("dot").stdout.starts_with("digraph "));
    let report: Value = serde_json::from_str(&graph("json").stdout).unwrap();
    assert_eq!(report["graph"]["transactions"].as_array().unwrap().len(), report["txs"]);
    assert_eq!(
        graph("json").stdout,
        forewave([Path::new("graph"), Path::new("--json"), &path]).stdout
    );
}

#[test]
fn summaries_are_kept_in_a_file_and_a_spoilt_one_is_ignored_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("summaries");
    let graph = || {
        let block = sample("hot-pool").into_os_string();
        forewave([
            "graph".into(),
            "--format".into(),
            "json".into(),
            "--cache".into(),
            file.clone().into_os_string(),
            block,
        ])
    };
    let first = graph();
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    let saved = fs::read(&file).unwrap();
    let second = graph();
    assert_eq!((second.code, second.stderr.as_str()), (Some(0), ""));
    fs::write(&file, &saved[..saved.len() - 1]).unwrap();
    let third = graph();
    assert_eq!(third.code, Some(0));
    let warning = format!("warning: {}: the checksum", file.display());
    assert!(third.stderr.starts_with(&warning), "{}", third.stderr);
    assert_eq!(third.stdout, first.stdout);
    assert_eq!(fs::read(&file).unwrap(), saved);
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 1, "another file was left behind");
}

#[test]
fn output_that_is_no_terminal_has_no_colours() {
    let ran = forewave([Path::new("run"), Path::new("--compare"), &sample("hot-pool")]);
    assert!(!ran.stdout.contains('\x1b'), "{}", ran.stdout);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_forewave"))
        .args(["graph", "--json"])
        .args(std::iter::repeat_n(sample("mixed-defi"), 20))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

/// Text that would clear the screen, set the title, turn the direction around
/// and begin a script, if it were shown as it is.
const HOSTILE_NAME: &str = "a\x1b[2J\x1b]0;t\x07\u{202e}\u{9b}31m<script>\"b\nc";

#[test]
fn nothing_that_a_name_or_a_file_holds_reaches_the_terminal_as_a_command() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join(HOSTILE_NAME);
    fs::create_dir(&path).unwrap();
    for entry in fs::read_dir(sample("hot-pool")).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, path.join(from.file_name().unwrap())).unwrap();
    }
    let run = |args: &[&str], path: &Path| {
        let ran = forewave(args.iter().map(Path::new).chain([path]));
        for text in [&ran.stdout, &ran.stderr] {
            assert!(text.lines().all(is_printable), "{args:?} {text:?}");
        }
        ran
    };
    for args in [
        &["graph"][..],
        &["graph", "--format", "dot"],
        &["run", "--compare"],
        &["score", "--repeat", "1", "--predictor", "static"],
    ] {
        assert_eq!(run(args, &path).code, Some(0), "{args:?}");
        if args != ["graph", "--format", "dot"] {
            assert_eq!(run(&[args, &["--json"]].concat(), &path).code, Some(0), "{args:?}");
        }
        assert_eq!(run(args, &path.join(HOSTILE_NAME)).code, Some(1), "{args:?}");
    }
    assert_eq!(run(&["analyze"], &path.join(HOSTILE_NAME)).code, Some(1));
    assert_eq!(run(&["graph"], Path::new(&format!("--{HOSTILE_NAME}"))).code, Some(2));
    let text = serde_json::to_string(HOSTILE_NAME).unwrap();
    let abi = format!(r#"[{{"type":"function","name":{text},"inputs":[],"outputs":[]}}]"#);
    fs::write(path.join("abi.json"), abi).unwrap();
    let ran = run(&["analyze", "0x00", "--abi"], &path.join("abi.json"));
    check_refused(&ran, &["is not a JSON ABI"]);
    for change in [
        format!("{{{text}: 1, {text}: 2}}"),
        format!(r#"{{"transactions": [{{"type": "0x7e", "hash": {text}}}]}}"#),
        format!(r#"{{"transactions": [{{"type": "0x2", "hash": {text}}}]}}"#),
        format!(r#"{{"number": {text}}}"#),
        HOSTILE_NAME.to_owned(),
    ] {
        fs::write(path.join("block.json"), &change).unwrap();
        assert_eq!(run(&["graph"], &path).code, Some(1), "{change}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_need_not_end_is_refused() {
    let block = Copied::new();
    fs::remove_file(block.path().join("block.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", block.path().join("block.json")).unwrap();
    check_refused(&block.graph(&[]), &["block.json is not a regular file"]);
    let ran = forewave(["analyze", "/dev/zero"]);
    check_refused(&ran, &["/dev/zero is larger than 16777216 bytes"]);
}

#[test]
fn wrong_usage_exits_with_2() {
    let cases: [&[&str]; 6] = [
        &[],
        &["graph"],
        &["run", "--threads", "0", "block"],
        &["run", "--repeat", "0", "block"],
        &["run", "--predictor", "guess", "block"],
        &["graph", "--json", "--format", "dot", "block"],
    ];
    for args in cases {
        assert_eq!(forewave(args).code, Some(2), "{args:?}");
    }
}
