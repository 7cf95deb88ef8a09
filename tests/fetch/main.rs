//! Blocks fetched from a node: from a sample block that answers as a node, and from Foundry's
//! anvil as npm has it, in each of the three ways to a pre-state.

mod anvil;
mod chain;
mod fetched;
mod proxy;
mod sample;

use std::process::Command;

use tempfile::TempDir;

/// What a run of `forewave` gave.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn forewave(args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forewave"));
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let output = command.args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Ran { code: output.status.code(), stdout, stderr }
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}
