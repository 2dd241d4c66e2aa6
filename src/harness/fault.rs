//! Faults in the words of scenario files.

use std::fmt;

/// One `[[fault]]` of a scenario file: what happens, to whom, and when.
///
/// Values are written as there: `"5s"`, a range `"5s..15s"` to be drawn from the seed, a role
/// (`"leader"`, `"follower"`, `"controller"`, `"any"`, `"leader of invoices-0"`, …) or the name of
/// a host (`"b1"`, or what a program was called). A fault without `at` and `every` strikes once, at
/// a drawn time.
///
/// ```
/// use brokerquake::prelude::*;
///
/// let fault = Fault::kill("leader").every("5s..15s").down("1s..8s");
/// assert_eq!(fault.to_string(), "kill target=leader every=5s..15s down=1s..8s");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a fault strikes when a simulation has it"]
pub struct Fault {
    kind: String,
    keys: Vec<(String, Vec<String>)>,
}

/// The target of a fault: one role or name, or several.
pub struct Target(Vec<String>);

impl From<&str> for Target {
    fn from(one: &str) -> Self {
        Self(vec![one.to_owned()])
    }
}

impl From<String> for Target {
    fn from(one: String) -> Self {
        Self(vec![one])
    }
}

impl<const N: usize> From<[&str; N]> for Target {
    fn from(several: [&str; N]) -> Self {
        Self(several.map(str::to_owned).into())
    }
}

impl Fault {
    /// A fault of any kind that scenario files know; `with` gives it what it needs.
    pub fn of_kind(kind: &str) -> Self {
        Self { kind: kind.to_owned(), keys: Vec::new() }
    }

    /// The process dies; what it wrote stays in the page cache.
    pub fn kill(target: impl Into<Target>) -> Self {
        Self::of_kind("kill").aimed("target", target)
    }

    /// The machine loses power, and with it a drawn part of its unsynced data.
    pub fn power_loss(target: impl Into<Target>) -> Self {
        Self::of_kind("power-loss").aimed("target", target)
    }

    /// The process stops, and later continues without knowing.
    pub fn pause(target: impl Into<Target>) -> Self {
        Self::of_kind("pause").aimed("target", target)
    }

    /// The process is asked to end, and boots again.
    pub fn restart(target: impl Into<Target>) -> Self {
        Self::of_kind("restart").aimed("target", target)
    }

    /// It is cut off from all other hosts, both ways.
    pub fn isolate(target: impl Into<Target>) -> Self {
        Self::of_kind("isolate").aimed("target", target)
    }

    /// Bytes between the two sides don't arrive.
    pub fn partition(from: impl Into<Target>, to: impl Into<Target>) -> Self {
        Self::of_kind("partition").aimed("from", from).aimed("to", to)
    }

    /// When it strikes first.
    pub fn at(self, at: &str) -> Self {
        self.with("at", at)
    }

    /// How long from one strike to the next.
    pub fn every(self, every: &str) -> Self {
        self.with("every", every)
    }

    /// Most strikes.
    pub fn count(self, count: u64) -> Self {
        self.with("count", &count.to_string())
    }

    /// How long it lasts; until the end of all faults by default.
    pub fn down(self, down: &str) -> Self {
        self.with("down", down)
    }

    /// Any other key that scenario files know, with its value as there.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.keys.push((key.to_owned(), vec![value.to_owned()]));
        self
    }

    fn aimed(mut self, key: &str, target: impl Into<Target>) -> Self {
        self.keys.push((key.to_owned(), target.into().0));
        self
    }

    /// As a `[[fault]]` table.
    pub(super) fn to_toml(&self) -> String {
        let mut text = format!("[[fault]]\nkind = {}\n", quoted(&self.kind));
        for (key, values) in &self.keys {
            let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            let value = match values.as_slice() {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            };
            text.push_str(&format!("{} = {value}\n", quoted(key)));
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.keys.iter().try_for_each(|(key, values)| write!(f, " {key}={}", values.join(",")))
    }
}

/// A string, or a key, as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
