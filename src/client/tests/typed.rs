//! Serializers, interceptors and callbacks, over real sockets.

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Refuses odd numbers, and adds a header.
struct Even;

impl Serializer<i32> for Even {
    fn serialize(
        &self,
        topic: &str,
        headers: &mut Vec<Header>,
        data: Option<&i32>,
    ) -> Result<Option<Bytes>, String> {
        if data.is_some_and(|number| number % 2 != 0) {
            return Err("it is odd".into());
        }
        headers.push(Header { key: "even".into(), value: Some(topic.to_owned().into()) });
        IntegerSerializer.serialize(topic, headers, data)
    }
}

/// Adds to the value of each record, and fails where it is told to.
struct Adds {
    log: Log,
    add: i32,
    fails: bool,
}

impl Interceptor<String, i32> for Adds {
    fn on_send(
        &self,
        record: &ProducerRecord<String, i32>,
    ) -> Result<ProducerRecord<String, i32>, String> {
        if self.fails {
            return Err("on purpose".into());
        }
        let value = record.value.map(|value| value + self.add);
        Ok(ProducerRecord { value, ..record.clone() })
    }

    fn on_acknowledgement(&self, told: Acknowledgement<'_>) -> Result<(), String> {
        let outcome = told.outcome.as_ref().map(|stored| stored.offset.unwrap());
        let outcome = outcome.map_or_else(|error| error.to_string(), |offset| offset.to_string());
        let Acknowledgement { topic, partition, .. } = told;
        self.log.lock().push(format!("{}: {topic}-{partition:?} {outcome}", self.add));
        if self.fails { Err("on purpose".into()) } else { Ok(()) }
    }

    fn close(&self) {
        self.log.lock().push(format!("{}: closed", self.add));
    }
}

#[test]
fn failing_interceptor_is_skipped_and_failing_serializer_fails_the_send() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let log = Log::default();
        let adds = |add, fails| -> Box<dyn Interceptor<String, i32>> {
            Box::new(Adds { log: Arc::clone(&log), add, fails })
        };
        let producer = Producer::start(world.clone(), config(&toy, &[])).unwrap();
        let interceptors = vec![adds(1, false), adds(10, true), adds(100, false)];
        let producer = TypedProducer::new(producer, StringSerializer, Even, interceptors);
        let record = |value| ProducerRecord::of("orders", Some("key".to_owned()), Some(value));
        let told = Arc::clone(&log);
        let sent = producer
            .send_with(record(1), move |outcome| {
                told.lock().push(format!("callback: {}", outcome.is_ok()));
            })
            .await;
        assert_eq!(sent.unwrap().await.unwrap().offset, Some(Offset(0)));
        let refused = producer.send(record(2)).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "SERIALIZATION_FAILED: value of a record for topic orders: it is odd"
        );
        assert_eq!(producer.metrics().get("record-error-total"), Some(1.0));
        producer.close(Duration::from_secs(10)).await;
        let odd = "SERIALIZATION_FAILED: the record is not stored";
        let mut expected = Vec::new();
        expected.extend([1, 10, 100].map(|add| format!("{add}: orders-Some(0) 0")));
        expected.push("callback: true".into());
        expected.extend([1, 10, 100].map(|add| format!("{add}: orders-None {odd}")));
        expected.extend([1, 10, 100].map(|add| format!("{add}: closed")));
        assert_eq!(*log.lock(), expected);
        let read = read_all(&world, &toy, &[0]).await;
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].key.as_deref(), Some(&b"key"[..]));
        assert_eq!(read[0].value.as_deref(), Some(&102_i32.to_be_bytes()[..]));
        assert_eq!(read[0].headers.len(), 1);
        assert_eq!(read[0].headers[0].key, "even");
    });
}

#[test]
fn callbacks_come_in_order_and_may_send() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let settings = [("batch.size", "150"), ("linger.ms", "1")];
        let producer = Producer::start(world.clone(), config(&toy, &settings)).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for n in 0..50 {
            let (seen, inner) = (Arc::clone(&seen), producer.clone());
            let record = ProducerRecord::new("orders", vec![n; 50]);
            let callback = move |outcome: Result<RecordMetadata, ProduceError>| {
                seen.lock().push((n, outcome.unwrap().offset.unwrap().0));
                if n == 0 {
                    let more = inner.try_send(ProducerRecord::new("orders", "more"));
                    drop(more.expect("there is memory"));
                }
            };
            drop(producer.send_with(record, callback).await);
        }
        producer.flush().await;
        assert!(producer.metrics().get("flush-time-ns-total").unwrap() > 0.0);
        producer.close(Duration::from_secs(10)).await;
        let seen = seen.lock().clone();
        assert_eq!(seen.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1), "in the order of their offsets");
        assert_eq!(read_all(&world, &toy, &[0]).await.len(), 51);
    });
}

#[test]
fn exhausted_memory_fails_a_send_after_max_block_ms() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        // A broker leads that does not exist: the first batch can't leave.
        toy.model.lock().elect(0, 2);
        let settings = [("buffer.memory", "1000"), ("batch.size", "100"), ("max.block.ms", "100")];
        let producer = Producer::start(world.clone(), config(&toy, &settings)).unwrap();
        let first = producer.send(ProducerRecord::new("orders", vec![0; 800])).await;
        let began = world.now();
        let second = producer.send(ProducerRecord::new("orders", vec![0; 800])).await;
        let error = second.await.unwrap_err();
        assert_eq!((error.cause, error.may_be_stored), (ProduceCause::BufferExhausted, false));
        assert!(world.now().since(began) >= Duration::from_millis(100));
        let metrics = producer.metrics();
        assert_eq!(metrics.get("buffer-exhausted-total"), Some(1.0));
        assert!(metrics.get("bufferpool-wait-time-ns-total").unwrap() >= 100e6);
        assert_eq!(metrics.get("record-error-total"), Some(1.0));
        assert_eq!(metrics.get("buffer-available-bytes"), Some(118.0));
        producer.close(Duration::from_millis(10)).await;
        assert_eq!(first.await.unwrap_err().cause, ProduceCause::Closed);
    });
}
