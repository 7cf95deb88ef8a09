//! A node to fetch from: Foundry's anvil, installed by npm into `target/` once.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

/// The release that is installed.
const VERSION: &str = "1.7.1";

/// anvil on a port of its own, ended when dropped.
#[derive(Debug)]
pub(crate) struct Anvil {
    child: Child,
    pub(crate) url: String,
}

impl Anvil {
    /// A new chain that follows `fork` and mines when told; nothing where anvil cannot be had.
    pub(crate) fn start(fork: &str) -> Option<Self> {
        static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
        let program = PROGRAM.get_or_init(program).as_ref()?;
        let mut child = Command::new(program)
            .args(["--port", "0", "--no-mining", "--hardfork", fork, "--mnemonic-seed-unsafe", "7"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.strip_prefix("Listening on ")?.to_owned()));
        let url = format!("http://{}", address.expect("anvil says where it listens"));
        // What else it prints must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, url })
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// anvil's program: as it is installed, or after installing it.
fn program() -> Option<PathBuf> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("anvil").join(VERSION);
    let found = installed(&cache).or_else(|| {
        install(&cache)?;
        installed(&cache)
    });
    if found.is_none() {
        eprintln!("skipped: anvil {VERSION} could not be installed by npm");
    }
    found
}

fn installed(cache: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(cache.join("node_modules/@foundry-rs")).ok()?;
    let names = ["bin/anvil", "bin/anvil.exe"];
    let mut programs = packages.filter_map(Result::ok).filter_map(|package| {
        names.iter().map(|name| package.path().join(name)).find(|program| program.is_file())
    });
    programs.next()
}

fn install(cache: &Path) -> Option<()> {
    fs::create_dir_all(cache).ok()?;
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let status = Command::new(npm)
        .args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"])
        .args(["--fetch-timeout=60000", "--fetch-retries=1", "--prefix", "."])
        .arg(format!("@foundry-rs/anvil@{VERSION}"))
        .current_dir(cache)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    status.success().then_some(())
}
