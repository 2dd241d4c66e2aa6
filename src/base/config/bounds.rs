//! The values that a key accepts, beyond what its type can read.

use std::fmt;

use super::Setting;

use Bounds::{Any, AtLeast, Between, NotEmpty, OneOf, Share, Words};

/// `Integer.MAX_VALUE`: the upper bound of a key of Kafka's type `INT`.
pub const INT: i64 = i32::MAX as i64;

/// The values that a key accepts, as the validator in Kafka's `ConfigDef` has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// Whatever the type of the value can read.
    Any,
    /// A whole number that is not below this one.
    AtLeast(i64),
    /// A whole number between these two, both included.
    Between(i64, i64),
    /// A fraction between these two, both included.
    Share(f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words.
    Words(&'static [&'static str]),
    /// A list or text that is not empty.
    NotEmpty,
}

impl Bounds {
    /// Checks a value that its type has read. `Err` names the bound.
    pub fn check(self, text: &str) -> Result<(), String> {
        let whole = || text.parse::<i128>().ok();
        let holds = match self {
            Any => true,
            // Text such as `null` is not a number: the type of the value has checked it.
            AtLeast(least) => whole().is_none_or(|value| value >= i128::from(least)),
            Between(least, most) => {
                whole().is_none_or(|value| (i128::from(least)..=i128::from(most)).contains(&value))
            }
            Share(least, most) => {
                f64::read(text).is_ok_and(|value| (least..=most).contains(&value))
            }
            OneOf(known) => known.contains(&text),
            Words(known) => {
                let mut words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                words.clone().next().is_some() && words.all(|word| known.contains(&word))
            }
            NotEmpty => text.split(',').any(|word| !word.trim().is_empty()),
        };
        if holds { Ok(()) } else { Err(format!("expected {self}")) }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Any => f.write_str("any value"),
            AtLeast(least) => write!(f, "at least {least}"),
            Between(least, most) => write!(f, "{least} to {most}"),
            Share(least, most) => write!(f, "a number from {least} to {most}"),
            OneOf(words) => write!(f, "`{}`", words.join("` or `")),
            Words(words) => write!(f, "a list of `{}`", words.join("`, `")),
            NotEmpty => f.write_str("at least one value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_outside_of_its_bounds_is_refused_with_the_bound() {
        let refused = |bounds: Bounds, text| bounds.check(text).unwrap_err();
        assert_eq!(refused(AtLeast(1), "0"), "expected at least 1");
        assert_eq!(refused(Between(0, INT), "2147483648"), "expected 0 to 2147483647");
        assert_eq!(refused(Share(0.0, 1.0), "1.01"), "expected a number from 0 to 1");
        assert_eq!(refused(Share(0.0, 1.0), "NaN"), "expected a number from 0 to 1");
        assert_eq!(refused(OneOf(&["a", "b"]), "a,b"), "expected `a` or `b`");
        assert_eq!(refused(Words(&["a", "b"]), "a,c"), "expected a list of `a`, `b`");
        assert_eq!(refused(Words(&["a", "b"]), ""), "expected a list of `a`, `b`");
        assert_eq!(refused(NotEmpty, " , "), "expected at least one value");
    }

    #[test]
    fn both_ends_of_a_range_are_inside() {
        for (bounds, text) in [
            (AtLeast(1), "1"),
            (AtLeast(1), "9223372036854775807"),
            (AtLeast(1), "null"),
            (Between(-1, 9), "-1"),
            (Between(-1, 9), "9"),
            (Share(0.0, 1.0), "1"),
            (Share(0.0, 1.0), "0.5d"),
            (Words(&["a", "b"]), "b, a"),
            (NotEmpty, "a"),
        ] {
            assert_eq!(bounds.check(text), Ok(()), "{text}");
        }
    }
}
