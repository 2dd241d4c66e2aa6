//! Durations as ISO 8601 writes them: `PT1H30M`.

use std::time::Duration;

/// Reads a duration as ISO 8601 writes it, and Java's `Duration.parse`: `PnDTnHnMn.nS`. It is not
/// negative.
pub(super) fn read_iso(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('P')?;
    let (days, time) = text.split_once('T').map_or((text, None), |(days, time)| (days, Some(time)));
    if time.is_some_and(str::is_empty) || (days.is_empty() && time.is_none()) {
        return None;
    }
    let mut total = Duration::ZERO;
    let mut rest = days;
    for (unit, seconds) in [('D', 86_400), ('H', 3600), ('M', 60)] {
        if unit == 'H' {
            if !rest.is_empty() {
                return None;
            }
            rest = time.unwrap_or_default();
        }
        if let Some((number, after)) = rest.split_once(unit) {
            let number: u64 = number.parse().ok()?;
            total = total.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
            rest = after;
        }
    }
    if let Some(number) = rest.strip_suffix('S') {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = !fraction.is_empty() && fraction.len() <= 9;
        let nanos = format!("{fraction:0<9}").parse().ok().filter(|_| digits)?;
        total = total.checked_add(Duration::new(whole.parse().ok()?, nanos))?;
        rest = "";
    }
    rest.is_empty().then_some(total)
}

/// Writes a duration so that `read_iso` returns it.
pub(super) fn show_iso(duration: Duration) -> String {
    let fraction = format!("{:09}", duration.subsec_nanos());
    match fraction.trim_end_matches('0') {
        "" => format!("PT{}S", duration.as_secs()),
        fraction => format!("PT{}.{fraction}S", duration.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{OffsetReset, Setting};

    #[test]
    fn duration_of_an_offset_reset_is_read_as_java_does() {
        let read = |text: &str| OffsetReset::read(&format!("by_duration:{text}")).ok();
        let millis = |millis| Some(OffsetReset::ByDuration(Duration::from_millis(millis)));
        assert_eq!(read("PT1H"), millis(3_600_000));
        assert_eq!(read("P1DT2H3M4.5S"), millis(93_784_500));
        assert_eq!(read("p2d"), millis(172_800_000));
        assert_eq!(read("PT0S"), millis(0));
        for wrong in
            ["", "P", "PT", "1H", "P1H", "PT1D", "PT-1H", "-PT1H", "PT1H2", "PT1M2H", "PTS"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert!(OffsetReset::read("by_duration").is_err());
        let shown = millis(93_784_500).unwrap().show();
        assert_eq!(OffsetReset::read(&shown).ok(), millis(93_784_500));
    }
}
