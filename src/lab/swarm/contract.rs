//! The contract: the guarantees of a configuration under a schedule of faults, computed from both.
//!
//! Every invariant must hold, except those that follow from lost acknowledged records, where the
//! settings permit such a loss. Invariants about committed records, such as `leader-completeness`,
//! don't depend on this contract: the ghost sees run by run which losses were permitted. This
//! contract predicts losses before the run, for promises that only clients can check.
//!
//! A record can be lost in seven ways:
//!
//! 1. **acks=0**: no broker confirmed that it was stored. Any fault may lose it.
//! 2. **acks=1**: only the leader confirmed it, and another replica takes over. That needs a second
//!    replica, and a fault that can move leadership. A single copy is lost like one of acks=all.
//! 3. **Unclean election**, if enabled: a replica that is not in sync takes over. That needs a
//!    replica that fell behind and then an empty ISR, so faults that overlap, or a controller that
//!    is cut off and fences all brokers.
//! 4. **Power loss** of unsynced records. The controller assumes that any unclean shutdown lost the
//!    tail of the log (KIP-966). So `min.insync.replicas` unclean shutdowns at a time, one of them
//!    a power loss, may leave no eligible replica that has every record. If every fault waits until
//!    the cluster has recovered from the previous one (`when = "settled"`), the ISR is full at each
//!    fault, and only a fault of all replicas at once can lose records. Records that are synced
//!    before they count (`flush.messages=1`, `flush.before.ack`) are safe from power loss, unless a
//!    sync lied: after EIO the pages are clean but not on the platter (fsyncgate). Rot then counts
//!    like a power loss: above the last saved recovery point, recovery can't distinguish it from a
//!    torn tail.
//! 5. **Rot** on as many disks, counting those that lose power meanwhile.
//! 6. **Replaced disks**: as many, counting those that rot and all other unclean shutdowns
//!    meanwhile. Syncs don't help.
//! 7. **Deletion** of its topic.
//!
//! A group processes records more than once if it commits afterwards, and leaves some out if it commits
//! before and a fault strikes in between. What a coordinator has stored can be lost like a record of
//! `__consumer_offsets` with acks=all: the group processes again what it had committed. Where records may
//! be lost, it passes by the lost ones, and reads others again when its committed offset is no longer in
//! the log.
//!
//! Transactions need more than one log. A record in one is acknowledged with its commit; that commit is a
//! record of `__transaction_state` with acks=all, never elected uncleanly, with a `min.insync.replicas` of
//! its own. Where that record can be lost, so can be the records of a transaction whose producer was told
//! of its commit: its coordinator forgets the decision, and aborts what is open. A group that transforms in
//! transactions makes one set of outputs of each input, however often its members fail or are fenced;
//! only a loss of inputs, outputs, committed offsets or decisions makes it another number. Aborts,
//! timeouts and fencing by another producer with the same `transactional.id` cost no promise; nor does the
//! level of `transaction.version`, unless links of clients fail: below version 2, all transactions of a
//! producer have one epoch, so a request that such a link held back may end a later transaction in its
//! middle, or commit other offsets of a group with it. Of aborted transactions, `read_uncommitted` readers are promised no more than that no record is
//! there twice.
//!
//! What a topic removes by itself, by age, size or key, is not lost: invariants know its retention and
//! its keys. A client that is killed loses nothing that it was told; what it was not told is unknown.
//! Bytes damaged on the wire cost what a slow link costs: they are refused and sent again. A failed
//! directory costs what the failing syncs of its process cost, and with `restart` an unclean shutdown.
//!
//! The cluster must always recover. Only rot and replaced disks could prevent that: a record whose
//! only copy is corrupt can't be fetched, and a log that can't be opened, or is gone, may be the only
//! one that may lead. Schedules have neither unless [`Contract::heals`] guarantees that an intact
//! copy is left.
//!
//! The contract can't judge everything that a scenario can say. [`Unjudged`] lists these
//! combinations; the swarm leaves the faults out, and the story of the scenario names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::loss::Loss;
use crate::base::config::{Acks, TopicConfig};
use crate::scenario::fault::{ClockError, Cost, Reach, Strike};
use crate::scenario::load::Processing;
use crate::scenario::{Expect, Fault, Role, Roles, Scenario, Topic};
use crate::sim::{Fate, Mishap, Part};
use crate::wire::api;

/// A fault that the contract can't judge beside the settings or the other faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unjudged {
    /// Rot or a replaced disk may leave no copy that others can fetch, or that may lead.
    MayNotHeal,
    /// A disk that lies, and power losses that keep a part of what was not durable: the files of one
    /// log may then be of different times, which no order of syncs prevents.
    TornBehindLies,
    /// A disk that lies, and power losses, on a compacted topic: the end of a segment that was called
    /// synced may be gone while the next one is there. Below the recovery point, recovery accepts such
    /// a gap as the work of Kafka's cleaner, and nothing in the files tells one from the other.
    GapsBehindLies,
    /// A clock that is wrong, on a topic whose records are removed by their age: brokers judge it by
    /// their own clocks, and invariants by the true time.
    AgeByWrongClock,
    /// Before version 2, all transactions of a producer have one epoch: a late request of one may count
    /// for the next (KIP-890).
    LateInOldTransactions,
}

impl fmt::Display for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MayNotHeal => "as no intact copy may be left",
            Self::TornBehindLies => "as power losses keep a part of what was not durable",
            Self::GapsBehindLies => "as gaps of a compacted log pass for those of a cleaner",
            Self::AgeByWrongClock => "as records are removed by their age",
            Self::LateInOldTransactions => "as transactions have no epochs of their own",
        })
    }
}

/// The settings of one topic that matter for the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Number of brokers.
    pub brokers: usize,
    /// Replicas of each partition.
    pub replicas: usize,
    /// Most replicas of any topic's partitions: a fault may concern that topic.
    pub most_replicas: usize,
    /// `min.insync.replicas`, at most the number of replicas.
    pub min_insync: usize,
    /// Whether records count only once they are synced.
    pub synced_first: bool,
    /// `unclean.leader.election.enable`.
    pub unclean: bool,
    /// The `acks` levels of its producers.
    pub acks: BTreeSet<u8>,
    /// Whether a clock that is wrong by an hour may remove records.
    pub ages: bool,
    /// Whether its logs are compacted.
    pub compacted: bool,
}

/// Retention that no error of a clock reaches.
const LONG: Duration = Duration::from_secs(24 * 3600);

impl Terms {
    /// The terms of each topic of a scenario.
    pub fn of(scenario: &Scenario) -> Vec<Self> {
        scenario.topics.iter().map(|topic| Self::of_topic(scenario, topic)).collect()
    }

    fn of_topic(scenario: &Scenario, of: &Topic) -> Self {
        let mut topic: TopicConfig = scenario.cluster.config.topics.clone();
        for (key, value) in &of.config {
            // The value was accepted when the scenario was read.
            let _ = crate::base::config::Config::set(&mut topic, key, value);
        }
        let replicas = usize::try_from(of.replication_factor).unwrap_or(1).max(1);
        let most = scenario.topics.iter().map(|topic| topic.replication_factor).max();
        let least = usize::try_from(topic.min_insync_replicas).unwrap_or(1).max(1);
        let loads = scenario.loads.iter().filter(|load| load.topic == of.name);
        let acks = loads.filter_map(|load| load.work.promise().acks).map(level);
        Self {
            brokers: usize::from(scenario.cluster.brokers),
            replicas,
            most_replicas: usize::try_from(most.unwrap_or(1)).unwrap_or(1).max(1),
            min_insync: least.min(replicas),
            synced_first: topic.flush_before_ack
                || topic.flush_messages.is_some_and(|messages| messages <= 1),
            unclean: topic.unclean_leader_election,
            acks: acks.collect(),
            ages: topic.cleanup_policy.compact
                || topic.cleanup_policy.delete && topic.retention_ms.is_some_and(|age| age < LONG),
            compacted: topic.cleanup_policy.compact,
        }
    }

    /// The terms of `__consumer_offsets`, to which coordinators write as producers with acks=all.
    fn of_offsets(scenario: &Scenario) -> Self {
        let (group, topic) = (&scenario.cluster.config.group, &scenario.cluster.config.topics);
        let terms = Self::of_log(
            scenario,
            group.offsets_topic_replication_factor,
            topic.min_insync_replicas,
        );
        Self { unclean: topic.unclean_leader_election, ..terms }
    }

    /// The terms of `__transaction_state`, which is written in the same way.
    fn of_transactions(scenario: &Scenario) -> Self {
        let txn = scenario.txn_config();
        let copies = txn.transaction_state_log_replication_factor;
        Self::of_log(scenario, copies, txn.transaction_state_log_min_isr)
    }

    /// The terms of a coordinator's log, without unclean elections.
    fn of_log(scenario: &Scenario, copies: i16, least: i32) -> Self {
        let topic = &scenario.cluster.config.topics;
        let replicas = usize::try_from(copies).unwrap_or(1).max(1);
        let replicas = replicas.min(usize::from(scenario.cluster.brokers));
        let least = usize::try_from(least).unwrap_or(1).max(1);
        Self {
            brokers: usize::from(scenario.cluster.brokers),
            replicas,
            most_replicas: replicas,
            min_insync: least.min(replicas),
            synced_first: topic.flush_before_ack
                || topic.flush_messages.is_some_and(|messages| messages <= 1),
            unclean: false,
            acks: BTreeSet::from([level(Acks::All)]),
            ages: false,
            // Its runs are too short for a second segment.
            compacted: false,
        }
    }

    fn waits(&self, acks: Acks) -> bool {
        self.acks.contains(&level(acks))
    }
}

/// The weakest first.
fn level(acks: Acks) -> u8 {
    match acks {
        Acks::None => 0,
        Acks::Leader => 1,
        Acks::All => 2,
    }
}

/// The losses that are permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contract {
    /// The ways in which records may be lost.
    pub losses: BTreeSet<Loss>,
}

impl Contract {
    /// The contract of a scenario under a schedule.
    pub fn of(scenario: &Scenario, faults: &[Fault]) -> Self {
        let elects = |strike: &dyn Strike| strike.may_cost().elects_uncleanly;
        let asked = faults.iter().filter_map(|fault| fault.action.as_strike()).any(elects);
        let topics = Terms::of(scenario).into_iter();
        let topics = topics.map(|terms| Terms { unclean: terms.unclean || asked, ..terms });
        let losses = topics.flat_map(|terms| Self::from_terms(&terms, faults).losses);
        let mut losses: BTreeSet<Loss> = losses.collect();
        let deletes = |strike: &dyn Strike| strike.may_cost().deletes_topic;
        if faults.iter().filter_map(|fault| fault.action.as_strike()).any(deletes) {
            losses.insert(Loss::DeletedTopic);
        }
        let groups = scenario.loads.iter().filter_map(|load| load.work.promise().processing);
        let groups: Vec<_> = groups.collect();
        if groups.contains(&Processing::AtLeastOnce) {
            losses.insert(Loss::Repeated);
        }
        if groups.contains(&Processing::AtMostOnce) && !faults.is_empty() {
            losses.insert(Loss::CommittedFirst);
        }
        let transactions = || Self::from_terms(&Terms::of_transactions(scenario), faults);
        if scenario.transacts() && !transactions().is_whole() {
            losses.insert(Loss::ForgottenTransactions);
        }
        if has_old_transactions(scenario) && faults.iter().any(holds_back_clients) {
            losses.insert(Loss::LateEnds);
            if groups.contains(&Processing::InTransactions) {
                losses.insert(Loss::LateOffsets);
            }
        }
        let keeps = [Loss::Repeated, Loss::CommittedFirst, Loss::ForgottenCommits];
        if !groups.is_empty() && !Self::from_terms(&Terms::of_offsets(scenario), faults).is_whole()
        {
            losses.insert(Loss::ForgottenCommits);
        }
        if !groups.is_empty() && losses.iter().any(|loss| !keeps.contains(loss)) {
            losses.insert(Loss::FollowedLoss);
        }
        Self { losses }
    }

    /// The contract of one topic.
    pub fn from_terms(terms: &Terms, faults: &[Fault]) -> Self {
        let mix = Mix::of(terms, faults);
        let mut losses = BTreeSet::new();
        if terms.waits(Acks::None) && !faults.is_empty() {
            losses.insert(Loss::Unheard);
        }
        if terms.waits(Acks::Leader) && terms.replicas > 1 && mix.disturbs {
            losses.insert(Loss::Uncommitted);
        }
        if terms.unclean && terms.replicas > 1 && (mix.overlaps || mix.blinds_controller) {
            losses.insert(Loss::UncleanElection);
        }
        let at_risk = !terms.synced_first || mix.syncs_fail;
        let needed = if mix.overlaps { terms.min_insync } else { terms.replicas };
        let all_down = mix.unclean_shutdowns.min(terms.replicas) >= needed;
        if at_risk && (mix.without_power > 0 || mix.rotten > 0) && all_down {
            losses.insert(Loss::PowerLoss);
        }
        if mix.rotten > 0 && mix.rotten + mix.without_power + mix.replaced >= needed {
            losses.insert(Loss::Rot);
        }
        if mix.replaced > 0 && (mix.rotten + mix.unclean_shutdowns).min(terms.replicas) >= needed {
            losses.insert(Loss::ReplacedDisk);
        }
        Self { losses }
    }

    /// Whether rot and replaced disks always heal: an intact copy of every record is left that others can fetch, and
    /// a log that may lead. That holds if each fault waits until all replicas are in sync again,
    /// and leaves at least one of them.
    pub fn heals(scenario: &Scenario, faults: &[Fault]) -> bool {
        let coordinators = scenario.transacts().then(|| Terms::of_transactions(scenario));
        Terms::of(scenario).iter().chain(&coordinators).all(|terms| {
            let mix = Mix::of(terms, faults);
            let touched = mix.rotten + mix.without_power.max(mix.unclean_shutdowns);
            mix.rotten + mix.replaced == 0 || !mix.overlaps && touched < terms.replicas
        })
    }

    /// Removes the faults that it can't judge, and returns the kinds that were removed by reason.
    pub fn without_unjudged(
        scenario: &Scenario,
        faults: &mut Vec<Fault>,
    ) -> BTreeMap<Unjudged, Vec<&'static str>> {
        let mut removed: BTreeMap<Unjudged, BTreeSet<&'static str>> = BTreeMap::new();
        let mut remove = |faults: &mut Vec<Fault>, why, such: &dyn Fn(&dyn Strike) -> bool| {
            faults.retain(|fault| {
                let goes = fault.action.as_strike().is_some_and(such);
                if goes {
                    removed.entry(why).or_default().insert(fault.action.kind());
                }
                !goes
            });
        };
        if Terms::of(scenario).iter().any(|terms| terms.ages) {
            remove(faults, Unjudged::AgeByWrongClock, &|strike| {
                strike.clock() != ClockError::default()
            });
        }
        if has_old_transactions(scenario) {
            remove(faults, Unjudged::LateInOldTransactions, &|strike| {
                strike.mishap().is_some_and(|mishap| delays_transactions(&mishap))
            });
        }
        if faults.iter().filter_map(|fault| fault.action.as_strike()).any(Strike::tears) {
            remove(faults, Unjudged::TornBehindLies, &|strike| strike.lies());
        }
        let takes_power = |strike: &dyn Strike| strike.may_cost().takes_power;
        if Terms::of(scenario).iter().any(|terms| terms.compacted)
            && faults.iter().filter_map(|fault| fault.action.as_strike()).any(takes_power)
        {
            remove(faults, Unjudged::GapsBehindLies, &|strike| strike.lies());
        }
        if !Self::heals(scenario, faults) {
            remove(faults, Unjudged::MayNotHeal, &|strike| {
                let cost = strike.may_cost();
                cost.rots_all_but.is_some() || cost.replaces_disks
            });
        }
        removed.into_iter().map(|(why, kinds)| (why, kinds.into_iter().collect())).collect()
    }

    /// Whether every invariant must hold.
    pub fn is_whole(&self) -> bool {
        self.losses.is_empty()
    }

    /// All invariants that may break, with the reasons.
    pub fn may_break(&self) -> BTreeMap<&'static str, Vec<Loss>> {
        let mut found: BTreeMap<&'static str, Vec<Loss>> = BTreeMap::new();
        for loss in &self.losses {
            for name in loss.breaks() {
                found.entry(name).or_default().push(*loss);
            }
        }
        found
    }

    /// The `[expect]` of a scenario: everything holds except what is permitted to break. Nothing
    /// has to break.
    pub fn expect(&self) -> Expect {
        let allows = self.may_break().into_keys().map(str::to_owned).collect();
        Expect { holds: vec!["*".into()], breaks: Vec::new(), allows }
    }
}

/// The level of `transaction.version` from which each transaction has an epoch.
const EPOCH_FOR_EACH: i16 = 2;

/// Whether all transactions of a producer have one epoch.
fn has_old_transactions(scenario: &Scenario) -> bool {
    let level = scenario.cluster.transaction_version;
    scenario.transacts() && level.is_some_and(|level| level < EPOCH_FOR_EACH)
}

/// Whether a client's request may arrive after the client has repeated it on another connection.
fn holds_back_clients(fault: &Fault) -> bool {
    let Some(strike) = fault.action.as_strike() else { return false };
    // Damaged and lost messages end their connection; late ones are not judged at all.
    let is_of_messages = strike.mishap().is_some() || strike.damage().is_some();
    match &strike.may_cost().reach {
        Reach::Links(from, to) if !is_of_messages => {
            names_client(from) && names_broker(to) || names_client(to) && names_broker(from)
        }
        Reach::Links(..) | Reach::Hosts(_) => false,
    }
}

/// Requests that belong to one transaction.
const OF_TRANSACTIONS: [&str; 6] = [
    "Produce",
    "AddPartitionsToTxn",
    "AddOffsetsToTxn",
    "TxnOffsetCommit",
    "EndTxn",
    "WriteTxnMarkers",
];

fn delays_transactions(mishap: &Mishap) -> bool {
    matches!(mishap.fate, Fate::Late(_))
        && mishap.part == Part::Requests
        && api::name(mishap.api).is_some_and(|name| OF_TRANSACTIONS.contains(&name))
}

/// The combined effects of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mix {
    /// Leadership may move.
    disturbs: bool,
    /// A fault may strike before the cluster has recovered from another.
    overlaps: bool,
    /// The controller may fence healthy brokers.
    blinds_controller: bool,
    /// Syncs fail.
    syncs_fail: bool,
    /// Most brokers that lose power before one of them has recovered.
    without_power: usize,
    /// Most brokers that shut down uncleanly before one of them has recovered.
    unclean_shutdowns: usize,
    /// Most brokers whose disks rot.
    rotten: usize,
    /// Brokers whose disks are replaced, at most, before one of them has recovered.
    replaced: usize,
}

impl Mix {
    fn of(terms: &Terms, faults: &[Fault]) -> Self {
        let costs: Vec<(&Fault, Cost)> = faults
            .iter()
            .filter_map(|fault| Some((fault, fault.action.as_strike()?.may_cost())))
            .collect();
        let disturbing: Vec<_> = costs.iter().filter(|(_, cost)| disturbs(cost)).collect();
        // A single fault always finds the cluster as settled as at the beginning.
        let alone = disturbing.len() == 1;
        let settled = |fault: &Fault| fault.settled || alone;
        let at_once = |counts: fn(&Cost) -> bool| {
            let such = disturbing.iter().filter(|(_, cost)| counts(cost));
            terms.at_once(such.map(|(fault, cost)| (settled(fault), &cost.reach)))
        };
        Self {
            disturbs: !disturbing.is_empty(),
            overlaps: disturbing.iter().any(|(fault, _)| !settled(fault)),
            blinds_controller: disturbing.iter().any(|(_, cost)| terms.blinds_controller(cost)),
            syncs_fail: costs.iter().any(|(_, cost)| cost.spoils_syncs),
            without_power: at_once(|cost| cost.takes_power),
            unclean_shutdowns: at_once(|cost| cost.ends_uncleanly),
            replaced: at_once(|cost| cost.replaces_disks),
            rotten: terms.rotten(costs.iter().filter_map(|(_, cost)| cost.rots_all_but)),
        }
    }
}

/// The number of brokers that faults affect.
impl Terms {
    /// Most brokers affected at a time, given for each fault whether it waits until the cluster has
    /// recovered: all of those that don't wait, and the largest of those that do, because it may
    /// strike just before the others.
    fn at_once<'a>(&self, faults: impl Iterator<Item = (bool, &'a Reach)>) -> usize {
        let (mut named, mut loose, mut largest) = (BTreeSet::new(), 0, 0);
        for (settled, reach) in faults {
            let Reach::Hosts(target) = reach else { continue };
            if settled {
                largest = largest.max(self.struck(target));
                continue;
            }
            for role in &target.0 {
                match role {
                    // One host is one broker, even if it is struck several times.
                    Role::Host('b', number) => {
                        named.insert(*number);
                    }
                    // Without a leader, every replica is a follower.
                    Role::Followers => loose += self.most_replicas,
                    role => loose += self.meant(role),
                }
            }
        }
        named.len() + loose + largest
    }

    /// Most brokers whose disks rot, given how many each fault spares; rot does not go away.
    fn rotten(&self, spared: impl Iterator<Item = u64>) -> usize {
        let spared = spared.min().map(|spared| usize::try_from(spared).unwrap_or(usize::MAX));
        spared.map_or(0, |spared| self.brokers.saturating_sub(spared))
    }

    /// Most brokers that a role resolves to.
    fn meant(&self, role: &Role) -> usize {
        match role {
            Role::Leader
            | Role::Follower
            | Role::IsrFollower
            | Role::OutOfSync
            | Role::Any
            | Role::Recovering
            | Role::Coordinator
            | Role::TransactionCoordinator
            | Role::CoordinatorOf(_)
            | Role::LeaderOf(_)
            | Role::Host('b', _) => 1,
            Role::Followers => self.most_replicas.saturating_sub(1),
            Role::Minority => (self.brokers.saturating_sub(1) / 2).max(1),
            Role::Majority => self.brokers / 2 + 1,
            Role::All | Role::Everyone => self.brokers,
            Role::Controller
            | Role::Clients
            | Role::Producers
            | Role::Consumers
            | Role::Program(_)
            | Role::AllOf(_)
            | Role::Host(..) => 0,
        }
    }

    fn struck(&self, roles: &Roles) -> usize {
        roles.0.iter().map(|role| self.meant(role)).sum()
    }

    /// Whether healthy brokers may be fenced.
    fn blinds_controller(&self, cost: &Cost) -> bool {
        match &cost.reach {
            Reach::Hosts(target) => names_controller(target),
            // An isolated host is cut off from all others: the controller is blind if it is that
            // host, or if it loses sight of several.
            Reach::Links(from, to) => {
                let wide = |roles: &Roles| self.struck(roles) > 1 || names_controller(roles);
                names_controller(from) && wide(to) || names_controller(to) && wide(from)
            }
        }
    }
}

fn names_node(roles: &Roles) -> bool {
    roles.0.iter().any(|role| role.is_node() || *role == Role::Everyone)
}

fn names_client(roles: &Roles) -> bool {
    roles.0.iter().any(|role| !role.is_node())
}

fn names_broker(roles: &Roles) -> bool {
    let controller = |role: &Role| matches!(role, Role::Controller | Role::Host('c', _));
    names_node(roles) && !roles.0.iter().all(controller)
}

fn names_controller(roles: &Roles) -> bool {
    let controller = |role: &Role| {
        matches!(role, Role::Controller | Role::Recovering | Role::Everyone | Role::Host('c', _))
    };
    roles.0.iter().any(controller)
}

/// Whether leadership may move because of a fault.
fn disturbs(cost: &Cost) -> bool {
    cost.moves_leaders
        && match &cost.reach {
            Reach::Hosts(target) => names_node(target),
            Reach::Links(from, to) => names_node(from) && names_node(to),
        }
}
