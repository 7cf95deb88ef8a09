//! `forewave analyze` from outside: what it prints of every fixture contract, as
//! reviewed files in `tests/snapshots`, and what it says about wrong input.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use forewave_fixtures::Contract;
use serde_json::{Value, json};

fn analyze<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forewave")).arg("analyze").args(args).output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks").join(name)
}

/// Checks that it fails with all of `parts` in the message.
#[track_caller]
fn check_refused(args: &[&str], parts: &[&str]) {
    let output = analyze(args);
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is not in {stderr}");
    }
}

#[test]
fn what_every_fixture_contract_touches_is_as_reviewed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        let directory = tempfile::tempdir().unwrap();
        for contract in Contract::ALL {
            let artifact = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("fixtures/artifacts")
                .join(contract.name());
            let json: Value =
                serde_json::from_slice(&fs::read(artifact.with_extension("json")).unwrap())
                    .unwrap();
            let abi = directory.path().join("abi.json");
            fs::write(&abi, json["abi"].to_string()).unwrap();
            let code = contract.artifact().runtime.to_string();
            let output = analyze([OsStr::new(&code), OsStr::new("--abi"), abi.as_os_str()]);
            assert!(output.status.success(), "{}", text(output.stderr));
            insta::assert_snapshot!(format!("{}.analyze", contract.name()), text(output.stdout));
        }
    });
}

#[test]
fn hex_and_a_file_with_it_give_the_same() {
    let code = Contract::Token.artifact().runtime.to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token.hex");
    fs::write(&file, format!("{}\n", code.trim_start_matches("0x"))).unwrap();
    let from_file = analyze([&file]);
    assert_eq!(from_file.status.code(), Some(0));
    assert_eq!(text(analyze([&code]).stdout), text(from_file.stdout));
}

/// The shapes that tools give an artifact in, each with this name, ABI, creation and runtime code.
fn artifacts(contract: Contract) -> Vec<(&'static str, Value)> {
    let artifact = contract.artifact();
    let (creation, runtime) = (artifact.bytecode.to_string(), artifact.runtime.to_string());
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/artifacts");
    let own = fs::read(file.join(contract.name()).with_extension("json")).unwrap();
    let own: Value = serde_json::from_slice(&own).unwrap();
    let abi = own["abi"].clone();
    let bare = |code: &str| code.trim_start_matches("0x").to_owned();
    let foundry = json!({
        "abi": abi,
        "bytecode": {"object": creation, "linkReferences": {}},
        "deployedBytecode": {"object": runtime, "linkReferences": {}},
    });
    let hardhat = json!({
        "_format": "hh-sol-artifact-1", "abi": abi,
        "bytecode": creation, "deployedBytecode": runtime, "linkReferences": {},
    });
    let solc = json!({"abi": abi, "evm": {
        "bytecode": {"object": bare(&creation)}, "deployedBytecode": {"object": bare(&runtime)},
    }});
    let combined = json!({
        "abi": abi.to_string(), "bin": bare(&creation), "bin-runtime": bare(&runtime),
    });
    let shapes = [("own", own), ("foundry", foundry), ("hardhat", hardhat), ("solc", solc)];
    shapes.into_iter().chain([("combined", combined)]).collect()
}

#[test]
fn artifacts_are_taken_as_code_and_as_abi() {
    let directory = tempfile::tempdir().unwrap();
    let code = Contract::Maze.artifact().runtime.to_string();
    for (name, artifact) in artifacts(Contract::Maze) {
        let file = directory.path().join(name);
        fs::write(&file, artifact.to_string()).unwrap();
        let alone = analyze([&file]);
        assert_eq!(alone.status.code(), Some(0), "{name} {}", text(alone.stderr));
        let stdout = text(alone.stdout);
        let as_abi = analyze([OsStr::new(&code), OsStr::new("--abi"), file.as_os_str()]);
        assert_eq!(stdout, text(as_abi.stdout), "{name}");
        let reviewed = include_str!("snapshots/Maze.analyze.snap");
        assert!(reviewed.ends_with(&stdout), "{name} {stdout}");
    }
    for (name, answer) in
        [("answer", json!({"jsonrpc": "2.0", "id": 1, "result": code})), ("text", json!(code))]
    {
        let file = directory.path().join(name);
        fs::write(&file, answer.to_string()).unwrap();
        assert_eq!(text(analyze([&file]).stdout), text(analyze([&code]).stdout), "{name}");
    }
}

#[test]
fn creation_code_is_told_from_runtime_code() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("creation.json");
    for contract in Contract::ALL {
        let artifact = contract.artifact();
        check_refused(&[&artifact.bytecode.to_string()], &["the argument is creation code"]);
        let runtime = analyze([artifact.runtime.to_string()]);
        assert_eq!(runtime.status.code(), Some(0), "{} {}", contract.name(), text(runtime.stderr));
        fs::write(&file, json!({"bytecode": artifact.bytecode.to_string()}).to_string()).unwrap();
        check_refused(&[file.to_str().unwrap()], &["creation.json is creation code"]);
    }
}

#[test]
fn what_is_no_runtime_code_is_refused_by_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let check = |content: &str, part: &str| {
        let file = directory.path().join("file");
        fs::write(&file, content).unwrap();
        check_refused(&[file.to_str().unwrap()], &[part]);
    };
    check(r#"{"abi": [], "deployedBytecode": "0x"}"#, "an interface or an abstract contract");
    check(r#"{"bytecode": {"object": "0x6000"}}"#, "is creation code");
    check(r#"{"contracts": {}}"#, "holds many contracts");
    check(r#"{"number": "0x1"}"#, "is JSON, but no artifact: expected runtime code in one of");
    check(r#"{"deployedBytecode": "#, "is not JSON");
    check(r#"{"runtime": "0x60zz"}"#, "is not hex");
    check(r#"{"runtime": "0x00", "abi": 7}"#, "is not a JSON ABI");
    let placeholder = format!("0x73__${}$__3b00", "a".repeat(34));
    check(&placeholder, "is not linked");
    check(&json!({"deployedBytecode": placeholder}).to_string(), "is not linked");
    let address = "0x00000000000000000000000000000000000000aa";
    let parts = ["0x00000000000000000000000000000000000000AA is an address, not code"];
    check_refused(&[address], &parts);
    check_refused(&[address.trim_start_matches("0x")], &parts);
    let block = sample("hot-pool");
    check_refused(&[block.to_str().unwrap()], &["is a directory: name an account too"]);
}

#[test]
fn code_that_always_reverts_is_said_to() {
    let output = analyze(["0x60006000fd"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(output.stdout), "code · 0 functions\nevery call to it reverts\n");
}

#[test]
fn a_proxy_in_a_block_is_followed_to_the_implementation_that_the_state_names() {
    let block = sample("proxy-upgrade");
    let state = forewave::input::load_state(&block).unwrap();
    let summaries = state.accounts().map(|(address, ..)| {
        forewave::summarize_account(&state, address, forewave::SummaryLimits::default()).unwrap()
    });
    let chain = summaries.into_iter().find(|chain| chain.len() > 1).expect("there is a proxy");
    let address = chain[0].address.to_string();
    let output = analyze([block.as_os_str(), OsStr::new(&address), OsStr::new("--json")]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let code = json["code"].as_array().unwrap();
    assert_eq!(code.len(), 2);
    assert_eq!(code[0]["delegates_to"], "the address in slot eip1967.proxy.implementation");
    assert_eq!(code[1]["address"], chain[1].address.to_string().to_lowercase());
    let plain = analyze([block.as_os_str(), OsStr::new(&address)]);
    assert!(text(plain.stdout).contains("a proxy: delegates to"));
}

#[test]
fn a_minimal_proxy_and_a_delegation_name_whom_they_delegate_to() {
    let target = "00000000000000000000000000000000deadbeef";
    let codes = [
        format!("0x363d3d373d3d3d363d73{target}5af43d82803e903d91602b57fd5bf3"),
        format!("0xef0100{target}"),
    ];
    for code in codes {
        let stdout = text(analyze([&code]).stdout);
        let expected = "a proxy: delegates to 0x00000000000000000000000000000000DeaDBeef";
        assert!(stdout.contains(expected), "{stdout}");
    }
}

#[test]
fn wrong_input_is_named() {
    let block = sample("hot-pool");
    let block = block.to_str().unwrap();
    check_refused(&["0x60zz"], &["the argument is not hex"]);
    check_refused(&["0x600"], &["the argument is not hex"]);
    check_refused(&["0x"], &["the argument holds no code"]);
    check_refused(&["no/such/file"], &["`no/such/file` is neither hex nor a file"]);
    check_refused(&["0xef0100"], &["begins as a delegation"]);
    check_refused(
        &["no/such/block", "0x00000000000000000000000000000000000000aa"],
        &["no/such/block does not exist"],
    );
    check_refused(
        &[block, "0x00000000000000000000000000000000000000aa"],
        &["0x00000000000000000000000000000000000000AA has no code in"],
    );
    check_refused(&["0x00", "--abi", "no/such/abi"], &["`no/such/abi`"]);
    check_refused(&["0x00", "--abi", "Cargo.toml"], &["Cargo.toml is not a JSON ABI"]);
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    assert_eq!(analyze(["0x00", "not-an-address"]).status.code(), Some(2));
    assert_eq!(analyze::<&str>([]).status.code(), Some(2));
}
