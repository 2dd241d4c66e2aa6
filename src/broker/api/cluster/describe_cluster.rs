//! DescribeCluster: who is there (KIP-700).

use std::sync::Arc;

use super::{CLUSTER_OPERATIONS, NO_OPERATIONS};
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
            let text = "this is a broker's listener: ask for brokers (type 1)";
            return refused(request.endpoint_type, CONTROLLERS, BROKERS, text);
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
        let operations = match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => NO_OPERATIONS,
        };
        message!(DescribeClusterResponse {
            endpoint_type: BROKERS,
            cluster_id: broker.cluster_id.as_str().into(),
            controller_id: broker.some_broker(&image).0,
            brokers: brokers.collect(),
            cluster_authorized_operations: operations,
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
            let text = "this is a controller's listener: ask for controllers (type 2)";
            return refused(request.endpoint_type, BROKERS, endpoint_type, text);
        }
        message!(DescribeClusterResponse {
            endpoint_type: endpoint_type,
            cluster_id: controller.cluster_id.as_str().into(),
            controller_id: controller.me.0,
            cluster_authorized_operations: NO_OPERATIONS,
        })
    }
}

/// A request for endpoints of another kind, or of none that there is.
fn refused(asked: i8, other: i8, endpoint_type: i8, text: &'static str) -> DescribeClusterResponse {
    let error = match asked == other {
        true => ErrorCode::MismatchedEndpointType,
        false => ErrorCode::UnsupportedEndpointType,
    };
    message!(DescribeClusterResponse {
        error_code: error.code(),
        error_message: Some(text.into()),
        endpoint_type: endpoint_type,
        cluster_authorized_operations: NO_OPERATIONS,
    })
}
