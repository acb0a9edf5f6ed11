//! What may be handed in as a catalogue, and what must hold whatever it is.
//!
//! The bytes go through the front door, as a file (in memory) of any content. Run by `make fuzz`
//! without end and by `tests/it/fuzz.rs` over the corpus; part of no other path.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use serde_json::Value;

use super::format::{Format, Source, open};
use super::product::{
    ATTRIBUTE_LIMIT, ATTRIBUTES_LIMIT, DESCRIPTION_LIMIT, EXCERPT_LIMIT, ImportedProduct, LIST_LIMIT,
    NAME_LIMIT, Rejection, gtin,
};
use super::{slug, text};
use crate::domain::product::{Attribute, Details};
use crate::domain::{Currency, Money};

/// An Icecat list, or anything else handed in as one.
///
/// # Panics
/// When the reader does not hold what it promises; see [`any_catalogue`].
pub fn icecat(bytes: &[u8]) {
    check(bytes, Some(Format::Icecat));
}

/// A Shopify table, or anything else handed in as one.
///
/// # Panics
/// When the reader does not hold what it promises; see [`any_catalogue`].
pub fn shopify(bytes: &[u8]) {
    check(bytes, Some(Format::ShopifyCsv));
}

/// JSON lines, or anything else handed in as them.
///
/// # Panics
/// When the reader does not hold what it promises; see [`any_catalogue`].
pub fn json_lines(bytes: &[u8]) {
    check(bytes, Some(Format::JsonLines));
}

/// Any file, packed or not, whose format is to be found out: it is read to its end, each row a
/// product within its limits or a rejection that a person can act on, no SKU twice; and read again it
/// is the same.
///
/// # Panics
/// When that does not hold.
pub fn any_catalogue(bytes: &[u8]) {
    check(bytes, None);
}

/// A text of a catalogue: what is made of it is visible and on the lines it should be, and making it
/// takes markup away for good.
///
/// # Panics
/// When that does not hold.
pub fn markup(bytes: &[u8]) {
    let source = String::from_utf8_lossy(bytes);
    let plain = text::plain(&source);
    let invisible = |c: char| c != '\n' && (c.is_control() || text::is_invisible(c));
    assert!(!plain.chars().any(invisible), "{plain:?}");
    assert_eq!(plain.trim(), plain, "nothing stands before or behind it");
    assert!(!plain.contains("\n\n\n"), "no blank line twice: {plain:?}");
    let line = text::line(&source);
    assert!(!line.contains('\n') && !line.contains("  "), "{line:?}");
    assert!(text::excerpt(&source, EXCERPT_LIMIT).chars().count() <= EXCERPT_LIMIT + 1);
    let folded = slug::folded(&source, 64);
    let is_of_address = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    assert!(
        folded.len() <= 64 && folded.bytes().all(is_of_address),
        "{folded:?}"
    );
    if let Some(gtin) = gtin(&source) {
        assert_eq!(gtin.len(), 14);
    }
}

#[derive(PartialEq, Debug)]
struct ReadOut {
    rows: Vec<Result<ImportedProduct, Rejection>>,
    fault: Option<String>,
}

fn check(bytes: &[u8], format: Option<Format>) {
    let Some((file, path)) = in_memory(bytes) else {
        return;
    };
    let read = || -> Result<ReadOut, String> {
        let source = open(&path, format, Currency::EUR).map_err(|fault| fault.to_string())?;
        Ok(read_out(source, bytes.len()))
    };
    let once = read();
    assert_eq!(once, read(), "the same file reads the same");
    drop(file);
    let Ok(once) = once else { return };
    let mut skus = HashSet::new();
    for row in &once.rows {
        match row {
            Ok(product) => {
                judge(product);
                for sku in product.skus() {
                    assert!(skus.insert(sku.clone()), "{sku} comes twice");
                }
            }
            Err(rejection) => {
                assert!(!rejection.reason.is_empty() && !rejection.remedy.is_empty());
                assert!(rejection.excerpt.chars().count() <= EXCERPT_LIMIT + 1);
                assert!(!rejection.excerpt.contains(char::is_control));
            }
        }
    }
}

fn read_out(mut source: Box<dyn Source>, length: usize) -> ReadOut {
    let mut rows = Vec::new();
    let mut before = source.progress().0;
    while let Some(row) = source.next() {
        rows.push(row);
        let (read, total) = source.progress();
        assert!(before <= read && read <= total, "progress goes forward");
        before = read;
        // What is packed may have more rows than bytes, but not without bound.
        assert!(rows.len() <= 1_000 * length, "a row needs bytes");
    }
    assert!(source.next().is_none(), "the end is the end");
    ReadOut {
        rows,
        fault: source.fault().map(ToString::to_string),
    }
}

/// That a product keeps every limit, and means the same after it is stored.
fn judge(product: &ImportedProduct) {
    let details = &*product.details;
    let Details { name, slug, .. } = details;
    assert!((1..=NAME_LIMIT).contains(&name.chars().count()), "{name:?}");
    assert!(!name.contains(char::is_control), "{name:?}");
    let is_of_address = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    assert!(!slug.is_empty() && slug.bytes().all(is_of_address), "{slug:?}");
    assert!((0..=Money::LIMIT).contains(&product.price.amount));
    assert!(details.description.len() <= DESCRIPTION_LIMIT);
    assert!(!details.category.is_empty(), "every product is placed");
    assert!(details.attributes.len() <= ATTRIBUTES_LIMIT);
    for (key, value) in &details.attributes {
        assert!(key.len() <= 100);
        match value {
            Attribute::Number(number) => assert!(number.is_finite()),
            Attribute::Text(text) => assert!(!text.is_empty() && text.len() <= ATTRIBUTE_LIMIT),
            Attribute::Texts(texts) => {
                assert!(!texts.is_empty() && texts.len() <= LIST_LIMIT);
                assert!(texts.iter().map(String::len).sum::<usize>() <= ATTRIBUTE_LIMIT);
            }
            Attribute::Flag(_) => {}
        }
    }
    for length in [details.variants.len(), details.images.len(), details.gtins.len()] {
        assert!(length <= LIST_LIMIT);
    }
    for image in &details.images {
        assert!(
            image.starts_with("http://") || image.starts_with("https://"),
            "{image:?}"
        );
    }
    for gtin in &details.gtins {
        assert!(
            gtin.len() == 14 && gtin.bytes().all(|byte| byte.is_ascii_digit()),
            "{gtin:?}"
        );
    }
    // No text of a product may be one that PostgreSQL cannot hold.
    match serde_json::to_value(details) {
        Ok(stored) => {
            assert!(!holds_nul(&stored), "{stored}");
            let read = serde_json::from_str::<Details>(&stored.to_string());
            assert_eq!(read.ok().as_ref(), Some(details), "a product means what it meant");
        }
        Err(error) => panic!("{error}: a product can be stored: {details:?}"),
    }
}

fn holds_nul(json: &Value) -> bool {
    match json {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

/// A file that lies nowhere, with a path to open it by.
fn in_memory(bytes: &[u8]) -> Option<(OwnedFd, PathBuf)> {
    let handle = rustix::fs::memfd_create("catalogue", rustix::fs::MemfdFlags::CLOEXEC).ok()?;
    let mut file = File::from(handle);
    file.write_all(bytes).ok()?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    Some((file.into(), path))
}
