//! The administrator over real sockets.

use super::*;
use crate::base::BrokerId;
use crate::wire::messages::Uuid;

async fn start(world: &RealWorld) -> (Arc<Toy<RealWorld>>, Admin<RealWorld>) {
    let toy = toy(world, 5).await;
    let settings = [("default.api.timeout.ms", "5000"), ("retry.backoff.ms", "10")];
    let admin = Admin::new(world.clone(), config::<_, AdminConfig>(&toy, &settings)).unwrap();
    (toy, admin)
}

#[test]
fn settings_of_each_resource_are_changed_and_read_back() {
    run(async {
        let (_toy, admin) = start(&RealWorld::new()).await;
        let resources = [
            (ConfigResource::Topic("orders".into()), ConfigSource::Topic),
            (ConfigResource::Broker(BrokerId(1)), ConfigSource::Broker),
            (ConfigResource::AllBrokers, ConfigSource::AllBrokers),
            (ConfigResource::Group("shop".into()), ConfigSource::Group),
        ];
        for (number, (resource, source)) in resources.iter().enumerate() {
            let value = number.to_string();
            let changes =
                [("a", ConfigChange::Set(value.clone())), ("b", ConfigChange::Set("x".into()))];
            admin.incremental_alter_configs(resource, &changes).await.unwrap();
            admin
                .incremental_alter_configs(resource, &[("b", ConfigChange::Delete)])
                .await
                .unwrap();
            let read = admin.describe_configs(resource).await.unwrap();
            assert_eq!(read.keys().collect::<Vec<_>>(), ["a"], "{resource:?}");
            let synonym =
                ConfigSynonym { name: "a".into(), value: Some(value.clone()), source: *source };
            let expected = ConfigEntry {
                value: Some(value),
                read_only: false,
                is_default: false,
                source: *source,
                synonyms: vec![synonym],
            };
            assert_eq!(read["a"], expected, "{resource:?}");
        }
        let other = ConfigResource::Broker(BrokerId(7));
        let refused = admin.describe_configs(&other).await;
        assert_eq!(refused, Err(AdminError::Incomplete("broker 7".into())));
    });
}

#[test]
fn topics_are_described_page_by_page() {
    run(async {
        let (toy, admin) = start(&RealWorld::new()).await;
        let whole = admin.describe_topic_partitions(None).await.unwrap();
        assert_eq!(toy.managed.lock().pages, 1);
        for size in 1..8 {
            toy.managed.lock().pages = 0;
            let pages = admin.describe_by_page(None, size).await.unwrap();
            assert_eq!(pages, whole, "pages of {size}");
            let expected = 7_usize.div_ceil(size as usize);
            assert_eq!(toy.managed.lock().pages, expected, "pages of {size}");
        }
        let shape = |topics: &[TopicDescription]| {
            let shape = topics.iter().map(|topic| (topic.name.clone(), topic.partitions.len()));
            shape.collect::<Vec<_>>()
        };
        assert_eq!(shape(&whole), [("orders".to_owned(), 5), ("payments".to_owned(), 2)]);
        assert_eq!(whole[0].id, Uuid::from_bytes([6; 16]).into());
        assert_eq!(whole[0].partitions[3].elr, [BrokerId(3)]);
        let one = admin.describe_topic_partitions(Some(&["payments"])).await.unwrap();
        assert_eq!(shape(&one), [("payments".to_owned(), 2)]);
        assert_eq!(admin.describe_topic_partitions(Some(&[])).await, Ok(Vec::new()));
    });
}

#[test]
fn topic_is_extended_once_though_the_answer_is_lost() {
    run(async {
        let (toy, admin) = start(&RealWorld::new()).await;
        assert_eq!(admin.create_partitions("orders", 6).await, Ok(()));
        assert_eq!(toy.managed.lock().topics["orders"], 6);
        let again = admin.create_partitions("orders", 6).await;
        assert!(
            matches!(again, Err(AdminError::Broker { error: ErrorCode::InvalidPartitions, .. })),
            "{again:?}"
        );
        let unknown = admin.create_partitions("none", 6).await;
        assert!(matches!(
            unknown,
            Err(AdminError::Broker { error: ErrorCode::UnknownTopicOrPartition, .. })
        ));
        // The controller has done it, and its broker did not hear of that in time.
        toy.managed.lock().lies = Some(ErrorCode::RequestTimedOut);
        assert_eq!(admin.create_partitions("orders", 7).await, Ok(()));
        assert_eq!(toy.managed.lock().topics["orders"], 7);
    });
}

#[test]
fn change_of_settings_is_asked_again_after_a_timeout() {
    run(async {
        let (toy, admin) = start(&RealWorld::new()).await;
        toy.managed.lock().lies = Some(ErrorCode::RequestTimedOut);
        let topic = ConfigResource::Topic("orders".into());
        let change = [("a", ConfigChange::Set("1".into()))];
        assert_eq!(admin.incremental_alter_configs(&topic, &change).await, Ok(()));
        toy.managed.lock().lies = Some(ErrorCode::InvalidConfig);
        let refused = admin.incremental_alter_configs(&topic, &change).await;
        assert!(
            matches!(refused, Err(AdminError::Broker { error: ErrorCode::InvalidConfig, .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn throttled_broker_is_asked_again_only_after_its_pause() {
    run(async {
        let world = RealWorld::new();
        let (toy, admin) = start(&world).await;
        toy.managed.lock().throttle_ms = 300;
        let topic = ConfigResource::Topic("orders".into());
        admin.describe_configs(&topic).await.unwrap();
        let began = world.now();
        toy.managed.lock().throttle_ms = 0;
        admin.describe_configs(&topic).await.unwrap();
        let took = world.now().since(began);
        assert!(took >= Duration::from_millis(290), "{took:?}");
        let began = world.now();
        admin.describe_configs(&topic).await.unwrap();
        assert!(world.now().since(began) < Duration::from_millis(290));
    });
}
