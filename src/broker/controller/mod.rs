//! The shell around the controller: decisions go into the metadata log, are synced, and only then
//! answered.
//!
//! One voter is enough here: what it has synced is committed. This is the place where the quorum
//! will stand; nothing outside this folder knows how a record becomes committed.

mod fetch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::error::NodeError;
use super::metadata_log;
use super::purgatory::DelayedFetch;
use crate::base::config::Compression;
use crate::base::{BrokerId, ControllerProbe, Instant, LeaderEpoch, Offset, Probe};
use crate::controller::{Change, Controller, Decision, Image, Record};
use crate::io::{Disk, World};
use crate::log::Log;
use crate::wire::batch::BatchBuilder;

/// One active controller.
pub(crate) struct ControllerShell<W: World> {
    pub(crate) world: W,
    pub(crate) me: BrokerId,
    pub(crate) cluster_id: String,
    /// Nothing once the log is closed.
    state: Mutex<Option<State<W>>>,
    /// Rung when records wait to be synced.
    appended: Notify,
    /// Rung when the machine's deadline may have moved.
    stirred: Notify,
}

struct State<W: World> {
    machine: Controller,
    log: Log<W::Disk>,
    epoch: LeaderEpoch,
    /// Everything below is synced, and so committed.
    committed: Offset,
    /// What to say once an offset is committed.
    unsaid: VecDeque<(Offset, Vec<Probe>)>,
    waiting: BTreeMap<(Offset, u64), oneshot::Sender<()>>,
    arrivals: u64,
    fetch: DelayedFetch,
}

impl<W: World> ControllerShell<W> {
    /// Metadata as it is now.
    pub(crate) fn image(&self) -> Result<Image, NodeError> {
        Ok(self.state()?.machine.image().clone())
    }

    fn state(&self) -> Result<MappedMutexGuard<'_, State<W>>, NodeError> {
        MutexGuard::try_map(self.state.lock(), Option::as_mut).map_err(|_| NodeError::Ended)
    }

    /// Takes the metadata log over: replays it, and begins an epoch of its own.
    pub(crate) async fn start(
        world: W,
        me: BrokerId,
        cluster_id: String,
        mut machine: Controller,
        mut log: Log<W::Disk>,
    ) -> Result<Arc<Self>, NodeError> {
        let mut changes = Vec::new();
        metadata_log::each_batch(&log, |header, records| {
            for (offset, record) in records {
                machine.replay(offset, &record, &mut changes)?;
            }
            machine.reached(header.last_offset());
            Ok(())
        })?;
        machine.took_over(world.now());
        let epoch = LeaderEpoch(log.latest_epoch().0.max(0) + 1);
        log.begin_epoch(epoch);
        log.save_epochs().await?;
        let state = State {
            machine,
            log,
            epoch,
            committed: Offset::ZERO,
            unsaid: VecDeque::new(),
            waiting: BTreeMap::new(),
            arrivals: 0,
            fetch: DelayedFetch::default(),
        };
        let shell = Arc::new(Self {
            world,
            me,
            cluster_id,
            state: Mutex::new(Some(state)),
            appended: Notify::new(),
            stirred: Notify::new(),
        });
        shell.begin_epoch().await?;
        shell.world.probe(ControllerProbe::BecameController { id: me, epoch });
        // What an earlier start appended and did not sync was never answered, but it is in the log
        // and counts from now on; so it is made durable before anything builds on it.
        shell.sync().await?;
        // Some of it may never have been said, because the process ended before it was committed.
        for probe in changes.iter().filter_map(Change::probe) {
            shell.world.probe(probe);
        }
        shell.begin().await?;
        Ok(shell)
    }

    /// Makes this epoch one that no later start can begin again. A log forgets an epoch that has no
    /// record when it is opened after a crash, so the epoch begins with one, as that of a KRaft
    /// leader begins with a LeaderChangeMessage; nothing is said or answered before it is durable.
    async fn begin_epoch(&self) -> Result<(), NodeError> {
        let plan = {
            let mut state = self.state()?;
            self.append(&mut state, &[Record::NoOp])?;
            state.log.flush_plan()
        };
        let flushed = plan.run().await?;
        self.world.disk().settle().await;
        self.state()?.log.flushed(&flushed);
        Ok(())
    }

    /// A broker in this process means that its predecessor in this process's place is dead.
    pub(crate) fn predecessor_is_gone(&self) -> Result<(), NodeError> {
        self.state()?.machine.session_ended(self.me);
        Ok(())
    }

    /// A new cluster's log begins with its features. The one place where nobody else syncs yet.
    async fn begin(&self) -> Result<(), NodeError> {
        {
            let mut state = self.state()?;
            let records = state.machine.bootstrap().records;
            if records.is_empty() {
                return Ok(());
            }
            self.append(&mut state, &records)?;
        }
        self.sync().await
    }

    /// Syncs what is appended, for as long as the node lives. A failed sync ends the controller:
    /// what is durable is unknown, and its successor has to find out from the log (KAFKA-10533).
    pub(crate) async fn commit(self: Arc<Self>) -> Result<(), NodeError> {
        loop {
            self.appended.notified().await;
            self.sync().await?;
        }
    }

    /// Lets the machine act when its time has come, for as long as the node lives.
    pub(crate) async fn tick(self: Arc<Self>) -> Result<(), NodeError> {
        loop {
            let deadline = self.state()?.machine.deadline().unwrap_or(Instant::NEVER);
            if deadline <= self.world.now() {
                self.decide(|machine, now, _| Decision {
                    records: machine.tick(now),
                    response: (),
                })
                .await?;
            }
            crate::io::timeout(&self.world, deadline, self.stirred.notified()).await;
        }
    }

    /// Decides, appends what was decided, and answers once it is committed. A decision without
    /// records may rest on records that are not committed yet: it waits for them as well.
    pub(crate) async fn decide<T>(
        &self,
        handler: impl FnOnce(&mut Controller, Instant, Offset) -> Decision<T>,
    ) -> Result<T, NodeError> {
        let (response, wait) = {
            let mut state = self.state()?;
            let next = state.log.log_end();
            let decision = handler(&mut state.machine, self.world.now(), next);
            if !decision.records.is_empty() {
                self.append(&mut state, &decision.records)?;
            }
            let end = state.log.log_end();
            (decision.response, (state.committed < end).then(|| state.wait(end)))
        };
        self.stirred.notify_one();
        if let Some(wait) = wait {
            self.appended.notify_one();
            // The sender only goes when the node does.
            if wait.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        Ok(response)
    }

    /// One decision is one batch: all of it is in the log, or none.
    fn append(&self, state: &mut State<W>, records: &[Record]) -> Result<(), NodeError> {
        let now = self.world.wall_clock();
        let mut batch = BatchBuilder::new(Compression::None, now);
        for record in records {
            batch.append(now, None, Some(&record.encode()), &[]);
        }
        let mut bytes = BytesMut::from(&batch.finish_plain()[..]);
        let appended = state.log.append_as_leader(&mut bytes, state.epoch, now);
        let appended = appended.map_err(|error| NodeError::Metadata {
            offset: state.log.log_end().0,
            reason: error.to_string(),
        })?;
        let mut changes = Vec::new();
        for (offset, record) in (appended.base.0..).zip(records) {
            state.machine.replay(Offset(offset), record, &mut changes)?;
        }
        let probes = changes.iter().filter_map(Change::probe).collect();
        state.unsaid.push_back((appended.end, probes));
        Ok(())
    }

    async fn sync(&self) -> Result<(), NodeError> {
        let plan = self.state()?.log.flush_plan();
        let flushed = plan.run().await?;
        self.world.disk().settle().await;
        let end = flushed.upto;
        let mut state = self.state()?;
        state.log.flushed(&flushed);
        if end > state.committed {
            self.world.probe(ControllerProbe::MetadataCommitted { epoch: state.epoch, end });
        }
        // The one that closes may have synced more meanwhile.
        state.committed = state.committed.max(end);
        while state.unsaid.front().is_some_and(|(offset, _)| *offset <= end) {
            for probe in state.unsaid.pop_front().map(|(_, probes)| probes).unwrap_or_default() {
                self.world.probe(probe);
            }
        }
        let later = state.waiting.split_off(&(end.next(), 0));
        for (_, done) in std::mem::replace(&mut state.waiting, later) {
            let _ = done.send(());
        }
        state.fetch.wake();
        Ok(())
    }

    /// Ends the controller and leaves its log as a clean stop leaves every log. Whoever was to be
    /// answered once a record is durable is; nothing is decided any more.
    pub(crate) async fn close(&self) -> Result<(), NodeError> {
        self.sync().await?;
        let Some(mut state) = self.state.lock().take() else { return Ok(()) };
        state.fetch.wake();
        state.log.close().await?;
        self.world.disk().settle().await;
        Ok(())
    }
}

impl<W: World> State<W> {
    fn wait(&mut self, end: Offset) -> oneshot::Receiver<()> {
        let (done, waiter) = oneshot::channel();
        self.arrivals += 1;
        self.waiting.insert((end, self.arrivals), done);
        waiter
    }
}
