//! What members of groups do in hand-made histories. Their partitions are those of the story's topic.

use super::*;

/// The session timeout of every member.
const SESSION: u64 = 10_000;

impl Story {
    pub fn subscribes(&mut self, consumer: u32, group: &str) {
        self.subscribes_as(host_of(consumer), consumer, group, false);
    }

    /// A member in the process that also has the producers.
    pub fn subscribes_beside_producers(&mut self, consumer: u32, group: &str) {
        self.subscribes_as(100, consumer, group, false);
    }

    pub fn subscribes_static(&mut self, consumer: u32, group: &str) {
        self.subscribes_as(host_of(consumer), consumer, group, true);
    }

    fn subscribes_as(&mut self, host: u16, consumer: u32, group: &str, is_static: bool) {
        let (group, topics) = (group.into(), vec![self.partition.topic.clone()]);
        let session_ms = SESSION;
        let protocol = "classic".into();
        let event =
            MemberEvent::Subscribed { consumer, group, topics, is_static, protocol, session_ms };
        self.sees(host, What::Client(event.into()));
    }

    pub fn joins(&mut self, consumer: u32, generation: i32, owned: &[i32]) {
        let (owned, member) = (self.partitions(owned), format!("k{consumer}-id").into());
        self.member(consumer, MemberEvent::Joined { consumer, generation, member, owned });
    }

    pub fn revokes(&mut self, consumer: u32, gone: &[i32]) {
        let partitions = self.partitions(gone);
        self.member(consumer, MemberEvent::Revoked { consumer, partitions });
    }

    pub fn loses(&mut self, consumer: u32, gone: &[i32]) {
        let partitions = self.partitions(gone);
        self.member(consumer, MemberEvent::Lost { consumer, partitions });
    }

    pub fn withholds(&mut self, consumer: u32, kept: &[i32]) {
        let partitions = self.partitions(kept);
        self.member(consumer, MemberEvent::Withholds { consumer, partitions });
    }

    pub fn instance_fenced(&mut self, consumer: u32) {
        self.member(consumer, MemberEvent::Fenced { consumer });
    }

    pub fn enters(&mut self, consumer: u32, generation: i32) {
        self.member(consumer, MemberEvent::Entered { consumer, generation });
    }

    pub fn dismissed(&mut self, consumer: u32) {
        self.member(consumer, MemberEvent::Dismissed { consumer });
    }

    pub fn leaves(&mut self, consumer: u32) {
        self.member(consumer, MemberEvent::Left { consumer });
    }

    /// A member's process ends.
    pub fn member_dies(&mut self, consumer: u32) {
        self.sees(host_of(consumer), What::Killed);
    }

    /// A record whose value is its offset.
    pub fn processes(&mut self, consumer: u32, partition: i32, offset: i64) {
        let partition = self.partitions(&[partition]).remove(0);
        let value = u64::try_from(offset).unwrap();
        let offset = Offset(offset);
        self.member(consumer, MemberEvent::Processed { consumer, partition, offset, value });
    }

    pub fn commits_offset(&mut self, consumer: u32, op: u64, generation: i32, offset: i64) {
        let offsets = vec![(self.partition.clone(), Offset(offset))];
        self.member(consumer, MemberEvent::Committing { consumer, op, generation, offsets });
    }

    /// The outcome of a commit: acknowledged, or unknown.
    pub fn committed(&mut self, consumer: u32, op: u64, generation: i32, acknowledged: bool) {
        let outcome = match acknowledged {
            true => Outcome::Ok { offset: None },
            false => Outcome::Unknown { error: "TIMEOUT".into() },
        };
        self.member(consumer, MemberEvent::Committed { consumer, op, generation, outcome });
    }

    pub fn recalling(&mut self, consumer: u32) {
        self.member(consumer, MemberEvent::Recalling { consumer });
    }

    pub fn recalled(&mut self, consumer: u32, offset: Option<i64>) {
        let offsets = vec![(self.partition.clone(), offset.map(Offset))];
        self.member(consumer, MemberEvent::Recalled { consumer, offsets });
    }

    pub fn recalls(&mut self, consumer: u32, offset: Option<i64>) {
        self.recalling(consumer);
        self.recalled(consumer, offset);
    }

    /// A member's process was paused, and runs again.
    pub fn member_resumes(&mut self, consumer: u32) {
        self.sees(host_of(consumer), What::Resumed);
    }

    /// `__consumer_offsets` has two partitions: group `shop` is in the first, and `audit` in the second.
    pub fn coordinator_of_audit(&mut self) {
        let orders = (self.partition.clone(), self.topic_id);
        self.partition = TopicPartition::new(topics::CONSUMER_OFFSETS, 1);
        self.topic_id = TopicId([3; 16]);
        self.commits(Some(2), 0, &[2]);
        (self.partition, self.topic_id) = orders;
    }

    /// The only copy of the log of `shop`'s coordinator was not synced, and the power fails.
    pub fn coordinator_forgets(&mut self) {
        self.as_coordinator(|story| {
            story.has_one_copy();
            story.power_loss(1, 0);
            story.boot(1);
            story.elected(1, 1, &[1]);
        });
    }

    /// The same. The controller has elected it twice when it learns of the first time.
    pub fn coordinator_forgets_in_passing(&mut self) {
        self.as_coordinator(|story| {
            story.has_one_copy();
            story.power_loss(1, 0);
            story.boot(1);
            story.elected_in_passing(1);
        });
    }

    /// No fault explains that its log is empty.
    pub fn coordinator_drops_its_log_in_passing(&mut self) {
        self.as_coordinator(|story| {
            story.has_one_copy();
            story.cut(1, 0);
            story.elected_in_passing(1);
        });
    }

    /// b2 coordinates after an unclean election, although the controller has elected it again since. The
    /// coordinator before it does not know, and commits another record.
    pub fn deposed_coordinator_commits(&mut self) {
        self.as_coordinator(|story| {
            story.has_one_copy();
            story.writes(2, 0, 0, &[1]);
            story.commits_unclean(2, 1, &[2]);
            story.commits(Some(2), 2, &[2]);
            story.became_leader(2, 1);
            story.leader_writes(1, 1, 0, &[2]);
            story.high_watermark(1, 0, 2);
        });
    }

    /// b2 coordinates after b1, which does not know.
    pub fn coordinator_is_deposed(&mut self) {
        self.as_coordinator(|story| {
            story.has_one_copy();
            story.writes(2, 0, 0, &[1]);
            story.commits(Some(1), 0, &[1, 2]);
            story.commits(Some(2), 1, &[2]);
            story.became_leader(2, 1);
        });
    }

    pub fn coordinator_learns_of_that(&mut self) {
        self.as_coordinator(|story| story.became_follower(1, 1, 2));
    }

    fn elected_in_passing(&mut self, broker: u16) {
        let leader = i32::from(broker);
        self.commits(Some(leader), 1, &[leader]);
        self.commits(Some(leader), 2, &[leader]);
        self.became_leader(broker, 1);
    }

    /// b1 has one record, and is alone in sync.
    pub fn has_one_copy(&mut self) {
        self.commits(Some(1), 0, &[1]);
        self.became_leader(1, 0);
        self.leader_writes(1, 0, 0, &[1]);
        self.high_watermark(1, 0, 1);
    }

    /// Turns to the partition of `shop`'s coordinator for a while.
    fn as_coordinator(&mut self, tell: impl FnOnce(&mut Self)) {
        let orders = (self.partition.clone(), self.topic_id, std::mem::take(&mut self.disks));
        self.partition = TopicPartition::new(topics::CONSUMER_OFFSETS, 0);
        self.topic_id = TopicId([3; 16]);
        tell(self);
        (self.partition, self.topic_id, self.disks) = orders;
    }

    fn member(&mut self, consumer: u32, event: MemberEvent) {
        self.sees(host_of(consumer), What::Client(event.into()));
    }

    fn partitions(&self, indexes: &[i32]) -> Vec<TopicPartition> {
        let name = &self.partition.topic;
        indexes.iter().map(|index| TopicPartition::new(name.clone(), *index)).collect()
    }
}

fn host_of(consumer: u32) -> u16 {
    200 + u16::try_from(consumer).unwrap()
}
