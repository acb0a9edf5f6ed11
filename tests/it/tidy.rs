//! The rules of the house that no compiler knows.
//!
//! Each failure names the file, the rule, and what to do instead. The rules read text, not syntax:
//! they are simple on purpose, and see comments and test modules only where they say so.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// How long a file may become before it is split by noun.
const LONGEST: usize = 600;
/// One door each: what may be touched only from a few places.
struct Door {
    what: &'static str,
    /// Any of these in the text is a use of it.
    signs: &'static [&'static str],
    /// Files and folders that may.
    open_to: &'static [&'static str],
    instead: &'static str,
}

const DOORS: &[Door] = &[
    Door {
        what: "SQL",
        signs: &[
            "sqlx::query",
            "query!(",
            "query_as!(",
            "query_scalar!(",
            "raw_sql(",
            "QueryBuilder",
        ],
        open_to: &[
            "src/journal/",
            "src/views/",
            "src/accounts/",
            "src/relay/postgres",
            // docs/adr/0002: what stands in for an outside system keeps its own books.
            "src/provider/postgres.rs",
            // The rows about imports: no view of the journal, and nobody else's business.
            "src/import/book.rs",
            "src/workers/mail/mailbox",
            "src/embedded",
        ],
        instead: "ask the room whose rows they are",
    },
    Door {
        what: "axum",
        signs: &["axum::", "axum_extra::", "utoipa_axum::"],
        open_to: &[
            "src/http/",
            "src/ws/",
            "src/node",
            // A command may be a client of a node's router without a socket in between.
            "src/command/door.rs",
        ],
        instead: "the edge is one room; everything behind it speaks in its own types",
    },
    Door {
        what: "ractor",
        signs: &["ractor::"],
        open_to: &[
            "src/actors/",
            "src/relay/",
            "src/workers/",
            "src/inspect/",
            "src/node",
        ],
        instead: "spawn through actors/supervise.rs and hand out a handle",
    },
    Door {
        what: "time and chance",
        signs: &[
            "SystemTime::now",
            "Instant::now",
            "now_utc()",
            "rand::",
            "SystemRandom",
            "Uuid::new_v4",
            "Uuid::now_v7",
        ],
        open_to: &["src/clock.rs"],
        instead: "ask the Clock, so that a simulation can own them",
    },
    Door {
        what: "rdkafka",
        signs: &["rdkafka::"],
        open_to: &["src/relay/kafka"],
        instead: "use the relay's trait",
    },
    Door {
        what: "the private PostgreSQL",
        signs: &["crate::embedded"],
        // The command line is the one who starts it: for a node, or to migrate without one.
        open_to: &["src/embedded", "src/node", "src/command/"],
        instead: "take a pool; who started the server is nobody's business",
    },
];

/// Which rooms a room must not know: dependencies point one way.
const STRANGERS: &[(&str, &[&str])] = &[
    (
        "journal",
        &[
            "actors", "cluster", "relay", "views", "workers", "accounts", "inspect", "import", "load",
        ],
    ),
    (
        "actors",
        &[
            "cluster", "views", "workers", "accounts", "inspect", "import", "load",
        ],
    ),
    (
        "relay",
        &[
            "cluster", "views", "workers", "accounts", "inspect", "import", "load",
        ],
    ),
    (
        "views",
        &[
            "actors", "cluster", "workers", "accounts", "inspect", "import", "load",
        ],
    ),
    (
        "cluster",
        &["views", "workers", "accounts", "inspect", "import", "load"],
    ),
    ("workers", &["inspect", "import", "load"]),
    (
        "provider",
        &[
            "journal", "actors", "cluster", "relay", "views", "workers", "accounts", "inspect", "import",
            "load",
        ],
    ),
    (
        "accounts",
        &[
            "journal", "actors", "cluster", "relay", "views", "workers", "inspect", "import", "load",
        ],
    ),
    // The audit stands above the region: it asks entities what they serve and compares with the
    // journal. In return no room below knows the audit.
    ("inspect", &["workers", "accounts", "import", "load"]),
    ("import", &["accounts", "workers", "inspect", "load"]),
    (
        "load",
        &[
            "journal", "actors", "cluster", "relay", "views", "workers", "accounts", "inspect", "import",
        ],
    ),
    (
        "embedded",
        &[
            "journal", "actors", "cluster", "relay", "views", "workers", "accounts", "inspect", "import",
            "load",
        ],
    ),
];
/// Rooms that only the node may know, and that do not know each other.
const EDGES: &[&str] = &["http", "ws"];

/// What the domain may be built from.
const DOMAIN_DEPENDENCIES: &[&str] = &["serde", "serde_json", "thiserror", "uuid"];

const VAGUE_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "types", "traits", "misc",
];

/// A source file of ours.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines that ship, with their numbers: no comments, no test module at the end.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test_file = self.path.starts_with("tests/") || self.path.contains("/tests");
        let tests = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        let shipped = if is_test_file { "" } else { &self.text[..tests] };
        shipped
            .lines()
            .zip(1..)
            .filter(|(line, _)| !line.trim_start().starts_with("//"))
            .map(|(line, n)| (n, line))
    }

    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// The room below `src/` that the file belongs to.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or_default();
        inside
            .split('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs")
    }

    /// The rooms that the file imports, by the line where it does.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut group: Option<i32> = None; // how deep we are inside `use crate::{`
        for (number, line) in self.shipped() {
            let mut rest = line;
            while !rest.is_empty() {
                if let Some(depth) = group {
                    if depth == 1 {
                        found.extend(first_word(rest).map(|room| (number, room)));
                    }
                    let Some(at) = rest.find(['{', '}', ',']) else {
                        break;
                    };
                    group = match &rest[at..=at] {
                        "{" => Some(depth + 1),
                        "}" if depth == 1 => None,
                        "}" => Some(depth - 1),
                        _ => Some(depth),
                    };
                    rest = &rest[at + 1..];
                } else {
                    let Some(at) = rest.find("crate::") else { break };
                    rest = &rest[at + "crate::".len()..];
                    if let Some(inside) = rest.strip_prefix('{') {
                        group = Some(1);
                        rest = inside;
                    } else {
                        found.extend(first_word(rest).map(|room| (number, room)));
                    }
                }
            }
        }
        found
    }
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Whether the text has the sign, and not as the end of a longer word.
fn begins_word(text: &str, sign: &str) -> bool {
    text.match_indices(sign)
        .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Whether the text has the sign, and not as the beginning of a longer word.
fn has_word(text: &str, sign: &str) -> bool {
    text.split(sign)
        .skip(1)
        .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of ours below a folder, sorted. Built, fetched and generated ones are not ours.
fn files(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut pending = vec![root().join(folder)];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if path.is_dir() {
                if !["node_modules", "dist", "target", "generated"].contains(&name.as_str()) {
                    pending.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn sources() -> Vec<Source> {
    let mut all: Vec<Source> = ["src", "crates", "tests", "benches", "web"]
        .iter()
        .flat_map(|folder| files(folder))
        .collect();
    all.retain(|file| file.is("rs") || file.is("ts") || file.is("mjs"));
    assert!(all.len() > 20, "the sources were not found");
    all
}

/// Fails with all of them at once.
fn expect_none(complaints: &[String]) {
    let mut list = String::new();
    for complaint in complaints {
        let _ = writeln!(list, "  {complaint}");
    }
    assert!(complaints.is_empty(), "{} to tidy:\n{list}", complaints.len());
}

#[test]
fn each_thing_has_one_door() {
    let mut complaints = Vec::new();
    for file in sources()
        .iter()
        .filter(|file| file.is("rs") && file.path.starts_with("src/"))
    {
        for door in DOORS
            .iter()
            .filter(|door| !door.open_to.iter().any(|place| file.path.starts_with(place)))
        {
            for (number, line) in file.shipped() {
                if door.signs.iter().any(|sign| begins_word(line, sign)) {
                    complaints.push(format!(
                        "{}:{number}: {} is not touched here, only in {}: {}",
                        file.path,
                        door.what,
                        door.open_to.join(", "),
                        door.instead
                    ));
                }
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn dependencies_point_one_way() {
    let mut complaints = Vec::new();
    for file in sources()
        .iter()
        .filter(|file| file.is("rs") && file.path.starts_with("src/"))
    {
        let room = file.room();
        let strangers = STRANGERS
            .iter()
            .find(|(name, _)| *name == room)
            .map_or(&[][..], |(_, strangers)| strangers);
        for (number, import) in file.imports() {
            let is_edge =
                EDGES.contains(&import.as_str()) && room != import && !["node", "lib"].contains(&room);
            // The command line starts nodes; it is what `main` consists of.
            let is_node = import == "node" && !["node", "command", "lib"].contains(&room);
            if is_edge || is_node || strangers.contains(&import.as_str()) {
                complaints.push(format!(
                    "{}:{number}: `{room}` must not know `{import}` (DESIGN: domain <- journal <- actors <- cluster <- workers, http, ws): let `{import}` ask, or move what both need below them",
                    file.path
                ));
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn the_domain_is_pure() {
    let manifest = fs::read_to_string(root().join("crates/domain/Cargo.toml")).unwrap();
    let dependencies = manifest
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let mut complaints: Vec<String> = dependencies
        .lines()
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#') && !DOMAIN_DEPENDENCIES.contains(name))
        .map(|name| {
            format!(
                "crates/domain/Cargo.toml: `{name}` does not belong here; it may have {DOMAIN_DEPENDENCIES:?}"
            )
        })
        .collect();
    for file in sources()
        .iter()
        .filter(|file| file.path.starts_with("crates/domain/src/"))
    {
        for (number, line) in file.shipped() {
            for (sign, instead) in [
                ("async fn", "decisions do not wait: return events"),
                (".await", "decisions do not wait: return events"),
                ("std::fs", "no I/O: take the content as an argument"),
                ("std::net", "no I/O: take the content as an argument"),
                ("std::env", "settings are arguments"),
                ("println!", "return what you want to say"),
            ] {
                if has_word(line, sign) {
                    complaints.push(format!(
                        "{}:{number}: `{sign}` in the domain: {instead}",
                        file.path
                    ));
                }
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut complaints = Vec::new();
    for file in &sources() {
        let lines = file.text.lines().count();
        if lines > LONGEST {
            complaints.push(format!(
                "{}: {lines} lines, {LONGEST} are allowed: split it by noun",
                file.path
            ));
        }
    }
    expect_none(&complaints);
}

#[test]
fn names_say_what_is_inside() {
    let mut complaints = Vec::new();
    for file in sources() {
        let names = Path::new(&file.path)
            .iter()
            .filter_map(|name| Path::new(name).file_stem()?.to_str());
        for name in names.filter(|name| VAGUE_NAMES.contains(name)) {
            complaints.push(format!(
                "{}: `{name}` says nothing: name it after its noun",
                file.path
            ));
        }
        if file.path.starts_with("src/") && !file.text.trim_start().starts_with("//!") {
            complaints.push(format!(
                "{}: begin with `//!`: what it is for, and what it must never do",
                file.path
            ));
        }
    }
    expect_none(&complaints);
}

#[test]
fn nothing_is_left_for_later_and_no_test_waits_for_time_to_pass() {
    let mut complaints = Vec::new();
    for file in sources().iter().filter(|file| file.path != "tests/it/tidy.rs") {
        let paused = file.text.contains("start_paused = true") || file.path.starts_with("tests/sim/");
        for (line, number) in file.text.lines().zip(1..) {
            let mut complain = |what: &str| complaints.push(format!("{}:{number}: {what}", file.path));
            if ["todo!(", "unimplemented!(", "FIXME"]
                .iter()
                .any(|sign| line.contains(sign))
            {
                complain("do it now, or write an issue");
            }
            if ["#[ignore", "test.skip(", "test.only(", "describe.only("]
                .iter()
                .any(|sign| line.contains(sign))
            {
                complain("a test that does not run proves nothing: mend it or delete it");
            }
            if file.path.starts_with("tests/") && !paused && line.contains("sleep(") {
                complain("do not wait for time to pass: wait for the state (tests/it/eventually.rs)");
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn every_migration_says_why() {
    let mut complaints = Vec::new();
    let mut numbers = BTreeSet::new();
    for file in files("migrations") {
        let name = file.path.trim_start_matches("migrations/");
        let number = name.split('_').next().unwrap_or_default().to_owned();
        if number.len() != 4 || !number.chars().all(|c| c.is_ascii_digit()) || !file.is("sql") {
            complaints.push(format!("{}: name it NNNN_noun.sql", file.path));
        }
        if !numbers.insert(number.clone()) {
            complaints.push(format!("{}: there is another migration {number}", file.path));
        }
        if !file.text.starts_with("--") {
            complaints.push(format!("{}: begin with a comment that says why", file.path));
        }
    }
    expect_none(&complaints);
}

#[test]
fn the_documents_know_every_room() {
    let Ok(architecture) = fs::read_to_string(root().join("docs/ARCHITECTURE.md")) else {
        return;
    };
    let rooms = fs::read_dir(root().join("src"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir());
    let mut complaints: Vec<String> = rooms
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|room| {
            !architecture.contains(&format!("{room}/")) && !architecture.contains(&format!("`{room}`"))
        })
        .map(|room| format!("docs/ARCHITECTURE.md: no word about src/{room}/"))
        .collect();
    complaints.sort();
    expect_none(&complaints);
}

#[test]
fn imports_are_seen_in_every_form() {
    let file = Source {
        path: "src/journal/lease.rs".into(),
        text: "use crate::clock::Clock;\n// crate::http is only mentioned\nuse crate::{\n    actors::{cart, order}, views,\n    domain::Money,\n};\nlet x = crate::ws::Hub::new();\n#[cfg(test)]\nmod tests { use crate::relay; }\n".into(),
    };
    let rooms: Vec<String> = file.imports().into_iter().map(|(_, room)| room).collect();
    assert_eq!(rooms, ["clock", "actors", "views", "domain", "ws"]);
    assert_eq!(file.room(), "journal");
}
