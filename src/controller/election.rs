//! The ISR, ELR and leader of a partition when something about it changes (KIP-631, KIP-966).
//!
//! Source: Kafka's `PartitionChangeBuilder`. One thing differs: when the last member of an ISR is
//! fenced it stays in the ISR, as before KIP-966; Kafka moves it to the ELR. Either way it can be
//! elected again, and no replica that lacks committed records can. Only an unclean shutdown of the
//! last member leaves an ISR empty.

use super::image::{Broker, Image, PartitionState, Topic};
use super::machine::{ControllerSettings, ELR_FEATURE};
use super::plan::Plan;
use super::record::{PartitionChange, Record};
use crate::base::{BrokerId, Flaw, TopicId};

/// Why a partition may have to change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cause {
    /// This broker is about to be fenced or to leave: it may neither lead nor be in sync.
    pub(super) leaving: Option<BrokerId>,
    /// This broker came back without its unsynced records: in addition it is not eligible.
    pub(super) lost: Option<BrokerId>,
}

/// Which replica is to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The present leader stays if it can; an unclean one only where the topic permits that.
    Online,
    /// The first of the assigned replicas, if it is in sync. Never an unclean one.
    Preferred,
    /// Any, even an unclean one, whatever the topic permits.
    Unclean,
}

/// Computes the ISR, ELR and leader of one partition.
pub(super) struct Election<'a> {
    image: &'a Image,
    partition: &'a PartitionState,
    cause: Cause,
    wanted: Wanted,
    min_insync: usize,
    rules: Rules,
}

/// What the settings of a topic and of the cluster say about elections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    min_insync: usize,
    unclean_allowed: bool,
    elr_enabled: bool,
    forgets_lost: bool,
    misses_restarts: bool,
    ignores_directories: bool,
    distrusts_elr: bool,
}

impl Rules {
    pub(super) fn new(image: &Image, topic: &Topic, settings: &ControllerSettings) -> Self {
        let config = image.topic_config(&topic.name, settings.me, &settings.topic_defaults);
        let forgets_lost = settings.flaws.has(Flaw::ForgetLastInSync);
        Self {
            min_insync: usize::try_from(config.min_insync_replicas).unwrap_or(1),
            unclean_allowed: config.unclean_leader_election || settings.flaws.has(Flaw::UncleanOn),
            elr_enabled: image.feature(ELR_FEATURE) >= 1 && !forgets_lost,
            forgets_lost,
            misses_restarts: settings.flaws.has(Flaw::UncleanRestartUnseen),
            ignores_directories: settings.flaws.has(Flaw::IgnoreDirectoryIds),
            distrusts_elr: settings.flaws.has(Flaw::ElrCountedAsUnclean),
        }
    }
}

/// Who was elected, and how.
struct Elected {
    leader: Option<BrokerId>,
    unclean: bool,
}

impl<'a> Election<'a> {
    pub(super) fn new(
        image: &'a Image,
        partition: &'a PartitionState,
        rules: Rules,
        cause: Cause,
        wanted: Wanted,
    ) -> Self {
        let lost = cause.lost.filter(|_| !rules.forgets_lost && !rules.misses_restarts);
        Self {
            image,
            partition,
            cause: Cause { lost, ..cause },
            wanted,
            // More copies than there are can't be asked for.
            min_insync: rules.min_insync.min(partition.replicas.len()),
            rules,
        }
    }

    /// The change that makes `target` the ISR, as far as that is possible, with a leader if there
    /// can be one. `None` if nothing changes.
    pub(super) fn change(
        &self,
        (topic, index): (TopicId, i32),
        target: Vec<BrokerId>,
        recovering: bool,
    ) -> Option<PartitionChange> {
        let before = self.partition;
        let mut isr = target;
        let mut elr = self.eligible(&isr);
        let elected = self.elect(&isr, &elr);
        let mut after = before.clone();
        after.recovering = recovering;
        let mut unclean = elected.unclean;
        if elected.unclean {
            // The former ISR has records that the new leader may lack, so it is not in sync with
            // it. This may lose data.
            isr = elected.leader.into_iter().collect();
            elr.clear();
            after.recovering = true;
        } else if let Some(leader) = elected.leader.filter(|leader| !isr.contains(leader)) {
            // From the ELR: as good as an ISR member, but now alone.
            isr = vec![leader];
            elr = self.eligible(&isr);
            unclean = self.rules.distrusts_elr;
            after.recovering |= unclean;
        } else if isr.is_empty()
            && let Some(last) = self.last_member()
        {
            isr = vec![last];
            elr = self.eligible(&isr);
        }
        after.isr = isr;
        after.elr = elr;
        after.leader = elected.leader;
        after.last_known_elr = self.last_known(elected.leader);
        difference(before, &after, unclean).map(|change| PartitionChange {
            topic,
            partition: index,
            ..change
        })
    }

    /// The ELR beside an ISR. While the ISR is smaller than min.insync.replicas the high watermark
    /// does not move, so a replica that leaves it still has all committed records (KIP-966).
    fn eligible(&self, isr: &[BrokerId]) -> Vec<BrokerId> {
        if !self.rules.elr_enabled || isr.len() >= self.min_insync {
            return Vec::new();
        }
        let mut eligible: Vec<BrokerId> = Vec::new();
        for id in self.partition.elr.iter().chain(&self.partition.isr) {
            if !isr.contains(id) && !self.is_lost(*id) && !eligible.contains(id) {
                eligible.push(*id);
            }
        }
        eligible.sort_unstable();
        eligible
    }

    /// KIP-966: after an unclean shutdown a log may lack acknowledged records.
    fn is_lost(&self, id: BrokerId) -> bool {
        self.cause.lost == Some(id)
    }

    /// Clean elections prefer the current leader, unless the preferred one is wanted, then the order of
    /// assignment.
    fn elect(&self, isr: &[BrokerId], elr: &[BrokerId]) -> Elected {
        let clean = |leader| Elected { leader: Some(leader), unclean: false };
        let first = self.partition.preferred_leader().filter(|_| self.wanted == Wanted::Preferred);
        let among = |eligible: &[BrokerId]| {
            let current = first.into_iter().chain(self.partition.leader);
            let mut candidates = current.chain(self.partition.replicas.iter().copied());
            candidates.find(|id| eligible.contains(id) && self.is_acceptable(*id))
        };
        if let Some(leader) = among(isr).or_else(|| among(elr)) {
            return clean(leader);
        }
        if let Some(leader) = self.last_known_leader(isr, elr) {
            return Elected { leader: Some(leader), unclean: true };
        }
        let unclean_allowed = match self.wanted {
            Wanted::Online => self.rules.unclean_allowed,
            Wanted::Preferred => false,
            Wanted::Unclean => true,
        };
        let mut replicas = self.partition.replicas.iter().copied();
        match replicas.find(|id| unclean_allowed && self.is_acceptable(*id)) {
            Some(leader) => Elected { leader: Some(leader), unclean: true },
            None => Elected { leader: None, unclean: false },
        }
    }

    /// KIP-966, "last known leader": all eligible replicas have lost unsynced records. The last
    /// leader is likely to have lost least, and without a leader the partition is useless.
    fn last_known_leader(&self, isr: &[BrokerId], elr: &[BrokerId]) -> Option<BrokerId> {
        match self.partition.last_known_elr[..] {
            [last] if self.rules.elr_enabled && isr.is_empty() && elr.is_empty() => {
                Some(last).filter(|last| self.is_acceptable(*last))
            }
            _ => None,
        }
    }

    fn is_acceptable(&self, id: BrokerId) -> bool {
        let going = self.cause.leaving == Some(id) || self.is_lost(id);
        let directory = self.partition.directory_of(id);
        let has_it = |b: &Broker| self.rules.ignores_directories || b.has_directory(directory);
        !going && self.image.broker(id).is_some_and(|b| b.is_active() && has_it(b))
    }

    /// The member that stays when all leave the ISR: it has all committed records.
    fn last_member(&self) -> Option<BrokerId> {
        let leader = self.partition.leader.into_iter();
        let mut members = leader.chain(self.partition.isr.iter().copied());
        members.find(|id| {
            // Before KIP-966, Kafka did not ask whether the last member still has all records.
            self.partition.isr.contains(id) && !(self.rules.elr_enabled && self.is_lost(*id))
        })
    }

    fn last_known(&self, leader: Option<BrokerId>) -> Vec<BrokerId> {
        match (leader, self.partition.leader) {
            _ if !self.rules.elr_enabled => Vec::new(),
            (Some(_), _) => Vec::new(),
            (None, Some(last)) => vec![last],
            (None, None) => self.partition.last_known_elr.clone(),
        }
    }
}

/// The record that leads from one state to the other.
fn difference(
    before: &PartitionState,
    after: &PartitionState,
    unclean: bool,
) -> Option<PartitionChange> {
    let changed =
        |before: &Vec<BrokerId>, after: &Vec<BrokerId>| (before != after).then(|| after.clone());
    let change = PartitionChange {
        isr: changed(&before.isr, &after.isr),
        elr: changed(&before.elr, &after.elr),
        last_known_elr: changed(&before.last_known_elr, &after.last_known_elr),
        leader: (before.leader != after.leader).then_some(after.leader),
        // Repeated with every unclean election, so that the record alone shows it.
        recovering: (unclean || before.recovering != after.recovering).then_some(after.recovering),
        ..PartitionChange::default()
    };
    (change != PartitionChange::default()).then_some(change)
}

impl Plan {
    /// Elects a leader of a partition because an operator, or a round of elections, wants it. Whether that
    /// changes anything.
    pub(super) fn elect(
        &mut self,
        settings: &ControllerSettings,
        wanted: Wanted,
        (id, index): (TopicId, i32),
    ) -> bool {
        let image = self.image().clone();
        let Some(topic) = image.topic_by_id(id) else { return false };
        let Some(partition) = topic.partitions.get(&index) else { return false };
        let rules = Rules::new(&image, topic, settings);
        let election = Election::new(&image, partition, rules, Cause::default(), wanted);
        let change = election.change((id, index), partition.isr.clone(), partition.recovering);
        let changes = change.is_some();
        if let Some(change) = change {
            self.push(Record::PartitionChange(change));
        }
        changes
    }

    /// Lets partitions take the consequences of `cause`. Costs least in order of topics.
    pub(super) fn reelect(
        &mut self,
        settings: &ControllerSettings,
        cause: Cause,
        partitions: impl IntoIterator<Item = (TopicId, i32)>,
    ) {
        let image = self.image().clone();
        let mut of_topic: Option<(TopicId, Rules)> = None;
        for (topic, index) in partitions {
            let Some(topic) = image.topic_by_id(topic) else { continue };
            let Some(partition) = topic.partitions.get(&index) else { continue };
            let rules = match of_topic {
                Some((id, rules)) if id == topic.id => rules,
                _ => Rules::new(&image, topic, settings),
            };
            of_topic = Some((topic.id, rules));
            let stays = |id: &BrokerId| Some(*id) != cause.leaving && Some(*id) != cause.lost;
            let isr = partition.isr.iter().copied().filter(stays).collect();
            let election = Election::new(&image, partition, rules, cause, Wanted::Online);
            if let Some(change) = election.change((topic.id, index), isr, partition.recovering) {
                self.push(Record::PartitionChange(change));
            }
        }
    }
}
