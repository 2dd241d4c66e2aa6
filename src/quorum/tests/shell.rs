//! A shell around one machine: its log, its quorum-state file, its fetches. Everything takes time, and
//! a crash keeps only what is on disk.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::super::{
    ElectionState, Fetch, FetchAnswer, Fetched, LogEnd, Next, Quorum, ReplicaKey, Reply, Request,
    Settings, VoteReply, VoterSet,
};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset};
use crate::wire::ErrorCode;

/// A record of the metadata log; each has one offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub epoch: LeaderEpoch,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    LeaderChange(BrokerId),
    Value(u64),
    Voters(VoterSet),
}

/// A fetch as it travels.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    pub from: ReplicaKey,
    pub epoch: LeaderEpoch,
    pub log: LogEnd,
    pub high_watermark: Option<Offset>,
}

/// A message between two shells. Requests have a number, which their answer repeats.
#[derive(Clone, Debug)]
pub enum Message {
    Ask(u64, Request),
    Voted(u64, VoteReply),
    Answered(u64, Reply),
    Fetch(u64, FetchRequest),
    Fetched(u64, FetchAnswer, Vec<Record>),
}

/// What a shell wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send a message that was made in this election state.
    Send(BrokerId, Message, ElectionState),
    /// Sync the log up to here, and report it.
    Sync(usize),
    /// Write the quorum-state file, and report it.
    Store(u64, ElectionState),
    /// Give up on a request at this time.
    Timeout(Instant, u64),
}

/// What is on disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub log: Vec<Record>,
    pub election: ElectionState,
}

/// A request that was sent. It is kept after its answer, which may come twice.
#[derive(Debug)]
struct Asked {
    to: BrokerId,
    request: Request,
    is_answered: bool,
}

/// A fetch that waits for something new.
#[derive(Debug)]
struct Parked {
    number: u64,
    fetch: FetchRequest,
    until: Instant,
}

/// A running node.
#[derive(Debug)]
pub struct Shell {
    pub machine: Quorum,
    pub log: Vec<Record>,
    me: ReplicaKey,
    static_voters: VoterSet,
    random: ChaCha12Rng,
    stored: u64,
    storing: bool,
    /// Where the log is to be synced up to, while a sync runs. Truncations below cancel it.
    syncing: Option<usize>,
    synced: usize,
    /// Messages that wait until a version of the election state is stored.
    waiting: Vec<(u64, BrokerId, Message, ElectionState)>,
    asked: BTreeMap<u64, Asked>,
    fetching: Option<(u64, BrokerId, LogEnd, LeaderEpoch)>,
    parked: Vec<Parked>,
    numbers: u64,
    announced: Option<LeaderEpoch>,
    /// The high watermark to take over once the records fetched with it are synced.
    to_commit: Option<(usize, Offset)>,
}

/// When a request counts as lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a leader keeps a fetch that brings nothing new.
const MAX_WAIT: Duration = Duration::from_millis(500);

impl Shell {
    pub fn start(
        now: Instant,
        me: ReplicaKey,
        static_voters: &VoterSet,
        disk: &Disk,
        settings: &Settings,
        mut random: ChaCha12Rng,
    ) -> Self {
        let log = disk.log.clone();
        let voters = voters_of(&log, static_voters);
        let draws = ChaCha12Rng::seed_from_u64(random.next_u64());
        let machine = Quorum::new(
            now,
            me,
            voters,
            disk.election.clone(),
            end_of(&log),
            settings.clone(),
            draws,
        );
        // Numbers of an earlier life do not come again.
        let numbers = random.next_u64() << 20;
        Self {
            machine,
            synced: log.len(),
            log,
            me,
            static_voters: static_voters.clone(),
            random,
            stored: 0,
            storing: false,
            syncing: None,
            waiting: Vec::new(),
            asked: BTreeMap::new(),
            fetching: None,
            parked: Vec::new(),
            numbers,
            announced: None,
            to_commit: None,
        }
    }

    /// What a power loss may leave on disk beyond what was reported as stored and synced: a part of
    /// the unsynced log, and the file that was being written.
    pub fn crash(&self, disk: &mut Disk, random: &mut ChaCha12Rng) {
        let unsynced = self.log.len() - disk.log.len();
        let kept = random.next_u64() as usize % (unsynced + 1);
        let kept = if random.next_u32().is_multiple_of(2) { 0 } else { kept };
        disk.log.extend_from_slice(&self.log[disk.log.len()..][..kept]);
        if self.storing && random.next_u32().is_multiple_of(2) {
            disk.election = self.machine.durable().1.clone();
        }
    }

    pub fn append(&mut self, now: Instant, content: Content) {
        self.log.push(Record { epoch: self.machine.epoch(), content });
        self.machine.appended(now, end_of(&self.log));
        self.reread_voters(now);
    }

    /// Whether the leader may append a VotersRecord: it has committed in its epoch, and with it the last
    /// change (KIP-853).
    pub fn may_change_voters(&self) -> bool {
        let committed = self.machine.high_watermark().map_or(0, |offset| offset.0 as usize);
        let is_change = |record: &Record| matches!(record.content, Content::Voters(_));
        let leads = self.machine.leads().is_some_and(|leads| leads.start.0 < committed as i64);
        leads && !self.log[committed..].iter().any(is_change)
    }

    fn reread_voters(&mut self, now: Instant) {
        let voters = voters_of(&self.log, &self.static_voters);
        if voters != *self.machine.voters() {
            self.machine.set_voters(now, voters);
        }
    }

    pub fn synced(&mut self, now: Instant, disk: &mut Disk, upto: usize) {
        if self.syncing.take() == Some(upto) && upto <= self.log.len() {
            disk.log = self.log[..upto].to_vec();
            self.synced = upto;
            self.machine.flushed(now, Offset(upto as i64));
        }
        if let Some((_, high_watermark)) = self.to_commit.take_if(|(end, _)| *end <= self.synced) {
            self.machine.fetched(now, high_watermark);
        }
    }

    pub fn stored(&mut self, disk: &mut Disk, version: u64, election: ElectionState) {
        self.storing = false;
        self.stored = version;
        disk.election = election;
    }

    pub fn timed_out(&mut self, now: Instant, number: u64) {
        if let Some(asked) = self.asked.remove(&number).filter(|asked| !asked.is_answered) {
            self.machine.failed(now, asked.to, &asked.request);
        }
        if let Some((_, from, ..)) = self.fetching.take_if(|(fetch, ..)| *fetch == number) {
            self.machine.fetch_failed(now, Some(from));
        }
    }

    pub fn receive(&mut self, now: Instant, disk: &mut Disk, from: BrokerId, message: Message) {
        match message {
            Message::Ask(number, request) => {
                let answer = match &request {
                    Request::Vote(vote) => Message::Voted(number, self.machine.vote(now, vote)),
                    Request::BeginQuorumEpoch { epoch, leader, .. } => {
                        Message::Answered(number, self.machine.begin_epoch(now, *epoch, *leader))
                    }
                    Request::EndQuorumEpoch { epoch, leader, successors } => Message::Answered(
                        number,
                        self.machine.end_epoch(now, *epoch, *leader, successors),
                    ),
                };
                self.send(from, answer);
            }
            Message::Voted(number, reply) => {
                if let Some(asked) = self.asked.get_mut(&number) {
                    asked.is_answered = true;
                    self.machine.vote_answered(now, from, &asked.request, &reply);
                }
            }
            Message::Answered(number, reply) => {
                if let Some(asked) = self.asked.get_mut(&number) {
                    asked.is_answered = true;
                    self.machine.answered(now, from, &asked.request, &reply);
                }
            }
            Message::Fetch(number, fetch) => {
                self.parked.push(Parked { number, fetch, until: now + MAX_WAIT });
            }
            Message::Fetched(number, answer, records) => {
                let Some((_, asked, log, epoch)) =
                    self.fetching.take_if(|(fetch, ..)| *fetch == number)
                else {
                    return;
                };
                let is_current = end_of(&self.log) == log && self.machine.epoch() == epoch;
                if is_current {
                    self.fetched(now, disk, asked, &answer, records);
                }
            }
        }
    }

    fn fetched(
        &mut self,
        now: Instant,
        disk: &mut Disk,
        from: BrokerId,
        answer: &FetchAnswer,
        records: Vec<Record>,
    ) {
        match self.machine.fetch_answered(now, from, answer) {
            Next::Append => {
                if !records.is_empty() {
                    self.log.extend(records);
                    self.machine.appended(now, end_of(&self.log));
                    self.reread_voters(now);
                }
                if let Some(high_watermark) = answer.high_watermark {
                    self.to_commit = Some((self.log.len(), high_watermark));
                    if self.synced == self.log.len() {
                        self.to_commit = None;
                        self.machine.fetched(now, high_watermark);
                    }
                }
            }
            Next::Truncate { epoch, end } => {
                let own = end_of_epoch(&self.log, epoch);
                let cut = own.1.min(end).0.max(0) as usize;
                if self.machine.truncated(end_of(&self.log[..cut])).is_err() {
                    self.machine.fetch_failed(now, Some(from));
                    return;
                }
                self.log.truncate(cut);
                disk.log.truncate(cut);
                self.synced = self.synced.min(cut);
                self.syncing = None;
                self.to_commit = None;
                self.reread_voters(now);
            }
            Next::Snapshot(_) => panic!("there are no snapshots"),
            Next::Ignore | Next::BackOff => {}
        }
    }

    /// Asks the machine what to do, until there is nothing more.
    pub fn pump(&mut self, now: Instant, is_hasty: bool) -> Vec<Effect> {
        self.machine.expire(now);
        if let Some(leading) = self.machine.leads()
            && self.announced != Some(leading.epoch)
        {
            assert_eq!(leading.start, end_of(&self.log).offset);
            self.announced = Some(leading.epoch);
            self.append(now, Content::LeaderChange(self.me.id));
        }
        if !self.machine.is_voter() && self.may_change_voters() {
            // Its removal is committed.
            self.machine.resign(now);
        }
        self.answer_fetches(now);
        let mut effects = Vec::new();
        for (to, request) in self.machine.requests(now) {
            let number = self.number();
            let asked = Asked { to, request: request.clone(), is_answered: false };
            self.asked.insert(number, asked);
            effects.push(Effect::Timeout(now + REQUEST_TIMEOUT, number));
            self.send(to, Message::Ask(number, request));
        }
        if self.fetching.is_none()
            && let Some(plan) = self.machine.fetch_plan(now)
            && let Some(to) = plan.to.or_else(|| self.any_voter())
        {
            assert_eq!(plan.log, end_of(&self.log));
            let number = self.number();
            let high_watermark = self.machine.high_watermark();
            let fetch =
                FetchRequest { from: self.me, epoch: plan.epoch, log: plan.log, high_watermark };
            self.fetching = Some((number, to, plan.log, plan.epoch));
            effects.push(Effect::Timeout(now + plan.timeout, number));
            self.send(to, Message::Fetch(number, fetch));
        }
        let (version, election) = self.machine.durable();
        if version > self.stored && !self.storing {
            self.storing = true;
            effects.push(Effect::Store(version, election.clone()));
        }
        if self.syncing.is_none() && self.synced < self.log.len() {
            self.syncing = Some(self.log.len());
            effects.push(Effect::Sync(self.log.len()));
        }
        let stored = if is_hasty { u64::MAX } else { self.stored };
        let ready = self.waiting.extract_if(.., |(version, ..)| *version <= stored);
        effects.extend(ready.map(|(_, to, message, made)| Effect::Send(to, message, made)));
        effects
    }

    /// When to pump though nothing else happened.
    pub fn deadline(&self) -> Option<Instant> {
        let parked = self.parked.iter().map(|parked| parked.until);
        parked.chain(self.machine.deadline()).min()
    }

    fn answer_fetches(&mut self, now: Instant) {
        for parked in std::mem::take(&mut self.parked) {
            let fetch = &parked.fetch;
            let end_of_last_epoch = end_of_epoch(&self.log, fetch.log.epoch);
            let reply = self.machine.fetch(
                now,
                &Fetch {
                    from: fetch.from,
                    epoch: fetch.epoch,
                    offset: fetch.log.offset,
                    last_epoch: fetch.log.epoch,
                    end_of_last_epoch,
                    log_start: Offset::ZERO,
                    snapshot: None,
                },
            );
            let high_watermark = self.machine.high_watermark();
            let (mut records, mut diverging) = (Vec::new(), None);
            match reply.what {
                Fetched::Records { upto } => {
                    // An answer has a largest size.
                    let most = 1 + self.random.next_u32() as usize % 8;
                    let from = fetch.log.offset.0 as usize;
                    records = self.log[from..(upto.0 as usize).min(from + most)].to_vec();
                }
                Fetched::Diverging(end) => diverging = Some(end),
                Fetched::Snapshot(_) => panic!("there are no snapshots"),
                Fetched::Nothing => {}
            }
            let has_news = high_watermark > fetch.high_watermark
                || !records.is_empty()
                || diverging.is_some()
                || reply.error != ErrorCode::None;
            if !has_news && now < parked.until {
                self.parked.push(parked);
                continue;
            }
            let (to, number) = (fetch.from.id, parked.number);
            let answer = FetchAnswer {
                error: reply.error,
                epoch: reply.epoch,
                leader: reply.leader,
                high_watermark,
                diverging,
                snapshot: None,
            };
            self.send(to, Message::Fetched(number, answer, records));
        }
    }

    /// A message waits for the election state from which it was made.
    fn send(&mut self, to: BrokerId, message: Message) {
        let (version, election) = self.machine.durable();
        self.waiting.push((version, to, message, election.clone()));
    }

    fn number(&mut self) -> u64 {
        self.numbers = self.numbers.wrapping_add(1);
        self.numbers
    }

    fn any_voter(&mut self) -> Option<BrokerId> {
        let voters = self.machine.voters().iter().map(|voter| voter.id);
        let others: Vec<BrokerId> = voters.filter(|id| *id != self.me.id).collect();
        let draw = self.random.next_u32() as usize;
        (!others.is_empty()).then(|| others[draw % others.len()])
    }
}

pub fn end_of(log: &[Record]) -> LogEnd {
    let epoch = log.last().map_or(LeaderEpoch(0), |record| record.epoch);
    LogEnd { epoch, offset: Offset(log.len() as i64) }
}

/// The largest epoch of a log that is not above `epoch`, and its end.
fn end_of_epoch(log: &[Record], epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
    let count = log.iter().take_while(|record| record.epoch <= epoch).count();
    let end = end_of(&log[..count]);
    (end.epoch, end.offset)
}

fn voters_of(log: &[Record], static_voters: &VoterSet) -> VoterSet {
    let last = log.iter().rev().find_map(|record| match &record.content {
        Content::Voters(voters) => Some(voters.clone()),
        _ => None,
    });
    last.unwrap_or_else(|| static_voters.clone())
}
