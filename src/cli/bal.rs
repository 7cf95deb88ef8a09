//! `forewave bal`: the access list of a block (EIP-7928), made by executing it; and what is wrong
//! with the list that its file states.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::Arc,
};

use alloy_eips::eip7928::{AccountChanges, BlockAccessIndex, BlockAccessList};
use alloy_primitives::{Address, B256, Bytes, U256};
use forewave::{
    Block, BlockOutcome, IndexInWords, ListFault, Location, PredictorKind, TxIndex, execute_block,
    input::{BlockInput, SourceFile, limits::ACCESS_LIST_BYTES_MAX, parse_access_list},
    judge_access_list, list_items, observe,
    report::{BlockHeading, ListReport},
};
use rayon::ThreadPool;

use super::{
    Verdict,
    args::{BalArgs, ListFormat, wrong_usage},
    diagnostic::Failure,
    for_each_block,
    text::{Paint, counted, grouped, tx_ranges},
    thread_pool, warn_of_gas,
};

/// Faults of a list that are told; how many more there are is said.
const FAULTS_SHOWN: usize = 20;

/// Transactions or ranges of them that are named for one fault.
const TOUCHING_SHOWN: usize = 4;

/// Makes the list of every block.
pub(super) fn bal(args: &BalArgs) -> io::Result<Verdict> {
    if args.list.is_some() && args.blocks.names_several() {
        wrong_usage("--list FILE is the list of one block");
    }
    let pool = thread_pool(&args.threads)?;
    let paint = Paint::of_stdout();
    let mut out = BufWriter::new(io::stdout().lock());
    for_each_block(&args.blocks, |heading, input| {
        let (block, outcome) = execute(input, &pool)?;
        warn_of_gas(&heading, "executing it gives", outcome.gas_used, 0.0);
        let made = outcome.access_list.as_deref().expect("the list was asked for");
        let given = given(args, input)?;
        let faults = given.as_deref().map(|given| judge_access_list(&block, given, made));
        let report = report(heading, input, &block, &outcome, faults.as_deref());
        match args.format() {
            ListFormat::Json => {
                let access_list = (!args.check).then_some(made);
                serde_json::to_writer(&mut out, &ListReport { access_list, ..report.clone() })
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            }
            ListFormat::Rlp if !args.check => {
                writeln!(out, "{}", Bytes::from(alloy_rlp::encode(made.to_vec())))?;
            }
            ListFormat::Text if !args.check => {
                write_heading(&mut out, paint, &report)?;
                made.iter().try_for_each(|account| write_account(&mut out, paint, account))?;
            }
            ListFormat::Rlp | ListFormat::Text => write_heading(&mut out, paint, &report)?,
        }
        out.flush()?;
        if let (Some(faults), ListFormat::Text) = (&faults, args.format()) {
            write_faults(&mut out, paint, input, faults)?;
        }
        if args.check && faults.is_none() && report.header_hash.is_none() {
            return Err(Failure::NoList);
        }
        out.flush()?;
        Ok(if report.is_true() { Verdict::Fine } else { Verdict::Failed })
    })
}

/// Executes a block so that its list is made.
fn execute(input: &BlockInput, pool: &ThreadPool) -> Result<(Block, BlockOutcome), Failure> {
    let block = Block { makes_access_list: true, access_list: None, ..input.block.clone() };
    let outcome = execute_block(&block, &input.state, &PredictorKind::None, pool)?;
    Ok((block, outcome))
}

/// The list that is to be judged: that of the file that is named, else the block's own.
fn given(args: &BalArgs, input: &BlockInput) -> Result<Option<Arc<BlockAccessList>>, Failure> {
    let Some(path) = &args.list else { return Ok(input.block.access_list.clone()) };
    let source = |source| Failure::Unreadable { file: path.clone(), source };
    let file = File::open(path).map_err(source)?;
    let file = SourceFile::read(path.clone(), file, ACCESS_LIST_BYTES_MAX)?;
    Ok(Some(Arc::new(parse_access_list(&file)?)))
}

fn report<'a>(
    heading: BlockHeading,
    input: &BlockInput,
    block: &Block,
    outcome: &BlockOutcome,
    faults: Option<&[ListFault]>,
) -> ListReport<'a> {
    let made = outcome.access_list.as_deref().unwrap_or_default();
    let (items, items_max) = list_items(made, block.env.gas_limit);
    ListReport {
        block: heading,
        hash: outcome.access_list_hash().unwrap_or(B256::ZERO),
        header_hash: input.header.access_list_hash,
        accounts: made.len(),
        items,
        items_max,
        rlp_bytes: alloy_rlp::encode(made.to_vec()).len(),
        faults: faults.map(|faults| faults.iter().map(ToString::to_string).collect()),
        notes: outcome.notes.clone(),
        access_list: None,
    }
}

fn write_heading(out: &mut impl Write, paint: Paint, report: &ListReport<'_>) -> io::Result<()> {
    let ListReport { block, hash, header_hash, items, items_max, rlp_bytes, .. } = report;
    let title = paint.bold(&block.block);
    let BlockHeading { chain, number, fork, txs, .. } = block;
    writeln!(out, "{title} · {chain} {number} · {fork} · {}", counted(*txs, "transaction"))?;
    writeln!(
        out,
        "{} · {} of {} accounts and slots · {} bytes of RLP · {hash}",
        counted(report.accounts, "account"),
        grouped(*items),
        grouped(*items_max),
        grouped(*rlp_bytes as u64),
    )?;
    for note in &report.notes {
        writeln!(out, "left out: {note}")?;
    }
    match header_hash {
        None => {}
        Some(stated) if stated == hash => writeln!(out, "{}", paint.good("as its header says"))?,
        Some(stated) => writeln!(out, "{}", paint.bad(&format!("its header says {stated}")))?,
    }
    match report.faults.as_ref().map(Vec::len) {
        None => Ok(()),
        Some(0) => writeln!(out, "{}", paint.good("the list given is this one")),
        Some(faults) => {
            let words = format!("the list given is wrong: {}", counted(faults, "fault"));
            writeln!(out, "{}", paint.bad(&words))
        }
    }
}

fn write_account(out: &mut impl Write, paint: Paint, account: &AccountChanges) -> io::Result<()> {
    writeln!(out, "\n{}", paint.bold(&account.address.to_string()))?;
    let place = |index: BlockAccessIndex| IndexInWords(index);
    for change in &account.balance_changes {
        writeln!(out, "  balance  {}: {}", place(change.block_access_index), change.post_balance)?;
    }
    for change in &account.nonce_changes {
        writeln!(out, "  nonce    {}: {}", place(change.block_access_index), change.new_nonce)?;
    }
    for change in &account.code_changes {
        let bytes = grouped(change.new_code.len() as u64);
        writeln!(out, "  code     {}: {bytes} bytes", place(change.block_access_index))?;
    }
    for slot in &account.storage_changes {
        for change in &slot.changes {
            let (at, value) = (place(change.block_access_index), change.new_value);
            writeln!(out, "  slot     {:#x}  {at}: {value:#x}", slot.slot)?;
        }
    }
    for slot in &account.storage_reads {
        writeln!(out, "  read     {slot:#x}")?;
    }
    Ok(())
}

fn write_faults(
    out: &mut impl Write,
    paint: Paint,
    input: &BlockInput,
    faults: &[ListFault],
) -> io::Result<()> {
    let touching = (!faults.is_empty()).then(|| Touching::of(input));
    for fault in faults.iter().take(FAULTS_SHOWN) {
        let by = touching.as_ref().and_then(|touching| touching.by(fault)).unwrap_or_default();
        writeln!(out, "  {}{by}", paint.bad(&fault.to_string()))?;
    }
    match faults.len().checked_sub(FAULTS_SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "  and {} more", counted(more, "fault")),
    }
}

/// What each transaction of a block touches.
struct Touching(Vec<(TxIndex, Address, Option<U256>)>);

impl Touching {
    /// Nothing if the block cannot be observed.
    fn of(input: &BlockInput) -> Self {
        let Ok(observation) = observe(&input.block, &input.state) else { return Self(Vec::new()) };
        let accesses = observation.accesses.iter().enumerate().flat_map(|(position, accesses)| {
            let locations = accesses.0.reads().iter().chain(accesses.0.writes());
            locations.map(move |at| {
                let key = match at {
                    Location::Storage(_, key) => Some(*key),
                    _ => None,
                };
                (TxIndex::new(position), at.address(), key)
            })
        });
        Self(accesses.collect())
    }

    /// Which transactions touch what a fault is about, where the list does not say.
    fn by(&self, fault: &ListFault) -> Option<String> {
        let (address, slot) = fault.without_index()?;
        let of_fault = |(_, at, key): &&(TxIndex, Address, Option<U256>)| {
            *at == address && slot.is_none_or(|slot| *key == Some(slot))
        };
        let mut txs: Vec<TxIndex> = self.0.iter().filter(of_fault).map(|(tx, ..)| *tx).collect();
        txs.dedup();
        let ranges = tx_ranges(&txs);
        let shown = ranges.get(..TOUCHING_SHOWN).unwrap_or(&ranges).join(" ");
        let more = if ranges.len() > TOUCHING_SHOWN { " and more" } else { "" };
        (!txs.is_empty()).then(|| format!(" (touched by {shown}{more})"))
    }
}
