//! The command line from outside: exit codes, what is printed where, and what
//! is said about input that is wrong.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use forewave::is_printable;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a run of `forewave` gave.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn forewave<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_forewave")).args(args).output().unwrap();
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
fn a_compressed_block_reads_as_a_plain_one() {
    let block = Copied::new();
    let plain = block.graph(&[]);
    assert_eq!(plain.code, Some(0), "{plain:?}");
    let compressed = block.compress("block.json", 0).compress("pre_state.json", 0).graph(&[]);
    assert_eq!(compressed.stdout, plain.stdout);
}

#[test]
fn a_missing_directory_is_named() {
    let ran = forewave(["graph", "no/such/block"]);
    check_refused(&ran, &["no/such/block does not exist"]);
}

#[test]
fn a_file_in_place_of_a_directory_is_told_apart() {
    let block = Copied::new();
    let file = block.path().join("block.json");
    let ran = forewave([Path::new("graph"), &file]);
    check_refused(&ran, &["block.json is a file", "a block is a directory"]);
}

#[test]
fn of_a_directory_that_is_no_block_it_is_said_what_was_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    let ran = forewave([Path::new("graph"), empty.path()]);
    check_refused(&ran, &["found neither block.json nor block.json.gz", "pre_state.json"]);
    let block = Copied::new();
    fs::remove_file(block.path().join("pre_state.json")).unwrap();
    check_refused(&block.graph(&[]), &["found neither pre_state.json nor pre_state.json.gz"]);
}

#[test]
fn broken_json_is_placed() {
    let block = Copied::new();
    block.write("block.json", "{\n  \"number\": \"0x1\",,\n}");
    check_refused(&block.graph(&[]), &["block.json:2:", "near `", ",,"]);
    let block = Copied::new();
    block.write("pre_state.json", "{\"0x00");
    check_refused(&block.graph(&[]), &["pre_state.json:1:", "EOF while parsing"]);
}

#[test]
fn a_truncated_or_broken_gzip_is_told_apart() {
    let block = Copied::new();
    check_refused(&block.compress("block.json", 9).graph(&[]), &["block.json.gz is truncated"]);
    let block = Copied::new();
    block.compress("block.json", 0).write("block.json.gz", "not gzip at all");
    check_refused(&block.graph(&[]), &["block.json.gz is not a valid gzip stream"]);
}

#[test]
fn a_wrong_field_is_named_with_its_path_its_value_and_what_was_expected() {
    type Change = fn(&mut Value);
    let cases: [(Change, &[&str]); 9] = [
        (|block| block["gasUsed"] = json!([12]), &["`gasUsed`", "a quantity", "found [12]"]),
        (|block| block["miner"] = json!("0x12"), &["`miner`", "20 bytes", "found \"0x12\""]),
        (|block| block["stateRoot"] = Value::Null, &["`stateRoot`", "32 bytes", "found null"]),
        (
            |block| block["transactions"][1]["nonce"] = json!("0xzz"),
            &["`transactions[1].nonce`", "found \"0xzz\""],
        ),
        (
            |block| drop(block["transactions"][0].as_object_mut().unwrap().remove("from")),
            &["`transactions[0].from`", "20 bytes", "found nothing"],
        ),
        (
            |block| drop(block["transactions"][2].as_object_mut().unwrap().remove("maxFeePerGas")),
            &["`transactions[2].maxFeePerGas`", "type 0x2"],
        ),
        (
            |block| block["transactions"] = json!(["0x12"]),
            &["`transactions[0]`", "a transaction object"],
        ),
        (|block| block["chainId"] = json!([1]), &["`chainId`", "found [1]"]),
        (|block| *block = Value::Null, &["a block object", "found null"]),
    ];
    for (change, parts) in cases {
        let block = Copied::new();
        check_refused(&block.edit("block.json", change).graph(&[]), parts);
    }
    let block = Copied::new();
    block.edit("pre_state.json", |state| {
        let account = state.as_object_mut().unwrap().values_mut().next().unwrap();
        account["balence"] = json!("0x1");
    });
    check_refused(&block.graph(&[]), &["pre_state.json:1:", "account 0x", "`balence`"]);
}

#[test]
fn an_optimism_deposit_is_refused_by_name() {
    let block = Copied::new();
    block.edit("block.json", |block| block["transactions"][1]["type"] = json!("0x7e"));
    check_refused(&block.graph(&[]), &["tx1 (0x", "has type 0x7e", "types 0x0 to 0x4"]);
}

#[test]
fn an_unknown_chain_is_refused_by_its_id() {
    let block = Copied::new();
    block.edit("block.json", |block| {
        for tx in block["transactions"].as_array_mut().unwrap() {
            tx["chainId"] = json!("0x2105");
        }
    });
    check_refused(&block.graph(&[]), &["tx0 (0x", "names chain id 8453", "mainnet (1)"]);
    let ran = forewave(["graph", "--chain", "base", "anywhere"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("`base` is none of mainnet (1)"), "{}", ran.stderr);
}

#[test]
fn a_chain_that_contradicts_the_transactions_is_refused() {
    let block = Copied::new();
    let ran = block.graph(&["--chain", "sepolia"]);
    check_refused(&ran, &["--chain names chain id 11155111, tx0 (0x", "names 1"]);
    assert_eq!(block.graph(&["--chain", "mainnet"]).code, Some(0));
}

#[test]
fn a_header_that_does_not_fit_its_fork_is_refused() {
    let block = Copied::new();
    block
        .edit("block.json", |block| drop(block.as_object_mut().unwrap().remove("withdrawalsRoot")));
    check_refused(&block.graph(&[]), &["Cancun", "no withdrawals root", "--chain"]);
}

#[test]
fn a_sender_who_did_not_sign_is_found_on_request() {
    let block = Copied::new();
    assert_eq!(block.graph(&["--check-senders"]).code, Some(0));
    let stranger = "0x00000000000000000000000000000000000000aa";
    block.edit("block.json", |block| block["transactions"][3]["from"] = json!(stranger));
    let parts =
        ["tx3 (0x", "states sender 0x00000000000000000000000000000000000000AA", "signed it"];
    check_refused(&block.graph(&["--check-senders"]), &parts);
}

#[test]
fn a_block_that_fails_does_not_keep_the_others_from_running() {
    let (good, missing) = (sample("nonce-chain"), PathBuf::from("no/such/block"));
    let ran = forewave([Path::new("run"), &missing, &good, Path::new("--json")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no/such/block does not exist"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["block"], "nonce-chain");
}

#[test]
fn an_invalid_transaction_is_named_with_its_block() {
    let block = Copied::new();
    block.edit("pre_state.json", |state| {
        for account in state.as_object_mut().unwrap().values_mut() {
            account["balance"] = json!("0x0");
        }
    });
    let ran = forewave([Path::new("run"), Path::new("--json"), block.path()]);
    check_refused(&ran, &[block.path().to_str().unwrap(), "tx0 is invalid", "lack of funds"]);
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
        "number",
        "txs",
        "gas_used",
        "reexecuted",
        "waves",
        "sequential_ms",
        "parallel_ms",
        "analyze_ms",
        "schedule_ms",
        "execute_ms",
        "speedup",
    ] {
        assert!(report[field].is_number(), "{field}: {}", report[field]);
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
fn templates_are_kept_in_a_file_and_a_spoilt_one_is_ignored_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("templates");
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
    assert_eq!(left, 1, "a file besides the templates was left behind");
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

/// A test of one valid block without transactions, and the archive forms of it.
fn conformance_case() -> Value {
    let rlp = |block: &alloy_consensus::Block<alloy_consensus::TxEnvelope>| {
        alloy_primitives::hex::encode_prefixed(alloy_rlp::encode(block))
    };
    let body = alloy_consensus::BlockBody::default();
    let genesis = alloy_consensus::Header { gas_limit: 1 << 20, ..Default::default() };
    let reward = alloy_primitives::U256::from(5_000_000_000_000_000_000_u64);
    let mut state = forewave::MemoryState::default();
    let info = revm::state::AccountInfo::from_balance(reward);
    state.insert_account(alloy_primitives::Address::ZERO, info);
    let state_root = forewave::state_root(&state);
    let parent_hash = genesis.hash_slow();
    let header = alloy_consensus::Header { number: 1, parent_hash, state_root, ..genesis.clone() };
    json!({ "a_reward": {
        "network": "Frontier",
        "pre": {},
        "genesisRLP": rlp(&alloy_consensus::Block::new(genesis, body.clone())),
        "blocks": [
            { "rlp": "0x00", "expectException": "BlockException.RLP_STRUCTURES_ENCODING" },
            { "rlp": rlp(&alloy_consensus::Block::new(header.clone(), body)) },
        ],
        "lastblockhash": header.hash_slow(),
        "postState": {
            "0x0000000000000000000000000000000000000000": { "balance": "5000000000000000000" },
        },
    }})
}

#[test]
fn test_runs_a_file_a_directory_or_an_archive_and_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let case = serde_json::to_vec(&conformance_case()).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut entry = tar::Header::new_gnu();
    entry.set_size(case.len() as u64);
    archive.append_data(&mut entry, "inside/case.json", &case[..]).unwrap();
    let archive = archive.into_inner().unwrap();
    fs::create_dir_all(at("good/.hidden")).unwrap();
    fs::write(at("good/.hidden/index.json"), "{}").unwrap();
    fs::write(at("good/case.json"), &case).unwrap();
    fs::write(at("good/one.tar.zst"), zstd::encode_all(&archive[..], 1).unwrap()).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&archive).unwrap();
    fs::write(at("good/two.tgz"), gzip.finish().unwrap()).unwrap();

    let ran = forewave(["test".into(), at("good")]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("3 cases in 3 files: 3 passed, 0 failed, 0 skipped\n"));
    assert!(ran.stdout.contains("6 predictors on 1, 2, 8 threads; 3 invalid blocks rejected"));

    let mut wrong = conformance_case();
    wrong["a_reward"]["postState"] = json!({});
    fs::write(at("wrong.json"), serde_json::to_vec(&wrong).unwrap()).unwrap();
    let ran = forewave(["test".into(), at("wrong.json")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("state after the last block: 0x0000"), "{}", ran.stdout);
    wrong["a_reward"]["network"] = json!("\u{1b}[2J");
    fs::write(at("wrong.json"), serde_json::to_vec(&wrong).unwrap()).unwrap();
    let ran = forewave(["test".into(), at("wrong.json"), "--verbose".into()]);
    assert!(
        ran.stdout.contains("skipped: the rules of \\u{1b}[2J are not known"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
    wrong["a_reward"]["network"] = json!("Nowhere");
    fs::write(at("wrong.json"), serde_json::to_vec(&wrong).unwrap()).unwrap();
    let ran = forewave(["test".into(), at("wrong.json"), "--json".into()]);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines[0]["verdict"], "skipped");
    assert_eq!(lines[1]["total"]["skipped_for"]["the rules of Nowhere are not known"], 1);

    fs::write(at("broken.json"), r#"{"a": {"network": "Cancun"}}"#).unwrap();
    for (path, part) in [("broken.json", "missing field"), ("none", "does not exist")] {
        let ran = forewave(["test".into(), at(path)]);
        assert_eq!(ran.code, Some(1), "{path}");
        assert!(ran.stderr.contains(part), "{path}: {}", ran.stderr);
    }
}
