//! Blocks of Amsterdam that `EthereumJS` fills, an implementation of its own: gas, receipts, requests, access lists
//! and state of random transactions must be what it says. `tests/ethereumjs/` has the scripts.
//!
//! Where Node.js is not installed, or npm cannot install the packages, nothing is tested, and one line says so.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use forewave::{
    PredictorKind,
    conformance::{Setup, Verdict, Ways, run_file},
    input::SourceFile,
};
use rayon::ThreadPoolBuilder;

/// Chains that are filled.
const CASES: usize = 2;

/// Blocks of each.
const BLOCKS: usize = 2;

/// Transactions of each block.
const TRANSACTIONS: usize = 50;

/// The scripts beside their packages, in the directory of build outputs; or why they cannot run.
fn installed() -> Result<PathBuf, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ethereumjs");
    let outputs = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("inside target");
    let installed = outputs.join("ethereumjs");
    fs::create_dir_all(&installed).unwrap();
    let lock = |directory: &Path| fs::read(directory.join("package-lock.json")).ok();
    let is_current = installed.join("node_modules").is_dir() && lock(&sources) == lock(&installed);
    for entry in fs::read_dir(&sources).unwrap() {
        let source = entry.unwrap().path();
        fs::copy(&source, installed.join(source.file_name().expect("a file"))).unwrap();
    }
    if !is_current {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        let output = command("npm", &installed).args(arguments).output();
        succeeded("npm", output).inspect_err(|_| {
            // The next run is to try again.
            let _ = fs::remove_dir_all(installed.join("node_modules"));
        })?;
    }
    succeeded("node", command("node", &installed).arg("--version").output())?;
    Ok(installed)
}

fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory);
    command
}

fn succeeded(program: &str, output: io::Result<Output>) -> Result<(), String> {
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let reason = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("").to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {reason}")) }
}

#[test]
fn blocks_that_ethereumjs_fills_are_what_it_says() {
    let directory = match installed() {
        Ok(directory) => directory,
        Err(reason) => return eprintln!("skipped: EthereumJS is not installed ({reason})"),
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let size = [("--cases", CASES), ("--blocks", BLOCKS), ("--transactions", TRANSACTIONS)];
    let arguments = size.map(|(name, number)| [name.to_owned(), number.to_string()]);
    let output = command("node", &directory)
        .arg("fill.mjs")
        .args(arguments.concat())
        .arg("--out")
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = SourceFile { path: "filled.json".into(), bytes: fs::read(file.path()).unwrap() };
    let pools = [2].map(|count| ThreadPoolBuilder::new().num_threads(count).build().unwrap());
    let predictors = [PredictorKind::None, PredictorKind::Static];
    let setup = Setup { ways: Ways::All, predictors: &predictors, pools: &pools };
    let reports = run_file(&file, &setup, |_| true).unwrap();
    assert_eq!(reports.len(), CASES);
    for report in reports {
        assert_eq!(report.verdict, Verdict::Passed, "{}", report.case);
        assert_eq!(report.valid_blocks, BLOCKS, "{}", report.case);
    }
}
