//! Where offsets are reset to. Source: Kafka's `ConsumerGroupCommand.prepareOffsetsToReset`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::GroupsArgs;
use crate::base::{Offset, Timestamp, TopicPartition};
use crate::client::{Admin, AdminError, OffsetSpec};
use crate::io::World;
use crate::io::real::RealWorld;

/// Where offsets are reset to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Earliest,
    Latest,
    Current,
    At(Offset),
    ShiftBy(i64),
    Since(Timestamp),
    Ago(Duration),
}

impl Target {
    /// The target that the arguments name; `None` if nothing is to be reset.
    pub(super) fn of(args: &GroupsArgs) -> Result<Option<Self>, String> {
        let flags = [
            (args.to_earliest, Self::Earliest),
            (args.to_latest, Self::Latest),
            (args.to_current, Self::Current),
        ];
        let flag = flags.into_iter().find(|(set, _)| *set).map(|(_, target)| target);
        let number = args.to_offset.map(|offset| Self::At(Offset(offset)));
        let target = flag.or(number).or(args.shift_by.map(Self::ShiftBy));
        if target.is_some() {
            return Ok(target);
        }
        if let Some(text) = &args.to_datetime {
            return datetime(text).map(|time| Some(Self::Since(time)));
        }
        let ago = args.by_duration.as_ref().map(|text| duration(text).map(Self::Ago));
        ago.transpose()
    }

    /// The offsets that the target has for these partitions, each within its log.
    pub(super) async fn resolve(
        self,
        admin: &Admin<RealWorld>,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, AdminError> {
        let list = async |spec: OffsetSpec| {
            let asked: Vec<_> = partitions.iter().map(|name| (name.clone(), spec)).collect();
            admin.list_offsets(&asked).await
        };
        let (first, end) = (list(OffsetSpec::Earliest).await?, list(OffsetSpec::Latest).await?);
        let bound = |of: &BTreeMap<_, crate::client::ListedOffset>, name: &TopicPartition| {
            of.get(name).and_then(|listed| listed.offset).unwrap_or(Offset::ZERO)
        };
        let current = match self {
            Self::Current | Self::ShiftBy(_) => admin.group_offsets(group).await?,
            _ => BTreeMap::new(),
        };
        let since = match self {
            Self::Since(time) => Some(time),
            Self::Ago(ago) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Some(Timestamp(admin.world().wall_clock().0.saturating_sub(ago)))
            }
            _ => None,
        };
        let found = match since {
            Some(time) => list(OffsetSpec::At(time)).await?,
            None => BTreeMap::new(),
        };
        let mut offsets = BTreeMap::new();
        for name in partitions {
            let (first, end) = (bound(&first, name), bound(&end, name));
            let wanted = match self {
                Self::Earliest => first,
                Self::Latest => end,
                Self::At(offset) => offset,
                // A partition without an offset begins where its log ends.
                Self::Current => current.get(name).map_or(end, |committed| committed.offset),
                Self::ShiftBy(by) => match current.get(name) {
                    Some(committed) => Offset(committed.offset.0.saturating_add(by)),
                    None => continue,
                },
                Self::Since(_) | Self::Ago(_) => {
                    found.get(name).and_then(|listed| listed.offset).unwrap_or(end)
                }
            };
            offsets.insert(name.clone(), wanted.clamp(first, end.max(first)));
        }
        Ok(offsets)
    }
}

/// `orders`, or `orders:0,2`.
pub(super) fn topic(named: &str) -> Result<(&str, Option<Vec<i32>>), String> {
    let Some((topic, partitions)) = named.split_once(':') else { return Ok((named, None)) };
    let number = |text: &str| {
        let number = text.trim().parse::<i32>().ok().filter(|number| *number >= 0);
        number.ok_or_else(|| format!("`{named}`: expected partitions as `{topic}:0,2`"))
    };
    let partitions = partitions.split(',').map(number).collect::<Result<_, _>>()?;
    Ok((topic, Some(partitions)))
}

/// An ISO 8601 time with or without milliseconds and a zone; without one, it is UTC.
fn datetime(text: &str) -> Result<Timestamp, String> {
    read_datetime(text).ok_or_else(|| {
        format!("`{text}` is not a time; expected one such as 2026-11-29T12:30:00.000Z")
    })
}

fn read_datetime(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once('T')?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (time, zone_minutes) = match rest.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => match rest.rfind(['+', '-']) {
            None => (rest, 0),
            Some(at) => {
                let (time, zone) = rest.split_at(at);
                let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
                let hours: i64 = digits.get(..2)?.parse().ok()?;
                let minutes: i64 = digits
                    .get(2..)
                    .filter(|m| !m.is_empty())
                    .map_or(Some(0), |m| m.parse().ok())?;
                let sign = if zone.starts_with('-') { -1 } else { 1 };
                (time, sign * (hours * 60 + minutes))
            }
        },
    };
    let (clock, millis) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let millis: i64 = format!("{millis:0<3}").get(..3)?.parse().ok()?;
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..10_000).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    fits.then_some(Timestamp((seconds - zone_minutes * 60) * 1000 + millis))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. A year is counted from March, so that
/// the leap day is its last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + of_year - 719_468
}

/// An ISO 8601 duration of days, hours, minutes and seconds.
fn duration(text: &str) -> Result<Duration, String> {
    read_duration(text)
        .ok_or_else(|| format!("`{text}` is not a duration; expected one such as P1DT2H30M"))
}

fn read_duration(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut millis: u64 = 0;
    for (mut part, units) in
        [(days, &[('D', 86_400_000)][..]), (time, &[('H', 3_600_000), ('M', 60_000), ('S', 1000)])]
    {
        for (unit, factor) in units {
            let Some((number, rest)) = part.split_once(*unit) else { continue };
            let number: u64 = number.parse().ok()?;
            millis = millis.checked_add(number.checked_mul(*factor)?)?;
            part = rest;
        }
        if !part.is_empty() {
            return None;
        }
    }
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_their_zone() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2000-02-29T12:00:00", 951_825_600_000),
            ("2026-11-29T23:45:01.250Z", 1_795_995_901_250),
            ("2026-11-30T00:45:01.25+01:00", 1_795_995_901_250),
            ("2026-11-29T18:45:01.25-0500", 1_795_995_901_250),
            ("1969-12-31T23:59:59.999", -1),
        ] {
            assert_eq!(datetime(text), Ok(Timestamp(millis)), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00", "2026-11-29", "2026-11-29T25:00:00"] {
            assert!(datetime(text).unwrap_err().contains("expected one such as"), "{text}");
        }
    }

    #[test]
    fn durations_are_read_in_their_units() {
        assert_eq!(duration("PT1H30M"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("P2D"), Ok(Duration::from_secs(172_800)));
        assert_eq!(duration("P1DT1S"), Ok(Duration::from_secs(86_401)));
        for text in ["", "P", "1H", "PT1X", "P1H", "PT99999999999999999H"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn topics_may_name_their_partitions() {
        assert_eq!(topic("orders"), Ok(("orders", None)));
        assert_eq!(topic("orders:0,2"), Ok(("orders", Some(vec![0, 2]))));
        assert!(topic("orders:x").unwrap_err().contains("orders:0,2"));
        assert!(topic("orders:-1").is_err());
    }
}
