//! "Did you mean …?": the known word nearest to a mistyped one.

/// The known word closest to `word`, if any is close enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    within((word.len() / 3).max(2), word, known)
}

/// The known word that `word` is almost certainly a mistyping of, if any: one edit, or up to three in
/// a long word.
pub fn mistyped<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    within((word.len() / 8).clamp(1, 3), word, known)
}

/// The closest of the known words, at most so many edits away.
fn within<'a>(
    allowed: usize,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_word_finds_the_nearest_known_word() {
        let known = ["kill", "power-loss", "partition"];
        assert_eq!(nearest("kil", known), Some("kill"));
        assert_eq!(nearest("klil", known), Some("kill"));
        assert_eq!(nearest("powerloss", known), Some("power-loss"));
        assert_eq!(nearest("zebra", known), None);
    }

    #[test]
    fn foreign_word_is_not_a_mistyped_one() {
        let known = ["acks", "min.insync.replicas", "security.providers"];
        assert_eq!(mistyped("ack", known), Some("acks"));
        assert_eq!(mistyped("min.insnyc.replica", known), Some("min.insync.replicas"));
        assert_eq!(mistyped("schema.registry.url", known), None);
    }
}
