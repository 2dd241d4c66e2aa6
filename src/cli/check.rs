//! `check`: judges a client history from a file, without a simulation.

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use clap::Args;

use super::replay::tell_outages;
use super::{USAGE, refuse, say};
use crate::check::history::{HistoryError, Judged, judge_counted};
use crate::check::is_liveness;
use crate::lab::report::share_lost;
use crate::run::outcome::gravity;
use crate::scenario::Expect;

/// The arguments of `check`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    brokerquake replay smoke/smoke-all-lose-power --seed 0 --history h.jsonl\n  \
    brokerquake check h.jsonl\n\n\
    A history is one JSON object per line; the first is its header. For your own cluster:\n  \
    {\"history\":1,\"enable.idempotence\":true,\"within_ms\":60000}\n  \
    {\"at\":12410000000,\"host\":9,\"event\":\"sent\",\"producer\":3,\"op\":17,\"partition\":\"orders-2\",\"value\":71,\"acks\":\"all\",\"idempotent\":true}\n  \
    {\"at\":12415000000,\"host\":9,\"event\":\"ok\",\"producer\":3,\"op\":17,\"offset\":4118}\n  \
    {\"at\":21007000000,\"host\":12,\"event\":\"polled\",\"consumer\":0,\"partition\":\"orders-2\",\"records\":[[4118,71]]}\n\
    The documentation of `brokerquake::check::history` has every event, also those of transactions.\n\n\
    Exit codes: 0 held, 1 broke, 2 the history can't be read or has nothing to judge, 3 stuck.")]
pub struct CheckArgs {
    /// The history file
    #[arg(value_name = "HISTORY.jsonl")]
    history: String,
}

/// Judges the history and prints what broke.
#[allow(clippy::disallowed_methods, reason = "a history is a real file, and may be large")]
pub fn run(args: &CheckArgs) -> ExitCode {
    let read = File::open(&args.history).map_err(|error| HistoryError::Io { line: 0, error });
    let Judged { header, verdicts, heard } =
        match read.and_then(|file| judge_counted(BufReader::new(file))) {
            Ok(judged) => judged,
            Err(error) => return refuse("check", error.of_file(&args.history)),
        };
    if !header.scenario.is_empty() {
        say(format_args!("{}  seed {}", header.scenario, header.seed));
    }
    if verdicts.lost > 0 {
        say(format_args!("lost:    {}", share_lost(verdicts.lost, heard.acked)));
    }
    let mut violations: Vec<_> = verdicts.violations.iter().collect();
    let all = Expect { holds: vec!["*".into()], ..Expect::default() };
    violations.sort_by_key(|broken| gravity(&all, broken.invariant));
    for broken in violations {
        say(format_args!("broke:   {}: {broken}", broken.invariant));
    }
    tell_outages(&verdicts.outages);
    for note in &verdicts.notes {
        say(format_args!("note:    {note}"));
    }
    let untested = heard.untested().filter(|_| verdicts.violations.is_empty());
    if let Some(why) = untested {
        say(format_args!("tested:  nothing: {why}"));
        say("verdict: nothing tested");
        return ExitCode::from(USAGE);
    }
    let unsafe_one = verdicts.violations.iter().any(|broken| !is_liveness(broken.invariant));
    let (word, code) = match (verdicts.violations.is_empty(), unsafe_one) {
        (true, _) => ("held", 0),
        (false, true) => ("BROKE", 1),
        (false, false) => ("stuck", 3),
    };
    let judged = verdicts.judged.len();
    say(format_args!("verdict: {word}, {judged} invariants judged"));
    ExitCode::from(code)
}
