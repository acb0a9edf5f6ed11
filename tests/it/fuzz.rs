//! The fuzz targets on what was found so far: every input of the corpus, and some thousand seeded
//! mutations of it. `make fuzz` goes on from there without end.
//!
//! An input that fails is shown; keep it in `fuzz/corpus/TARGET/`, so that it is never forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Mutations of each target: some seconds in all.
const MUTATIONS: u64 = 2_000;
/// The longest input that is made here.
const LONGEST: usize = 4_096;

/// What inputs are made of besides their own bytes: where readers change their minds.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\n",
    b"\r\n",
    b"\r",
    b",",
    b";",
    b":",
    b"=",
    b"&",
    b"%",
    b"{",
    b"}",
    b"[",
    b"]",
    b"<",
    b">",
    b"<!--",
    b"-->",
    b"</",
    b"&#0;",
    b"&amp;",
    b"null",
    b"true",
    b"-0",
    b"1e309",
    b"1e-400",
    b"0.1",
    b"9007199254740993",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"\xff",
    b"\xfe",
    b"\xc3\x28",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    "\u{200b}".as_bytes(),
    "ß".as_bytes(),
    "İ".as_bytes(),
    "\u{1F600}".as_bytes(),
    b".",
    b"..",
    b"../",
    b"'",
    b"%00",
    b"%2e",
    b"EUR",
    b"PK\x03\x04",
    b"\x1f\x8b",
];

macro_rules! targets {
    ($($name:ident: $target:path;)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            hold(stringify!($name), $target);
        })*
    };
}

targets! {
    access_token: globalshop::accounts::fuzz::access_token;
    any_catalogue: globalshop::import::fuzz::any_catalogue;
    cursor: globalshop::views::fuzz::cursor;
    icecat: globalshop::import::fuzz::icecat;
    idempotency_key: globalshop::http::fuzz::idempotency_key;
    json_body: globalshop::http::fuzz::json_body;
    json_lines: globalshop::import::fuzz::json_lines;
    live_frame: globalshop::ws::fuzz::live_frame;
    markup: globalshop::import::fuzz::markup;
    product_query: globalshop::views::fuzz::product_query;
    query_string: globalshop::http::fuzz::query_string;
    shopify: globalshop::import::fuzz::shopify;
    stored_event: globalshop::journal::fuzz::stored_event;
    webhook: globalshop::provider::fuzz::webhook;
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The inputs of a target, in the order of their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<_> = fs::read_dir(folder().join("corpus").join(target))
        .unwrap_or_else(|error| panic!("{error}: fuzz/corpus/{target}"))
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

fn hold(target: &str, body: fn(&[u8])) {
    let inputs = corpus(target);
    assert!(
        !inputs.is_empty(),
        "fuzz/corpus/{target} holds what was found so far"
    );
    let run = |input: &[u8], what: &str| {
        let held = catch_unwind(AssertUnwindSafe(|| body(input))).is_ok();
        assert!(
            held,
            "{target} does not hold for {what}: b\"{}\"",
            input.escape_ascii()
        );
    };
    for (name, input) in &inputs {
        run(input, name);
    }
    let mut chance = Chance(0);
    for seed in 0..MUTATIONS {
        chance.0 = seed;
        let input = mutate(&mut chance, &inputs);
        run(&input, &format!("seed {seed}"));
    }
}

/// SplitMix64: the same seed makes the same input.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// One of the inputs with one to eight changes.
fn mutate(chance: &mut Chance, inputs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut input = inputs[chance.below(inputs.len())].1.clone();
    input.truncate(LONGEST);
    for _ in 0..=chance.below(8) {
        let at = chance.below(input.len() + 1);
        let end = at + chance.below((input.len() - at).min(32) + 1);
        match chance.below(6) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 if at < input.len() => input[at] = u8::try_from(chance.below(256)).unwrap(),
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..at, TOKENS[chance.below(TOKENS.len())].iter().copied())),
            4 => {
                let piece = input[at..end].to_vec();
                let to = chance.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            _ => {
                let other = &inputs[chance.below(inputs.len())].1;
                let from = chance.below(other.len() + 1);
                let to = from + chance.below((other.len() - from).min(64) + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
        }
        input.truncate(LONGEST);
    }
    input
}

#[test]
fn every_target_has_a_program_and_a_corpus_that_stays_small() {
    let listed = |folder: PathBuf| -> BTreeSet<String> {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{error}: {folder:?}"));
        let names = entries.map(|entry| entry.unwrap().path());
        names
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|&target| target.to_owned()).collect();
    assert_eq!(listed(folder().join("fuzz_targets")), targets);
    assert_eq!(listed(folder().join("corpus")), targets);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let mut bytes = 0;
    for target in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{target}\"\n")),
            "{target} in fuzz/Cargo.toml"
        );
        bytes += corpus(target).iter().map(|(_, input)| input.len()).sum::<usize>();
    }
    assert!(bytes < 1_000_000, "{bytes} bytes of corpus: minimise it");
}
