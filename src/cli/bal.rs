//! `forewave bal`: the access list of a block (EIP-7928), made by executing it; and what is wrong
//! with the list that its file states.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::Arc,
};

use alloy_eips::eip7928::{AccountChanges, BlockAccessIndex, BlockAccessList};
use alloy_primitives::{B256, Bytes};
use forewave::{
    Block, BlockOutcome, FaultReport, IndexInWords, ListFault, PredictorKind, Touching, TxIndex,
    execute_block,
    input::{BlockInput, SourceFile, limits::ACCESS_LIST_BYTES_MAX, parse_access_list},
    judge_access_list, list_items, observe,
    report::{BlockHeading, ListReport},
    unaffordable_reads,
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
        let judged = given.as_deref().map(|given| judge(input, &block, given, made));
        let report = report(heading, input, &block, &outcome, judged.as_ref());
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
        if let (Some(judged), ListFormat::Text) = (&judged, args.format()) {
            write_faults(&mut out, paint, judged)?;
        }
        if args.check && judged.is_none() && report.header_hash.is_none() {
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

/// What is wrong with a list, and which transactions touch what that is about.
struct Judged {
    faults: Vec<ListFault>,
    touching: Touching,
}

/// Judges a list. Only of a wrong one it is asked which transactions touch what.
fn judge(
    input: &BlockInput,
    block: &Block,
    given: &[AccountChanges],
    made: &[AccountChanges],
) -> Judged {
    let mut faults = judge_access_list(block, given, made);
    if faults.is_empty() {
        return Judged { faults, touching: Touching::default() };
    }
    // A block that cannot be observed could not have been executed either.
    let Ok(observation) = observe(block, &input.state) else {
        return Judged { faults, touching: Touching::default() };
    };
    let is_in_order = !matches!(faults[0], ListFault::Shape(_) | ListFault::TooLarge { .. });
    let early = is_in_order.then(|| {
        let receipts = observation.outcome.receipts.iter();
        let regular_gas = receipts.map(|receipt| receipt.regular_gas_used);
        unaffordable_reads(block, given, &observation.accesses, regular_gas)
    });
    let early = early.flatten();
    faults.splice(0..0, early);
    Judged { faults, touching: Touching::new(&observation) }
}

fn report<'a>(
    heading: BlockHeading,
    input: &BlockInput,
    block: &Block,
    outcome: &BlockOutcome,
    judged: Option<&Judged>,
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
        faults: judged.map(|Judged { faults, touching }| {
            let faults = faults.iter();
            faults.map(|fault| FaultReport::new(fault, touching, &input.tx_hashes)).collect()
        }),
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

fn write_faults(out: &mut impl Write, paint: Paint, judged: &Judged) -> io::Result<()> {
    let Judged { faults, touching } = judged;
    for fault in faults.iter().take(FAULTS_SHOWN) {
        // Where the list does not say which transactions touch it.
        let txs = if fault.is_without_index() { touching.transactions(fault) } else { &[] };
        writeln!(out, "  {}{}", paint.bad(&fault.to_string()), touched_by(txs))?;
    }
    match faults.len().checked_sub(FAULTS_SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "  and {} more", counted(more, "fault")),
    }
}

/// Which transactions touch something, if any do.
fn touched_by(txs: &[TxIndex]) -> String {
    if txs.is_empty() {
        return String::new();
    }
    let ranges = tx_ranges(txs);
    let shown = ranges.get(..TOUCHING_SHOWN).unwrap_or(&ranges).join(" ");
    let more = if ranges.len() > TOUCHING_SHOWN { " and more" } else { "" };
    format!(" (touched by {shown}{more})")
}
