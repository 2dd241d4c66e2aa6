//! `server.properties` and its kin, read exactly as Java reads them.

use std::collections::BTreeSet;
use std::iter::Peekable;

use super::ConfigError;

/// One key of a file, with its value and the line on which it begins, counted from 1.
pub type Pair = (usize, String, String);

/// Reads a properties file. A key that occurs again replaces the earlier one.
///
/// Source: `java.util.Properties.load(InputStream)`, with which Kafka reads its files. Bytes are
/// Latin-1; other characters are written as `\uXXXX`.
pub fn parse_properties(file: impl AsRef<[u8]>) -> Result<Vec<Pair>, ConfigError> {
    let mut lines = Lines { bytes: file.as_ref().iter().copied().peekable(), line: 1 };
    let mut pairs: Vec<Pair> = Vec::new();
    while let Some((line, text)) = lines.next_logical() {
        let (key, value) = split(&text);
        let unescaped = |part: &[u8]| {
            let text = || String::from_utf8_lossy(part).into_owned();
            unescape(part).ok_or_else(|| ConfigError::BadEscape { line, text: text() })
        };
        let (key, value) = (unescaped(key)?, unescaped(value)?);
        pairs.push((line, key, value));
    }
    let mut seen = BTreeSet::new();
    let mut last: Vec<Pair> =
        pairs.into_iter().rev().filter(|(_, key, _)| seen.insert(key.clone())).collect();
    last.reverse();
    Ok(last)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

/// Logical lines: without comments and empty ones, continued ones joined.
struct Lines<I: Iterator<Item = u8>> {
    bytes: Peekable<I>,
    line: usize,
}

impl<I: Iterator<Item = u8>> Lines<I> {
    /// The next byte; `\r\n` and `\r` are `\n`.
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.next()?;
        if byte == b'\r' {
            self.bytes.next_if_eq(&b'\n');
        }
        if matches!(byte, b'\r' | b'\n') {
            self.line += 1;
            return Some(b'\n');
        }
        Some(byte)
    }

    fn next_logical(&mut self) -> Option<(usize, Vec<u8>)> {
        let (mut text, mut first) = (Vec::new(), self.line);
        let (mut skips_blanks, mut continued, mut escaped) = (true, false, false);
        loop {
            let line = self.line;
            let Some(byte) = self.next() else {
                // A backslash at the end of the file continues nothing.
                text.truncate(text.len() - usize::from(escaped));
                return (!text.is_empty() || escaped).then_some((first, text));
            };
            if skips_blanks {
                if is_blank(byte) || byte == b'\n' && !continued {
                    continue;
                }
                (skips_blanks, continued) = (false, false);
            }
            if text.is_empty() {
                first = line;
                if matches!(byte, b'#' | b'!') {
                    while self.next().is_some_and(|byte| byte != b'\n') {}
                    skips_blanks = true;
                    continue;
                }
            }
            if byte != b'\n' {
                text.push(byte);
                escaped = byte == b'\\' && !escaped;
            } else if text.is_empty() {
                skips_blanks = true;
            } else if escaped {
                text.pop();
                if self.bytes.peek().is_none() {
                    return Some((first, text));
                }
                (skips_blanks, continued, escaped) = (true, true, false);
            } else {
                return Some((first, text));
            }
        }
    }
}

/// Key and value of a logical line, still escaped: the first `=`, `:` or blank that is not escaped
/// ends the key.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = line.iter().position(|byte| {
        let ends = !escaped && (matches!(byte, b'=' | b':') || is_blank(*byte));
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let mut value = without_blanks(rest);
    if let [b'=' | b':', behind @ ..] = value {
        value = without_blanks(behind);
    }
    (key, value)
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_blank(*byte));
    text.get(start.unwrap_or(text.len())..).unwrap_or_default()
}

/// The text without its escapes; `None` for a `\u` without four hexadecimal digits.
fn unescape(text: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            units.push(byte.into());
            continue;
        }
        units.push(match rest.next() {
            None => continue,
            Some(b'u') => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let mut code = 0;
                for _ in 0..4 {
                    code = code << 4 | rest.next().and_then(digit)?;
                }
                u16::try_from(code).ok()?
            }
            Some(b't') => b'\t'.into(),
            Some(b'n') => b'\n'.into(),
            Some(b'r') => b'\r'.into(),
            Some(b'f') => 0x0c,
            Some(other) => other.into(),
        });
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `java.util.Properties` of JDK 17 made of these bytes: key, value, key, value, …
    const JAVA: &str = include_str!("../../../sims/fixtures/kafka/properties.json");

    #[test]
    fn files_are_read_as_java_reads_them() {
        type Pairs = Vec<(String, String)>;
        let cases: Vec<(String, Option<Pairs>)> = serde_json::from_str(JAVA).unwrap();
        assert!(cases.len() > 40);
        for (file, expected) in cases {
            // One character of the fixture is one byte of the file.
            let bytes: Vec<u8> = file.chars().map(|c| u8::try_from(c).unwrap()).collect();
            let ours = parse_properties(&bytes).ok().map(|pairs| {
                let mut pairs: Vec<_> =
                    pairs.into_iter().map(|(_, key, value)| (key, value)).collect();
                pairs.sort();
                pairs
            });
            assert_eq!(ours, expected, "{file:?}");
        }
    }

    #[test]
    fn pairs_keep_their_lines_and_comments_are_skipped() {
        let text = "# a broker\r\nnode.id = 3\r\n\r\nlisteners=PLAINTEXT://:9092,\\\r\n  \
                    CONTROLLER://:9093\rlog.dirs /data\\\\\nnode.id:4";
        let pair = |line, key: &str, value: &str| (line, key.to_owned(), value.to_owned());
        assert_eq!(
            parse_properties(text).unwrap(),
            [
                pair(4, "listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
                pair(6, "log.dirs", "/data\\"),
                pair(7, "node.id", "4"),
            ]
        );
    }

    #[test]
    fn malformed_escape_is_refused_with_its_line() {
        let error = parse_properties("node.id=1\nlog.dirs=/data\\u12g4\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: `/data\\u12g4` has a `\\u` that four hexadecimal digits do not follow"
        );
    }
}
