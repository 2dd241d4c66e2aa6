//! The shell around the controller: the metadata log as a journal.
//!
//! | file | contents |
//! |---|---|
//! | `journal` | the metadata log with one voter: what it has synced is committed |
//! | `fetch` | brokers follow the metadata log |
//!
//! Deciding, committing and answering is in `broker/hosted`. A quorum will replace `journal`;
//! nothing else here knows how a record becomes committed.

mod fetch;
mod journal;

use std::sync::Arc;

use self::journal::MetadataJournal;
use super::error::NodeError;
use super::hosted::{Hosted, LoadError, Refused, Stopped};
use super::metadata_log;
use crate::base::{BrokerId, ControllerProbe, Instant, Offset};
use crate::controller::{Controller, Decision, Effect, Image};
use crate::io::World;
use crate::log::{Log, RecoveryMark};

/// One active controller.
pub(crate) struct ControllerShell<W: World> {
    pub(crate) me: BrokerId,
    pub(crate) cluster_id: String,
    hosted: Arc<Hosted<W, Controller, MetadataJournal<W>>>,
}

impl<W: World> ControllerShell<W> {
    /// Takes the metadata log over: replays it, and begins an epoch of its own.
    pub(crate) async fn start(
        world: W,
        me: BrokerId,
        cluster_id: String,
        machine: Controller,
        log: Log<W::Disk>,
    ) -> Result<Arc<Self>, NodeError> {
        let hosted = Hosted::new(world.clone(), MetadataJournal::new(world.clone(), log));
        let mut loading = hosted.load(machine).await.map_err(unloadable)?;
        let now = world.now();
        // Nothing is observed or answered before the epoch is durable.
        let (epoch, end) = hosted.journal().begin_epoch().await?;
        loading.replay(end, Vec::new())?;
        hosted.activate(loading, now);
        world.probe(ControllerProbe::BecameController { id: me, epoch });
        // What an earlier start appended and did not sync was never answered, but it is in the log
        // and counts from now on; so it is made durable before anything builds on it. Some of it
        // was never observed, because the process ended before it was committed.
        hosted.commit_next(Offset::ZERO).await.map_err(stopped)?;
        // A new cluster's log begins with its features.
        hosted.decide_alone(|machine, _, _| machine.bootstrap()).await.map_err(stopped)?;
        Ok(Arc::new(Self { me, cluster_id, hosted }))
    }

    fn world(&self) -> &W {
        self.hosted.world()
    }

    /// The committed metadata.
    pub(crate) fn image(&self) -> Result<Image, NodeError> {
        self.hosted.read(Image::clone).map_err(|_| NodeError::Ended)
    }

    /// This process is broker and controller: as it starts, its own former broker can't be alive.
    pub(crate) fn predecessor_is_gone(&self) -> Result<(), NodeError> {
        self.hosted.affect(Effect::SessionEnded(self.me)).map_err(|_| NodeError::Ended)
    }

    /// Commits decisions and keeps deadlines, for as long as the node lives. A failed sync ends the
    /// controller: what is durable is unknown, and its successor has to find out from the log
    /// (KAFKA-10533).
    pub(crate) async fn serve(self: Arc<Self>) -> Result<(), NodeError> {
        Err(stopped(self.hosted.serve().await))
    }

    /// Decides, and answers once that is committed. The handler is given the time and the offset
    /// of its first record.
    pub(crate) async fn decide<T>(
        &self,
        handler: impl FnOnce(&Controller, Instant, Offset) -> Decision<T>,
    ) -> Result<T, NodeError> {
        self.hosted.decide(handler).await.map_err(undecided)
    }

    /// Ends the controller and leaves its log as a clean stop leaves every log. Decisions that are
    /// durable by then are answered; nothing is decided any more. Returns the log's recovery point.
    pub(crate) async fn close(&self) -> Result<Option<RecoveryMark>, NodeError> {
        let end = self.hosted.journal().sync().await?;
        self.hosted.committed(end)?;
        self.hosted.resign("this node is ending");
        self.hosted.journal().close().await
    }
}

/// Why the metadata log can't be loaded.
fn unloadable(error: LoadError<Controller, NodeError>) -> NodeError {
    match error {
        LoadError::Journal(error) => error,
        LoadError::Batch(error) => metadata_log::bad_batch(error),
        LoadError::Torn(offset) => {
            NodeError::Metadata { offset: offset.0, reason: "no whole batch".into() }
        }
        LoadError::Replay(error) => error.into(),
    }
}

/// Why the controller ended.
fn stopped(stopped: Stopped<Controller, NodeError>) -> NodeError {
    match stopped {
        Stopped::Journal(error) => error,
        Stopped::Replay(error) => error.into(),
        Stopped::Refused(refused) => undecided(refused),
    }
}

/// Why a decision is not answered: the client has to ask again, perhaps another controller.
fn undecided(refused: Refused) -> NodeError {
    NodeError::Undecided(refused.to_string())
}
