//! The elements of a JSON array, one after the other, each handed out as its bytes.
//!
//! Finds only where elements begin and end; whether one is valid JSON is for its reader to say, so
//! one bad element does not cost the rest. Holds one element at a time, and not even that when the
//! element is too large.

use std::io::{self, BufRead};

/// The most bytes an element may have.
pub const ELEMENT_LIMIT: usize = 1024 * 1024;
/// How deep brackets may nest inside an element.
pub const DEPTH_LIMIT: usize = 64;

/// What the array holds next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// An element; its bytes are in the buffer.
    Element,
    /// An element over a limit; its beginning is in the buffer.
    Oversized(&'static str),
    /// The array is over, and nothing stands behind it.
    End,
    /// The text is no array from here on.
    Broken(&'static str),
}

/// Reads the elements of one array.
pub(super) struct Elements<R> {
    text: R,
    begun: bool,
    ended: bool,
}

impl<R: BufRead> Elements<R> {
    pub fn new(text: R) -> Self {
        Self {
            text,
            begun: false,
            ended: false,
        }
    }

    /// Reads the next element into `buffer`.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<Next> {
        buffer.clear();
        if self.ended {
            return Ok(Next::End);
        }
        if !self.begun {
            self.begun = true;
            match self.skip_blank(false)? {
                Some(b'[') => self.text.consume(1),
                _ => return Ok(self.broken("it does not begin with '['")),
            }
        }
        match self.skip_blank(true)? {
            None => Ok(self.broken("it ends before the closing ']'")),
            Some(b']') => {
                self.text.consume(1);
                self.ended = true;
                match self.skip_blank(false)? {
                    None => Ok(Next::End),
                    Some(_) => Ok(Next::Broken("something stands behind the closing ']'")),
                }
            }
            Some(_) => self.element(buffer),
        }
    }

    fn broken(&mut self, reason: &'static str) -> Next {
        self.ended = true;
        Next::Broken(reason)
    }

    /// The next byte that is neither blank nor (between elements) a comma.
    fn skip_blank(&mut self, commas: bool) -> io::Result<Option<u8>> {
        loop {
            let chunk = self.text.fill_buf()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let blank = |byte: &u8| byte.is_ascii_whitespace() || (commas && *byte == b',');
            match chunk.iter().position(|byte| !blank(byte)) {
                Some(at) => {
                    let byte = chunk[at];
                    self.text.consume(at);
                    return Ok(Some(byte));
                }
                None => {
                    let length = chunk.len();
                    self.text.consume(length);
                }
            }
        }
    }

    fn element(&mut self, buffer: &mut Vec<u8>) -> io::Result<Next> {
        let mut scan = Scan::default();
        let mut over = None;
        loop {
            let chunk = self.text.fill_buf()?;
            if chunk.is_empty() {
                return Ok(self.broken("it ends in the middle of an element"));
            }
            let (length, done) = scan.advance(chunk);
            if buffer.len() + length > ELEMENT_LIMIT {
                over = over.or(Some("it is larger than 1 MiB"));
            }
            if over.is_none() {
                buffer.extend_from_slice(&chunk[..length]);
            } else if buffer.len() < 1_024 {
                buffer.extend_from_slice(&chunk[..length.min(1_024)]);
            }
            self.text.consume(length);
            if scan.deepest > DEPTH_LIMIT {
                over = over.or(Some("it nests deeper than 64 levels"));
            }
            if done {
                return Ok(over.map_or(Next::Element, Next::Oversized));
            }
        }
    }
}

/// Where in an element the reader is.
#[derive(Default)]
struct Scan {
    depth: usize,
    deepest: usize,
    in_text: bool,
    escaped: bool,
}

impl Scan {
    /// How many bytes of `chunk` belong to the element, and whether it is over with them.
    fn advance(&mut self, chunk: &[u8]) -> (usize, bool) {
        for (at, &byte) in chunk.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    self.deepest = self.deepest.max(self.depth);
                }
                b',' | b']' | b'}' if self.depth == 0 => {
                    // A stray '}' would never move on: take it along.
                    return (at + usize::from(byte == b'}'), true);
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ => {}
            }
        }
        (chunk.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn read(text: &str) -> (Vec<String>, Next) {
        let mut elements = Elements::new(BufReader::with_capacity(3, text.as_bytes()));
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        loop {
            match elements.next(&mut buffer).unwrap() {
                Next::Element => found.push(String::from_utf8(buffer.trim_ascii_end().to_vec()).unwrap()),
                other => return (found, other),
            }
        }
    }

    #[test]
    fn elements_come_whole_and_in_order() {
        let text = r#" [ {"a": "]}\"{", "b": [1, {}]}, 2,"x,y" ,[ ] , null ] "#;
        let (found, end) = read(text);
        assert_eq!(
            found,
            [r#"{"a": "]}\"{", "b": [1, {}]}"#, "2", r#""x,y""#, "[ ]", "null"]
        );
        assert_eq!(end, Next::End);
        assert_eq!(read("[]"), (vec![], Next::End));
    }

    #[test]
    fn what_is_cut_off_or_no_array_says_so() {
        assert!(matches!(read("[{\"a\": 1}, {\"b\": "), (found, Next::Broken(_)) if found.len() == 1));
        assert!(matches!(read("[1, 2"), (_, Next::Broken(_))));
        assert!(matches!(read("[1"), (_, Next::Broken(_))));
        assert!(matches!(read(""), (_, Next::Broken(_))));
        assert!(matches!(read("{\"a\": 1}"), (_, Next::Broken(_))));
        assert!(matches!(read("[] []"), (_, Next::Broken(_))));
        assert!(matches!(read("[}}]"), (found, Next::End) if found.len() == 2));
    }

    #[test]
    fn large_and_deep_elements_are_passed_over() {
        let large = "x".repeat(ELEMENT_LIMIT);
        let text = format!("[\"{large}\", {}1{}, 3]", "[".repeat(70), "]".repeat(70));
        let mut elements = Elements::new(text.as_bytes());
        let mut buffer = Vec::new();
        assert!(matches!(elements.next(&mut buffer).unwrap(), Next::Oversized(_)));
        assert!(buffer.len() <= 1_024);
        assert!(matches!(elements.next(&mut buffer).unwrap(), Next::Oversized(_)));
        assert_eq!(elements.next(&mut buffer).unwrap(), Next::Element);
        assert_eq!(buffer, b"3");
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), array in any::<bool>()) {
            let mut text = if array { b"[".to_vec() } else { Vec::new() };
            text.extend(bytes);
            let mut elements = Elements::new(&text[..]);
            let mut buffer = Vec::new();
            let mut steps = 0;
            while !matches!(elements.next(&mut buffer).unwrap(), Next::End | Next::Broken(_)) {
                steps += 1;
                prop_assert!(steps <= text.len());
            }
        }
    }
}
