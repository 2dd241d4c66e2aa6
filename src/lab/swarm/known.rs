//! Failures that are known, so that they are counted apart from new ones.

use super::failure::Failure;

/// A list of known failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(Vec<Entry>);

/// Failures of an invariant whose witness has these words; with none, all of its failures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    invariant: String,
    words: String,
}

impl Known {
    /// Reads a file's text: a line for each known failure, `INVARIANT` or `INVARIANT: WORDS` with
    /// words of the witness. `#` begins a comment.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (invariant, words) = line.split_once(':').unwrap_or((line, ""));
            let (invariant, words) = (invariant.trim().to_owned(), words.trim().to_owned());
            if invariant.is_empty() || invariant.contains(char::is_whitespace) {
                let number = index + 1;
                return Err(format!("line {number}: expected `INVARIANT` or `INVARIANT: WORDS`"));
            }
            entries.push(Entry { invariant, words });
        }
        Ok(Self(entries))
    }

    /// Whether a failure is one of them.
    pub(super) fn has(&self, failure: &Failure) -> bool {
        let same = |entry: &Entry| {
            entry.invariant == failure.invariant && failure.what.contains(&entry.words)
        };
        self.0.iter().any(same)
    }
}
