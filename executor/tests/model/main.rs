//! The executor's synchronising core under a model checker.
//!
//! `run/dispatch.rs` and what it stands on are compiled here as they are, on the primitives
//! of [loom](https://docs.rs/loom) instead of the standard library's.
//! Loom runs each case in every order in which its threads can interleave, up to
//! a number of preemptions, and lets each load see every value that the memory
//! model allows it to see. A case fails if an assertion does, and if all threads
//! sleep: a wake-up that is lost is a deadlock.
//!
//! `cargo test -p forewave-executor --test model`, with a part of a case's name
//! to run fewer. Then steps of the protocol are left out in turn, and some case must
//! fail: so the cases see what the steps are for. Steps are the fences and the orders of
//! 32-bit atomics.

#[path = "../../src/run/dispatch.rs"]
mod dispatch;
#[expect(dead_code, reason = "the library uses more of it than the models")]
#[path = "../../src/run/order.rs"]
mod order;
#[expect(dead_code, reason = "what serves its tests")]
#[path = "../../src/ready.rs"]
mod ready;
mod sync;

mod cases;

use std::{
    env,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use cases::{CASES, check_ready_set};
use sync::Step;

/// Says which step a process is to leave out.
const WITHOUT: &str = "--without";

/// What the check of the set alone is called.
const READY_SET: &str = "ready tasks that two threads put in and take out";

fn main() -> ExitCode {
    let mut filter = String::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == WITHOUT {
            let step = arguments.next().expect("a step follows");
            sync::LEFT_OUT.set(step).expect("one step is left out");
        } else if !argument.starts_with('-') {
            filter = argument;
        }
    }
    if READY_SET.contains(&filter) {
        report(READY_SET, check_ready_set);
    }
    for case in CASES.iter().filter(|case| case.name.contains(&filter)) {
        report(case.name, || case.check());
    }
    if !filter.is_empty() || sync::LEFT_OUT.get().is_some() {
        return ExitCode::SUCCESS;
    }
    let steps = sync::STEPS.lock().unwrap().clone();
    let unneeded = steps.into_iter().filter(|step| passes_without(*step)).count();
    if unneeded == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(name: &str, check: impl FnOnce() -> usize) {
    let start = Instant::now();
    let orders = check();
    println!("{orders:>8} orders, {:>6} ms  {name}", start.elapsed().as_millis());
}

/// Whether all cases pass without a step.
fn passes_without(step: Step) -> bool {
    let program = env::current_exe().expect("a test knows its program");
    let mut child = Command::new(program);
    child.args([WITHOUT, &step.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let passes = child.status().expect("the program that runs can be run").success();
    let verdict = if passes { "nothing fails" } else { "a case fails, as it must" };
    println!("without {step}: {verdict}");
    passes
}
