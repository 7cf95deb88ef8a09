//! What `dot` gives, through Graphviz where it is installed: every block is read, and those
//! of few edges are laid out, alone and behind another; no edge is lost.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use forewave::{
    MemoryState, OraclePredictor, Plan, Predictor, StaticPredictor, dot,
    input::{BlockInput, LoadOptions},
    predict,
};

/// Edges of a real block that is laid out at most: Graphviz takes minutes for a thousand.
const EDGES_MAX: usize = 60;

/// A block's document, and how many edges it has.
struct Drawing {
    name: PathBuf,
    text: String,
    edges: usize,
}

fn sample_blocks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks")
}

/// Whether there is a Graphviz; one line that says so where there is none.
fn is_installed() -> bool {
    let found = Command::new("dot").arg("-V").stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped: Graphviz is not installed (apt-get install graphviz)");
    }
    found
}

/// The drawings of a folder's blocks, those aside whose transactions are not Ethereum's.
fn drawings(blocks: &Path, predictor: &impl Predictor<MemoryState>) -> Vec<Drawing> {
    let Ok(entries) = fs::read_dir(blocks) else {
        eprintln!("skipped: no blocks at {}", blocks.display());
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let drawing = |name: PathBuf| {
        let input = BlockInput::load(&name, &LoadOptions::default()).ok()?;
        let plan = Plan::new(predict(&input.block, &input.state, predictor).unwrap());
        let text = dot(plan.graph(), plan.schedule());
        Some(Drawing { name, text, edges: plan.graph().edge_count() })
    };
    paths.into_iter().filter_map(drawing).collect()
}

/// Renders drawings as one input, and counts the edges of the pictures.
#[track_caller]
fn check(drawings: &[&Drawing]) {
    let svg = through_graphviz(drawings, "-Tsvg");
    let edges: usize = drawings.iter().map(|drawing| drawing.edges).sum();
    assert_eq!(svg.matches("class=\"edge\"").count(), edges, "{}", names(drawings));
}

/// Has a drawing read, and counts the edges that were.
#[track_caller]
fn check_unlaid(drawing: &Drawing) {
    let read = through_graphviz(&[drawing], "-Tcanon");
    assert_eq!(read.matches(" -> ").count(), drawing.edges, "{}", drawing.name.display());
}

fn names(drawings: &[&Drawing]) -> String {
    format!("{:?}", drawings.iter().map(|drawing| &drawing.name).collect::<Vec<_>>())
}

/// What Graphviz makes of drawings, which it must not complain of.
#[track_caller]
fn through_graphviz(drawings: &[&Drawing], format: &str) -> String {
    let mut child = Command::new("dot")
        .arg(format)
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
    let is_content = output.status.success() && stderr.is_empty();
    assert!(is_content, "{} {}: {stderr}", names(drawings), output.status);
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sample_blocks_render_whole_twice_and_behind_each_other() {
    if !is_installed() {
        return;
    }
    let drawings = drawings(&sample_blocks(), &StaticPredictor::default());
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
    for mut drawing in drawings(&sample_blocks(), &StaticPredictor::default()) {
        let mut draw = Command::new(env!("CARGO_BIN_EXE_forewave"));
        draw.args(["graph", "--format", "dot", "--check"]).arg(&drawing.name);
        drawing.text = String::from_utf8(draw.output().unwrap().stdout).unwrap();
        let drawn = drawing.text.lines().filter(|line| line.contains(" -> ")).count();
        assert!(drawn >= drawing.edges, "{}", drawing.text);
        check(&[&Drawing { edges: drawn, ..drawing }]);
    }
}

#[test]
fn real_blocks_are_read_whole_and_those_of_few_edges_render() {
    if !is_installed() {
        return;
    }
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/blocks");
    for drawing in &drawings(&blocks, &OraclePredictor) {
        check_unlaid(drawing);
        if drawing.edges <= EDGES_MAX {
            check(&[drawing]);
        }
    }
}
