//! A judged history, and whether there was anything to judge.

use super::Header;
use crate::check::Verdicts;
use crate::sim::{ClientEvent, ConsumerEvent, Outcome, ProducerEvent};

/// A judged history, and how much it had to judge.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its first line.
    pub header: Header,
    /// What the invariants found.
    pub verdicts: Verdicts,
    /// What there was to judge.
    pub heard: Heard,
}

/// How much clients did in a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Records that producers tried to send.
    pub sent: u64,
    /// Of these: acknowledged.
    pub acked: u64,
    /// Records that consumers read.
    pub read: u64,
}

impl Heard {
    pub(super) fn count(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Producer(ProducerEvent::Sent { .. }) => self.sent += 1,
            ClientEvent::Producer(ProducerEvent::Told { outcome: Outcome::Ok { .. }, .. }) => {
                self.acked += 1;
            }
            ClientEvent::Consumer(ConsumerEvent::Polled { records, .. }) => {
                self.read += records.len() as u64;
            }
            _ => {}
        }
    }

    /// Why a verdict about it is empty, if so.
    pub fn untested(&self) -> Option<String> {
        match self {
            Self { sent: 0, read: 0, .. } => {
                Some("no client sent or read anything: add events below the header".into())
            }
            Self { sent, acked: 0, read: 0 } => Some(format!(
                "none of {sent} sends was acknowledged and nothing was read: are `ok` and `polled` \
                 events missing?"
            )),
            _ => None,
        }
    }
}
