//! Random blocks in parallel against sequential execution, for as long as one
//! likes:
//!
//! `cargo run --release --example differential -- --seed 1 --transactions 10000000`
//!
//! A difference is shrunk and written to a block directory under `--out`, which
//! `forewave run --compare` can open; the run goes on. `--progress FILE` is
//! rewritten as it goes, and `--stop FILE` ends it once that file exists.

#[path = "../tests/support/differential.rs"]
mod differential;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use rayon::{ThreadPool, ThreadPoolBuilder};

use self::differential::{
    Choices, Difference, Drawn, Prediction, Ran, check, drawn, shrink, write,
};

/// Bytes that decide one block.
const BLOCK_BYTES: usize = 24 * 1024;
/// Transactions of a small block, at most, and of the largest ones.
const TXS_MAX: [u8; 4] = [12, 60, 120, 250];
/// Time between two notes of the progress.
const NOTE_INTERVAL: Duration = Duration::from_secs(5);
/// Differences after which the run ends.
const DIFFERENCES_MAX: usize = 20;

/// What was asked for.
struct Asked {
    seed: u64,
    transactions: usize,
    out: PathBuf,
    progress: Option<PathBuf>,
    stop: Option<PathBuf>,
}

impl Asked {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let out = "differences".into();
        let mut asked = Self { seed: 1, transactions: 100_000, out, progress: None, stop: None };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--seed" => asked.seed = value.parse()?,
                "--transactions" => asked.transactions = value.parse()?,
                "--out" => asked.out = value.into(),
                "--progress" => asked.progress = Some(value.into()),
                "--stop" => asked.stop = Some(value.into()),
                _ => return Err(format!("{name} is not known").into()),
            }
        }
        Ok(asked)
    }

    fn is_to_stop(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.exists())
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let word = || {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)).to_le_bytes()
        };
        core::iter::repeat_with(word).take(len.div_ceil(8)).flatten().collect()
    }
}

/// What all blocks amount to.
#[derive(Default)]
struct Total {
    blocks: usize,
    invalid_blocks: usize,
    ran: Ran,
    differences: usize,
}

impl Total {
    fn add(&mut self, ran: Ran) {
        self.blocks += 1;
        self.invalid_blocks += usize::from(ran.is_invalid);
        self.ran.txs += ran.txs;
        self.ran.transfers += ran.transfers;
        self.ran.successes += ran.successes;
        self.ran.reexecuted += ran.reexecuted;
    }

    fn line(&self, next_seed: u64, started: Instant) -> String {
        let Self { blocks, invalid_blocks, ran, differences } = self;
        format!(
            "{} transactions ({} plain transfers, {} successful, {} ran again) in \
             {blocks} blocks ({invalid_blocks} invalid), {differences} \
             differences, next seed {next_seed}, {:.0} s",
            ran.txs,
            ran.transfers,
            ran.successes,
            ran.reexecuted,
            started.elapsed().as_secs_f64(),
        )
    }
}

/// A block and the way it is to be executed, from its seed alone.
fn case(seed: u64) -> (Drawn, Prediction, usize, Vec<u8>) {
    let bytes = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)).bytes(BLOCK_BYTES);
    let choices = &mut Choices(&bytes);
    let prediction = Prediction::drawn(choices);
    // Eight threads cost most where cores are few, so they are the rarest.
    let pool = choices.of(&[0, 0, 0, 1, 1, 1, 1, 2]);
    let txs_max = choices.of(&TXS_MAX);
    (drawn(choices, txs_max), prediction, pool, choices.0.to_vec())
}

fn keep(
    asked: &Asked,
    seed: u64,
    (drawn, rest): (&Drawn, &[u8]),
    found: &Difference,
    pool: &ThreadPool,
) -> Result<(), Box<dyn Error>> {
    let differs = |fewer: &Drawn| check(fewer, found.prediction, &mut Choices(rest), pool).is_err();
    let least = shrink(drawn, differs);
    let directory = asked.out.join(format!("seed-{seed}"));
    write(&least, &directory)?;
    eprintln!("seed {seed}: {found}\n  written to {}", directory.display());
    fs::write(directory.join("difference.txt"), format!("{found}\n"))?;
    Ok(())
}

fn note(path: Option<&Path>, line: &str) -> Result<(), Box<dyn Error>> {
    if let Some(path) = path {
        fs::write(path, format!("{line}\n"))?;
    }
    Ok(())
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let asked = Asked::parse(env::args().skip(1))?;
    let pools = [1, 2, 8].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build());
    let pools: Vec<ThreadPool> = pools.into_iter().collect::<Result<_, _>>()?;
    let (started, mut noted) = (Instant::now(), Instant::now());
    let mut total = Total::default();
    let mut seed = asked.seed;
    while total.ran.txs < asked.transactions
        && total.differences < DIFFERENCES_MAX
        && !asked.is_to_stop()
    {
        let (drawn, prediction, pool, rest) = case(seed);
        let pool = &pools[pool];
        match check(&drawn, prediction, &mut Choices(&rest), pool) {
            Ok(ran) => total.add(ran),
            Err(found) => {
                total.differences += 1;
                keep(&asked, seed, (&drawn, &rest), &found, pool)?;
            }
        }
        seed += 1;
        if noted.elapsed() > NOTE_INTERVAL {
            noted = Instant::now();
            note(asked.progress.as_deref(), &total.line(seed, started))?;
        }
    }
    let line = total.line(seed, started);
    println!("{line}");
    note(asked.progress.as_deref(), &line)?;
    Ok(if total.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
