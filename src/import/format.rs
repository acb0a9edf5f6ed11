//! Which format a catalogue is in, and the one way to read it whatever it is.
//!
//! Synchronous: the caller runs a [`Source`] where blocking is allowed.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::parts::{self, Parts};
use super::product::{Flaw, ImportedProduct, Rejection};
use super::{icecat::Icecat, jsonl::JsonLines, shopify::Shopify};
use crate::domain::Currency;

/// How many rows a catalogue may have.
pub const ROWS_LIMIT: u64 = 1_000_000;

/// A catalogue that is read from beginning to end.
pub trait Source: Send {
    /// The next product, or the next row that is none. `None` at the end: then
    /// [`fault`](Self::fault) says whether it is the end of the catalogue or the end of the road.
    fn next(&mut self) -> Option<Result<ImportedProduct, Rejection>>;

    /// Bytes read so far (packed, as they lie on disk), and altogether.
    fn progress(&self) -> (u64, u64);

    /// The row last read.
    fn row(&self) -> u64;

    /// Why reading stopped before the end, if it did.
    fn fault(&self) -> Option<&ImportFault>;
}

/// A format a catalogue may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Icecat JSON: an array of products.
    Icecat,
    /// Shopify product CSV.
    ShopifyCsv,
    /// JSON lines in the shop's own shape.
    JsonLines,
}

/// Why a catalogue cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportFault {
    /// The operating system says no.
    #[error("{path} cannot be read", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// There is no file of the format.
    #[error("{path} holds no file that ends in {endings}", path = path.display())]
    Nothing {
        /// Where it was looked for.
        path: PathBuf,
        /// The endings looked for.
        endings: String,
    },
    /// Nothing about it fits a known format.
    #[error("{path} is no catalogue this shop knows; name one with --format icecat, shopify-csv or jsonl", path = path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The text is in UTF-16 or UTF-32.
    #[error("{path} is written in UTF-16; save it as UTF-8", path = path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// A zip that cannot be used.
    #[error("the archive {path} cannot be used: {reason}", path = path.display())]
    BadArchive {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Columns the format cannot do without.
    #[error("the table has no column {missing}")]
    MissingColumns {
        /// Their names.
        missing: String,
    },
    /// From here on nothing can be read.
    #[error("the rest of the catalogue{of} cannot be read: {reason}", of = if part.is_empty() { String::new() } else { format!(" in {part}") })]
    Broken {
        /// Which part of it, where there are several.
        part: String,
        /// Why.
        reason: String,
    },
    /// More rows than a catalogue may have.
    #[error("the catalogue has more than {ROWS_LIMIT} rows; split it")]
    TooManyRows,
}

/// A text that names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a format is icecat, shopify-csv or jsonl")]
pub struct BadFormat;

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Icecat, Self::ShopifyCsv, Self::JsonLines];

    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Icecat => "icecat",
            Self::ShopifyCsv => "shopify-csv",
            Self::JsonLines => "jsonl",
        }
    }

    /// The format of what lies at `path`: a file, plain, zipped or gzipped, or a directory.
    ///
    /// # Errors
    /// If it cannot be read or looks like none.
    pub fn detect(path: &Path) -> Result<Self, ImportFault> {
        for (format, endings) in [
            (Self::Icecat, &super::icecat::ENDINGS[..]),
            (Self::ShopifyCsv, &super::shopify::ENDINGS[..]),
            (Self::JsonLines, &super::jsonl::ENDINGS[..]),
        ] {
            let mut parts = match Parts::find(path, endings) {
                Ok(parts) => parts,
                Err(ImportFault::Nothing { .. }) => continue,
                Err(fault) => return Err(fault),
            };
            let Some(first) = parts.next() else { continue };
            let mut start = [0; 8 * 1024];
            let length =
                parts::fill(&mut first?.text.take(start.len() as u64), &mut start).map_err(|source| {
                    ImportFault::Unreadable {
                        path: path.to_owned(),
                        source,
                    }
                })?;
            // A plain file is taken for every format: what it says decides, not its name.
            return Self::detect_text(&start[..length])
                .or_else(|| (path.is_dir() || has_ending(path, endings)).then_some(format))
                .ok_or_else(|| ImportFault::Unknown {
                    path: path.to_owned(),
                });
        }
        Err(ImportFault::Unknown {
            path: path.to_owned(),
        })
    }

    /// The format of a text that starts like this.
    #[must_use]
    pub fn detect_text(start: &[u8]) -> Option<Self> {
        let start = start
            .strip_prefix(&[0xef, 0xbb, 0xbf])
            .unwrap_or(start)
            .trim_ascii_start();
        match start.first()? {
            b'[' => Some(Self::Icecat),
            b'{' => Some(Self::JsonLines),
            _ => {
                let header =
                    String::from_utf8_lossy(start.split(|&byte| byte == b'\n' || byte == b'\r').next()?);
                let columns = header.to_lowercase();
                let column = |name| {
                    columns
                        .split(',')
                        .any(|column| column.trim().trim_matches('"') == name)
                };
                (column("handle") || column("url handle")).then_some(Self::ShopifyCsv)
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = BadFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or(BadFormat)
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Opens the catalogue at `path`; without a format it is found out. Prices without a currency are
/// in `currency`.
///
/// # Errors
/// If it cannot be opened or is no catalogue.
pub fn open(path: &Path, format: Option<Format>, currency: Currency) -> Result<Box<dyn Source>, ImportFault> {
    let format = match format {
        Some(format) => format,
        None => Format::detect(path)?,
    };
    Ok(match format {
        Format::Icecat => Box::new(Once::new(Icecat::open(path, currency)?)),
        Format::ShopifyCsv => Box::new(Once::new(Shopify::open(path, currency)?)),
        Format::JsonLines => Box::new(Once::new(JsonLines::open(path, currency)?)),
    })
}

/// A source that brings every SKU once and keeps to [`ROWS_LIMIT`]. It remembers eight bytes a SKU.
struct Once<S> {
    source: S,
    seen: HashSet<u64>,
    fault: Option<ImportFault>,
}

impl<S: Source> Once<S> {
    fn new(source: S) -> Self {
        Self {
            source,
            seen: HashSet::new(),
            fault: None,
        }
    }
}

impl<S: Source> Source for Once<S> {
    fn next(&mut self) -> Option<Result<ImportedProduct, Rejection>> {
        if self.fault.is_some() {
            return None;
        }
        let next = self.source.next()?;
        if self.source.row() > ROWS_LIMIT {
            self.fault = Some(ImportFault::TooManyRows);
            return None;
        }
        Some(next.and_then(|product| {
            let repeated = product.skus().find(|sku| !self.seen.insert(digest(sku.as_str())));
            match repeated {
                None => Ok(product),
                Some(sku) => {
                    let flaw = Flaw::new(
                        "sku",
                        format!("{sku} occurs a second time"),
                        "give each product and variant a SKU of its own; the first one counts",
                    );
                    Err(flaw.of_row(product.row, "", &product.details.name))
                }
            }
        }))
    }

    fn progress(&self) -> (u64, u64) {
        self.source.progress()
    }

    fn row(&self) -> u64 {
        self.source.row()
    }

    fn fault(&self) -> Option<&ImportFault> {
        self.fault.as_ref().or_else(|| self.source.fault())
    }
}

/// Two of a million texts share this with a chance of one in thirty million; then one row is refused.
pub(super) fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_says_decides() {
        let check = |text: &[u8], format| assert_eq!(Format::detect_text(text), format);
        check(b"\xef\xbb\xbf [\n {\"id\": 1}]", Some(Format::Icecat));
        check(b"{\"sku\": \"a\"}\n", Some(Format::JsonLines));
        check(b"Handle,Title\r\n", Some(Format::ShopifyCsv));
        check(b"Title,\"URL handle\",Price\n", Some(Format::ShopifyCsv));
        check(b"name;price\n", None);
        check(b"", None);
    }

    #[test]
    fn formats_have_names() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("csv".parse::<Format>(), Err(BadFormat));
    }
}
