//! The records of a comma-separated text, bounded and forgiving.
//!
//! One faulty record costs itself and nothing else: where a quote is never closed, only the line it
//! stands on is refused, and reading goes on with the next one. Line ends may be `\n`, `\r\n` or
//! `\r`, mixed. A record holds at most [`RECORD_LIMIT`] bytes, and never more than that is in memory.

use std::io::{self, BufRead};

/// The most bytes a record may have, line breaks inside quotes included.
pub const RECORD_LIMIT: usize = 64 * 1024;
/// After so many faulty records the text is taken for something else.
pub const FAULTS_LIMIT: u32 = 1_000;

/// A record, or why a line is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Its fields, unquoted.
    Fields(Vec<String>),
    /// The line that starts here is no record.
    Faulty {
        reason: &'static str,
        remedy: &'static str,
        excerpt: String,
    },
}

/// Reads records.
pub(super) struct Records<R> {
    text: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next record starts.
    start: usize,
    at_end: bool,
    line: u64,
    next_line: u64,
    faults: u32,
}

/// How a record ends.
enum End {
    /// Before this place in the buffer; the next one starts at the second.
    At(usize, usize),
    /// Not before the limit, or not at all.
    Never,
}

impl<R: BufRead> Records<R> {
    pub fn new(text: R) -> Self {
        Self {
            text,
            buffer: Vec::new(),
            start: 0,
            at_end: false,
            line: 0,
            next_line: 1,
            faults: 0,
        }
    }

    /// The line the record last read started on, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next record that is not an empty line.
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            self.line = self.next_line;
            if self.start == self.buffer.len() && !self.more()? {
                return Ok(None);
            }
            let record = match self.end()? {
                End::At(end, next) => {
                    let bytes = &self.buffer[self.start..end];
                    self.next_line += count_lines(&self.buffer[self.start..next]);
                    let record = record(bytes);
                    self.start = next;
                    record
                }
                End::Never => Some(self.skip_line()?),
            };
            if matches!(record, Some(Record::Faulty { .. })) {
                self.faults += 1;
                if self.faults > FAULTS_LIMIT {
                    let reason = "more than 1,000 lines are no records; is it a comma-separated table?";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                }
            }
            if record.is_some() {
                return Ok(record);
            }
        }
    }

    /// Brings in more text; whether there was any.
    fn more(&mut self) -> io::Result<bool> {
        if self.start > 0 && (self.start == self.buffer.len() || self.start >= RECORD_LIMIT) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let chunk = self.text.fill_buf()?;
        let length = chunk.len().min(RECORD_LIMIT);
        self.buffer.extend_from_slice(&chunk[..length]);
        self.text.consume(length);
        self.at_end |= length == 0;
        Ok(length > 0)
    }

    fn end(&mut self) -> io::Result<End> {
        let mut at = 0;
        let mut quoted = false;
        let mut field_starts = true;
        loop {
            if self.start + at == self.buffer.len() && !self.more()? {
                let end = self.start + at;
                return Ok(if quoted { End::Never } else { End::At(end, end) });
            }
            if at >= RECORD_LIMIT {
                return Ok(End::Never);
            }
            let byte = self.buffer[self.start + at];
            match byte {
                b'"' if quoted => {
                    // Closes, unless doubled; doubled it opens again at once.
                    quoted = false;
                    field_starts = true;
                    at += 1;
                    continue;
                }
                b'"' if field_starts => quoted = true,
                b'\n' | b'\r' if !quoted => {
                    let mut next = at + 1;
                    if byte == b'\r' && (self.start + next < self.buffer.len() || self.more()?) {
                        next += usize::from(self.buffer[self.start + next] == b'\n');
                    }
                    return Ok(End::At(self.start + at, self.start + next));
                }
                _ => {}
            }
            field_starts = byte == b',';
            at += 1;
        }
    }

    /// Passes over the line at the start of the buffer, however long it is.
    fn skip_line(&mut self) -> io::Result<Record> {
        let window = &self.buffer[self.start..];
        let excerpt = String::from_utf8_lossy(&window[..window.len().min(1_024)]).into_owned();
        let mut long = false;
        loop {
            let found = self.buffer[self.start..]
                .iter()
                .position(|&byte| byte == b'\n' || byte == b'\r');
            if let Some(at) = found {
                let mut next = self.start + at + 1;
                if self.buffer[next - 1] == b'\r' {
                    self.start = next - 1;
                    let more = next < self.buffer.len() || self.more()?;
                    next = self.start + 1;
                    next += usize::from(more && self.buffer[next] == b'\n');
                }
                self.start = next;
                break;
            }
            long |= self.buffer.len() - self.start >= RECORD_LIMIT;
            self.start = self.buffer.len();
            if !self.more()? {
                break;
            }
        }
        self.next_line += 1;
        let (reason, remedy) = if long {
            ("the line is longer than 64 KiB", "shorten its texts")
        } else {
            (
                "a quote on this line is never closed",
                "close the quote, or double it if it is part of the text",
            )
        };
        Ok(Record::Faulty {
            reason,
            remedy,
            excerpt,
        })
    }
}

/// How many lines end in `bytes`.
fn count_lines(bytes: &[u8]) -> u64 {
    let mut count = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        count += u64::from(byte == b'\n' || (byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')));
    }
    count
}

/// The fields in the bytes of a record; `None` for an empty line.
fn record(bytes: &[u8]) -> Option<Record> {
    let faulty = |reason, remedy| {
        let excerpt = String::from_utf8_lossy(&bytes[..bytes.len().min(1_024)]).into_owned();
        Some(Record::Faulty {
            reason,
            remedy,
            excerpt,
        })
    };
    if bytes.contains(&0) {
        return faulty("it holds a NUL byte", "save the table as plain UTF-8 text");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return faulty("it is not UTF-8", "save the table as UTF-8");
    };
    if text.trim().is_empty() {
        return None;
    }
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    let mut starts = true;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted => {
                if chars.next_if_eq(&'"').is_some() {
                    field.push('"');
                } else {
                    quoted = false;
                }
            }
            '"' if starts => quoted = true,
            ',' if !quoted => {
                fields.push(std::mem::take(&mut field));
                starts = true;
                continue;
            }
            _ => field.push(c),
        }
        starts = false;
    }
    fields.push(field);
    Some(Record::Fields(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8], capacity: usize) -> Vec<(u64, Result<Vec<String>, &'static str>)> {
        let mut records = Records::new(io::BufReader::with_capacity(capacity, text));
        let mut found = Vec::new();
        while let Some(record) = records.next().unwrap() {
            found.push((
                records.line(),
                match record {
                    Record::Fields(fields) => Ok(fields),
                    Record::Faulty { reason, .. } => Err(reason),
                },
            ));
        }
        found
    }

    fn check(text: &str, expected: &[(u64, &[&str])]) {
        for capacity in [1, 2, 3, 64] {
            let found = read(text.as_bytes(), capacity);
            let found: Vec<_> = found
                .into_iter()
                .map(|(line, fields)| (line, fields.unwrap()))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(line, fields)| {
                    (
                        *line,
                        fields.iter().map(|&field| field.to_owned()).collect::<Vec<_>>(),
                    )
                })
                .collect();
            assert_eq!(found, expected, "{text:?} by {capacity}");
        }
    }

    #[test]
    fn line_ends_may_be_mixed() {
        check(
            "a,b\r\nc,d\ne,f\rg",
            &[(1, &["a", "b"]), (2, &["c", "d"]), (3, &["e", "f"]), (4, &["g"])],
        );
        check("\n\r\n  \na\r\r\nb", &[(4, &["a"]), (6, &["b"])]);
        check("", &[]);
    }

    #[test]
    fn quotes_hold_commas_lines_and_quotes() {
        check(
            "\"a,\"\"b\"\"\",\"c\r\nd\",e\"f\n,\"\"",
            &[(1, &["a,\"b\"", "c\r\nd", "e\"f"]), (3, &["", ""])],
        );
        check("\"27\"\" screen\",x\n", &[(1, &["27\" screen", "x"])]);
    }

    #[test]
    fn formulas_are_text() {
        check("=1+1,+a,-b,@c\n", &[(1, &["=1+1", "+a", "-b", "@c"])]);
    }

    #[test]
    fn a_faulty_line_costs_only_itself() {
        for capacity in [1, 5, 4_096] {
            let found = read(b"a\n\"open,b\nc\nd\0e\n\xff\xfe\nf\n", capacity);
            let lines: Vec<_> = found
                .iter()
                .map(|(line, fields)| (*line, fields.is_ok()))
                .collect();
            assert_eq!(
                lines,
                [
                    (1, true),
                    (2, false),
                    (3, true),
                    (4, false),
                    (5, false),
                    (6, true)
                ]
            );
        }
    }

    #[test]
    fn a_long_line_is_passed_over() {
        for quote in ["", "\""] {
            let text = format!("a\n{quote}{}\nb\n", "x".repeat(300_000));
            let found = read(text.as_bytes(), 8_192);
            assert_eq!(found.len(), 3);
            assert_eq!(found[1], (2, Err("the line is longer than 64 KiB")));
            assert_eq!(found[2], (3, Ok(vec!["b".to_owned()])));
        }
    }

    #[test]
    fn what_is_no_table_is_given_up() {
        let text = "\0\n".repeat(3_000);
        let mut records = Records::new(text.as_bytes());
        let mut count = 0;
        while let Ok(Some(_)) = records.next() {
            count += 1;
        }
        assert!(count <= FAULTS_LIMIT);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..400), capacity in 1_usize..64) {
            let mut records = Records::new(io::BufReader::with_capacity(capacity, &bytes[..]));
            let mut last = 0;
            let mut count = 0;
            while records.next().unwrap().is_some() {
                prop_assert!(records.line() > last);
                last = records.line();
                count += 1;
                prop_assert!(count <= bytes.len());
            }
        }

        #[test]
        fn what_is_written_is_read(rows in proptest::collection::vec(
            proptest::collection::vec("[a-c,\"\n ]{0,6}", 2..5), 1..6)) {
            let mut text = String::new();
            for row in &rows {
                let quoted: Vec<_> = row.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
                text.push_str(&quoted.join(","));
                text.push('\n');
            }
            let found: Vec<_> = read(text.as_bytes(), 16).into_iter().map(|(_, fields)| fields.unwrap()).collect();
            prop_assert_eq!(found, rows);
        }
    }
}
