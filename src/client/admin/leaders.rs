//! Operations that only the leaders of partitions can carry out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Admin;
use super::attempts::{Attempts, Verdict};
use super::throttle::Throttling;
use super::topics;
use crate::base::{BrokerId, LeaderEpoch, TopicPartition};
use crate::client::AdminError;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::RequestResponsePair;

/// One partition in a question.
pub(super) struct Asked<A> {
    pub(super) partition: TopicPartition,
    pub(super) about: A,
    /// The leader's, as far as this client knows.
    pub(super) epoch: LeaderEpoch,
}

impl<W: World> Admin<W> {
    /// Asks the leaders, each about its own partitions, until all are answered or time runs out.
    /// `question` gets the time left for its answer; `read` finds a partition's error code and value
    /// in an answer.
    pub(super) async fn ask_leaders<A: Copy, R, V>(
        &self,
        mut missing: BTreeMap<TopicPartition, A>,
        question: impl Fn(&[Asked<A>], Duration) -> R,
        read: impl Fn(&TopicPartition, &R::Response) -> Option<(i16, V)>,
    ) -> Result<BTreeMap<TopicPartition, V>, AdminError>
    where
        R: RequestResponsePair + Sync + 'static,
        R::Response: Throttling,
    {
        let mut found = BTreeMap::new();
        let mut attempts = self.attempts();
        while !missing.is_empty() {
            let mut obstacle = self.find_leaders(&mut attempts, missing.keys()).await?;
            for (leader, asked) in self.by_leader(&missing) {
                let Some(to) = self.kernel.lock().cluster().address(leader).cloned() else {
                    continue;
                };
                let deadline = self.request_deadline(&attempts);
                let request = question(&asked, deadline.since(self.world.now()));
                let answer = match self.call(&to, &request, None, &attempts).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        attempts.lost(self.world.now(), error, &mut self.kernel.lock())?;
                        continue;
                    }
                };
                for Asked { partition, .. } in asked {
                    let Some((code, value)) = read(&partition, &answer) else {
                        return Err(AdminError::Incomplete(partition.to_string()));
                    };
                    match ErrorCode::from_code(code) {
                        ErrorCode::None => {
                            missing.remove(&partition);
                            found.insert(partition, value);
                        }
                        error if error.is_retriable() => obstacle = Some(error),
                        error => {
                            let message = Some(partition.to_string());
                            return Err(AdminError::Broker { error, message });
                        }
                    }
                }
            }
            if !missing.is_empty() {
                let error = obstacle.unwrap_or(ErrorCode::LeaderNotAvailable);
                let again = {
                    let kernel = &mut self.kernel.lock();
                    attempts.postponed(self.world.now(), error, kernel)?
                };
                self.world.sleep_until(again).await;
            }
        }
        Ok(found)
    }

    /// Refreshes the leaders of partitions. Returns the error of a topic that has none yet.
    async fn find_leaders(
        &self,
        attempts: &mut Attempts,
        missing: impl Iterator<Item = &TopicPartition>,
    ) -> Result<Option<ErrorCode>, AdminError> {
        let mut names: Vec<&str> = missing.map(|partition| &*partition.topic).collect();
        names.dedup();
        let request = topics::question(Some(&names));
        self.ask(attempts, None, &request, |answer, _| {
            if answer.brokers.is_empty() {
                return Verdict::Again(ErrorCode::BrokerNotAvailable);
            }
            // A topic that was just created may not be known everywhere.
            let problems = self.kernel.lock().learn(answer);
            match problems.iter().find(|(_, error)| !error.is_retriable()) {
                Some((_, error)) => Verdict::from_error(*error, None),
                None => Verdict::Done(problems.first().map(|(_, error)| *error)),
            }
        })
        .await
    }

    fn by_leader<A: Copy>(
        &self,
        missing: &BTreeMap<TopicPartition, A>,
    ) -> BTreeMap<BrokerId, Vec<Asked<A>>> {
        let mut leaders: BTreeMap<BrokerId, Vec<Asked<A>>> = BTreeMap::new();
        let kernel = self.kernel.lock();
        for (partition, about) in missing {
            if let Some((leader, epoch)) = kernel.cluster().leader(partition) {
                let asked = Asked { partition: partition.clone(), about: *about, epoch };
                leaders.entry(leader).or_default().push(asked);
            }
        }
        leaders
    }
}
