//! A broker's standing with the controller: registration, heartbeats, controlled shutdown
//! (KIP-631).

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use super::context::Broker;
use super::dir_failures;
use super::error::NodeError;
use super::serve::listeners::{ListenerType, OwnListener};
use crate::base::{BrokerEpoch, NodeProbe, Offset, Stream};
use crate::io::{World, timeout};
use crate::wire::ErrorCode;
use crate::wire::messages::broker_registration_request::{Feature, Listener};
use crate::wire::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, Uuid, message,
};

/// `metadata.version` of Kafka 4.0 (`MetadataVersion.IBP_4_0_IV3`), the one this node can read.
const METADATA_VERSION: i16 = 25;

/// Pause between tries to register.
const RETRY: Duration = Duration::from_millis(100);

/// Longest time that one registration or heartbeat may take.
const PATIENCE: Duration = Duration::from_millis(4500);

/// Registers this start of the broker. `previous` is the epoch that a clean shutdown left behind;
/// without it the controller knows that unsynced data may be lost (KIP-966).
pub(crate) async fn register<W: World>(
    broker: &Arc<Broker<W>>,
    listeners: &[OwnListener],
    previous: BrokerEpoch,
) -> Result<(), NodeError> {
    let request = registration(broker, listeners, previous);
    let limit = broker.config.node.initial_broker_registration_timeout;
    let end = broker.world.now() + limit;
    let mut reason;
    loop {
        let deadline = end.min(broker.world.now() + PATIENCE);
        match broker.controller.call(&request, deadline).await {
            Ok(answer) if answer.error_code == 0 => {
                let epoch = BrokerEpoch(answer.broker_epoch);
                broker.set_epoch(epoch);
                broker.world.probe(NodeProbe::Registered { epoch });
                return Ok(());
            }
            Ok(answer) => match ErrorCode::from_code(answer.error_code) {
                // Not transient: waiting would not fix it.
                error @ (ErrorCode::InconsistentClusterId
                | ErrorCode::InvalidRegistration
                | ErrorCode::UnsupportedVersion) => {
                    return Err(NodeError::Registration { seconds: 0, reason: error.to_string() });
                }
                // A former start of this broker may not have been missed yet.
                error => reason = error.to_string(),
            },
            Err(error) => reason = error.to_string(),
        }
        if broker.world.now() + RETRY >= end {
            return Err(NodeError::Registration { seconds: limit.as_secs(), reason });
        }
        broker.world.sleep_until(broker.world.now() + RETRY).await;
    }
}

fn registration<W: World>(
    broker: &Broker<W>,
    listeners: &[OwnListener],
    previous: BrokerEpoch,
) -> BrokerRegistrationRequest {
    let mut incarnation = [0; 16];
    broker.world.random(Stream::named("incarnation")).fill_bytes(&mut incarnation);
    let served = listeners.iter().filter(|listener| listener.kind == ListenerType::Broker);
    let advertised = served.map(|OwnListener { advertised, .. }| {
        message!(Listener {
            name: advertised.name.as_str().into(),
            host: advertised.address.host.as_str().into(),
            port: advertised.address.port,
            security_protocol: advertised.protocol.0,
        })
    });
    let rack = Some(&broker.config.node.broker_rack).filter(|rack| !rack.is_empty());
    message!(BrokerRegistrationRequest {
        broker_id: broker.me.0,
        cluster_id: broker.cluster_id.as_str().into(),
        incarnation_id: Uuid::from_bytes(incarnation),
        listeners: advertised.collect(),
        features: vec![message!(Feature {
            name: "metadata.version".into(),
            min_supported_version: METADATA_VERSION,
            max_supported_version: METADATA_VERSION,
        })],
        rack: rack.map(|rack| rack.as_str().into()),
        log_dirs: broker.replicas.dirs().online_ids().into_iter().map(Uuid::from).collect(),
        previous_broker_epoch: previous.0,
    })
}

/// Sends heartbeats for as long as the node lives.
pub(crate) async fn heartbeat<W: World>(broker: Arc<Broker<W>>) {
    // A broker that leaves says so itself; another word of this task would bring it back.
    while !broker.is_leaving() {
        let next = broker.world.now() + broker.config.node.broker_heartbeat_interval;
        let caught_up = match beat(&broker, broker.is_leaving()).await {
            Some(answer) => !answer.is_fenced,
            None => false,
        };
        // A broker that is not in yet asks more often: others wait for it.
        let soon = broker.world.now() + Duration::from_millis(50);
        let next = if caught_up { next } else { soon.min(next) };
        timeout(&broker.world, next, broker.heartbeat_due.notified()).await;
    }
}

/// Asks the controller to move leadership away, until it says that this broker may go.
pub(crate) async fn leave<W: World>(broker: &Arc<Broker<W>>, patience: Duration) {
    broker.set_leaving();
    let end = broker.world.now() + patience;
    while broker.world.now() < end {
        match beat(broker, true).await {
            Some(answer) if answer.should_shut_down => return,
            _ => broker.world.sleep_until(broker.world.now() + RETRY).await,
        }
    }
    tracing::warn!("the controller did not let this broker go in time; it goes all the same");
}

async fn beat<W: World>(
    broker: &Arc<Broker<W>>,
    want_shut_down: bool,
) -> Option<BrokerHeartbeatResponse> {
    let offline = dir_failures::to_report(broker);
    let request = message!(BrokerHeartbeatRequest {
        broker_id: broker.me.0,
        broker_epoch: broker.epoch().0,
        current_metadata_offset: broker.image().offset().unwrap_or(Offset::NONE).0,
        want_fence: false,
        want_shut_down: want_shut_down,
        offline_log_dirs: offline.iter().map(|id| Uuid::from(*id)).collect(),
    });
    let deadline = broker.world.now() + PATIENCE.min(broker.config.node.broker_session_timeout);
    match broker.controller.call(&request, deadline).await {
        Ok(answer) if answer.error_code == 0 => {
            dir_failures::reported(broker, &offline);
            Some(answer)
        }
        Ok(answer) => {
            tracing::info!(error = %ErrorCode::from_code(answer.error_code), "heartbeat refused");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "heartbeat failed");
            None
        }
    }
}
