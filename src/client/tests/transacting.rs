//! Transactions over real sockets, against a broker that breaks connections before and after it has
//! done what it was asked.

use std::collections::BTreeSet;

use super::*;

/// Makes the same call until its outcome is known.
async fn until_known<F: Future<Output = Result<(), TransactionError>>>(
    call: impl Fn() -> F,
) -> Result<(), TransactionError> {
    loop {
        match call().await {
            Err(error) if error.is_retriable() => {}
            told => return told,
        }
    }
}

fn group(generation: i32) -> GroupMetadata {
    GroupMetadata { group: "shop".into(), generation, member: "m".into(), instance: None }
}

/// Commits or aborts transactions of five records, and returns what is committed.
async fn transact(world: &RealWorld, toy: &Toy<RealWorld>, count: usize) -> BTreeSet<String> {
    let settings = [("transactional.id", "till"), ("retry.backoff.ms", "1"), ("linger.ms", "1")];
    let config = config::<_, ProducerConfig>(toy, &settings);
    let mut producer = Producer::start(world.clone(), config.clone()).unwrap();
    until_known(|| producer.init_transactions()).await.unwrap();
    let mut committed = BTreeSet::new();
    let (mut number, mut attempt) = (0, 0);
    while number < count {
        attempt += 1;
        let values: Vec<_> = (0..5).map(|nth| format!("{attempt}.{nth}")).collect();
        producer.begin_transaction().unwrap();
        for (partition, value) in (0..5).zip(&values) {
            let record = ProducerRecord::new("orders", value.clone()).to_partition(partition % 2);
            drop(producer.send(record).await);
        }
        let offsets = [(TopicPartition::new("in", 0), CommittedOffset::at(Offset(number as i64)))];
        let aborts = attempt % 7 == 0;
        let mut told = producer.send_offsets_to_transaction(offsets, group(4)).await;
        if told.is_ok() && aborts {
            told = until_known(|| producer.abort_transaction()).await;
        } else if told.is_ok() {
            told = until_known(|| producer.commit_transaction()).await;
        }
        match told {
            Ok(()) if aborts => {}
            Ok(()) => {
                committed.extend(values);
                number += 1;
            }
            Err(error) if error.is_abortable() => {
                until_known(|| producer.abort_transaction()).await.unwrap();
            }
            // The model takes a request that is carried out twice for another producer's.
            Err(error) => {
                assert!(error.is_fenced(), "{error}");
                producer.close(Duration::ZERO).await;
                producer = Producer::start(world.clone(), config.clone()).unwrap();
                until_known(|| producer.init_transactions()).await.unwrap();
            }
        }
    }
    producer.close(Duration::from_secs(5)).await;
    committed
}

async fn read_committed(world: &RealWorld, toy: &Toy<RealWorld>) -> Vec<String> {
    let settings = [("auto.offset.reset", "earliest"), ("isolation.level", "read_committed")];
    let config = config::<_, ConsumerConfig>(toy, &settings);
    let mut consumer = Consumer::new(world.clone(), config).unwrap();
    let partitions: Vec<_> = (0..2).map(|index| TopicPartition::new("orders", index)).collect();
    consumer.assign(partitions.clone());
    let end = |index: &TopicPartition| toy.model.lock().log(index.partition).end();
    let mut values = Vec::new();
    while partitions.iter().any(|p| consumer.position(p).is_none_or(|at| at < end(p))) {
        for record in consumer.poll(Duration::from_millis(100)).await.unwrap() {
            values.push(String::from_utf8(record.value.unwrap().into()).unwrap());
        }
    }
    values
}

async fn start(world: &RealWorld, level: i16, chaos: bool) -> Arc<Toy<RealWorld>> {
    let chaos = chaos.then(|| Seed(11).stream(Stream::named("toy")));
    let toy = Toy::start(world, Address::new("127.0.0.1", 0), 2, chaos).await;
    toy.transaction_level.store(level, Ordering::Relaxed);
    toy.model.lock().coordinate("till", Ok(1));
    toy.model.lock().coordinate("shop", Ok(1));
    toy.model.lock().transactions().generations.insert("shop".into(), 4);
    toy
}

#[test]
fn committed_records_are_read_once_though_replies_are_lost() {
    for level in [1, 2] {
        run(async {
            let world = RealWorld::new();
            let toy = start(&world, level, true).await;
            let committed = transact(&world, &toy, 30).await;
            let read = read_committed(&world, &toy).await;
            let once: BTreeSet<_> = read.iter().cloned().collect();
            assert_eq!(once.len(), read.len(), "a record is there twice");
            assert!(once.is_superset(&committed), "{:?}", committed.difference(&once));
            // An outcome that a fenced producer never learned is whole or nothing.
            let extra: Vec<_> = once.difference(&committed).collect();
            assert!(extra.len().is_multiple_of(5), "{extra:?}");
            let offset = toy.model.lock().transactions().committed["shop"][&("in".into(), 0)];
            assert_eq!(offset, 29);
        });
    }
}

#[test]
fn second_producer_fences_the_first_and_reads_its_own_epoch() {
    run(async {
        let world = RealWorld::new();
        let toy = start(&world, 2, false).await;
        let settings = [("transactional.id", "till")];
        let start = || {
            let config = config::<_, ProducerConfig>(&toy, &settings);
            Producer::start(world.clone(), config).unwrap()
        };
        let (old, new) = (start(), start());
        old.init_transactions().await.unwrap();
        old.begin_transaction().unwrap();
        let record = ProducerRecord::new("orders", "of the old one").to_partition(0);
        old.send(record).await.await.unwrap();
        new.init_transactions().await.unwrap();
        let error = old.commit_transaction().await.unwrap_err();
        assert_eq!(
            (error.name(), error.class),
            ("PRODUCER_FENCED", ErrorClass::ApplicationRecoverable)
        );
        new.begin_transaction().unwrap();
        let record = ProducerRecord::new("orders", "of the new one").to_partition(0);
        drop(new.send(record).await);
        new.commit_transaction().await.unwrap();
        assert!(new.metrics().get("txn-commit-time-ns-total").unwrap() > 0.0);
        assert_eq!(read_committed(&world, &toy).await, ["of the new one"]);
    });
}
