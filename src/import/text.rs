//! Plain text out of whatever a catalogue writes.
//!
//! Markup is taken away, never trusted: what comes out is text to be escaped where it is shown.
//! Nothing here may be slower than linear in its input (times a small constant).

/// The longest tag that is still taken for a tag.
const TAG_LIMIT: usize = 2_048;

/// The text of an HTML fragment or of plain text: tags removed, entities decoded, blocks and list
/// items on lines of their own, invisible and direction-changing characters gone, no blank line twice.
#[must_use]
pub fn plain(source: &str) -> String {
    if source.contains(['<', '&']) {
        tidy(&without_markup(source))
    } else {
        tidy(source)
    }
}

/// The same on a single line.
#[must_use]
pub fn line(source: &str) -> String {
    let text = plain(source);
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// At most `limit` characters of `text` on one line, for people who look for the faulty row.
#[must_use]
pub fn excerpt(text: &str, limit: usize) -> String {
    let mut out: String = text
        .chars()
        .take(limit)
        .map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c })
        .collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

fn without_markup(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = if rest.starts_with('<') {
            tag(rest, &mut out)
        } else {
            entity(rest, &mut out)
        };
        if taken == 0 {
            // A lone sign: text.
            out.push_str(&rest[..1]);
            rest = &rest[1..];
        } else {
            rest = &rest[taken..];
        }
    }
    out.push_str(rest);
    out
}

/// Reads the tag at the start of `rest`, writes what it means as text, returns its length;
/// 0 if it is no tag.
fn tag(rest: &str, out: &mut String) -> usize {
    if rest.starts_with("<!--") {
        return rest.find("-->").map_or(rest.len(), |at| at + 3);
    }
    let inner = &rest.as_bytes()[1..];
    let closing = inner.first() == Some(&b'/');
    let name_at = usize::from(closing);
    match inner.get(name_at) {
        Some(byte) if byte.is_ascii_alphabetic() => {}
        Some(b'!' | b'?') if !closing => {}
        _ => return 0,
    }
    let Some(length) = tag_length(rest) else { return 0 };
    let name: String = rest[1 + name_at..length]
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    match name.as_str() {
        "script" | "style" | "template" | "iframe" | "noscript" if !closing => {
            return length + hidden(&rest[length..], &name);
        }
        "li" if !closing => out.push_str("\n- "),
        "li" => {}
        "br" | "hr" | "tr" | "ul" | "ol" => out.push('\n'),
        "p" | "div" | "table" | "section" | "article" | "blockquote" | "h1" | "h2" | "h3" | "h4" | "h5"
        | "h6" => out.push_str("\n\n"),
        "td" | "th" => out.push(' '),
        _ => {}
    }
    length
}

/// Where the tag ends: the first `>` outside of quotes, if it comes soon enough.
fn tag_length(rest: &str) -> Option<usize> {
    let mut quote = None;
    for (at, &byte) in rest.as_bytes().iter().enumerate().take(TAG_LIMIT) {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// How many bytes until the element `name`, whose content nobody reads, is closed.
fn hidden(rest: &str, name: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut from = 0;
    while let Some(at) = rest[from..].find("</").map(|at| from + at) {
        let after = at + 2;
        let closes = bytes
            .get(after..after + name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()));
        if closes {
            return rest[after..].find('>').map_or(rest.len(), |end| after + end + 1);
        }
        from = after;
    }
    rest.len()
}

/// Reads the character reference at the start of `rest`; 0 if it is none.
fn entity(rest: &str, out: &mut String) -> usize {
    let Some(end) = rest.as_bytes().iter().take(12).position(|&byte| byte == b';') else {
        return 0;
    };
    let name = &rest[1..end];
    let decoded = match name.strip_prefix('#') {
        Some(number) => number
            .strip_prefix(['x', 'X'])
            .map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
            .and_then(char::from_u32),
        None => named(name),
    };
    decoded.map_or(0, |c| {
        out.push(c);
        end + 1
    })
}

fn named(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "lsquo" | "rsquo" => '\'',
        "ldquo" | "rdquo" => '"',
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "deg" => '°',
        "reg" => '®',
        "copy" => '©',
        "trade" => '™',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "bull" | "middot" => '·',
        "times" => '×',
        "micro" => 'µ',
        "plusmn" => '±',
        "frac12" => '½',
        "sup2" => '²',
        "sup3" => '³',
        "euro" => '€',
        "pound" => '£',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        "egrave" => 'è',
        "agrave" => 'à',
        "ccedil" => 'ç',
        _ => return None,
    })
}

/// Characters that change how text reads without being seen.
pub(super) const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffd}')
}

fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank_before = false;
    // Catalogues write line ends as `\r`, `\n`, both, or as a backslash and an n.
    let lines = text
        .split('\n')
        .flat_map(|raw| raw.strip_suffix('\r').unwrap_or(raw).split('\r'));
    for raw in lines.flat_map(|raw| raw.split("\\n")) {
        let start = out.len();
        let mut spaced = false;
        for c in raw.chars() {
            if c.is_whitespace() || c.is_control() {
                spaced = true;
            } else if !is_invisible(c) {
                if out.len() == start {
                    if start > 0 {
                        out.push_str(if blank_before { "\n\n" } else { "\n" });
                    }
                } else if spaced {
                    out.push(' ');
                }
                spaced = false;
                out.push(c);
            }
        }
        blank_before = out.len() == start;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markup_becomes_lines_and_signs_stay_signs() {
        assert_eq!(
            plain("Core 2 <br />(6M Cache, 2.66&nbsp;GHz)"),
            "Core 2\n(6M Cache, 2.66 GHz)"
        );
        assert_eq!(plain("<ul><li>one</li><li>two</li></ul>"), "- one\n- two");
        assert_eq!(plain("<p>a</p><p>b</p>"), "a\n\nb");
        assert_eq!(plain("5 < 6 && 7 > 3, R&D"), "5 < 6 && 7 > 3, R&D");
        assert_eq!(plain("first\\nsecond\r\nthird"), "first\nsecond\nthird");
        assert_eq!(plain("&#1057;&#x41;&deg; &unknown; &"), "СA° &unknown; &");
        assert_eq!(line("  a\n\n b\u{0}c "), "a b c");
    }

    #[test]
    fn what_runs_is_dropped_whole() {
        assert_eq!(plain("a<script>alert('</b>')</SCRIPT>b"), "ab");
        assert_eq!(plain("a<style>p { }"), "a");
        assert_eq!(plain("a<!-- <script> -->b"), "ab");
        assert_eq!(plain("<img src=x onerror='a>b'>c"), "c");
        assert_eq!(plain("a\u{202e}b\u{200b}c"), "abc");
        // Decoded signs are text and stay text; the page escapes them.
        assert_eq!(plain("&lt;script&gt;"), "<script>");
    }

    #[test]
    fn open_tags_cost_no_more_than_their_length() {
        let text = "<a".repeat(30_000);
        assert_eq!(plain(&text), text);
    }

    proptest! {
        #[test]
        fn any_text_becomes_visible_text(source in any::<String>()) {
            let text = plain(&source);
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
            prop_assert_eq!(text.trim(), &text);
            prop_assert!(!line(&source).contains('\n'));
        }
    }
}
