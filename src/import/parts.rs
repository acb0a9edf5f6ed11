//! The byte streams a catalogue consists of: one file, the fitting entries of a zip, or the files
//! of a directory, each opened only when its turn comes.
//!
//! Never unpacks to disk, never uses a name from inside an archive as a path, never holds more than
//! a few buffers. What an archive may unpack to is bounded, so a small file cannot fill the machine.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use zip::CompressionMethod;

use super::format::ImportFault;

/// The most bytes one part may unpack to.
pub const UNPACKED_LIMIT: u64 = 2 * 1024 * 1024 * 1024;
/// How many times its packed size a part may unpack to, once it is past [`RATIO_FROM`].
pub const RATIO_LIMIT: u64 = 200;
/// Below this many unpacked bytes no ratio is suspicious.
pub const RATIO_FROM: u64 = 8 * 1024 * 1024;
/// How many entries a zip may list.
pub const ENTRIES_LIMIT: usize = 10_000;

const BUFFER: usize = 64 * 1024;

/// An open part.
pub(super) struct Part {
    /// What to call it where there are several; else empty.
    pub name: String,
    /// Its text.
    pub text: Box<dyn BufRead + Send>,
}

enum Place {
    Plain(PathBuf),
    Gzip(PathBuf),
    Entry {
        archive: PathBuf,
        name: String,
        at: u64,
        packed: u64,
        deflated: bool,
        crc: u32,
    },
}

/// The parts of a catalogue that are still to be read.
pub(super) struct Parts {
    waiting: VecDeque<Place>,
    several: bool,
    read: Arc<AtomicU64>,
    total: u64,
}

impl Parts {
    /// The parts under `path` whose names end in one of `endings` (a plain file is taken whatever
    /// it is called).
    pub fn find(path: &Path, endings: &[&str]) -> Result<Self, ImportFault> {
        let unreadable = |source| ImportFault::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut waiting = VecDeque::new();
        if path.is_dir() {
            let mut paths = Vec::new();
            for entry in path.read_dir().map_err(unreadable)? {
                paths.push(entry.map_err(unreadable)?.path());
            }
            paths.sort();
            for path in paths.iter().filter(|path| path.is_file()) {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .to_lowercase();
                let name = name.strip_suffix(".gz").unwrap_or(&name);
                if name.ends_with(".zip") || endings.iter().any(|ending| name.ends_with(ending)) {
                    add_file(path, endings, &mut waiting)?;
                }
            }
        } else {
            add_file(path, endings, &mut waiting)?;
        }
        if waiting.is_empty() {
            return Err(ImportFault::Nothing {
                path: path.to_owned(),
                endings: endings.join(", "),
            });
        }
        let mut total = 0;
        for place in &waiting {
            total += match place {
                Place::Plain(path) | Place::Gzip(path) => path.metadata().map_err(unreadable)?.len(),
                Place::Entry { packed, .. } => *packed,
            };
        }
        let several = waiting.len() > 1;
        Ok(Self {
            waiting,
            several,
            read: Arc::default(),
            total,
        })
    }

    /// Opens the next part, past its byte order mark.
    pub fn next(&mut self) -> Option<Result<Part, ImportFault>> {
        self.waiting.pop_front().map(|place| self.open(place))
    }

    /// Packed bytes read so far, and altogether.
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed).min(self.total), self.total)
    }

    fn open(&self, place: Place) -> Result<Part, ImportFault> {
        let (path, name) = match &place {
            Place::Plain(path) | Place::Gzip(path) => (path.clone(), file_name(path)),
            Place::Entry { archive, name, .. } => (
                archive.clone(),
                format!("{}/{}", file_name(archive), super::text::excerpt(name, 80)),
            ),
        };
        let unreadable = |source| ImportFault::Unreadable {
            path: path.clone(),
            source,
        };
        let mut file = File::open(&path).map_err(unreadable)?;
        let mut text: Box<dyn BufRead + Send> = match place {
            Place::Plain(_) => Box::new(BufReader::with_capacity(BUFFER, self.counted(file))),
            Place::Gzip(_) => {
                let packed = file.metadata().map_err(unreadable)?.len();
                let unpacked = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, self.counted(file)));
                Box::new(BufReader::with_capacity(
                    BUFFER,
                    Bounded::new(unpacked, packed, None),
                ))
            }
            Place::Entry {
                at,
                packed,
                deflated,
                crc,
                ..
            } => {
                file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
                let stored = BufReader::with_capacity(BUFFER, self.counted(file)).take(packed);
                let unpacked: Box<dyn Read + Send> = if deflated {
                    Box::new(DeflateDecoder::new(stored))
                } else {
                    Box::new(stored)
                };
                Box::new(BufReader::with_capacity(
                    BUFFER,
                    Bounded::new(unpacked, packed, Some(crc)),
                ))
            }
        };
        begin(&mut *text).map_err(|problem| match problem {
            Some(source) => unreadable(source),
            None => ImportFault::Utf16 { path: path.clone() },
        })?;
        Ok(Part {
            name: if self.several { name } else { String::new() },
            text,
        })
    }

    fn counted(&self, file: File) -> Counted {
        Counted {
            file,
            read: Arc::clone(&self.read),
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn add_file(path: &Path, endings: &[&str], waiting: &mut VecDeque<Place>) -> Result<(), ImportFault> {
    let unreadable = |source| ImportFault::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut magic = [0; 4];
    let length = fill(&mut file, &mut magic).map_err(unreadable)?;
    match &magic[..length] {
        [b'P', b'K', 3 | 5, 4 | 6] => add_entries(path, file, endings, waiting)?,
        [0x1f, 0x8b, ..] => waiting.push_back(Place::Gzip(path.to_owned())),
        _ => waiting.push_back(Place::Plain(path.to_owned())),
    }
    Ok(())
}

fn add_entries(
    path: &Path,
    file: File,
    endings: &[&str],
    waiting: &mut VecDeque<Place>,
) -> Result<(), ImportFault> {
    let damaged = |reason: String| ImportFault::BadArchive {
        path: path.to_owned(),
        reason,
    };
    let mut archive =
        zip::ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(error.to_string()))?;
    if archive.len() > ENTRIES_LIMIT {
        return Err(damaged(format!("it lists more than {ENTRIES_LIMIT} files")));
    }
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|error| damaged(error.to_string()))?;
        let name = entry
            .name()
            .map_err(|error| damaged(error.to_string()))?
            .into_owned();
        let folded = name.to_lowercase();
        let wanted =
            endings.iter().any(|ending| folded.ends_with(ending)) && !folded.starts_with("__macosx/");
        if entry.is_dir() || !wanted {
            continue;
        }
        let deflated = match entry.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => {
                return Err(damaged(format!(
                    "{name:?} is packed with {other}, not with deflate"
                )));
            }
        };
        if entry.encrypted() {
            return Err(damaged(format!("{name:?} is encrypted")));
        }
        let at = entry
            .data_start()
            .ok_or_else(|| damaged(format!("{name:?} has no data")))?;
        waiting.push_back(Place::Entry {
            archive: path.to_owned(),
            name,
            at,
            packed: entry.compressed_size(),
            deflated,
            crc: entry.crc32(),
        });
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends; how many bytes came.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Skips the byte order mark of UTF-8; `Err(None)` if the text is UTF-16 or UTF-32.
fn begin(text: &mut dyn BufRead) -> Result<(), Option<io::Error>> {
    let start = text.fill_buf().map_err(Some)?;
    if is_utf16(start) {
        return Err(None);
    }
    let mark = if start.starts_with(&[0xef, 0xbb, 0xbf]) {
        3
    } else {
        0
    };
    text.consume(mark);
    Ok(())
}

/// Whether a text that starts like this is written in UTF-16 or UTF-32.
pub(super) fn is_utf16(start: &[u8]) -> bool {
    match start {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => true,
        [first, second, third, fourth, ..] => {
            (*first == 0) != (*second == 0)
                && (*third == 0) == (*first == 0)
                && (*fourth == 0) == (*second == 0)
        }
        _ => false,
    }
}

/// A file that counts what is read from it.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Unpacked bytes, not more than a catalogue can be, and checked against the archive's checksum.
struct Bounded<R> {
    inner: R,
    crc: Crc,
    expected: Option<u32>,
    read: u64,
    limit: u64,
}

impl<R> Bounded<R> {
    fn new(inner: R, packed: u64, expected: Option<u32>) -> Self {
        let limit = packed
            .saturating_mul(RATIO_LIMIT)
            .clamp(RATIO_FROM, UNPACKED_LIMIT);
        Self {
            inner,
            crc: Crc::new(),
            expected,
            read: 0,
            limit,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        if self.read > self.limit {
            let reason = format!("it unpacks to more than {} times its size", RATIO_LIMIT);
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if let Some(expected) = self.expected {
            self.crc.update(&buffer[..count]);
            if count == 0 && !buffer.is_empty() && self.crc.sum() != expected {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "its checksum is wrong",
                ));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_text_is_recognised_by_its_mark_or_its_zeros() {
        assert!(is_utf16(&[0xff, 0xfe, b'a', 0]));
        assert!(is_utf16(&[0xfe, 0xff, 0, b'a']));
        assert!(is_utf16(b"H\0a\0"));
        assert!(is_utf16(b"\0H\0a"));
        assert!(!is_utf16(b"Handle"));
        assert!(!is_utf16(b"H\0an"));
        assert!(!is_utf16(b"\0\0\0\0"));
        assert!(!is_utf16(b""));
    }

    #[test]
    fn what_swells_is_stopped() {
        let mut bounded = Bounded::new(io::repeat(b'a'), 10, None);
        let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(bounded.read <= RATIO_FROM + 64 * 1024);
    }
}
