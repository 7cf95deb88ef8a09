//! What `dot` gives, through Graphviz where it is installed: every block renders, alone and
//! behind another, and no edge is lost.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use forewave::{
    Plan, StaticPredictor, dot,
    input::{BlockInput, LoadOptions},
    predict,
};

/// Edges of a real block that is rendered at most: Graphviz takes minutes for a thousand.
const EDGES_MAX: usize = 150;

/// A block's document, and how many edges it has.
struct Drawing {
    name: PathBuf,
    text: String,
    edges: usize,
}

/// Whether there is a Graphviz; one line that says so where there is none.
fn is_installed() -> bool {
    let found = Command::new("dot").arg("-V").stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped: Graphviz is not installed (apt-get install graphviz)");
    }
    found
}

/// The drawing of a block; none where its transactions are not Ethereum's.
fn drawing(path: &Path) -> Option<Drawing> {
    let input = BlockInput::load(path, &LoadOptions::default()).ok()?;
    let predictions = predict(&input.block, &input.state, &StaticPredictor::default()).unwrap();
    let plan = Plan::new(predictions);
    let text = dot(plan.graph(), plan.schedule());
    Some(Drawing { name: path.to_owned(), text, edges: plan.graph().edge_count() })
}

fn drawings(blocks: &Path) -> Vec<Drawing> {
    let Ok(entries) = fs::read_dir(blocks) else {
        eprintln!("skipped: no blocks at {}", blocks.display());
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| drawing(path)).collect()
}

/// Renders drawings as one input, and counts the edges of the pictures.
#[track_caller]
fn check(drawings: &[&Drawing]) {
    let names: Vec<_> = drawings.iter().map(|drawing| &drawing.name).collect();
    let mut child = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text: String = drawings.iter().map(|drawing| drawing.text.as_str()).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{names:?} {}: {stderr}", output.status);
    writer.join().unwrap().unwrap();
    let svg = String::from_utf8(output.stdout).unwrap();
    let edges: usize = drawings.iter().map(|drawing| drawing.edges).sum();
    assert_eq!(svg.matches("class=\"edge\"").count(), edges, "{names:?}");
}

#[test]
fn sample_blocks_render_whole_twice_and_behind_each_other() {
    if !is_installed() {
        return;
    }
    let drawings = drawings(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks"));
    assert!(drawings.len() > 20);
    for pair in drawings.windows(2) {
        check(&[&pair[0], &pair[0]]);
        check(&[&pair[0], &pair[1]]);
    }
}

#[test]
fn every_sample_block_renders_whole_with_names_and_labels() {
    if !is_installed() {
        return;
    }
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    for mut drawing in drawings(&blocks) {
        let mut draw = Command::new(env!("CARGO_BIN_EXE_forewave"));
        draw.args(["graph", "--format", "dot", "--check"]).arg(&drawing.name);
        drawing.text = String::from_utf8(draw.output().unwrap().stdout).unwrap();
        let drawn = drawing.text.lines().filter(|line| line.contains(" -> ")).count();
        assert!(drawn >= drawing.edges, "{}", drawing.text);
        check(&[&Drawing { edges: drawn, ..drawing }]);
    }
}

#[test]
fn real_blocks_render_whole() {
    if !is_installed() {
        return;
    }
    let drawings = drawings(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/blocks"));
    for drawing in drawings.iter().filter(|drawing| drawing.edges <= EDGES_MAX) {
        check(&[drawing]);
    }
}
