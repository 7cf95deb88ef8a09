//! `forewave t8n`: a state transition, its roots printed.

use std::io::{self, BufWriter, Write};

use forewave::{
    OutcomeNote, Printable, StaticPredictor,
    t8n::{Transition, TransitionFiles, TransitionInput, transition},
};

use super::{
    Verdict,
    args::T8nArgs,
    diagnostic::{Failure, report},
    text::counted,
    thread_pool, whole_file,
};

/// Runs the transition.
pub(super) fn t8n(args: &T8nArgs) -> io::Result<Verdict> {
    let transition = match run(args) {
        Ok(transition) => transition,
        Err(Failure::Output(error)) => return Err(error),
        Err(failure) => {
            report(&failure, Some(&args.directory));
            return Ok(Verdict::Failed);
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer(&mut out, &transition).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write_text(&mut out, &transition)?;
    }
    out.flush()?;
    Ok(Verdict::Fine)
}

fn run(args: &T8nArgs) -> Result<Transition, Failure> {
    let files = TransitionFiles::read(&args.directory)?;
    let input = TransitionInput::parse(&files, args.fork, args.chain_id)?;
    let pool = thread_pool(&args.threads)?;
    let transition = transition(&input, &StaticPredictor::default(), &pool)?;
    if let Some(file) = &args.alloc {
        whole_file::write(file, |to| {
            serde_json::to_writer_pretty(to, &transition.alloc()).map_err(io::Error::from)
        })
        .map_err(|source| Failure::File { file: file.clone(), what: "state", source })?;
    }
    Ok(transition)
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
    if let Some(root) = transition.receipts_root {
        writeln!(out, "receipts root {root}")?;
    }
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
