//! What a run of a scenario did, for tests that count it.

use brokerquake::lab::Trial;
use brokerquake::run::Observers;
use brokerquake::run::outcome::Outcome;
use serde_json::Value;

/// One run of a scenario, with the events of its clients.
pub struct Seen {
    pub outcome: Outcome,
    pub lines: Vec<Value>,
}

impl Seen {
    /// The first seed of a trial, all of whose seeds end as its scenario expects.
    pub fn first_of(trial: Trial) -> Self {
        let runs = trial.assert_observed(|run| {
            let mut text = Vec::new();
            let outcome = run(Observers { history: Some(&mut text), ..Observers::default() });
            (outcome, text)
        });
        let (outcome, text) = runs.into_iter().next().unwrap();
        Self { outcome, lines: lines(&text) }
    }

    pub fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["event"] == name)
    }

    pub fn count(&self, name: &str) -> usize {
        self.events(name).count()
    }

    /// How many faults struck that are told with these words.
    pub fn strikes(&self, words: &str) -> usize {
        self.outcome.story.iter().filter(|line| line.contains(words)).count()
    }
}

/// The lines of a history.
pub fn lines(text: &[u8]) -> Vec<Value> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}
