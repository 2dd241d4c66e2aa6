//! DescribeCluster: who is there (KIP-700).

use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_cluster_response::DescribeClusterBroker;
use crate::wire::messages::{DescribeClusterRequest, DescribeClusterResponse, message};

/// `endpoint_type` (KIP-919).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// "Not asked for", in a bit field of authorized operations.
const NO_OPERATIONS: i32 = i32::MIN;

pub(in crate::broker) struct DescribeCluster;

impl<W: World> Handler<Broker<W>> for DescribeCluster {
    type Request = DescribeClusterRequest;
    type Response = DescribeClusterResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DescribeClusterRequest,
        context: Context<'_>,
    ) -> DescribeClusterResponse {
        let version = context.version;
        if version >= 1 && request.endpoint_type != BROKERS {
            return message!(DescribeClusterResponse {
                error_code: ErrorCode::MismatchedEndpointType.code(),
                error_message: Some("this is a broker's listener: ask for brokers (type 1)".into()),
                endpoint_type: BROKERS,
                cluster_authorized_operations: NO_OPERATIONS,
            });
        }
        let image = broker.image();
        let brokers = image.brokers().filter(|(_, b)| request.include_fenced_brokers || !b.fenced);
        let brokers = brokers.filter_map(|(id, registered)| {
            let address = image.address(id, context.session.listener())?;
            Some(message!(DescribeClusterBroker {
                broker_id: id.0,
                host: address.host.as_str().into(),
                port: i32::from(address.port),
                rack: registered.rack.as_deref().map(Into::into),
                is_fenced: registered.fenced,
            }))
        });
        message!(DescribeClusterResponse {
            endpoint_type: BROKERS,
            cluster_id: broker.cluster_id.as_str().into(),
            controller_id: broker.some_broker(&image).0,
            brokers: brokers.collect(),
            cluster_authorized_operations: NO_OPERATIONS,
        })
    }
}

impl<W: World> Handler<ControllerShell<W>> for DescribeCluster {
    type Request = DescribeClusterRequest;
    type Response = DescribeClusterResponse;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: DescribeClusterRequest,
        context: Context<'_>,
    ) -> DescribeClusterResponse {
        // Version 0 has no endpoint types: its response can only have that of brokers.
        let endpoint_type = if context.version == 0 { BROKERS } else { CONTROLLERS };
        if request.endpoint_type != CONTROLLERS {
            return message!(DescribeClusterResponse {
                error_code: ErrorCode::MismatchedEndpointType.code(),
                error_message: Some("this is a controller's listener: ask for type 2".into()),
                endpoint_type: endpoint_type,
            });
        }
        message!(DescribeClusterResponse {
            endpoint_type: endpoint_type,
            cluster_id: controller.cluster_id.as_str().into(),
            controller_id: controller.me.0,
            cluster_authorized_operations: NO_OPERATIONS,
        })
    }
}
