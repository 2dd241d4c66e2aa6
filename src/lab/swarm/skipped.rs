//! The faults that did not strike, by reason: a schedule full of them tests less than it says.

use std::fmt::Write;

use serde::Serialize;

use crate::run::DID_NOT_STRIKE;

/// Begins the reason of a fault that is due too late.
const LATE: &str = "the load ends at";

/// Faults that did not strike for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Such as "no host was `out-of-sync`".
    pub why: String,
    /// Their number.
    pub faults: u64,
}

/// Adds those that the notes of a run name.
pub(super) fn add(all: &mut Vec<Skipped>, notes: &[String]) {
    for why in notes.iter().filter_map(|note| reason(note)) {
        match all.iter_mut().find(|known| known.why == why) {
            Some(known) => known.faults += 1,
            None => all.push(Skipped { why: why.into(), faults: 1 }),
        }
    }
    all.sort_by(|one, other| (other.faults, &one.why).cmp(&(one.faults, &other.why)));
}

/// Why the fault of a note did not strike; `None` for other notes.
fn reason(note: &str) -> Option<&str> {
    let (_, why) = note.strip_prefix(DID_NOT_STRIKE)?.split_once(", and ")?;
    Some(if why.starts_with(LATE) { "it was due after the end" } else { why })
}

/// The share of all faults that struck, and why the others did not.
pub(super) fn tell(struck: u64, skipped: u64, why: &[Skipped]) -> String {
    let share = 100 * skipped / (struck + skipped).max(1);
    let mut text = format!("faults: {struck} struck, {skipped} did not ({share} %)\n");
    for Skipped { why, faults } in why {
        // Writing to a String can't fail.
        let _ = writeln!(text, "        {faults:>6}  {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_by_reason_and_other_notes_are_not() {
        let notes = [
            "did not strike kill of follower: due at 4 s, and no host was `follower`",
            "did not strike pause of follower: due at 9 s, and no host was `follower`",
            "did not strike kill of leader: due at 31 s, and the load ends at 20 s",
            "faults left out: the engine can't, and says so",
        ];
        let mut all = Vec::new();
        add(&mut all, &notes.map(str::to_owned));
        let told: Vec<_> = all.iter().map(|one| (one.faults, one.why.as_str())).collect();
        assert_eq!(told, [(2, "no host was `follower`"), (1, "it was due after the end")]);
        assert_eq!(
            tell(9, 3, &all[..1]),
            "faults: 9 struck, 3 did not (25 %)\n             2  no host was `follower`\n"
        );
    }
}
