//! The kernel against a model of a cluster: metadata, rebootstrap, coordinators.

use std::sync::Arc;
use std::time::Duration;

use super::coordinators::{CoordinatorKey, CoordinatorType};
use super::*;
use crate::base::{BrokerId, Instant, Seed, Stream};
use crate::client::testing::Model;
use crate::rpc::Backoff;
use crate::wire::ErrorCode;

/// A kernel, its clock, and the cluster that it asks.
struct Stage {
    kernel: Kernel,
    model: Model,
    now: Instant,
    topics: Vec<Arc<str>>,
    /// Contacts that were asked about metadata, and keys that were asked for.
    asked: Vec<String>,
    looked_up: Vec<String>,
    /// No broker answers.
    silent: bool,
}

impl Stage {
    fn new() -> Self {
        let settings = Settings {
            bootstrap_servers: &["bootstrap:1".to_owned()],
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(1)),
            metadata_max_age: Duration::from_secs(300),
            may_create: false,
        };
        let now = Instant::from_secs(1);
        let random = Seed(1).stream(Stream::named("test"));
        Self {
            kernel: Kernel::new(settings, now, random).unwrap(),
            model: Model::new(3, &[1]),
            now,
            topics: Vec::new(),
            asked: Vec::new(),
            looked_up: Vec::new(),
            silent: false,
        }
    }

    /// Asks, hands the answers over, and asks again until nothing is due.
    fn settle(&mut self) {
        for _ in 0..100 {
            let mut effects = Vec::new();
            self.kernel.ask(self.now, &self.topics, |effect| effects.push(effect));
            self.kernel.check();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                let input = self.carry_out(effect);
                self.kernel.step(self.now, input);
                self.kernel.check();
            }
        }
        panic!("the kernel never stops asking");
    }

    fn carry_out(&mut self, effect: Effect) -> Input {
        match effect {
            Effect::Metadata { ask, topics, .. } => {
                self.asked.push(ask.host.clone());
                let answer = self.model.metadata(&topics);
                Input::Metadata { from: ask, answer: (!self.silent).then(|| Box::new(answer)) }
            }
            Effect::Coordinators { ask, keys } => {
                let ids: Vec<_> = keys.iter().map(|key| &*key.id).collect();
                self.looked_up.push(ids.join(","));
                let answer = self.model.coordinators(&keys);
                let answer = (!self.silent).then(|| Box::new(answer));
                Input::Coordinators { from: ask, keys, answer }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.settle();
    }

    fn coordinator(&self, key: &CoordinatorKey) -> Result<Option<BrokerId>, ErrorCode> {
        Ok(self.kernel.coordinator(key)?.map(|node| node.broker))
    }
}

fn group(id: &str) -> CoordinatorKey {
    CoordinatorKey::new(CoordinatorType::Group, id)
}

fn transaction(id: &str) -> CoordinatorKey {
    CoordinatorKey::new(CoordinatorType::Transaction, id)
}

#[test]
fn metadata_is_asked_for_only_if_topics_are_used() {
    let mut stage = Stage::new();
    stage.settle();
    assert!(stage.asked.is_empty() && stage.kernel.deadline() == Instant::NEVER);
    stage.topics.push("orders".into());
    stage.settle();
    assert_eq!(stage.asked, ["bootstrap"]);
    assert_eq!(stage.kernel.deadline(), Instant::from_secs(301));
}

#[test]
fn silence_of_all_brokers_leads_back_to_bootstrap_servers() {
    let mut stage = Stage::new();
    stage.topics.push("orders".into());
    stage.settle();
    stage.silent = true;
    stage.kernel.want_metadata();
    for _ in 0..310 {
        assert!(stage.kernel.cluster().address(BrokerId(1)).is_some());
        stage.pass(Duration::from_secs(1));
        if stage.kernel.cluster().address(BrokerId(1)).is_none() {
            break;
        }
    }
    assert!(stage.kernel.cluster().address(BrokerId(1)).is_none(), "its address is forgotten");
    stage.asked.clear();
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.asked, ["bootstrap"]);
    stage.silent = false;
    stage.pass(Duration::from_secs(2));
    assert!(stage.kernel.cluster().address(BrokerId(1)).is_some());
}

#[test]
fn broker_can_demand_a_rebootstrap() {
    let mut stage = Stage::new();
    stage.topics.push("orders".into());
    stage.settle();
    let mut answer = Box::new(stage.model.metadata(&stage.topics));
    answer.error_code = ErrorCode::RebootstrapRequired.code();
    answer.brokers.clear();
    let from = "b1:9092".parse().unwrap();
    stage.kernel.step(stage.now, Input::Metadata { from, answer: Some(answer) });
    assert!(stage.kernel.cluster().address(BrokerId(1)).is_none());
    stage.asked.clear();
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.asked, ["bootstrap"]);
}

#[test]
fn coordinator_is_looked_up_once_and_cached() {
    let mut stage = Stage::new();
    stage.model.coordinate("payments", Ok(2));
    stage.kernel.want_coordinator(group("payments"));
    assert_eq!(stage.coordinator(&group("payments")), Ok(None));
    stage.settle();
    assert_eq!(stage.coordinator(&group("payments")), Ok(Some(BrokerId(2))));
    stage.kernel.want_coordinator(group("payments"));
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.looked_up, ["payments"]);
}

#[test]
fn keys_of_one_type_share_a_request() {
    let mut stage = Stage::new();
    for id in ["a", "b"] {
        stage.model.coordinate(id, Ok(1));
        stage.kernel.want_coordinator(group(id));
        stage.kernel.want_coordinator(transaction(id));
    }
    stage.settle();
    assert_eq!(stage.looked_up, ["a,b", "a,b"]);
    assert_eq!(stage.coordinator(&transaction("b")), Ok(Some(BrokerId(1))));
}

#[test]
fn moved_coordinator_is_looked_up_again() {
    for error in [ErrorCode::NotCoordinator, ErrorCode::CoordinatorNotAvailable] {
        let mut stage = Stage::new();
        stage.model.coordinate("payments", Ok(2));
        stage.kernel.want_coordinator(group("payments"));
        stage.settle();
        stage.model.coordinate("payments", Ok(3));
        assert!(!stage.kernel.coordinator_refused(&group("payments"), ErrorCode::UnknownMemberId));
        assert_eq!(stage.coordinator(&group("payments")), Ok(Some(BrokerId(2))));
        assert!(stage.kernel.coordinator_refused(&group("payments"), error));
        assert_eq!(stage.coordinator(&group("payments")), Ok(None));
        stage.settle();
        assert_eq!(stage.coordinator(&group("payments")), Ok(Some(BrokerId(3))));
    }
}

#[test]
fn coordinator_on_a_lost_broker_is_looked_up_again() {
    let mut stage = Stage::new();
    stage.topics.push("orders".into());
    stage.model.coordinate("payments", Ok(2));
    stage.kernel.want_coordinator(group("payments"));
    stage.settle();
    stage.kernel.broker_failed(stage.now, BrokerId(1));
    assert_eq!(stage.coordinator(&group("payments")), Ok(Some(BrokerId(2))));
    stage.kernel.broker_failed(stage.now, BrokerId(2));
    assert_eq!(stage.coordinator(&group("payments")), Ok(None));
}

#[test]
fn unavailable_coordinator_is_asked_for_after_growing_pauses() {
    let mut stage = Stage::new();
    stage.model.coordinate("payments", Err(ErrorCode::CoordinatorNotAvailable));
    stage.kernel.want_coordinator(group("payments"));
    stage.settle();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let pause = stage.kernel.deadline().since(stage.now);
        pauses.push(pause.as_millis());
        stage.pass(pause);
    }
    assert!(pauses[0] <= 120 && pauses[5] >= 800, "{pauses:?}");
    stage.model.coordinate("payments", Ok(1));
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.coordinator(&group("payments")), Ok(Some(BrokerId(1))));
    assert_eq!(stage.looked_up.len(), 8);
}

#[test]
fn unauthorized_group_is_not_asked_for_again() {
    let mut stage = Stage::new();
    stage.model.coordinate("payments", Err(ErrorCode::GroupAuthorizationFailed));
    stage.kernel.want_coordinator(group("payments"));
    stage.settle();
    let refused = Err(ErrorCode::GroupAuthorizationFailed);
    assert_eq!(stage.coordinator(&group("payments")), refused);
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.looked_up.len(), 1);
    stage.kernel.forget_coordinator(&group("payments"));
    assert_eq!(stage.coordinator(&group("payments")), Ok(None));
}

#[test]
#[should_panic(expected = "requests by broker")]
fn miscounted_request_trips_the_check() {
    let mut requests: Requests<()> = Requests::default();
    let id = requests.next_id();
    requests.began(id, BrokerId(1), ());
    requests.miscount(BrokerId(1));
    requests.check();
}
