//! Files that commands write, and reports over several blocks: what is there already is kept,
//! blocks that fail are named, and what is done is printed whatever follows.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{Copied, Ran, check_refused, forewave, sample};

/// Runs a command with an option that names an output file, on one sample block.
fn with_output(args: &[&str], file: &Path) -> Ran {
    let block = sample("hot-pool");
    forewave(args.iter().map(Path::new).chain([file, block.as_path()]))
}

const CACHES: [&[&str]; 3] = [
    &["graph", "--cache"],
    &["run", "--cache"],
    &["score", "--repeat=1", "--predictor=static", "--cache"],
];

#[test]
fn a_file_that_holds_something_else_is_kept() {
    for args in CACHES.into_iter().chain([&["bench", "--repeat=1", "--plot"][..]]) {
        for content in [&b"{}"[..], b"<svg>another drawing</svg>", &[0; 4096]] {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("mine");
            fs::write(&file, content).unwrap();
            let ran = with_output(args, &file);
            check_refused(&ran, &["mine", "it exists and holds something else"]);
            assert_eq!(fs::read(&file).unwrap(), content, "{args:?}");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "{args:?}");
        }
    }
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_the_work() {
    for args in CACHES.into_iter().chain([&["bench", "--repeat=1", "--plot"][..]]) {
        let directory = tempfile::tempdir().unwrap();
        check_refused(&with_output(args, directory.path()), &["it is not a regular file"]);
        check_refused(&with_output(args, Path::new("/dev/null")), &["it is not a regular file"]);
        let missing = directory.path().join("missing/file");
        check_refused(&with_output(args, &missing), &["missing/file", "No such file"]);
    }
}

#[test]
fn an_output_replaces_an_earlier_one_through_a_link_too() {
    for args in [CACHES[0], &["bench", "--repeat=1", "--plot"]] {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, b"").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for _ in 0..2 {
            let ran = with_output(args, &link);
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(!fs::read(&file).unwrap().is_empty());
        }
    }
}

#[test]
fn blocks_that_fail_are_named_and_nothing_is_summed_up_of_none() {
    let spoilt = Copied::new();
    spoilt.write("block.json", "{");
    let name = spoilt.path().file_name().unwrap().to_str().unwrap();
    let fine = sample("nonce-chain");
    for command in ["score", "bench"] {
        let args = [command, "--json", "--repeat=1"].map(Path::new);
        let ran = forewave(args.into_iter().chain([spoilt.path()]));
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((ran.code, &report["total"]), (Some(1), &Value::Null), "{report}");
        assert_eq!(report["blocks"], json!([]));
        assert_eq!(report["failed"][0]["block"], name);
        let error = report["failed"][0]["error"].as_str().unwrap();
        assert!(error.contains("block.json"), "{error}");

        let ran = forewave(args.into_iter().chain([spoilt.path(), &fine]));
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["blocks"][0]["block"], "nonce-chain");
        assert_eq!((report["failed"].as_array().unwrap().len(), ran.code), (1, Some(1)));
        assert!(report["total"].is_object());

        let ran = forewave([Path::new(command), spoilt.path()]);
        assert_eq!(ran.stdout, format!("1 block failed: {name}\n"));
    }
}

#[test]
#[cfg(unix)]
fn an_interrupted_report_has_the_blocks_that_are_done() {
    for command in ["score", "bench"] {
        for json in [false, true] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_forewave"))
                .args([command, "--repeat=1"])
                .args(json.then_some("--json"))
                .args([sample("hot-pool"), "no-block".into()])
                .args(std::iter::repeat_n(sample("hot-pool"), 5000))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // The first block is done when the second fails.
            let mut stderr = BufReader::new(child.stderr.take().unwrap());
            let mut failure = String::new();
            while !failure.contains("no-block") {
                assert_ne!(stderr.read_line(&mut failure).unwrap(), 0, "{failure}");
            }
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
            let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            assert!(sent.unwrap().success());
            let mut text = String::new();
            child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(130));
            if json {
                let report: Value = serde_json::from_str(&text).unwrap();
                assert!(!report["blocks"].as_array().unwrap().is_empty());
                assert!(report["total"].is_object());
                assert_eq!(report["failed"][0]["block"], "no-block");
            } else {
                assert!(text.contains("hot-pool · "), "{text}");
                assert!(text.ends_with("1 block failed: no-block\n"), "{text}");
            }
        }
    }
}
