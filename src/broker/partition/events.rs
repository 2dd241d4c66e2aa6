//! Events that a partition announces: elections, and moves of the high watermark.
//!
//! An event is put into the subscriber's queue under the partition's lock, in the order in which
//! things happen; whatever follows from it is done by the subscriber's own task. So an election
//! never makes the metadata task wait for a coordinator to load.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::{Partition, Role, State};
use crate::base::{LeaderEpoch, Offset};
use crate::io::World;

/// A replica of a subscribed topic has begun or ceased to lead.
///
/// The events of one replica alternate, each `Resigned` with the epoch of the `Elected` before it.
/// A leader that is elected again resigns its old epoch first.
pub(crate) enum Leadership<W: World> {
    /// The replica leads in `epoch`, and takes appends. Its epoch begins at its log end.
    Elected { partition: Arc<Partition<W>>, epoch: LeaderEpoch },
    /// The replica leads no longer in `epoch`: it was deposed or deleted, its storage failed, or
    /// the node closes. Its ports refuse this epoch by now.
    Resigned { partition: Arc<Partition<W>>, epoch: LeaderEpoch },
}

type Subscribers<W> = Mutex<BTreeMap<Arc<str>, Vec<mpsc::UnboundedSender<Leadership<W>>>>>;

/// Who wants to hear of elections, by topic.
pub(super) struct Elections<W: World>(Subscribers<W>);

impl<W: World> Default for Elections<W> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<W: World> Elections<W> {
    /// All elections of a topic's replicas on this broker, from now on.
    pub(super) fn subscribe(&self, topic: &str) -> mpsc::UnboundedReceiver<Leadership<W>> {
        let (events, receiver) = mpsc::unbounded_channel();
        self.0.lock().entry(topic.into()).or_default().push(events);
        receiver
    }

    fn announce(&self, topic: &str, event: impl Fn() -> Option<Leadership<W>>) {
        let mut subscribers = self.0.lock();
        let Some(of_topic) = subscribers.get_mut(topic) else { return };
        of_topic.retain(|events| event().is_none_or(|event| events.send(event).is_ok()));
    }
}

/// The high watermark of a partition whose leader epoch was subscribed to.
///
/// Several moves between two looks are one: only the newest counts. Both futures may be dropped
/// and asked for again without losing a move.
pub(crate) struct Commits {
    watched: Arc<Watched>,
    seen: Offset,
}

#[derive(Debug)]
struct Watched {
    /// `None` once the leader epoch is over.
    high_watermark: Mutex<Option<Offset>>,
    moved: Notify,
}

/// The leader epoch of a subscription is over: what is not committed by now may never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica leads no longer")]
pub(crate) struct Deposed;

impl Commits {
    /// Everything below is committed.
    pub(crate) fn high_watermark(&self) -> Result<Offset, Deposed> {
        self.watched.high_watermark.lock().ok_or(Deposed)
    }

    /// Waits for the next move of the high watermark, and returns where it is.
    pub(crate) async fn next(&mut self) -> Result<Offset, Deposed> {
        let before = self.seen;
        self.seen = self.beyond(before).await?;
        Ok(self.seen)
    }

    /// Waits until everything below `end` is committed.
    pub(crate) async fn reach(&mut self, end: Offset) -> Result<(), Deposed> {
        while self.high_watermark()? < end {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits until the high watermark is beyond `before`, and returns where it is.
    pub(crate) async fn beyond(&self, before: Offset) -> Result<Offset, Deposed> {
        loop {
            match self.high_watermark()? {
                now if now > before => return Ok(now),
                // A notification that comes before the wait is kept for it.
                _ => self.watched.moved.notified().await,
            }
        }
    }
}

/// The subscriptions to one partition's high watermark.
#[derive(Debug, Default)]
pub(super) struct Watchers(Vec<Arc<Watched>>);

impl Watchers {
    fn add(&mut self, high_watermark: Offset) -> Commits {
        self.0.retain(|watched| Arc::strong_count(watched) > 1);
        let watched = Arc::new(Watched {
            high_watermark: Mutex::new(Some(high_watermark)),
            moved: Notify::new(),
        });
        self.0.push(watched.clone());
        Commits { watched, seen: high_watermark }
    }

    /// The high watermark is at `to` now.
    pub(super) fn moved(&self, to: Offset) {
        self.set(Some(to));
    }

    fn end(&mut self) {
        self.set(None);
        self.0.clear();
    }

    fn set(&self, to: Option<Offset>) {
        for watched in &self.0 {
            *watched.high_watermark.lock() = to;
            watched.moved.notify_one();
        }
    }
}

impl<W: World> State<W> {
    /// Subscribes to the high watermark.
    pub(super) fn watch(&mut self) -> Commits {
        self.watchers.add(self.high_watermark)
    }
}

impl<W: World> Partition<W> {
    /// This replica leads from now on.
    pub(super) fn announce_election(&self, state: &mut State<W>) {
        let Role::Leader(leader) = &state.role else { return };
        let epoch = leader.epoch();
        state.announced = Some(epoch);
        self.site.elections.announce(&self.name.topic, || {
            Some(Leadership::Elected { partition: self.this.upgrade()?, epoch })
        });
    }

    /// This replica leads no longer, if it did.
    pub(super) fn announce_resignation(&self, state: &mut State<W>) {
        state.watchers.end();
        let Some(epoch) = state.announced.take() else { return };
        self.site.elections.announce(&self.name.topic, || {
            Some(Leadership::Resigned { partition: self.this.upgrade()?, epoch })
        });
    }
}
