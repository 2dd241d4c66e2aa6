//! The machine: its parts, what the shell reads, and starting.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::candidate::Candidate;
use super::contacts::Contacts;
use super::follower::Follower;
use super::leader::Leader;
use super::messages::FetchPlan;
use super::progress::Progress;
use super::prospective::Prospective;
use super::resigned::Resigned;
use super::settings::Settings;
use super::terms::{ElectionState, LogEnd, ReplicaKey};
use super::unattached::Unattached;
use super::voters::VoterSet;
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset};

/// One replica of the metadata log.
///
/// The shell steps it with requests, answers, the time and the log, and asks it afterwards what to
/// send. Two rules are the shell's to keep:
///
/// - No request, fetch or answer leaves before the version of [`Quorum::durable`] at which it was made
///   is on disk.
/// - [`Quorum::flushed`] is reported only for a sync that began after the records were written, with no
///   truncation below its end since.
#[derive(Clone, Debug)]
pub struct Quorum {
    pub(super) me: ReplicaKey,
    pub(super) voters: VoterSet,
    pub(super) settings: Settings,
    pub(super) random: ChaCha12Rng,
    election: ElectionState,
    /// Rises with each change of `election`.
    version: u64,
    pub(super) log: LogEnd,
    /// Everything below is synced.
    pub(super) synced: Offset,
    /// The largest high watermark that this replica has known: everything below is committed.
    pub(super) high_watermark: Option<Offset>,
    pub(super) state: State,
    pub(super) contacts: Contacts,
    pub(super) fetching: Fetching,
    /// Time of the last step.
    pub(super) seen: Instant,
}

/// The states of a replica.
#[derive(Clone, Debug)]
pub(super) enum State {
    Unattached(Unattached),
    Prospective(Prospective),
    Candidate(Candidate),
    Leader(Box<Leader>),
    Follower(Follower),
    Resigned(Resigned),
}

/// Pauses between fetches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetching {
    /// No fetch from the leader before this: the last one failed. Meanwhile another voter may know of
    /// another leader.
    pub(super) leader_after: Instant,
    /// No fetch from any other voter before this.
    pub(super) others_after: Instant,
}

/// What a replica that leads has to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leading {
    /// The epoch that it leads.
    pub epoch: LeaderEpoch,
    /// The log end when it was elected: the offset of its LeaderChangeMessage.
    pub start: Offset,
    /// The voters that elected it.
    pub granted: Vec<BrokerId>,
    /// All voters.
    pub voters: Vec<BrokerId>,
}

/// What a leader knows of the replicas, for DescribeQuorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Its voters; of itself the position is the log end that it has synced.
    pub voters: Vec<Progress>,
    /// Replicas that fetch and are not voters.
    pub observers: Vec<Progress>,
}

impl Quorum {
    /// Starts a replica whose log ends at `log`, all of it synced. `durable` is what the quorum-state
    /// file had, or the default if there was none: version 0 of [`Quorum::durable`].
    ///
    /// Source: Kafka's `QuorumState.initialize`. Unlike there, a replica that had voted for itself does
    /// not continue that election, but waits for its timeout.
    pub fn new(
        now: Instant,
        me: ReplicaKey,
        voters: VoterSet,
        durable: ElectionState,
        log: LogEnd,
        settings: Settings,
        random: ChaCha12Rng,
    ) -> Self {
        let log = log.normalised();
        let mut quorum = Self {
            me,
            voters,
            settings,
            random,
            election: durable,
            version: 0,
            log,
            synced: log.offset,
            high_watermark: None,
            state: State::Unattached(Unattached { election_at: now }),
            contacts: Contacts::default(),
            fetching: Fetching::default(),
            seen: now,
        };
        quorum.start(now);
        quorum.check();
        quorum
    }

    fn start(&mut self, now: Instant) {
        if self.election.epoch < self.log.epoch {
            // The file is older than the log, or lost. The epochs between are over.
            self.elect(ElectionState::unknown_leader(self.log.epoch));
        }
        let election_at = self.draw_election(now);
        self.state = match self.election.leader {
            Some(leader) if leader == self.me.id => {
                self.resigned_at(election_at, self.other_voters().collect())
            }
            Some(leader) if self.voters.contains(leader) => {
                State::Follower(Follower::new(leader, now + self.settings.fetch_timeout))
            }
            _ => State::Unattached(Unattached { election_at }),
        };
        if self.is_voter() && self.voters.len() == 1 && !self.is_last_epoch() {
            self.stand(now);
        }
    }

    /// The election state, and its version, which rises with each change. The shell writes it to the
    /// quorum-state file.
    pub fn durable(&self) -> (u64, &ElectionState) {
        (self.version, &self.election)
    }

    /// The current epoch.
    pub fn epoch(&self) -> LeaderEpoch {
        self.election.epoch
    }

    /// The leader of the epoch, if known. It is this replica also after it has resigned: see
    /// [`Quorum::leads`].
    pub fn leader(&self) -> Option<BrokerId> {
        self.election.leader
    }

    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.state, State::Leader(_))
    }

    /// What this replica leads, if it does.
    pub fn leads(&self) -> Option<Leading> {
        let State::Leader(leader) = &self.state else { return None };
        Some(Leading {
            epoch: self.epoch(),
            start: leader.start,
            granted: leader.granted.clone(),
            voters: self.voters.iter().map(|voter| voter.id).collect(),
        })
    }

    /// Everything below is committed. `None` while that is not known: at a leader, until a record of
    /// its epoch is committed, because former leaders may have exposed more than it knows of. Never
    /// falls, once known.
    pub fn high_watermark(&self) -> Option<Offset> {
        match &self.state {
            State::Leader(leader) => leader.high_watermark,
            _ => self.high_watermark,
        }
    }

    /// Whether this replica is a voter.
    pub fn is_voter(&self) -> bool {
        self.voters.is_voter(&self.me)
    }

    /// The voters.
    pub fn voters(&self) -> &VoterSet {
        &self.voters
    }

    /// The end of the log, as reported.
    pub fn log(&self) -> LogEnd {
        self.log
    }

    /// Whether a request's voter key names this replica: else INVALID_VOTER_KEY. `vote` compares it by
    /// itself. The shell compares that of a BeginQuorumEpoch after `begin_epoch`: as in Kafka, the
    /// epoch and its leader are learned from it nevertheless.
    pub fn is_me(&self, to: &ReplicaKey) -> bool {
        to.matches(&self.me)
    }

    /// What this leader knows of the replicas; `None` if it leads no more.
    pub fn replicas(&self, now: Instant) -> Option<Replicas> {
        let State::Leader(leader) = &self.state else { return None };
        let own = |voter: &Progress| match voter.key.matches(&self.me) {
            true => Progress { log_end: Some(self.synced), ..*voter },
            false => *voter,
        };
        Some(Replicas {
            voters: leader.voters().map(own).collect(),
            observers: leader.observers(now).copied().collect(),
        })
    }

    /// The fetch that is due: of a follower from its leader, or of a replica that looks for one. The
    /// shell keeps one fetch in flight at most, and drops its answer if the log or the epoch changed
    /// meanwhile.
    pub fn fetch_plan(&self, now: Instant) -> Option<FetchPlan> {
        // The offset of a voter's fetch is its acknowledgement.
        if self.is_voter() && self.synced < self.log.offset {
            return None;
        }
        let others = (now >= self.fetching.others_after).then_some(None);
        let to = match &self.state {
            State::Follower(follower) if now >= self.fetching.leader_after => Some(follower.leader),
            State::Follower(_) | State::Unattached(_) => others?,
            _ => return None,
        };
        let timeout = self.settings.request_timeout;
        Some(FetchPlan { to, epoch: self.epoch(), log: self.log, timeout })
    }

    pub(super) fn election(&self) -> &ElectionState {
        &self.election
    }

    /// The one place where the election state changes.
    pub(super) fn elect(&mut self, election: ElectionState) {
        if election != self.election {
            self.version += 1;
            self.election = election;
        }
    }

    pub(super) fn other_voters(&self) -> impl Iterator<Item = ReplicaKey> + '_ {
        self.voters.iter().filter(|voter| voter.id != self.me.id)
    }

    /// When an election times out: drawn from one to two times the setting.
    pub(super) fn draw_election(&mut self, now: Instant) -> Instant {
        // At least a millisecond, so that replicas that stand without success make time pass.
        let shortest = self.settings.election_timeout.max(Duration::from_millis(1));
        let span = u64::try_from(shortest.as_nanos()).unwrap_or(u64::MAX);
        now + shortest + Duration::from_nanos(self.random.next_u64() % span)
    }
}
