//! `server.properties` and its kin: `key=value` lines.

use super::ConfigError;

/// Reads a properties file: its pairs with the line of each, counted from 1.
///
/// As in Java: `#` and `!` begin a comment, the first `=` or `:` ends the key, and a backslash at
/// the end of a line joins it to the next.
pub fn parse_properties(text: &str) -> Result<Vec<(usize, String, String)>, ConfigError> {
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut logical = line.trim().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while logical.ends_with('\\') {
            logical.pop();
            let Some((_, more)) = lines.next() else { break };
            logical.push_str(more.trim());
        }
        let not_a_pair = || ConfigError::NotAPair { line: index + 1, text: logical.clone() };
        let at = logical.find(['=', ':']).ok_or_else(not_a_pair)?;
        let key = logical[..at].trim();
        if key.is_empty() {
            return Err(not_a_pair());
        }
        pairs.push((index + 1, key.to_owned(), logical[at + 1..].trim().to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_their_lines_and_comments_are_skipped() {
        let text =
            "# a broker\nnode.id = 3\n\nlisteners=PLAINTEXT://:9092,\\\n  CONTROLLER://:9093\n";
        let pairs = parse_properties(text).unwrap();
        assert_eq!(pairs[0], (2, "node.id".into(), "3".into()));
        assert_eq!(pairs[1].0, 4);
        assert_eq!(pairs[1].2, "PLAINTEXT://:9092,CONTROLLER://:9093");
    }

    #[test]
    fn line_without_a_pair_is_named() {
        let error = parse_properties("node.id=1\nlisteners\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: `listeners` is not `key=value`");
    }
}
