//! KRaft: one replica of the metadata log, its elections and its high watermark. Pure: no await, no
//! clock, no I/O.
//!
//! | file | contents |
//! |---|---|
//! | `terms` | a replica's key, the end of a log, the election state that has to be durable |
//! | `voters` | the voters and their majority |
//! | `settings` | timeouts, with Kafka's defaults |
//! | `messages` | requests and answers, as this machine sees them |
//! | `ballot` | the votes that a nominee has collected |
//! | `contacts` | which replica may be sent a request, and when |
//! | `unattached` … `resigned` | the six states, one file each |
//! | `progress` | what a leader knows of one replica |
//! | `machine` | the machine: its parts, what the shell reads, starting |
//! | `transitions` | every change of state |
//! | `expire` | what follows from time alone |
//! | `outgoing` | requests that are due |
//! | `incoming` | requests of others: Vote, BeginQuorumEpoch, EndQuorumEpoch |
//! | `serving` | the leader's side of Fetch and FetchSnapshot |
//! | `answers` | answers of others |
//! | `log` | the log grew, was synced, was truncated |
//! | `check` | the invariants |
//!
//! ```text
//!                 ┌──────── pre-vote lost, leader unknown ────────┐
//!                 ▼                                               │
//!            Unattached ── election timeout ──▶ Prospective ── majority of pre-votes ──▶ Candidate
//!             │      ▲                           ▲  │  ▲                                 │      │
//!  leader     │      │ newer epoch               │  │  └──── election timeout ───────────┘      │
//!  discovered │      │ (from every state)        │  │ pre-vote lost, leader known               │
//!             ▼      │             fetch timeout │  ▼                              majority of  │
//!            Follower ───────────────────────────┘ Follower                           votes     ▼
//!                    ▲                                                                       Leader
//!                    └ election timeout, epoch + 1 ── Resigned ◀── stopped, or cut off ─────────┘
//! ```
//!
//! A replica that is not a voter is Unattached or Follower. The only voter wins its elections at once.
//!
//! # What a voter with an empty disk can do
//!
//! A vote and the log below an acknowledged fetch offset are promises. A voter that returns with an
//! empty disk has forgotten both. With static voters and kraft.version 0 nothing reveals that: the
//! machine sees a replica that starts for the first time, and Kafka does the same. It may vote a
//! second time in an epoch, and may complete a majority that lacks committed records. It can't win
//! an election against a voter that has more. Two things it does notice:
//!
//! - A peer that names it as the leader of an epoch that it does not lead. It then resigns in that
//!   epoch, as if it had restarted, so it neither votes in it nor appends other records to it. (Kafka
//!   throws `IllegalStateException`.)
//! - A leader that wants the log truncated below the high watermark has lost records. The follower
//!   refuses, and its fetch timeout continues, so that it stands for election with the longer log.
//!
//! With kraft.version 1 the new disk has another directory id. A [`VoterSet`] that knows the former
//! one does not count the replica as a voter, and others answer its votes by their voter keys
//! (KIP-853).
//!
//! Source: Kafka's `KafkaRaftClient`, `QuorumState` and its states; KIP-595, KIP-853, KIP-996. Left to
//! the shell: the log, its syncs and truncations, snapshots, the quorum-state file, sending, cluster
//! ids.

mod answers;
mod ballot;
mod candidate;
mod check;
mod contacts;
mod expire;
mod follower;
mod incoming;
mod leader;
mod log;
mod machine;
mod messages;
mod outgoing;
mod progress;
mod prospective;
mod resigned;
mod serving;
mod settings;
mod terms;
mod transitions;
mod unattached;
mod voters;

pub use log::BelowHighWatermark;
pub use machine::{Leading, Quorum, Replicas};
pub use messages::{
    Fetch, FetchAnswer, FetchPlan, FetchReply, Fetched, Next, Reply, Request, Vote, VoteReply,
};
pub use progress::Progress;
pub use settings::Settings;
pub use terms::{ElectionState, LogEnd, ReplicaKey};
pub use voters::{Voter, VoterSet};

#[cfg(test)]
mod tests;
