//! The cluster's metadata as the bytes in the metadata log say, read by the ghost itself.
//!
//! The controller reports its decisions from its own image. This one is built from the log alone,
//! so a decision that is announced but not logged, or logged otherwise, shows.
//! Source: Kafka's metadata record schemas; PartitionRegistration.merge for changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::fields::Fields;
use crate::base::{
    BrokerEpoch, BrokerId, ControllerProbe, LeaderEpoch, Offset, PartitionCommitted,
    PartitionEpoch, TopicId,
};
use crate::wire::batch;

/// Most bytes of one decompressed batch.
const LARGEST: usize = 64 * 1024 * 1024;
/// "The leader does not change" in a PartitionChangeRecord.
const NO_LEADER_CHANGE: i32 = -2;

/// A version of a partition's state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Logged {
    replicas: Vec<BrokerId>,
    isr: Vec<BrokerId>,
    leader: Option<BrokerId>,
    leader_epoch: LeaderEpoch,
    /// This change elected a leader from outside ISR and ELR.
    unclean: bool,
}

/// The committed part of the metadata log, decoded.
#[derive(Debug, Default)]
pub(crate) struct Image {
    topics: BTreeMap<TopicId, String>,
    /// All versions: a controller that starts reports the old ones again.
    partitions: BTreeMap<(TopicId, i32), BTreeMap<PartitionEpoch, Logged>>,
    removed: BTreeSet<TopicId>,
    /// Registrations, and whether they were ever fenced (`true`) or unfenced.
    fencings: BTreeSet<(BrokerId, BrokerEpoch, bool)>,
    /// The first record that can't be read.
    unreadable: Option<Offset>,
}

impl Image {
    /// Takes a committed batch in, as its bytes lie in the log.
    pub fn apply(&mut self, base: Offset, batch: &[u8]) {
        let Ok(records) = batch::records(batch, LARGEST) else {
            self.unreadable.get_or_insert(base);
            return;
        };
        for record in records {
            let value = record.value.as_deref().unwrap_or_default();
            if self.record(value).is_none() {
                self.unreadable.get_or_insert(record.offset);
            }
        }
    }

    /// The first record that can't be read, if there is one.
    pub fn unreadable(&self) -> Option<Offset> {
        self.unreadable
    }

    fn record(&mut self, value: &[u8]) -> Option<()> {
        let mut fields = Fields::new(value);
        let (frame, key, version) = (fields.varint()?, fields.varint()?, fields.varint()?);
        if frame != 1 {
            return None;
        }
        match key {
            0 => self.register_broker(fields, version)?,
            2 => {
                let (name, id) = (fields.string()?, fields.uuid()?);
                self.topics.insert(TopicId(id), name.to_owned());
            }
            3 => self.partition(fields)?,
            5 => self.partition_change(fields)?,
            7 | 8 => {
                let registration = (BrokerId(fields.i32()?), BrokerEpoch(fields.i64()?));
                self.fencings.insert((registration.0, registration.1, key == 7));
            }
            9 => drop(self.removed.insert(TopicId(fields.uuid()?))),
            17 => {
                let (broker, epoch) = (BrokerId(fields.i32()?), BrokerEpoch(fields.i64()?));
                let fencing = fields.tags()?.get(0, Fields::i8)?.unwrap_or(0);
                if fencing != 0 {
                    self.fencings.insert((broker, epoch, fencing > 0));
                }
            }
            // Configs, features, producer ids, no-ops: no probe reports them.
            _ => {}
        }
        Some(())
    }

    fn register_broker(&mut self, mut fields: Fields<'_>, version: u32) -> Option<()> {
        let broker = BrokerId(fields.i32()?);
        if version >= 2 {
            fields.bool()?;
        }
        fields.uuid()?;
        let epoch = BrokerEpoch(fields.i64()?);
        fields.array(|endpoint| {
            endpoint.string()?;
            endpoint.string()?;
            endpoint.i16()?;
            endpoint.i16()?;
            endpoint.tags().map(drop)
        })?;
        fields.array(|feature| {
            feature.string()?;
            feature.i16()?;
            feature.i16()?;
            feature.tags().map(drop)
        })?;
        fields.string()?;
        self.fencings.insert((broker, epoch, fields.bool()?));
        Some(())
    }

    fn partition(&mut self, mut fields: Fields<'_>) -> Option<()> {
        let (index, topic) = (fields.i32()?, TopicId(fields.uuid()?));
        let (replicas, isr) = (fields.brokers()?, fields.brokers()?);
        // Removing and adding replicas.
        fields.brokers()?;
        fields.brokers()?;
        let leader = leader(fields.i32()?);
        let leader_epoch = LeaderEpoch(fields.i32()?);
        let epoch = PartitionEpoch(fields.i32()?);
        let logged = Logged { replicas, isr, leader, leader_epoch, unclean: false };
        self.partitions.insert((topic, index), [(epoch, logged)].into());
        Some(())
    }

    /// Every change counts one partition epoch, and one leader epoch if it names a leader.
    fn partition_change(&mut self, mut fields: Fields<'_>) -> Option<()> {
        let (index, topic) = (fields.i32()?, TopicId(fields.uuid()?));
        let tags = fields.tags()?;
        let versions = self.partitions.get_mut(&(topic, index))?;
        let (epoch, before) = versions.last_key_value()?;
        let epoch = PartitionEpoch(epoch.0.checked_add(1)?);
        let mut next = Logged { unclean: false, ..before.clone() };
        if let Some(isr) = tags.get(0, Fields::brokers)? {
            next.isr = isr;
        }
        if let Some(replicas) = tags.get(2, Fields::brokers)? {
            next.replicas = replicas;
        }
        let named = tags.get(1, Fields::i32)?.filter(|id| *id != NO_LEADER_CHANGE);
        if let Some(id) = named {
            next.leader = leader(id);
            next.leader_epoch = LeaderEpoch(next.leader_epoch.0.checked_add(1)?);
            next.unclean = tags.get(5, Fields::i8)? == Some(1);
        }
        versions.insert(epoch, next);
        Some(())
    }

    /// How the log differs from a decision that the controller reports, if it does.
    pub fn contradicts(&self, probe: &ControllerProbe) -> Option<String> {
        match probe {
            ControllerProbe::PartitionCommitted(said) => self.contradicts_partition(said),
            ControllerProbe::TopicDeleted { topic_id } => (!self.removed.contains(topic_id))
                .then(|| format!("no removal of the topic with id {topic_id}")),
            ControllerProbe::BrokerFenced { broker, epoch } => {
                self.contradicts_fencing(*broker, *epoch, true)
            }
            ControllerProbe::BrokerUnfenced { broker, epoch } => {
                self.contradicts_fencing(*broker, *epoch, false)
            }
            ControllerProbe::BecameController { .. }
            | ControllerProbe::MetadataCommitted { .. } => None,
        }
    }

    fn contradicts_fencing(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        fenced: bool,
    ) -> Option<String> {
        let what = if fenced { "fencing" } else { "unfencing" };
        (!self.fencings.contains(&(broker, epoch, fenced)))
            .then(|| format!("no {what} of b{broker} in broker epoch {epoch}"))
    }

    fn contradicts_partition(&self, said: &PartitionCommitted) -> Option<String> {
        let name = &said.partition;
        let epoch = said.partition_epoch;
        if self.topics.get(&said.topic_id).is_none_or(|known| **known != *name.topic) {
            return Some(format!("no topic {} with id {}", name.topic, said.topic_id));
        }
        let versions = self.partitions.get(&(said.topic_id, name.partition));
        let Some(logged) = versions.and_then(|versions| versions.get(&epoch)) else {
            return Some(format!("no {name} of partition epoch {epoch}"));
        };
        let reported = Logged {
            replicas: said.replicas.clone(),
            isr: said.isr.clone(),
            leader: said.leader,
            leader_epoch: said.leader_epoch,
            unclean: said.unclean,
        };
        (reported != *logged)
            .then(|| format!("{name} with {logged} in partition epoch {epoch}, not {reported}"))
    }
}

fn leader(id: i32) -> Option<BrokerId> {
    Some(BrokerId(id)).filter(|id| *id != BrokerId::NONE)
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |ids: &[BrokerId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match self.leader {
            Some(leader) if self.unclean => write!(f, "unclean leader b{leader}")?,
            Some(leader) => write!(f, "leader b{leader}")?,
            None => f.write_str("no leader")?,
        }
        let (isr, replicas) = (list(&self.isr), list(&self.replicas));
        write!(f, ", epoch {}, ISR {isr} of {replicas}", self.leader_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Compression;
    use crate::base::{Address, DirectoryId, Listener, Probe, Timestamp};
    use crate::controller::{
        self, BrokerChange, Feature, Fencing, PartitionChange, PartitionRecord, Record,
        RegisterBroker, TopicRecord,
    };
    use crate::wire::batch::BatchBuilder;

    const ID: TopicId = TopicId([7; 16]);

    fn batch(records: &[Record]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
        for record in records {
            builder.append(Timestamp(0), None, Some(&record.encode()), &[]);
        }
        builder.finish_plain().to_vec()
    }

    fn image(records: &[Record]) -> Image {
        let mut image = Image::default();
        image.apply(Offset(0), &batch(records));
        image
    }

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    fn registered(broker: i32, epoch: i64) -> Record {
        Record::RegisterBroker(RegisterBroker {
            broker: BrokerId(broker),
            incarnation: ID.into(),
            epoch: BrokerEpoch(epoch),
            listeners: vec![Listener::new("PLAINTEXT", Address::new("b1", 59092))],
            features: vec![Feature { name: "metadata.version".into(), min: 7, max: 25 }],
            rack: Some("r1".into()),
            fenced: true,
            in_controlled_shutdown: false,
            log_dirs: vec![DirectoryId([9; 16])],
        })
    }

    fn fenced(broker: i32, epoch: i64, fenced: bool) -> Record {
        let change = BrokerChange::of(BrokerId(broker), BrokerEpoch(epoch));
        Record::BrokerChange(BrokerChange { fenced: Some(fenced), ..change })
    }

    fn created() -> Record {
        Record::Partition(PartitionRecord {
            partition: 0,
            topic: ID,
            replicas: ids(&[1, 2, 3]),
            isr: ids(&[1, 2, 3]),
            removing: Vec::new(),
            adding: Vec::new(),
            leader: Some(BrokerId(1)),
            recovering: false,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            directories: vec![DirectoryId([9; 16]); 3],
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        })
    }

    fn elected(leader: Option<i32>, isr: &[i32], unclean: bool) -> Record {
        Record::PartitionChange(PartitionChange {
            topic: ID,
            isr: Some(ids(isr)),
            leader: Some(leader.map(BrokerId)),
            recovering: unclean.then_some(true),
            elr: Some(ids(&[2])),
            ..PartitionChange::default()
        })
    }

    /// A topic of one partition on brokers 1 to 3, and its life.
    fn history() -> Vec<Record> {
        let shrunk = PartitionChange {
            topic: ID,
            isr: Some(ids(&[1, 2])),
            replicas: Some(ids(&[1, 2, 3, 4])),
            ..PartitionChange::default()
        };
        let fencing = Fencing { broker: BrokerId(2), epoch: BrokerEpoch(11) };
        vec![
            Record::NoOp,
            registered(1, 10),
            registered(2, 11),
            fenced(1, 10, false),
            Record::UnfenceBroker(fencing),
            Record::Topic(TopicRecord { name: "orders".into(), id: ID }),
            created(),
            Record::PartitionChange(shrunk),
            elected(Some(2), &[2], false),
            elected(Some(3), &[3], true),
            elected(None, &[], false),
            fenced(1, 10, true),
            Record::FenceBroker(fencing),
            Record::RemoveTopic(ID),
        ]
    }

    /// Every report of a controller that replays the history.
    fn reports(records: &[Record]) -> Vec<ControllerProbe> {
        let mut replayed = controller::Image::default();
        let mut changes = Vec::new();
        for (offset, record) in (0..).zip(records) {
            replayed.replay(Offset(offset), record, &mut changes).unwrap();
        }
        let probes = changes.iter().filter_map(controller::Change::probe);
        let reports = probes.map(|probe| match probe {
            Probe::Controller(probe) => probe,
            other => panic!("{other:?}"),
        });
        reports.collect()
    }

    #[test]
    fn log_agrees_with_every_report_of_the_controllers_own_image() {
        let reports = reports(&history());
        assert_eq!(reports.len(), 10, "{reports:?}");
        let image = image(&history());
        assert_eq!(image.unreadable(), None);
        for report in &reports {
            assert_eq!(image.contradicts(report), None);
        }
        // Without its record, no report is believed.
        let empty = Image::default();
        assert!(reports.iter().all(|report| empty.contradicts(report).is_some()));
    }

    #[test]
    fn record_that_says_something_else_contradicts_the_report() {
        let reports = reports(&history());
        let mut logged = history();
        logged[8] = elected(Some(1), &[1], false);
        let image = image(&logged);
        let found: Vec<String> =
            reports.iter().filter_map(|report| image.contradicts(report)).collect();
        assert_eq!(
            found[0],
            "orders-0 with leader b1, epoch 1, ISR 1 of 1,2,3,4 in partition epoch 2, not leader \
             b2, epoch 1, ISR 2 of 1,2,3,4"
        );
    }

    #[test]
    fn corrupted_record_is_unreadable_or_contradicts() {
        let whole = batch(&history());
        let reports = reports(&history());
        let mut harmless = 0;
        for position in batch::HEADER_LEN..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x41;
            let mut image = Image::default();
            image.apply(Offset(0), &bytes);
            let seen = image.unreadable().is_some()
                || reports.iter().any(|report| image.contradicts(report).is_some());
            harmless += usize::from(!seen);
        }
        // Names of endpoints, directories and the like are in no report.
        assert!(harmless < whole.len() / 2, "{harmless} of {}", whole.len());
    }

    #[test]
    fn bytes_that_are_not_a_record_are_reported_with_their_offset() {
        let mut image = Image::default();
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
        builder.append(Timestamp(0), None, Some(&Record::NoOp.encode()), &[]);
        builder.append(Timestamp(0), None, Some(&[1, 3, 2, 0]), &[]);
        image.apply(Offset(0), &builder.finish_plain());
        assert_eq!(image.unreadable(), Some(Offset(1)));
    }
}
