//! The serving side of fetch sessions (KIP-227): what each session fetches, and what it was sent.
//!
//! A fetch without a session is a session that ends with its answer, so that there is one way to
//! fetch. A look reads only the partitions that changed since the last one, unlike Kafka's, which
//! reads all of the session's partitions: an idle partition costs nothing.
//!
//! Source: Kafka's `FetchManager` and `FetchSessionCache`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::purgatory::FetchWatch;
use crate::base::{Instant, LeaderEpoch, Offset, TopicId};
use crate::rpc::fetch_session::{FINAL, INITIAL, next_epoch};
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use crate::wire::messages::{FetchRequest, StrBytes};

/// Fetches of earlier versions have no sessions.
const SESSIONS: i16 = 7;
/// From here on topics are named by id (KIP-516).
pub(super) const TOPIC_IDS: i16 = 13;
/// Another session may take the place of one that was not used for this long. Source: Kafka's
/// `KafkaBroker.MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`.
const EVICTION: Duration = Duration::from_secs(120);

/// The fetch sessions of a broker.
pub(crate) struct FetchSessions {
    /// `max.incremental.fetch.session.cache.slots`.
    slots: usize,
    cache: Mutex<Cache>,
}

struct Cache {
    sessions: BTreeMap<i32, Arc<FetchSession>>,
    random: ChaCha12Rng,
}

/// What one client fetches.
pub(crate) struct FetchSession {
    /// 0 if it ends with its first answer.
    pub(crate) id: i32,
    by_id: bool,
    /// A replica's session takes the place of consumers' ones.
    privileged: bool,
    pub(crate) watch: Arc<FetchWatch>,
    fetched: Mutex<Fetched>,
}

/// The partitions of a session.
pub(crate) struct Fetched {
    /// Of the next request.
    epoch: i32,
    used_at: Instant,
    by_name: BTreeMap<Name, u32>,
    slots: BTreeMap<u32, Slot>,
    next: u32,
    /// Partitions with higher numbers come first in the next look, so that each gets its turn.
    last_served: u32,
}

/// A partition as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    topic_id: TopicId,
    /// Empty if the topic is named by id.
    topic: StrBytes,
    partition: i32,
}

/// One partition of a session.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) topic_id: TopicId,
    pub(crate) topic: StrBytes,
    pub(crate) partition: i32,
    /// The leader epoch that the reader believes in (KIP-320).
    pub(crate) current_epoch: LeaderEpoch,
    pub(crate) offset: Offset,
    /// The epoch of the reader's last record (KIP-595).
    pub(crate) last_fetched_epoch: LeaderEpoch,
    pub(crate) log_start: Offset,
    pub(crate) max_bytes: usize,
    /// High watermark and log start of the last answer, unless that was an error.
    sent: Option<(Offset, Offset)>,
}

/// A request's place in its session.
pub(crate) struct Begun {
    pub(crate) session: Arc<FetchSession>,
    /// Whether the answer names every partition, and not only those with news.
    pub(crate) full: bool,
}

impl FetchSessions {
    pub(crate) fn new(slots: usize, random: ChaCha12Rng) -> Self {
        Self { slots, cache: Mutex::new(Cache { sessions: BTreeMap::new(), random }) }
    }

    /// Finds or makes the session of a request, and takes in what the request names.
    pub(crate) fn begin(
        &self,
        request: &mut FetchRequest,
        version: i16,
        privileged: bool,
        now: Instant,
    ) -> Result<Begun, ErrorCode> {
        let by_id = version >= TOPIC_IDS;
        let (id, epoch) = match version < SESSIONS {
            true => (0, FINAL),
            false => (request.session_id, request.session_epoch),
        };
        let topics = std::mem::take(&mut request.topics);
        let forgotten = std::mem::take(&mut request.forgotten_topics_data);
        let mut cache = self.cache.lock();
        if matches!(epoch, FINAL | INITIAL) {
            cache.sessions.remove(&id);
            let wanted = epoch == INITIAL && !topics.is_empty();
            let id = if wanted { cache.make_room(self.slots, privileged, now) } else { None };
            let session = Arc::new(FetchSession::new(id.unwrap_or(0), by_id, privileged, now));
            if let Some(id) = id {
                cache.sessions.insert(id, session.clone());
            }
            session.update(topics, Vec::new());
            return Ok(Begun { session, full: true });
        }
        let session = cache.sessions.get(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?.clone();
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.proceed(epoch, now)?;
        session.update(topics, forgotten);
        if session.is_empty() {
            // As in Kafka: a session without partitions ends.
            cache.sessions.remove(&id);
            let session = Arc::new(FetchSession::new(0, by_id, privileged, now));
            return Ok(Begun { session, full: true });
        }
        Ok(Begun { session, full: false })
    }
}

impl Cache {
    /// The id of a new session, if there is room for it or another one can go.
    fn make_room(&mut self, slots: usize, privileged: bool, now: Instant) -> Option<i32> {
        if self.sessions.len() >= slots {
            let oldest = |evict: &dyn Fn(&FetchSession, Instant) -> bool| {
                let used = self.sessions.iter().map(|(id, session)| (session.used_at(), *id));
                let mut old = used.filter(|(at, id)| evict(&self.sessions[id], *at));
                old.by_ref().min()
            };
            let unused = |_: &FetchSession, at: Instant| now.since(at) > EVICTION;
            let lesser = |session: &FetchSession, _| privileged && !session.privileged;
            let (_, id) = oldest(&lesser).or_else(|| oldest(&unused))?;
            self.sessions.remove(&id);
        }
        if slots == 0 {
            return None;
        }
        loop {
            let id = self.random.random_range(1..i32::MAX);
            if !self.sessions.contains_key(&id) {
                return Some(id);
            }
        }
    }
}

impl FetchSession {
    fn new(id: i32, by_id: bool, privileged: bool, now: Instant) -> Self {
        let fetched = Fetched {
            epoch: 1,
            used_at: now,
            by_name: BTreeMap::new(),
            slots: BTreeMap::new(),
            next: 0,
            last_served: u32::MAX,
        };
        let watch = Arc::new(FetchWatch::default());
        Self { id, by_id, privileged, watch, fetched: Mutex::new(fetched) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fetched.lock().slots.is_empty()
    }

    pub(crate) fn fetched(&self) -> MutexGuard<'_, Fetched> {
        self.fetched.lock()
    }

    fn used_at(&self) -> Instant {
        self.fetched.lock().used_at
    }

    /// An incremental request has come.
    fn proceed(&self, epoch: i32, now: Instant) -> Result<(), ErrorCode> {
        let mut fetched = self.fetched.lock();
        if fetched.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        fetched.epoch = next_epoch(epoch);
        fetched.used_at = now;
        Ok(())
    }

    /// Takes in what a request names.
    fn update(&self, topics: Vec<FetchTopic>, forgotten: Vec<ForgottenTopic>) {
        let mut fetched = self.fetched.lock();
        let mut named = Vec::new();
        for topic in topics {
            for partition in topic.partitions {
                let name = Name {
                    topic_id: topic.topic_id.into(),
                    topic: topic.topic.clone(),
                    partition: partition.partition,
                };
                named.push(fetched.set(name, &partition));
            }
        }
        self.watch.look_again_at(named);
        for topic in forgotten {
            for partition in topic.partitions {
                let (topic_id, topic) = (topic.topic_id.into(), topic.topic.clone());
                if let Some(slot) = fetched.forget(&Name { topic_id, topic, partition }) {
                    self.watch.forget(slot);
                }
            }
        }
    }
}

impl Fetched {
    fn set(&mut self, name: Name, asked: &FetchPartition) -> u32 {
        let known = self.by_name.get(&name).copied();
        let slot = known.unwrap_or(self.next);
        if known.is_none() {
            self.next += 1;
            self.by_name.insert(name.clone(), slot);
        }
        let sent = self.slots.get(&slot).and_then(|known| known.sent);
        let fetch = Slot {
            topic_id: name.topic_id,
            topic: name.topic,
            partition: name.partition,
            current_epoch: LeaderEpoch(asked.current_leader_epoch),
            offset: Offset(asked.fetch_offset),
            last_fetched_epoch: LeaderEpoch(asked.last_fetched_epoch),
            log_start: Offset(asked.log_start_offset),
            max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
            sent,
        };
        self.slots.insert(slot, fetch);
        slot
    }

    /// Leaves a partition out. Its number stays its own, so that its watch can be used again; that
    /// of one that never had an answer is given up, so that made-up names take no memory.
    fn forget(&mut self, name: &Name) -> Option<u32> {
        let slot = self.by_name.get(name).copied()?;
        let known = self.slots.remove(&slot);
        if known.is_some_and(|known| known.sent.is_none()) {
            self.by_name.remove(name);
        }
        Some(slot)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(&slot)
    }

    /// Those numbers that the session has, in the order in which they get their turn.
    pub(crate) fn in_turn(&self, slots: impl Iterator<Item = u32> + Clone) -> Vec<u32> {
        let known = slots.filter(|slot| self.slots.contains_key(slot));
        let later = known.clone().filter(|slot| *slot > self.last_served);
        later.chain(known.filter(|slot| *slot <= self.last_served)).collect()
    }

    /// Notes an answer: high watermark and log start, or nothing for an error. Returns whether it
    /// is news.
    pub(crate) fn note(&mut self, slot: u32, answer: Option<(Offset, Offset)>) -> bool {
        let Some(known) = self.slots.get_mut(&slot) else { return false };
        let news = answer.is_none() || known.sent != answer;
        known.sent = answer;
        news
    }

    /// The last partition whose records fitted into an answer.
    pub(crate) fn served(&mut self, slot: u32) {
        self.last_served = slot;
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::wire::messages::message;

    fn sessions(slots: usize) -> FetchSessions {
        FetchSessions::new(slots, ChaCha12Rng::seed_from_u64(7))
    }

    fn request(id: i32, epoch: i32, partitions: &[i32], forget: &[i32]) -> FetchRequest {
        let topic = TopicId([7; 16]);
        let fetch = |partition: &i32| message!(FetchPartition { partition: *partition });
        let topics = message!(FetchTopic {
            topic_id: topic.into(),
            partitions: partitions.iter().map(fetch).collect(),
        });
        let forgotten =
            message!(ForgottenTopic { topic_id: topic.into(), partitions: forget.to_vec() });
        message!(FetchRequest {
            session_id: id,
            session_epoch: epoch,
            topics: if partitions.is_empty() { Vec::new() } else { vec![topics] },
            forgotten_topics_data: if forget.is_empty() { Vec::new() } else { vec![forgotten] },
        })
    }

    fn begin(
        sessions: &FetchSessions,
        mut request: FetchRequest,
        at: u64,
    ) -> Result<Begun, ErrorCode> {
        sessions.begin(&mut request, 17, false, Instant::from_secs(at))
    }

    fn partitions(session: &FetchSession) -> Vec<i32> {
        session.fetched().slots.values().map(|slot| slot.partition).collect()
    }

    #[test]
    fn session_keeps_its_partitions_and_looks_only_at_those_that_changed() {
        let sessions = sessions(10);
        let first = begin(&sessions, request(0, 0, &[1, 2, 3], &[]), 0).unwrap();
        let id = first.session.id;
        assert!(first.full && id > 0);
        assert_eq!(first.session.watch.take().len(), 3);
        let next = begin(&sessions, request(id, 1, &[2], &[3]), 1).unwrap();
        assert!(!next.full);
        assert_eq!(partitions(&next.session), [1, 2]);
        assert_eq!(next.session.watch.take().len(), 1);
    }

    #[test]
    fn wrong_epoch_unknown_id_and_other_naming_are_refused() {
        let sessions = sessions(10);
        let id = begin(&sessions, request(0, 0, &[1], &[]), 0).unwrap().session.id;
        let error = |request| begin(&sessions, request, 0).err();
        assert_eq!(error(request(id, 2, &[], &[])), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(error(request(id + 1, 1, &[], &[])), Some(ErrorCode::FetchSessionIdNotFound));
        let old = sessions.begin(&mut request(id, 1, &[], &[]), 12, false, Instant::START);
        assert_eq!(old.err(), Some(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(error(request(id, 1, &[], &[])), None, "a refusal changes nothing");
    }

    #[test]
    fn final_epoch_and_empty_session_end_it() {
        let sessions = sessions(10);
        let id = begin(&sessions, request(0, 0, &[1], &[]), 0).unwrap().session.id;
        let emptied = begin(&sessions, request(id, 1, &[], &[1]), 0).unwrap();
        assert_eq!(emptied.session.id, 0);
        let error = begin(&sessions, request(id, 2, &[], &[]), 0).err();
        assert_eq!(error, Some(ErrorCode::FetchSessionIdNotFound));
        let id = begin(&sessions, request(0, 0, &[1], &[]), 0).unwrap().session.id;
        assert_eq!(begin(&sessions, request(id, -1, &[1], &[]), 0).unwrap().session.id, 0);
        let error = begin(&sessions, request(id, 1, &[], &[]), 0).err();
        assert_eq!(error, Some(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn full_cache_gives_way_to_replicas_and_to_new_sessions_after_two_minutes() {
        let sessions = sessions(1);
        let first = begin(&sessions, request(0, 0, &[1], &[]), 0).unwrap().session.id;
        assert_eq!(begin(&sessions, request(0, 0, &[1], &[]), 60).unwrap().session.id, 0);
        let replica =
            sessions.begin(&mut request(0, 0, &[1], &[]), 17, true, Instant::from_secs(61));
        let replica = replica.unwrap().session.id;
        assert!(replica > 0 && replica != first);
        assert_eq!(begin(&sessions, request(0, 0, &[1], &[]), 180).unwrap().session.id, 0);
        assert!(begin(&sessions, request(0, 0, &[1], &[]), 182).unwrap().session.id > 0);
    }

    #[test]
    fn every_partition_gets_its_turn() {
        let sessions = sessions(10);
        let session = begin(&sessions, request(0, 0, &[5, 6, 7], &[]), 0).unwrap().session;
        let mut fetched = session.fetched();
        assert_eq!(fetched.in_turn(0..4), [0, 1, 2]);
        fetched.served(0);
        assert_eq!(fetched.in_turn(0..4), [1, 2, 0]);
    }
}
