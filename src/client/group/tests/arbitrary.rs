//! Whatever happens in whatever order, a member recovers.

use proptest::prelude::*;

use super::*;
use crate::client::group::Trouble;

/// What happens in an arbitrary order.
#[derive(Clone, Debug)]
enum Act {
    Poll,
    PollPartly,
    Told,
    Committed,
    Pass(u64),
    Honest,
    /// A request, counted from the oldest, is answered with this error, or with an answer to another.
    Refuse(usize, ErrorCode),
    Fail(usize),
    Wrong(usize),
    Coordinator(bool),
    Partitions(usize),
    Subscribe(bool),
    Unsubscribe,
    RefuseCommit(ErrorCode),
}

fn act() -> impl Strategy<Value = Act> {
    let error = || prop::sample::select(ErrorCode::ALL.to_vec());
    prop_oneof![
        4 => Just(Act::Poll),
        2 => Just(Act::PollPartly),
        2 => Just(Act::Told),
        1 => Just(Act::Committed),
        4 => (0..40_000u64).prop_map(Act::Pass),
        6 => Just(Act::Honest),
        4 => (0..3usize, error()).prop_map(|(which, error)| Act::Refuse(which, error)),
        1 => (0..3usize).prop_map(Act::Fail),
        1 => (0..3usize).prop_map(Act::Wrong),
        1 => prop::bool::ANY.prop_map(Act::Coordinator),
        1 => (1..6usize).prop_map(Act::Partitions),
        1 => prop::bool::ANY.prop_map(Act::Subscribe),
        1 => Just(Act::Unsubscribe),
        1 => error().prop_map(Act::RefuseCommit),
    ]
}

impl Stage {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Poll => drop(self.poll()),
            Act::PollPartly => drop(self.member.poll(self.now)),
            Act::Told => self.member.told(),
            Act::Committed => self.member.committed(),
            Act::Pass(millis) => drop(self.pass(*millis)),
            Act::Honest => self.be_honest(),
            Act::Refuse(which, error) => self.refuse(*which, *error),
            Act::Fail(which) if *which < self.asked.len() => {
                let (id, _) = self.asked.remove(*which);
                self.fail(id, ErrorCode::NetworkException);
            }
            Act::Wrong(which) if *which < self.asked.len() => {
                let (id, _) = self.asked.remove(*which);
                self.answer(id, &Response::Commit(OffsetCommitResponse::default()));
            }
            Act::Fail(_) | Act::Wrong(_) => {}
            Act::Coordinator(known) => self.has_coordinator = *known,
            Act::Partitions(count) => self.partitions(*count),
            Act::Subscribe(other) => {
                let topics: &[&str] = if *other { &["orders", "payments"] } else { &["orders"] };
                let topics = topics.iter().map(|topic| Arc::from(*topic));
                self.member.subscribe(Subscription::to(topics));
            }
            Act::Unsubscribe => self.member.unsubscribe("closed"),
            Act::RefuseCommit(error) => {
                let sent = self.member.identity();
                self.member.commit_refused(sent.as_ref(), *error);
            }
        }
        self.member.check();
        self.ask();
    }

    fn refuse(&mut self, which: usize, error: ErrorCode) {
        if which >= self.asked.len() {
            return;
        }
        let (id, request) = self.asked.remove(which);
        let error_code = error.code();
        let answer = match request {
            Request::Join(_) => Response::Join(message!(JoinGroupResponse {
                error_code: error_code,
                member_id: "m".into(),
            })),
            Request::Sync(_) => {
                Response::Sync(message!(SyncGroupResponse { error_code: error_code }))
            }
            Request::Heartbeat(_) => {
                Response::Heartbeat(message!(HeartbeatResponse { error_code: error_code }))
            }
            Request::Leave(_) => {
                Response::Leave(message!(LeaveGroupResponse { error_code: error_code }))
            }
            other => panic!("{other:?}"),
        };
        self.answer(id, &answer);
    }

    /// Whether anything will still happen without the application's help.
    fn waits_for_application(&mut self) -> bool {
        self.member.poll(self.now).is_some()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn member_recovers_from_whatever_it_is_answered(
        acts in prop::collection::vec(act(), 0..60),
        cooperative in prop::bool::ANY,
        is_static in prop::bool::ANY,
    ) {
        let mut settings = vec![("max.poll.interval.ms", "60000")];
        settings.extend(cooperative.then_some(COOPERATIVE));
        settings.extend(is_static.then_some(("group.instance.id", "i")));
        let mut stage = Stage::new(&settings);
        for act in &acts {
            stage.act(act);
        }
        // From now on all is well.
        let fenced = Some(Trouble::Refused(ErrorCode::FencedInstanceId));
        let mut last = None;
        while let Some(trouble) = stage.member.take_trouble() {
            let again = last.as_ref() == Some(&trouble) && fenced.as_ref() == Some(&trouble);
            last = Some(trouble);
            if again {
                break;
            }
        }
        if last == fenced {
            stage.poll();
            stage.asked.clear();
            stage.pass(100_000);
            let silent = stage.asked.iter().all(|(_, asked)| matches!(asked, Request::Leave(_)));
            prop_assert!(silent, "fenced, and asks {:?}", stage.asked);
            return Ok(());
        }
        stage.has_coordinator = true;
        stage.member.subscribe(Subscription::to(["orders".into()]));
        for _ in 0..20 {
            if stage.ask() {
                // Another coordinator is found.
                stage.has_coordinator = false;
                stage.ask();
                stage.has_coordinator = true;
            }
            // Of `payments` it is known that it does not exist.
            stage.member.metadata_changed(&stage.cluster, false, &["payments".into()]);
            stage.poll();
            stage.be_honest();
            stage.pass(1000);
        }
        let all = stage.cluster.topic("orders").map_or(0, |topic| topic.partitions.len());
        prop_assert_eq!(stage.owns(), orders(0..all as i32));
        prop_assert!(!stage.waits_for_application());
    }
}
