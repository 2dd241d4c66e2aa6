//! One row for each API: versions, listeners, handler.

use std::sync::Arc;

use super::{admin, cluster, groups, records, topics, txn};
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Call, Handler, Role, call};
use crate::broker::serve::listeners::ListenerType;
use crate::controller::Image;
use crate::io::World;
use crate::io::real::RealWorld;
use crate::wire::api::Api;

/// One API: which versions are served, and by which handler on which listener.
struct Row<W: World> {
    api: Api,
    broker: Option<Call<Broker<W>>>,
    controller: Option<Call<ControllerShell<W>>>,
}

/// The versions from `min` to `max`, on the listeners of brokers.
const fn broker<W: World, H: Handler<Broker<W>>>(min: i16, max: i16) -> Row<W> {
    let api = Api::of::<H::Request>(min, max);
    Row { api, broker: Some(call::<Broker<W>, H>), controller: None }
}

/// The same, on the listeners of controllers.
const fn controller<W: World, H: Handler<ControllerShell<W>>>(min: i16, max: i16) -> Row<W> {
    let api = Api::of::<H::Request>(min, max);
    Row { api, broker: None, controller: Some(call::<ControllerShell<W>, H>) }
}

/// The same, on both.
const fn both<W: World, H>(min: i16, max: i16) -> Row<W>
where
    H: Handler<Broker<W>>,
    H: Handler<ControllerShell<W>, Request = <H as Handler<Broker<W>>>::Request>,
{
    Row { controller: Some(call::<ControllerShell<W>, H>), ..broker::<W, H>(min, max) }
}

impl<W: World> Row<W> {
    /// By key.
    const ALL: &'static [Self] = &[
        // librdkafka before 2.11.1 takes a missing Produce v0 for "no compression" (KAFKA-18659), so
        // it is advertised, as Apache Kafka does, and not served.
        broker::<W, records::Produce>(3, 13).advertised_from(0),
        both::<W, records::Fetch>(4, 18),
        broker::<W, records::ListOffsets>(1, 11),
        broker::<W, cluster::Metadata>(0, 13),
        broker::<W, groups::OffsetCommit>(2, 10),
        broker::<W, groups::OffsetFetch>(1, 10),
        broker::<W, groups::FindCoordinator>(0, 6),
        broker::<W, groups::JoinGroup>(0, 9),
        broker::<W, groups::Heartbeat>(0, 4),
        broker::<W, groups::LeaveGroup>(0, 5),
        broker::<W, groups::SyncGroup>(0, 5),
        broker::<W, groups::DescribeGroups>(0, 6),
        broker::<W, groups::ListGroups>(0, 5),
        both::<W, cluster::ApiVersions>(0, 4),
        both::<W, topics::CreateTopics>(2, 7),
        both::<W, topics::DeleteTopics>(1, 6),
        broker::<W, records::DeleteRecords>(0, 2),
        broker::<W, txn::InitProducerId>(0, 5),
        broker::<W, records::OffsetForLeaderEpoch>(2, 4),
        broker::<W, txn::AddPartitionsToTxn>(0, 5),
        broker::<W, txn::AddOffsetsToTxn>(0, 4),
        broker::<W, txn::EndTxn>(0, 5),
        broker::<W, records::WriteTxnMarkers>(1, 2),
        broker::<W, groups::TxnOffsetCommit>(0, 5),
        broker::<W, admin::DescribeConfigs>(1, 4),
        both::<W, admin::AlterConfigs>(0, 2),
        broker::<W, admin::DescribeLogDirs>(1, 4),
        both::<W, topics::CreatePartitions>(0, 3),
        broker::<W, groups::DeleteGroups>(0, 2),
        both::<W, topics::ElectLeaders>(0, 2),
        both::<W, admin::IncrementalAlterConfigs>(0, 1),
        broker::<W, groups::OffsetDelete>(0, 0),
        controller::<W, cluster::AlterPartition>(2, 3),
        both::<W, cluster::UpdateFeatures>(0, 2),
        both::<W, cluster::DescribeCluster>(0, 2),
        broker::<W, records::DescribeProducers>(0, 0),
        controller::<W, cluster::BrokerRegistration>(0, 4),
        controller::<W, cluster::BrokerHeartbeat>(0, 1),
        broker::<W, txn::DescribeTransactions>(0, 0),
        broker::<W, txn::ListTransactions>(0, 2),
        controller::<W, cluster::AllocateProducerIds>(0, 0),
        broker::<W, groups::ConsumerGroupHeartbeat>(0, 1),
        broker::<W, groups::ConsumerGroupDescribe>(0, 1),
        controller::<W, cluster::AssignReplicasToDirs>(0, 0),
        broker::<W, cluster::DescribeTopicPartitions>(0, 0),
    ];

    const fn advertised_from(mut self, min: i16) -> Self {
        self.api.advertised_min = min;
        self
    }

    fn find(key: i16) -> Option<&'static Self> {
        let at = Self::ALL.binary_search_by_key(&key, |row| row.api.key).ok()?;
        Self::ALL.get(at)
    }
}

impl<W: World> Role for Broker<W> {
    type World = W;

    fn apis() -> impl Iterator<Item = &'static Api> {
        Row::<W>::ALL.iter().filter(|row| row.broker.is_some()).map(|row| &row.api)
    }

    fn metadata(&self) -> Option<Arc<Image>> {
        Some(self.image())
    }

    fn find(key: i16) -> Option<(&'static Api, Call<Self>)> {
        Row::<W>::find(key).and_then(|row| Some((&row.api, row.broker?)))
    }
}

impl<W: World> Role for ControllerShell<W> {
    type World = W;

    fn apis() -> impl Iterator<Item = &'static Api> {
        Row::<W>::ALL.iter().filter(|row| row.controller.is_some()).map(|row| &row.api)
    }

    fn metadata(&self) -> Option<Arc<Image>> {
        self.image().ok().map(Arc::new)
    }

    fn find(key: i16) -> Option<(&'static Api, Call<Self>)> {
        Row::<W>::find(key).and_then(|row| Some((&row.api, row.controller?)))
    }
}

/// Every API that is served on listeners of a type, by key.
pub fn served(listener: ListenerType) -> Vec<&'static Api> {
    // What is served is the same in every world.
    match listener {
        ListenerType::Broker => Broker::<RealWorld>::apis().collect(),
        ListenerType::Controller => ControllerShell::<RealWorld>::apis().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api;
    use crate::wire::messages::{
        BrokerHeartbeatRequest, FetchRequest, KafkaRequest, ProduceRequest,
    };

    fn serves<R: KafkaRequest>(listener: ListenerType, version: i16) -> bool {
        let key = R::API_KEY.value();
        served(listener).iter().any(|api| api.key == key && api.serves(version))
    }

    #[test]
    fn rows_are_ordered_by_key_and_each_is_on_some_listener() {
        let rows = Row::<RealWorld>::ALL;
        assert!(rows.windows(2).all(|pair| pair[0].api.key < pair[1].api.key));
        assert!(rows.iter().all(|row| row.broker.is_some() || row.controller.is_some()));
    }

    #[test]
    fn each_listener_serves_its_own_apis() {
        assert!(serves::<ProduceRequest>(ListenerType::Broker, 3));
        assert!(!serves::<ProduceRequest>(ListenerType::Broker, 2), "advertised, not served");
        assert!(!serves::<ProduceRequest>(ListenerType::Controller, 9));
        assert!(serves::<FetchRequest>(ListenerType::Controller, 17));
        assert!(!serves::<BrokerHeartbeatRequest>(ListenerType::Broker, 0));
    }

    #[test]
    fn produce_is_advertised_from_version_0_for_old_clients() {
        let response = api::versions(served(ListenerType::Broker));
        let produce = response.api_keys.iter().find(|range| range.api_key == 0).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
        assert_eq!(response.error_code, 0);
    }

    #[test]
    fn a_refused_api_versions_names_the_versions_that_are_served() {
        let row = Broker::<RealWorld>::find(18).unwrap();
        let response = api::unsupported_versions(row.0);
        let ranges = response.api_keys.iter().map(|r| (r.api_key, r.min_version, r.max_version));
        assert_eq!(ranges.collect::<Vec<_>>(), [(18, 0, 4)]);
        assert_eq!(response.error_code, 35);
    }
}
