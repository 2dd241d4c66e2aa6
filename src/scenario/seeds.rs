//! Seeds as people write them: on the command line and in environment variables.

use std::ops::Range;

/// The largest seed: a range of seeds does not include its end.
pub const MAX_SEED: u64 = u64::MAX - 1;

/// Reads one seed.
pub fn read_seed(text: &str) -> Result<u64, String> {
    let seed =
        text.trim().parse::<u64>().map_err(|_| "expected a number such as `7`".to_owned())?;
    if seed > MAX_SEED {
        return Err(format!("the largest seed is {MAX_SEED}"));
    }
    Ok(seed)
}

/// Reads `N` (the first `N` seeds) or `A..B` (B not included).
pub fn read_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match text.split_once("..") {
        Some((from, to)) => number(from).zip(number(to)).map(|(from, to)| from..to),
        None => number(text).map(|count| 0..count),
    };
    let range = range.ok_or("expected a number such as `100`, or a range such as `0..100`")?;
    if range.is_empty() {
        return Err("that is no seed at all".into());
    }
    Ok(range)
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The seeds that `BROKERQUAKE_SEED` or `BROKERQUAKE_SEEDS` choose.
///
/// # Panics
/// When what they say is no seed.
pub(crate) fn chosen_seeds() -> Option<Range<u64>> {
    let chosen = match variable("BROKERQUAKE_SEED") {
        Some(seed) => read_seed(&seed)
            .map(|seed| seed..seed + 1)
            .map_err(|problem| format!("BROKERQUAKE_SEED: `{seed}` is no seed: {problem}")),
        None => read_seeds(&variable("BROKERQUAKE_SEEDS")?)
            .map_err(|problem| format!("BROKERQUAKE_SEEDS: {problem}")),
    };
    Some(chosen.unwrap_or_else(|problem| panic!("{problem}")))
}

/// Whether `BROKERQUAKE_SEED` chooses one, to be looked at closely.
pub(crate) fn asks_for_one_seed() -> bool {
    variable("BROKERQUAKE_SEED").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(read_seeds("100"), Ok(0..100));
        assert_eq!(read_seeds("7..9"), Ok(7..9));
        for wrong in ["", "0", "9..7", "a", "1..", "-1", "1..b"] {
            assert!(read_seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn largest_u64_is_rejected_as_a_seed() {
        assert_eq!(read_seed("18446744073709551614"), Ok(MAX_SEED));
        let last = read_seed("18446744073709551615").unwrap_err();
        assert_eq!(last, "the largest seed is 18446744073709551614");
        assert!(read_seed("-1").unwrap_err().contains("such as `7`"));
    }
}
