//! Files that are wrong by accident or on purpose: each is refused with a
//! message, or is a block; none panics, and none costs more than the limits say.
//!
//! `FOREWAVE_FUZZ_FILES=1000000 cargo test --release --test bad_input -- --nocapture`
//! tries as many spoilt files; `FOREWAVE_FUZZ_SEED` moves it to others.

#[path = "support/hostile_cases.rs"]
mod hostile_cases;
#[path = "support/hostile_files.rs"]
mod hostile_files;
#[path = "support/hostile_input.rs"]
mod hostile_input;

use std::{
    collections::BTreeMap,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use forewave_fixtures::Sample;
use hostile_cases::HostileCases;
use hostile_files::{HostileFiles, NamedFile};
use hostile_input::{check, load};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Spoilt files that are tried where nobody asks for more.
const FILES: u64 = 1500;

/// Failures that are described before the rest is only counted.
const FAILURES_SHOWN: usize = 10;

fn blocks() -> impl Iterator<Item = PathBuf> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    Sample::ALL.iter().map(move |sample| blocks.join(sample.name()))
}

fn number_from_environment(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// The most memory that this process has held, in KiB, where the system says so.
fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Tries as many seeds as were asked for, and says what became of them; the
/// kinds of fates are given.
fn try_all<F: Ord + core::fmt::Debug>(what: &str, check: impl Fn(u64) -> F) -> usize {
    let files = number_from_environment("FOREWAVE_FUZZ_FILES", FILES);
    let first_seed = number_from_environment("FOREWAVE_FUZZ_SEED", 0);
    let mut fates = BTreeMap::<F, u64>::new();
    let mut failures = Vec::new();
    let mut slowest = (Duration::ZERO, 0);
    for seed in first_seed..first_seed + files {
        let start = Instant::now();
        if let Ok(fate) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            *fates.entry(fate).or_default() += 1;
        } else {
            println!("{what}: seed {seed} failed");
            failures.push(seed);
        }
        slowest = slowest.max((start.elapsed(), seed));
        if (seed + 1 - first_seed).is_multiple_of(100_000) {
            println!("{} {what}: {fates:?}", seed + 1 - first_seed);
        }
    }
    println!(
        "{files} {what} from seed {first_seed}: {fates:?}, {} failures; the slowest took {} ms \
         (seed {}); at most {} MiB held",
        failures.len(),
        slowest.0.as_millis(),
        slowest.1,
        peak_memory_kib().map_or("unknown".to_owned(), |kib| (kib >> 10).to_string()),
    );
    let shown = &failures[..failures.len().min(FAILURES_SHOWN)];
    assert!(failures.is_empty(), "{} failures, the first of seeds {shown:?}", failures.len());
    fates.len()
}

fn pool() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(1).build().unwrap()
}

#[test]
fn spoilt_files_are_refused_or_executed_and_never_panic() {
    let (hostile, pool) = (HostileFiles::new(blocks()), pool());
    let fates = try_all("files", |seed| {
        let case = hostile.case(seed);
        check(case.each_ref().map(|file| (file.name.as_str(), &file.bytes[..])), &pool)
    });
    // What is tried is worth trying: a part of it reaches every step.
    assert_eq!(fates, 4);
}

#[test]
fn spoilt_conformance_tests_are_refused_or_judged_and_never_panic() {
    let (hostile, pool) = (HostileFiles::new(blocks()), pool());
    let cases = HostileCases::new(&hostile);
    let directory = tempfile::tempdir().unwrap();
    let fates = try_all("conformance tests", |seed| {
        hostile_cases::check(&cases.case(seed), directory.path(), &pool)
    });
    assert_eq!(fates, 3);
}

#[test]
fn a_case_is_a_function_of_its_seed() {
    let (one, other) = (HostileFiles::new(blocks()), HostileFiles::new(blocks()));
    for seed in 0..100 {
        let bytes = |files: [NamedFile; 3]| files.map(|file| (file.name, file.bytes));
        assert_eq!(bytes(one.case(seed)), bytes(other.case(seed)));
    }
}

/// The files of `hot-pool`, of which `change` spoils the text.
fn spoilt(file: usize, change: impl FnOnce(String) -> String) -> String {
    let path = blocks().find(|path| path.ends_with("hot-pool")).unwrap();
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    let mut files = [read("block.json"), read("pre_state.json"), "{}".to_owned()];
    files[file] = change(core::mem::take(&mut files[file]));
    let [block, pre_state, hashes] = &files;
    let loaded = load([
        ("block.json", block.as_bytes()),
        ("pre_state.json", pre_state.as_bytes()),
        ("block_hashes.json", hashes.as_bytes()),
    ]);
    loaded.map_or_else(|error| error.to_string(), |_| "loaded".to_owned())
}

#[test]
fn what_a_document_says_twice_is_refused_however_it_is_written() {
    let first = |text: String, entry: &str| text.replacen('{', &format!("{{{entry},"), 1);
    let account = "00000000000000000000000000000000000000aa";
    let hash = "0x00000000000000000000000000000000000000000000000000000000000000aa";
    let accounts = format!("\"0x{account}\":{{}},\"0x{}\":{{}}", account.to_uppercase());
    let slots = format!("\"0x{account}\":{{\"storage\":{{\"0x1\":\"0x1\",\"0x01\":\"0x2\"}}}}");
    let fields = format!("\"0x{account}\":{{\"nonce\":1,\"nonce\":2}}");
    let cases = [
        (0, "\"gasUsed\":\"0x1\"".to_owned(), "block.json:", "duplicate field `"),
        (0, "\"a\":{\"b\":1,\"\\u0062\":2}".to_owned(), "block.json:", "duplicate field `b`"),
        (1, accounts, "pre_state.json:", "duplicate account 0x"),
        (1, slots, "pre_state.json:", "duplicate key 1"),
        (1, fields, "pre_state.json:", "duplicate field `nonce`"),
        (
            2,
            format!("\"1\":\"{hash}\",\"0x1\":\"{hash}\""),
            "block_hashes.json:",
            "duplicate key 1",
        ),
    ];
    for (file, entry, place, part) in cases {
        let said = spoilt(file, |text| first(text, &entry).replace(",}", "}"));
        assert!(said.starts_with(place) && said.contains(part), "{entry}: {said}");
    }
}

#[test]
fn absurd_sizes_are_refused_where_they_stand() {
    let value = |name: &'static str, value: &'static str| {
        move |text: String| {
            let start = text.find(&format!("\"{name}\"")).unwrap() + name.len() + 3;
            let end = start + text[start..].find([',', '\n']).unwrap();
            format!("{} {value}{}", &text[..start], &text[end..])
        }
    };
    let cases = [
        ("nonce", "\"0x10000000000000000\"", "8 bytes"),
        ("gasLimit", "\"0x10000000000000000\"", "a quantity of at most 64 bits"),
        ("number", "\"0x1ffffffffffffffffffff\"", "a quantity of at most 64 bits"),
        ("difficulty", "1e400", "number out of range"),
        ("baseFeePerGas", "-1", "found -1"),
        ("extraData", "\"0xf\"", "an even number of hex digits"),
        ("timestamp", "10000000000000000000000", "a quantity of at most 64 bits"),
    ];
    for (name, with, part) in cases {
        let said = spoilt(0, value(name, with));
        assert!(said.starts_with("block.json:") && said.contains(part), "{name} {with}: {said}");
    }
}

#[test]
fn deep_nesting_is_refused_before_it_can_fill_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for file in 0..3 {
            let said = spoilt(file, |_| nested(1_000_000));
            assert!(said.contains(".json:1:"), "{said}");
        }
        let said = spoilt(0, |text| text.replacen('{', &format!("{{\"x\":{},", nested(200)), 1));
        assert!(said.contains("recursion limit exceeded"), "{said}");
    }
}
