//! `forewave t8n`: a state transition, its roots printed or written where geth's
//! `evm t8n` writes them.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};

use forewave::{
    OutcomeNote, Printable, StaticPredictor,
    input::{SourceFile, limits::PRE_STATE_BYTES_MAX},
    t8n::{FilePlaces, Place, Transition, TransitionFiles, TransitionInput, transition},
};
use serde_json::{Map, Value, json};

use super::{
    Verdict,
    args::{Destination, Source, T8nArgs},
    diagnostic::{Failure, report},
    text::counted,
    thread_pool, whole_file,
};

/// Runs the transition.
pub(super) fn t8n(args: &T8nArgs) -> io::Result<Verdict> {
    match run(args) {
        Ok(()) => Ok(Verdict::Fine),
        Err(Failure::Output(error)) => Err(error),
        Err(failure) => {
            report(&failure, Some(args.directory()));
            Ok(Verdict::Failed)
        }
    }
}

fn run(args: &T8nArgs) -> Result<(), Failure> {
    let outputs = args.outputs();
    for (what, destination) in &outputs {
        if let Destination::File(file) = destination {
            check_writable(file).map_err(|source| unwritable(file, what, source))?;
        }
    }
    let (files, pool) = (read(args)?, thread_pool(&args.threads)?);
    let input = pool.install(|| TransitionInput::parse(&files, args.rules()))?;
    let transition = transition(&input, &StaticPredictor::default(), &pool)?;
    write(args, &outputs, &transition)
}

fn read(args: &T8nArgs) -> Result<TransitionFiles, Failure> {
    let place = |source: &Option<Source>| match source {
        None => Place::Directory,
        Some(Source::Stdin) => Place::Document,
        Some(Source::File(path)) => Place::File(path.clone()),
    };
    let [alloc, env, txs] = args.inputs().map(place);
    let places = FilePlaces { directory: args.directory().to_owned(), alloc, env, txs };
    let takes_stdin = args.inputs().contains(&&Some(Source::Stdin));
    let stdin = takes_stdin
        .then(|| SourceFile::read("stdin".into(), io::stdin().lock(), PRE_STATE_BYTES_MAX));
    Ok(TransitionFiles::read_from(&places, stdin.transpose()?.as_ref())?)
}

/// Fails before the work where a file could not be written after it.
fn check_writable(file: &Path) -> io::Result<()> {
    if file.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fs::metadata(parent).map(drop),
        None => Ok(()),
    }
}

fn unwritable(file: &Path, what: &'static str, source: io::Error) -> Failure {
    Failure::File { file: file.to_owned(), what, source }
}

/// Writes what was asked for where it was asked for. What goes to standard output or
/// standard error is one object, as geth writes it.
fn write(
    args: &T8nArgs,
    outputs: &[(&'static str, Destination)],
    transition: &Transition,
) -> Result<(), Failure> {
    let [mut to_stdout, mut to_stderr] = [Map::new(), Map::new()];
    for (what, destination) in outputs {
        let value = match *what {
            "alloc" => json!(transition.alloc()),
            "body" => json!(transition.body),
            _ => json!(transition),
        };
        match destination {
            Destination::Stdout => drop(to_stdout.insert((*what).to_owned(), value)),
            Destination::Stderr => drop(to_stderr.insert((*what).to_owned(), value)),
            Destination::File(file) => {
                whole_file::write(file, |to| Ok(serde_json::to_writer_pretty(to, &value)?))
                    .map_err(|source| unwritable(file, what, source))?;
            }
        }
    }
    print_object(&mut io::stderr().lock(), &to_stderr)?;
    let mut out = BufWriter::new(io::stdout().lock());
    print_object(&mut out, &to_stdout)?;
    let is_written = outputs.iter().any(|(what, _)| *what == "result");
    match (is_written, args.json) {
        (true, _) => {}
        (false, true) => {
            serde_json::to_writer(&mut out, transition).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        (false, false) => write_text(&mut out, transition)?,
    }
    Ok(out.flush()?)
}

fn print_object(out: &mut impl Write, object: &Map<String, Value>) -> io::Result<()> {
    if object.is_empty() {
        return Ok(());
    }
    serde_json::to_writer_pretty(&mut *out, object)?;
    writeln!(out)
}

fn write_text(out: &mut impl Write, transition: &Transition) -> io::Result<()> {
    let Transition { receipts, rejected, gas_used, .. } = transition;
    writeln!(
        out,
        "{} · {} rejected · {gas_used} gas",
        counted(receipts.len(), "transaction"),
        rejected.len()
    )?;
    writeln!(out, "state root    {}", transition.state_root)?;
    writeln!(out, "tx root       {}", transition.tx_root)?;
    writeln!(out, "receipts root {}", transition.receipts_root)?;
    writeln!(out, "logs hash     {}", transition.logs_hash)?;
    for rejected in rejected {
        writeln!(out, "rejected: [{}] {}", rejected.index, Printable(&rejected.error))?;
    }
    for note in &transition.notes {
        if let OutcomeNote::SystemContractAbsent { address, .. } = note {
            writeln!(out, "left out: the system contract {address} is not in the state")?;
        }
    }
    Ok(())
}
