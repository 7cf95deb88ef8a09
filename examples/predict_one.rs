//! One transaction, predicted as it arrives: what it reads, writes and credits, and what the
//! prediction follows from.
//!
//! `cargo run --example predict_one`

use std::{error::Error, path::Path};

use forewave::{
    AccessKind, Block, Confidence, Predictor, StaticPredictor,
    input::{BlockInput, LoadOptions},
};

fn main() -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks/hot-pool");
    let BlockInput { block, state, .. } = BlockInput::load(&path, &LoadOptions::default())?;
    let swap = block.transactions[0].clone();

    // The environment of the block to come, with the one transaction that is asked about.
    let next = Block { transactions: vec![swap], ..block };
    // Keeps what it knows of code: one for the whole process.
    let predictor = StaticPredictor::default();
    let predictions = predictor.predict(&next, &state)?;
    let prediction = &predictions[0];

    for (kind, location) in prediction.set().iter() {
        let what = match kind {
            AccessKind::Read => "reads",
            AccessKind::Write => "writes",
            AccessKind::Delta => "credits",
        };
        println!("{what:<8} {location}");
    }
    match prediction.confidence() {
        Confidence::Exact => println!("and nothing else"),
        Confidence::Widened(scope) => println!("and, unnamed, {scope}"),
    }
    // As long as these have the same values, the transaction need not be predicted again.
    for location in prediction.deciding_reads().unwrap_or_default() {
        println!("follows from {location}");
    }
    println!("about {} gas", prediction.gas());

    let exact = prediction.confidence() == Confidence::Exact;
    let writes = !prediction.set().writes().is_empty();
    if exact && writes { Ok(()) } else { Err("a swap of the sample is named exactly".into()) }
}
