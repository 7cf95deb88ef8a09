//! Blocks fetched from a node: from a sample block that answers as a node, and from Foundry's
//! anvil as npm has it, in each of the three ways to a pre-state.

mod anvil;
mod chain;
mod fetched;
mod proxy;
mod sample;

#[path = "../support/ran.rs"]
mod ran;

use tempfile::TempDir;

use self::ran::{Ran, forewave};

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}
