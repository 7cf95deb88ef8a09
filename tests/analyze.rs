//! `forewave analyze` from outside: what it prints of every fixture contract, as
//! reviewed files in `tests/snapshots`, and what it says about wrong input.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use forewave_fixtures::Contract;
use serde_json::Value;

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
