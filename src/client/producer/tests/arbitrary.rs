//! Arbitrary sends, answers and losses: memory never leaks, and records keep their order.

use proptest::prelude::*;

use super::*;
use crate::base::LeaderEpoch;
use crate::client::testing::ModelLog;

const PARTITIONS: usize = 3;
const MEMORY: u64 = 4000;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Stored,
    Refused,
    TooLarge,
    NeverLeft,
    /// Without an answer, and stored or not.
    Lost {
        stored: bool,
    },
}

#[derive(Clone, Debug)]
enum Action {
    Send { partition: Option<i32>, size: usize },
    Answer { nth: usize, fate: Fate },
    Pass(u64),
    GiveUp,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let partition = prop::option::of(0..PARTITIONS as i32);
    let fate = prop_oneof![
        4 => Just(Fate::Stored),
        1 => Just(Fate::Refused),
        1 => Just(Fate::TooLarge),
        1 => Just(Fate::NeverLeft),
        2 => any::<bool>().prop_map(|stored| Fate::Lost { stored }),
    ];
    let size = prop_oneof![9 => 8..300usize, 1 => 8..1500usize];
    let one = prop_oneof![
        6 => (partition, size).prop_map(|(partition, size)| Action::Send { partition, size }),
        4 => (0..6usize, fate).prop_map(|(nth, fate)| Action::Answer { nth, fate }),
        2 => (0..3000u64).prop_map(Action::Pass),
        1 => Just(Action::GiveUp),
    ];
    prop::collection::vec(one, 1..150)
}

/// A sender that waits for memory.
struct Waiter {
    record: ProducerRecord,
    bytes: u64,
    since: Instant,
    granted: tokio::sync::oneshot::Receiver<()>,
}

struct World {
    stage: Stage,
    logs: Vec<ModelLog>,
    waiter: Option<Waiter>,
    sent: usize,
    deliveries: Vec<(String, Delivery)>,
}

impl World {
    fn new(settings: &[(&str, &str)]) -> Self {
        let memory = MEMORY.to_string();
        let mut all = vec![("buffer.memory", &*memory), ("batch.size", "700"), ("linger.ms", "5")];
        all.extend_from_slice(settings);
        let mut stage = Stage::new(&all);
        stage.leaders = Some(vec![(1, 5); PARTITIONS]);
        let logs = (0..PARTITIONS).map(|_| ModelLog::default()).collect();
        Self { stage, logs, waiter: None, sent: 0, deliveries: Vec::new() }
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Send { partition, size } if self.waiter.is_none() => {
                let value = format!("{:08}{}", self.sent, "x".repeat(size - 8));
                self.sent += 1;
                let mut record = ProducerRecord::new("orders", value);
                record.partition = *partition;
                self.append(record, None);
                self.stage.step(Input::Tick);
            }
            Action::Send { .. } => {}
            Action::Answer { nth, fate } => {
                let nth = nth % self.stage.orders.len().max(1);
                if let Some(order) = self.stage.orders.remove(nth) {
                    self.answer(&order, *fate);
                }
            }
            Action::Pass(millis) => self.stage.pass(Duration::from_millis(*millis)),
            Action::GiveUp => {
                if self.waiter.take().is_some() {
                    self.stage.core.stopped_waiting();
                }
            }
        }
        self.grant();
        self.stage.core.check();
        let used = MEMORY as f64 - self.metric("buffer-available-bytes");
        assert!((0.0..=MEMORY as f64).contains(&used), "{used} bytes are used");
    }

    fn metric(&self, name: &str) -> f64 {
        self.stage.core.metrics(self.stage.now).get(name).unwrap()
    }

    fn append(&mut self, record: ProducerRecord, granted: Option<Granted>) {
        let value = String::from_utf8_lossy(&record.value.as_ref().unwrap()[..8]).into_owned();
        match self.stage.core.append(self.stage.now, Timestamp(1000), record, granted) {
            Taken::Yes(delivery) => self.deliveries.push((value, delivery)),
            Taken::NoMemory { record, bytes, .. } => {
                assert!(granted.is_none(), "memory was granted");
                let (granted, _) = self.stage.core.wait_for_memory(bytes);
                let since = self.stage.now;
                self.waiter = Some(Waiter { record, bytes, since, granted });
            }
        }
    }

    /// Lets the sender go on that got memory.
    fn grant(&mut self) {
        while let Some(mut waiter) = self.waiter.take() {
            if waiter.granted.try_recv().is_err() {
                self.waiter = Some(waiter);
                return;
            }
            let Waiter { record, bytes, since, .. } = waiter;
            self.append(record, Some(Granted { bytes, since }));
            self.stage.step(Input::Tick);
        }
    }

    fn answer(&mut self, order: &Order, fate: Fate) {
        match fate {
            Fate::Stored => {
                let outcome = Outcome::Answered(Box::new(self.store(order)));
                self.stage.step(Input::Produced { request: order.request, outcome });
            }
            Fate::Refused => self.stage.refuse(order, ErrorCode::NotEnoughReplicas),
            Fate::TooLarge => self.stage.refuse(order, ErrorCode::MessageTooLarge),
            Fate::NeverLeft => self.stage.lose(order, false),
            Fate::Lost { stored } => {
                if stored {
                    self.store(order);
                }
                self.stage.lose(order, true);
            }
        }
    }

    fn store(&mut self, order: &Order) -> ProduceResponse {
        let mut answer = ProduceResponse::default();
        for topic in &order.message.topic_data {
            let mut told = TopicProduceResponse::default();
            told.name = topic.name.clone();
            for data in &topic.partition_data {
                let log = &mut self.logs[data.index as usize];
                let stored = log.append(data.records.as_ref().unwrap(), LeaderEpoch(5));
                let mut partition = PartitionProduceResponse::default();
                partition.index = data.index;
                partition.log_append_time_ms = -1;
                match stored {
                    Ok(base) => partition.base_offset = base.0,
                    Err(error) => partition.error_code = error.code(),
                }
                told.partition_responses.push(partition);
            }
            answer.responses.push(told);
        }
        answer
    }

    /// Answers everything until each record has its verdict.
    fn finish(&mut self) {
        for _ in 0..1000 {
            while let Some(order) = self.stage.orders.pop_front() {
                self.answer(&order, Fate::Stored);
            }
            self.grant();
            self.stage.pass(Duration::from_secs(1));
            let is_idle = self.stage.core.begin_flush().is_empty();
            self.stage.core.end_flush();
            if is_idle && self.stage.orders.is_empty() && self.waiter.is_none() {
                return;
            }
        }
        panic!("records without a verdict remain");
    }

    /// The numbers of the records in each log.
    fn stored(&self) -> Vec<Vec<String>> {
        let number = |value: &[u8]| String::from_utf8_lossy(&value[..8]).into_owned();
        let log = |log: &ModelLog| log.values().iter().map(|(_, value)| number(value)).collect();
        self.logs.iter().map(log).collect()
    }
}

/// Runs the actions and then a quiet time. Checks what holds for any settings.
fn run(settings: &[(&str, &str)], actions: &[Action]) -> World {
    let mut world = World::new(settings);
    actions.iter().for_each(|action| world.carry_out(action));
    world.finish();
    assert_eq!(world.metric("buffer-available-bytes"), MEMORY as f64, "memory leaks");
    assert_eq!(world.metric("waiting-threads"), 0.0);
    let stored = world.stored();
    let mut failed = 0.0;
    for (value, mut delivery) in std::mem::take(&mut world.deliveries) {
        let is_stored = stored.iter().any(|log| log.contains(&value));
        match verdict(&mut delivery).expect("each record has its verdict") {
            Ok(_) => assert!(is_stored, "{value} is acknowledged, but not stored"),
            Err(error) => {
                failed += 1.0;
                assert!(error.may_be_stored || !is_stored, "{value} is stored after {error}");
            }
        }
    }
    assert_eq!(world.metric("record-error-total"), failed);
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn idempotent_records_keep_their_order_and_are_stored_once(actions in actions()) {
        for log in run(&[], &actions).stored() {
            for pair in log.windows(2) {
                prop_assert!(pair[0] < pair[1], "{} is before {}", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn one_request_in_flight_keeps_order_across_retries(actions in actions()) {
        let settings = [
            ("acks", "1"),
            ("enable.idempotence", "false"),
            ("max.in.flight.requests.per.connection", "1"),
        ];
        for log in run(&settings, &actions).stored() {
            // A batch whose answer was lost is stored again, but none overtakes another.
            let mut last_new = String::new();
            let mut seen = std::collections::BTreeSet::new();
            for value in log {
                if seen.insert(value.clone()) {
                    prop_assert!(last_new < value, "{value} comes after {last_new}");
                    last_new = value;
                }
            }
        }
    }
}
