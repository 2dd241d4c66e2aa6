//! The settings of the metadata quorum.

use super::bounds::Bounds::{Any, NotEmpty};
use super::foreign::{Foreign, harmless};
use super::{Bounds, Kind, settings};

settings! {
    /// The settings of the metadata quorum. Source: Kafka's `QuorumConfig` and `KRaftConfigs`.
    pub struct QuorumConfig, foreign [FOREIGN] {
        controller_quorum_voters: Vec<String> = "", "controller.quorum.voters", Any,
            "The controllers, as `id@host:port`; empty: this node alone";
        controller_listener_names: Vec<String> = "CONTROLLER", "controller.listener.names", NotEmpty,
            "The names of the listeners that serve the controller";
        metadata_log_dir: String = "", "metadata.log.dir", Any,
            "The directory that holds the metadata log; empty: the first of `log.dirs`";
    }
}

/// Keys of Kafka for the quorum that have no effect: it has one controller.
pub(super) const FOREIGN: &[Foreign] = &[
    harmless("controller.performance.sample.period.ms", "60000")
        .typed(Kind::Long, Bounds::AtLeast(100)),
    harmless("controller.performance.always.log.threshold.ms", "2000")
        .typed(Kind::Long, Bounds::AtLeast(0)),
    harmless("metadata.log.max.record.bytes.between.snapshots", "20971520")
        .typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("metadata.log.max.snapshot.interval.ms", "3600000")
        .typed(Kind::Long, Bounds::AtLeast(0)),
    harmless("metadata.log.segment.bytes", "1073741824")
        .typed(Kind::Int, Bounds::AtLeast(8_388_608)),
    harmless("metadata.log.segment.ms", "604800000").typed(Kind::Long, Bounds::Any),
    harmless("metadata.max.retention.bytes", "104857600").typed(Kind::Long, Bounds::Any),
    harmless("metadata.max.retention.ms", "604800000").typed(Kind::Long, Bounds::Any),
    harmless("metadata.max.idle.interval.ms", "500").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("internal.metadata.log.segment.bytes", "").typed(Kind::Int, Bounds::Any),
    harmless("internal.metadata.max.batch.size.in.bytes", "8388608").typed(Kind::Int, Bounds::Any),
    harmless("internal.metadata.delete.delay.millis", "60000").typed(Kind::Long, Bounds::Any),
    harmless("controller.quorum.bootstrap.servers", "").typed(Kind::List, Bounds::Any),
    harmless("controller.quorum.election.timeout.ms", "1000").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("controller.quorum.fetch.timeout.ms", "2000").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("controller.quorum.election.backoff.max.ms", "1000")
        .typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("controller.quorum.append.linger.ms", "25").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("controller.quorum.request.timeout.ms", "2000").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("controller.quorum.retry.backoff.ms", "20").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("controller.quorum.auto.join.enable", "false").typed(Kind::Boolean, Bounds::Any),
    harmless("controller.quorum.fetch.snapshot.max.bytes", "1048576")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("controller.quorum.fetch.max.bytes", "1048576").typed(Kind::Int, Bounds::AtLeast(1)),
];
