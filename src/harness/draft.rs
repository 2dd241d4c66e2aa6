//! A simulation as the scenario file that its test writes, with the test's line for each of its own.

use std::panic::Location;

use super::fault::quoted;
use crate::base::nearest;
use crate::check;
use crate::run::part::Part;
use crate::scenario::{Role, ScenarioError};

/// A place in a test.
pub(super) type Place = &'static Location<'static>;

/// A scenario file that is being written.
pub(super) struct Draft {
    pub text: String,
    /// From which line on, counted from 1, a place in the test is meant.
    places: Vec<(usize, Place)>,
}

impl Draft {
    /// Everything up to the next call of [`Draft::at`] is of this place.
    pub fn new(place: Place) -> Self {
        Self { text: String::new(), places: vec![(1, place)] }
    }

    /// What is written from now on is of this place.
    pub fn at(&mut self, place: Place) {
        self.places.push((self.text.lines().count() + 1, place));
    }

    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub fn pair(&mut self, key: &str, value: &str) {
        self.line(&format!("{} = {}", quoted(key), quoted(value)));
    }

    /// The problems, each with the line of the test that has it: the user has not seen the file.
    pub fn explain(&self, wrong: &ScenarioError) -> String {
        let problems = wrong.problems.iter().map(|problem| {
            let before = |(line, _): &&(usize, Place)| *line <= problem.line.max(1);
            let place = self.places.iter().take_while(before).last();
            let place = place.map_or(String::new(), |(_, place)| format!("{place}: "));
            let line = self.text.lines().nth(problem.line.saturating_sub(1)).unwrap_or_default();
            format!("  {place}{} (at `{line}`)", problem.message)
        });
        problems.collect::<Vec<_>>().join("\n")
    }
}

/// A name as scenarios have them.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()).take(80) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "simulation".into() } else { slug.into() }
}

/// Refuses names of programs that can't be those of hosts, and those that two programs have.
pub(super) fn check_programs<'a>(
    programs: impl Iterator<Item = (&'a str, Part, Place)> + Clone,
) -> Result<(), String> {
    let fits = |name: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let word = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain);
        word && Role::read(name).is_none() && !name.starts_with("driver-") && name != "a1"
    };
    for (index, (name, part, place)) in programs.clone().enumerate() {
        if part != Part::Driver && !fits(name) {
            let rule = "a host's name is of `a`–`z`, `0`–`9` and `-`, begins with a letter, and \
                        is no other host's and no role";
            return Err(format!("  {place}: no program can be called `{name}`: {rule}"));
        }
        if programs.clone().take(index).any(|(other, ..)| other == name) {
            return Err(format!("  {place}: two programs are called `{name}`"));
        }
    }
    Ok(())
}

/// Refuses names of checks that two have, and unknown ones where one has to be named.
pub(super) fn check_checks<'a>(
    own: impl Iterator<Item = (&'a str, Place)> + Clone,
    named: impl Iterator<Item = (&'a str, Place)>,
) -> Result<(), String> {
    for (index, (name, place)) in own.clone().enumerate() {
        if check::NAMES.contains(&name) || own.clone().take(index).any(|(other, _)| other == name) {
            return Err(format!("  {place}: two checks are called `{name}`"));
        }
    }
    let known = check::NAMES.iter().copied().chain(own.map(|(name, _)| name));
    for (name, place) in named {
        if !known.clone().any(|known| known == name) {
            let hint = did_you_mean(name, known);
            return Err(format!("  {place}: there is no invariant or check `{name}`{hint}"));
        }
    }
    Ok(())
}

/// `; did you mean …?`, if a known name is near.
pub(super) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known).map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}
