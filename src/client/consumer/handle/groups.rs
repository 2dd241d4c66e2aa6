//! The consumer as a member of its group, and its commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Committing, Consumer, RebalanceListener};
use crate::base::TopicPartition;
use crate::client::consumer::core::Input;
use crate::client::consumer::metrics::Callback;
use crate::client::group::{Event, Subscription};
use crate::client::{CommittedOffset, ConsumeError, GroupMetadata};
use crate::io::{self, World};

impl<W: World, K, V> Consumer<W, K, V> {
    /// Joins the group, with the next poll, to read a share of these topics. Replaces an earlier
    /// subscription.
    pub fn subscribe<T: AsRef<str>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ConsumeError> {
        let topics = topics.into_iter().map(|topic| Arc::from(topic.as_ref()));
        self.driver.with(|core| core.subscribe(Subscription::to(topics)))
    }

    /// Subscribes to all topics whose whole name matches a regular expression, and to those that are
    /// created later.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), ConsumeError> {
        let subscription = Subscription::matching(pattern)
            .map_err(|error| ConsumeError::Pattern(error.to_string()))?;
        self.driver.with(|core| core.subscribe(subscription))
    }

    /// Subscribes to all topics whose whole name matches a pattern that the coordinator evaluates, an
    /// RE2J expression, and to those that are created later. Needs `group.protocol=consumer`.
    ///
    /// The coordinator refuses an invalid pattern: the next poll says so.
    pub fn subscribe_regex(&mut self, pattern: &str) -> Result<(), ConsumeError> {
        let subscription = Subscription::evaluated_by_coordinator(pattern);
        self.driver.with(|core| core.subscribe_regex(subscription))
    }

    /// Joins the group again with the next poll, so that partitions are assigned again, though nothing
    /// has changed that the group knows of (KIP-568). The reason is for the coordinator's log. With
    /// `group.protocol=consumer` it does nothing: the coordinator alone decides.
    pub fn enforce_rebalance(&mut self, reason: Option<&str>) -> Result<(), ConsumeError> {
        self.driver.with(|core| core.enforce_rebalance(reason))
    }

    /// Is told from now on which partitions come and go.
    pub fn set_listener(&mut self, listener: Arc<dyn RebalanceListener<W, K, V>>) {
        self.listener = Some(listener);
    }

    /// Leaves the group: its partitions go to others.
    pub async fn unsubscribe(&mut self) {
        self.leave("the consumer unsubscribed from all topics").await;
    }

    async fn leave(&mut self, reason: &'static str) {
        self.driver.with(|core| core.unsubscribe(reason));
        while let Some(event) = self.driver.with(|core| core.poll(self.world.now())) {
            self.tell(event).await;
        }
        self.driver.step(Input::Tick);
    }

    /// Commits, if it does so automatically, leaves the group, and ends. All of it takes no longer
    /// than the timeout, the listener aside.
    pub async fn close(mut self, timeout: Duration) {
        self.end(timeout).await;
    }

    /// Like `close`, for an owner that can't give the consumer away. Nothing is read afterwards.
    /// Returns whether the coordinator has confirmed that it left its group.
    pub(crate) async fn end(&mut self, timeout: Duration) -> bool {
        let deadline = self.world.now() + timeout;
        if self.driver.with(|core| core.commits_automatically()) {
            // The caller gets no result: what is not committed is read again by the next owner.
            drop(self.commit_sync(timeout).await);
        }
        self.leave("the consumer is being closed").await;
        while !self.driver.with(|core| core.has_left()) && self.world.now() < deadline {
            self.driver.progress(deadline).await;
        }
        self.report_commits();
        self.interceptors.iter().for_each(|interceptor| interceptor.close());
        self.driver.with(|core| core.is_dismissed())
    }

    /// Calls the listener.
    pub(super) async fn tell(&mut self, event: Event) {
        if let Some(listener) = self.listener.clone() {
            let began = self.world.now();
            match &event {
                Event::Revoked(partitions) => listener.revoked(self, partitions).await,
                Event::Lost(partitions) => listener.lost(self, partitions).await,
                Event::Assigned(partitions) => listener.assigned(self, partitions).await,
            }
            let now = self.world.now();
            let callback = Callback::of(&event);
            self.driver.with(|core| core.callback_took(now, callback, now.since(began)));
        }
        self.driver.with(|core| core.told(self.world.now()));
    }

    /// Commits what polls have returned, and waits for it. Retries what may pass.
    pub async fn commit_sync(
        &mut self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), ConsumeError> {
        self.commit(None, timeout.into()).await
    }

    /// Commits these offsets, each the next one to be read, and waits for it.
    pub async fn commit_offsets(
        &mut self,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), ConsumeError> {
        self.commit(Some(offsets), timeout.into()).await
    }

    async fn commit(
        &mut self,
        offsets: Option<BTreeMap<TopicPartition, CommittedOffset>>,
        timeout: Option<Duration>,
    ) -> Result<(), ConsumeError> {
        let (began, deadline) = (self.world.now(), self.deadline(timeout));
        let (id, outcome) = self.driver.with(|core| core.begin_commit(offsets, true))?;
        self.driver.step(Input::Tick);
        let outcome = io::timeout(&self.world, deadline, Committing::new(outcome)).await;
        let outcome = outcome.unwrap_or_else(|| {
            self.driver.with(|core| core.abandon_commit(id));
            Err(ConsumeError::TimedOut)
        });
        let took = self.world.now().since(began);
        self.driver.with(|core| core.commit_sync_took(took));
        self.report_commits();
        outcome
    }

    /// Commits what polls have returned, or these offsets, in the background. It is tried once: a
    /// later commit makes up for it.
    pub fn commit_async(
        &mut self,
        offsets: Option<BTreeMap<TopicPartition, CommittedOffset>>,
    ) -> Committing {
        let begun = self.driver.with(|core| core.begin_commit(offsets, false));
        self.driver.step(Input::Tick);
        self.report_commits();
        match begun {
            Ok((_, outcome)) => Committing::new(outcome),
            Err(error) => Committing::refused(error),
        }
    }

    /// What a commit of everything that polls have returned would commit.
    pub fn consumed(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.driver.with(|core| core.consumed())
    }

    /// What the group has committed; `None`: nothing.
    pub async fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, ConsumeError> {
        let (began, deadline) = (self.world.now(), self.deadline(timeout.into()));
        let id = self.driver.with(|core| core.begin_committed(partitions))?;
        self.driver.step(Input::Tick);
        while !self.driver.with(|core| core.is_committed_known(id)) && self.world.now() < deadline {
            self.driver.progress(deadline).await;
        }
        let took = self.world.now().since(began);
        self.driver.with(|core| {
            core.committed_took(took);
            core.end_committed(id)
        })
    }

    /// Its member in its group, as the coordinator knows it; `None` without `group.id`.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.driver.with(|core| core.group_metadata())
    }
}
