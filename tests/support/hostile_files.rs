//! A seed to the files of a block directory, most of them spoilt: real sample
//! files with bytes or values changed, documents of random shape made of the
//! same names, and gzip streams of either, damaged or not.
//!
//! Every case is a function of its seed alone.

use std::{io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use forewave_fixtures::SplitMix64;

/// Changes made to one file.
const CHANGES_MAX: usize = 3;

/// Depth and length of a random document.
const RANDOM_DEPTH_MAX: usize = 4;
const RANDOM_LENGTH_MAX: usize = 12;

/// Values that a file should not hold, and some that it may.
const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-1",
    "1e400",
    "0.5",
    "18446744073709551615",
    "18446744073709551616",
    "\"\"",
    "\"0x\"",
    "\"0x0\"",
    "\"0x01\"",
    "\"-0x1\"",
    "\"0X1\"",
    "\"0xzz\"",
    "\"0x2540be400\"",
    "\"0xffffffff\"",
    "\"0xffffffffffffffff\"",
    "\"0x10000000000000000\"",
    "\"0xffffffffffffffffffffffffffffffff\"",
    "\"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\"",
    "\"0x10000000000000000000000000000000000000000000000000000000000000000\"",
    "\"115792089237316195423570985008687907853269984665640564039457584007913129639936\"",
    "\"0x00000000000000000000000000000000000000aa\"",
    "\"0xef0100\"",
    "\"0xef01000000000000000000000000000000000000000000aa\"",
    "\"\\u001b[2J\\u001b]0;title\\u0007\"",
    "\"\\u202egasUsed\\u0000\"",
    "\"\\ud800\"",
    "\"\\u009b31m\"",
    "\"\u{1b}[31m\"",
    "\"<script>alert(1)</script>\"",
    "\"../../../../etc/passwd\"",
    "[]",
    "[[[[]]]]",
    "[null]",
    "[\"0x0\"]",
    "{}",
    "{\"\":{}}",
    "{\"address\":\"0x00000000000000000000000000000000000000aa\",\"storageKeys\":[]}",
];

/// Bytes that break out of where they are put.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\0",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"0x",
    b"\n",
    b"\x1b[2J",
    b"-",
    b"e999",
    b"//",
    b"/*",
    b"NaN",
    b"\\u0000",
];

/// One file's name and content.
#[derive(Clone, Debug)]
pub(crate) struct NamedFile {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// A value in a JSON text: where it stands and where its key begins, if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    entry: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A file without fault, and where its values are.
#[derive(Debug)]
pub(crate) struct Sample {
    name: &'static str,
    pub(crate) text: Vec<u8>,
    places: Vec<Place>,
}

/// Makes cases out of the sample blocks.
#[derive(Debug)]
pub(crate) struct HostileFiles {
    blocks: Vec<[Sample; 3]>,
    names: Vec<Vec<u8>>,
}

impl HostileFiles {
    /// From the block directories at `paths`, each as it is and as a block that has
    /// not run, whose transactions no root protects from being changed.
    pub(crate) fn new<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let hashes = r#"{"19500000":"0x00000000000000000000000000000000000000000000000000000000000000aa","0x1":"0x00000000000000000000000000000000000000000000000000000000000000bb"}"#;
        let blocks: Vec<_> = paths
            .into_iter()
            .flat_map(|path| {
                let read = |name| std::fs::read(path.as_ref().join(name)).unwrap();
                let files = |block: Vec<u8>| {
                    let block = Sample::new("block.json", block);
                    let pre_state = Sample::new("pre_state.json", read("pre_state.json"));
                    [block, pre_state, Sample::new("block_hashes.json", hashes.into())]
                };
                [files(read("block.json")), files(not_run(&read("block.json")))]
            })
            .collect();
        let mut names: Vec<Vec<u8>> = blocks.iter().flatten().flat_map(Sample::keys).collect();
        names.sort_unstable();
        names.dedup();
        Self { blocks, names }
    }

    /// The files of one case: block, pre-state and hashes, one of them spoilt.
    pub(crate) fn case(&self, seed: u64) -> [NamedFile; 3] {
        let rng = &mut SplitMix64::new(seed);
        let block = &self.blocks[rng.index(self.blocks.len())];
        let spoilt = [0, 0, 0, 1, 1, 2][rng.index(6)];
        let mut files = block
            .each_ref()
            .map(|sample| NamedFile { name: sample.name.to_owned(), bytes: sample.text.clone() });
        files[spoilt].bytes = self.spoil(rng, &block[spoilt]);
        if rng.percent(15) {
            compress(rng, &mut files[spoilt]);
        }
        files
    }

    /// A sample's text, spoilt in one of several ways.
    pub(crate) fn spoil(&self, rng: &mut SplitMix64, sample: &Sample) -> Vec<u8> {
        match rng.below(10) {
            0..2 => self.spoil_bytes(rng, &sample.text),
            2..5 => exaggerate(rng, sample),
            5..9 => self.spoil_values(rng, sample),
            _ => {
                let mut text = Vec::new();
                self.write_random(rng, &mut text, 0);
                text
            }
        }
    }

    fn spoil_bytes(&self, rng: &mut SplitMix64, text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        for _ in 0..=rng.index(CHANGES_MAX) {
            spoil_once(rng, &mut bytes);
        }
        if rng.percent(10) {
            let other = &self.blocks[rng.index(self.blocks.len())][rng.index(2)].text;
            let cut = rng.index(bytes.len() + 1);
            bytes.truncate(cut);
            bytes.extend_from_slice(&other[rng.index(other.len())..]);
        }
        bytes
    }

    /// Changes values from the last to the first, so that places stay right.
    fn spoil_values(&self, rng: &mut SplitMix64, sample: &Sample) -> Vec<u8> {
        let mut text = sample.text.clone();
        let mut chosen: Vec<Place> = (0..=rng.index(CHANGES_MAX))
            .map(|_| sample.places[rng.index(sample.places.len())])
            .collect();
        chosen.sort_unstable_by_key(|place| core::cmp::Reverse(place.start));
        let mut touched = text.len();
        for place in chosen {
            // One that holds a place already changed would undo it.
            if place.end <= touched {
                self.spoil_value(rng, sample, &mut text, place);
                touched = place.entry;
            }
        }
        text
    }

    fn spoil_value(&self, rng: &mut SplitMix64, sample: &Sample, text: &mut Vec<u8>, at: Place) {
        let Place { entry, start, end } = at;
        let insert = |text: &mut Vec<u8>, piece: &[u8]| {
            text.splice(entry..entry, [piece, b","].concat());
        };
        match rng.below(10) {
            0..4 => {
                let value = VALUES[rng.index(VALUES.len())];
                text.splice(start..end, value.bytes());
            }
            4 => {
                let from = sample.places[rng.index(sample.places.len())];
                text.splice(start..end, sample.text[from.start..from.end].to_vec());
            }
            // The same entry twice.
            5 => insert(text, &sample.text[entry..end]),
            6 => {
                let name = &self.names[rng.index(self.names.len())];
                let value = VALUES[rng.index(VALUES.len())].as_bytes();
                insert(text, &[name, &b":"[..], value].concat());
            }
            7 => {
                let depth = [1, 100, 127, 128, 1000, 100_000][rng.index(6)];
                let nested = [vec![b'['; depth], vec![b']'; depth]].concat();
                text.splice(start..end, nested);
            }
            8 => {
                let digits = [31, 33, 41, 65, 511, 513, 100_000][rng.index(7)];
                let digit = b"0f<\x1b"[rng.index(4)];
                text.splice(start..end, [b"\"0x", &vec![digit; digits][..], b"\""].concat());
            }
            _ => drop(text.drain(entry..end)),
        }
    }

    fn write_random(&self, rng: &mut SplitMix64, text: &mut Vec<u8>, depth: usize) {
        let length = rng.index(RANDOM_LENGTH_MAX);
        let kind = if depth == 0 { 0 } else { rng.below(6) };
        if depth == RANDOM_DEPTH_MAX || kind > 1 {
            text.extend(VALUES[rng.index(VALUES.len())].bytes());
            return;
        }
        text.push(b"{["[usize::from(kind == 1)]);
        for position in 0..length {
            if position > 0 {
                text.push(b',');
            }
            if kind == 0 {
                text.extend(&self.names[rng.index(self.names.len())]);
                text.push(b':');
            }
            self.write_random(rng, text, depth + 1);
        }
        text.push(b"}]"[usize::from(kind == 1)]);
    }
}

/// The block without what is known of it once it has run.
fn not_run(block: &[u8]) -> Vec<u8> {
    let mut block: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(block).unwrap();
    block.retain(|name, _| {
        name != "hash" && !name.ends_with("Root") || name == "parentBeaconBlockRoot"
    });
    serde_json::to_vec(&block).unwrap()
}

/// Replaces hex by hex that may stand in its place: as many other digits, or a
/// number of any size up to what fits.
fn exaggerate(rng: &mut SplitMix64, sample: &Sample) -> Vec<u8> {
    let mut text = sample.text.clone();
    let hex: Vec<&Place> = sample.hex().collect();
    let mut chosen: Vec<&Place> = (0..=rng.index(CHANGES_MAX))
        .filter_map(|_| hex.get(rng.index(hex.len().max(1))).copied())
        .collect();
    chosen.sort_unstable_by_key(|place| core::cmp::Reverse(place.start));
    chosen.dedup_by_key(|place| place.start);
    for Place { start, end, .. } in chosen {
        let digits = end - start - 4;
        let is_quantity = digits < 16;
        let digits = if is_quantity { [digits, 1, 8, 15, 16][rng.index(5)] } else { digits };
        let pattern = rng.below(4);
        let digit = |_| match pattern {
            0 => b'f',
            1 => b'0',
            _ => b"0123456789abcdef"[rng.index(16)],
        };
        let digits: Vec<u8> = (0..digits).map(digit).collect();
        text.splice(start + 3..end - 1, digits);
    }
    text
}

pub(crate) fn spoil_once(rng: &mut SplitMix64, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.index(bytes.len());
    let end = (at + 1 + rng.index(64)).min(bytes.len());
    match rng.below(6) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => drop(bytes.drain(at..end)),
        2 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        3 => drop(bytes.splice(at..at, TOKENS[rng.index(TOKENS.len())].iter().copied())),
        4 => drop(bytes.splice(at..end, TOKENS[rng.index(TOKENS.len())].iter().copied())),
        _ => bytes.truncate(at),
    }
}

/// Compresses a file, and mostly damages the stream.
fn compress(rng: &mut SplitMix64, file: &mut NamedFile) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&file.bytes).unwrap();
    let mut gzip = encoder.finish().unwrap();
    match rng.below(5) {
        0 => {}
        1 => gzip.extend_from_slice(b"garbage"),
        2 => gzip.extend(gzip.clone()),
        _ => spoil_once(rng, &mut gzip),
    }
    file.name += ".gz";
    file.bytes = gzip;
}

impl Sample {
    pub(crate) fn new(name: &'static str, text: Vec<u8>) -> Self {
        let mut places = Vec::new();
        scan_value(&text, 0, 0, &mut places);
        Self { name, text, places }
    }

    /// Where hex stands, quoted.
    pub(crate) fn hex(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| self.text[place.start..place.end].starts_with(b"\"0x"))
    }

    /// The names in this file, quoted.
    fn keys(&self) -> impl Iterator<Item = Vec<u8>> {
        let entries = self.places.iter().filter(|place| place.entry < place.start);
        entries.map(|place| self.text[place.entry..scan_string(&self.text, place.entry)].to_vec())
    }
}

/// Notes the value at `at` of a valid JSON text, and those in it; gives its end.
fn scan_value(text: &[u8], entry: usize, at: usize, places: &mut Vec<Place>) -> usize {
    let mut end = match text[at] {
        b'"' => scan_string(text, at),
        b'{' | b'[' => at + 1,
        _ => text[at..]
            .iter()
            .position(|byte| b",]} \n".contains(byte))
            .map_or(text.len(), |n| at + n),
    };
    if matches!(text[at], b'{' | b'[') {
        loop {
            end = skip(text, end, b" \n,");
            if matches!(text[end], b'}' | b']') {
                break;
            }
            let entry = end;
            if text[at] == b'{' {
                end = skip(text, scan_string(text, end), b" \n:");
            }
            end = scan_value(text, entry, end, places);
        }
        end += 1;
    }
    places.push(Place { entry, start: at, end });
    end
}

/// The end of the string at `at`.
fn scan_string(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while text[end] != b'"' {
        end += if text[end] == b'\\' { 2 } else { 1 };
    }
    end + 1
}

fn skip(text: &[u8], mut at: usize, skipped: &[u8]) -> usize {
    while skipped.contains(&text[at]) {
        at += 1;
    }
    at
}
