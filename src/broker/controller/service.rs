//! What the controller's listener serves.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::ControllerShell;
use crate::base::config::BrokerConfig;
use crate::broker::api::cluster::api_versions;
use crate::broker::serve::connection::{FileOf, Reply, Service};
use crate::broker::serve::table::{Refused, decode, incoming, respond, respond_with_slices};
use crate::broker::error::NodeError;
use crate::broker::serve::listeners::Purpose;
use crate::io::{Address, World};
use crate::wire::ErrorCode;
use crate::wire::api::key;
use crate::wire::frame::Request;
use crate::wire::messages::{
    AllocateProducerIdsRequest, AlterPartitionRequest, AssignReplicasToDirsRequest,
    BrokerHeartbeatRequest, BrokerRegistrationRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeClusterResponse, FetchRequest, KafkaResponse, message,
};

/// `endpoint_type` of controllers (KIP-919).
const CONTROLLERS: i8 = 2;
/// DescribeCluster's `endpoint_type` of brokers.
const BROKERS: i8 = 1;

/// The controller behind a listener.
pub(crate) struct ControllerService<W: World> {
    pub(crate) shell: Arc<ControllerShell<W>>,
    pub(crate) config: BrokerConfig,
}

impl<W: World> Service<W> for ControllerService<W> {
    async fn answer(&self, frame: BytesMut, _peer: &Address) -> Reply<FileOf<W>> {
        let answered = match incoming(frame, Purpose::Controller) {
            Ok(request) => self.handle(&request).await,
            Err(refused) => Err(refused),
        };
        answered.unwrap_or_else(Refused::into_reply)
    }

    fn max_frame(&self) -> usize {
        usize::try_from(self.config.socket_request_max_bytes).unwrap_or(0)
    }

    fn max_idle(&self) -> Duration {
        self.config.connections_max_idle
    }
}

impl<W: World> ControllerService<W> {
    async fn handle(&self, request: &Request) -> Result<Reply<FileOf<W>>, Refused> {
        let shell = &self.shell;
        match request.header.api_key {
            key::API_VERSIONS => respond(request, &api_versions::handle(Purpose::Controller)),
            key::FETCH => match shell.fetch(decode::<FetchRequest>(request)?).await {
                Ok((response, slices)) => respond_with_slices(request, response, slices),
                Err(error) => Ok(Reply::Close(error.to_string())),
            },
            key::BROKER_REGISTRATION => {
                let body = decode::<BrokerRegistrationRequest>(request)?;
                let decided = shell.decide(|m, now, next| m.register_broker(now, next, &body));
                self.decided(request, decided.await)
            }
            key::BROKER_HEARTBEAT => {
                let body = decode::<BrokerHeartbeatRequest>(request)?;
                let decided = shell.decide(|m, now, _| m.heartbeat(now, &body));
                self.decided(request, decided.await)
            }
            key::ALTER_PARTITION => {
                let body = decode::<AlterPartitionRequest>(request)?;
                let decided = shell.decide(|m, now, _| m.alter_partition(now, &body));
                self.decided(request, decided.await)
            }
            key::ALLOCATE_PRODUCER_IDS => {
                let body = decode::<AllocateProducerIdsRequest>(request)?;
                let decided = shell.decide(|m, now, _| m.allocate_producer_ids(now, &body));
                self.decided(request, decided.await)
            }
            key::ASSIGN_REPLICAS_TO_DIRS => {
                let body = decode::<AssignReplicasToDirsRequest>(request)?;
                let decided = shell.decide(|m, _, _| m.assign_replicas_to_dirs(&body));
                self.decided(request, decided.await)
            }
            key::CREATE_TOPICS => {
                let body = decode::<CreateTopicsRequest>(request)?;
                let decided = shell.decide(|m, now, _| m.create_topics(now, &body));
                self.decided(request, decided.await)
            }
            key::DELETE_TOPICS => {
                let body = decode::<DeleteTopicsRequest>(request)?;
                let decided = shell.decide(|m, now, _| m.delete_topics(now, &body));
                self.decided(request, decided.await)
            }
            key::DESCRIBE_CLUSTER => {
                let body = decode::<DescribeClusterRequest>(request)?;
                let version = request.header.api_version;
                respond(request, &self.describe_cluster(&body, version))
            }
            _ => Err(Refused::not_served(request)),
        }
    }

    /// A committed decision's response. A decision that could not be appended is not answered: the
    /// node is about to end, and whoever asked has to ask its successor.
    fn decided<M: KafkaResponse>(
        &self,
        request: &Request,
        decided: Result<M, NodeError>,
    ) -> Result<Reply<FileOf<W>>, Refused> {
        match decided {
            Ok(response) => respond(request, &response),
            Err(error) => Ok(Reply::Close(error.to_string())),
        }
    }

    fn describe_cluster(
        &self,
        request: &DescribeClusterRequest,
        version: i16,
    ) -> DescribeClusterResponse {
        // Version 0 knows of no other listener than a broker's, in neither direction.
        let endpoint_type = if version == 0 { BROKERS } else { CONTROLLERS };
        if request.endpoint_type != CONTROLLERS {
            return message!(DescribeClusterResponse {
                error_code: ErrorCode::MismatchedEndpointType.code(),
                error_message: Some("this is a controller's listener: ask for type 2".into()),
                endpoint_type: endpoint_type,
            });
        }
        message!(DescribeClusterResponse {
            endpoint_type: endpoint_type,
            cluster_id: self.shell.cluster_id.as_str().into(),
            controller_id: self.shell.me.0,
            cluster_authorized_operations: i32::MIN,
        })
    }
}
