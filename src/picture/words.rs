//! Plain words for what a picture tells.

use crate::base::Instant;
use crate::base::config::Acks;

/// What a producer waits for.
pub(super) fn acks(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "waits for nobody (acks=0)",
        Acks::Leader => "waits for the leader alone (acks=1)",
        Acks::All => "waits for every in-sync replica (acks=all)",
    }
}

/// `a, b and c`.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        None => "nobody".into(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// `s` for one, nothing for several: `b1 loses`, `b1 and b2 lose`.
pub(super) fn s(count: usize) -> &'static str {
    if count == 1 { "s" } else { "" }
}

/// `copy` or `copies`.
pub(super) fn copies(count: usize) -> &'static str {
    if count == 1 { "copy" } else { "copies" }
}

/// A moment, as reports write it.
pub(super) fn seconds(at: Instant) -> String {
    format!("{:.3} s", at.as_secs_f64())
}

/// What an invariant promises, in one sentence; nothing for one that has no plain words yet.
pub(super) fn promise(invariant: &str) -> &'static str {
    match invariant {
        "acked-write-lost" => "No acknowledged record is missing where a later one was read.",
        "acked-write-unseen" => "Every acknowledged record is read in the end.",
        "inconsistent-offset" => "One offset never shows two records.",
        "duplicate" => "With idempotence, no record is stored twice.",
        "dirty-read" => "Nobody reads what is not committed.",
        "one-leader-per-epoch" => "No two replicas accept writes in one leader epoch.",
        "leader-completeness" => "A leader has everything that was ever committed.",
        "committed-prefix-agrees" => "Replicas agree below their high watermarks.",
        "offsets-dense" => "Offsets of a log have no gap and no repeat.",
        "high-watermark-monotonic" => "What was exposed stays exposed.",
        "min-insync-enforced" => "acks=all is never acknowledged by too few.",
        "aborted-read" => "Nobody reads a record whose producer was told that it was refused.",
        "send-reorder" => "Records of one producer are stored in the order of sending.",
        "poll-skip" => "A consumer skips nothing.",
        "poll-backward" => "A consumer never goes back by itself.",
        "poll-splice" => "A consumer that reads on does so in the log that it began in.",
        "converges" => "Once faults end, replicas become equal in bounded time.",
        "writes-resume" => "Once faults end, writes are acknowledged again in bounded time.",
        "reads-reach-end" => "Once faults end, a reader reaches the end in bounded time.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_as_people_do() {
        assert_eq!(list::<&str>(&[]), "nobody");
        assert_eq!(list(&["b1"]), "b1");
        assert_eq!(list(&["b1", "b2", "b3"]), "b1, b2 and b3");
        assert_eq!(format!("lose{}", s(1)), "loses");
        assert_eq!(format!("lose{}", s(2)), "lose");
    }
}
