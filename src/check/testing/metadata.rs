//! The metadata log in hand-made histories. Host 0 is controller 101.

use super::*;

impl Story {
    pub fn became_controller(&mut self, epoch: i32) {
        self.probe(
            0,
            ControllerProbe::BecameController { id: BrokerId(101), epoch: LeaderEpoch(epoch) },
        );
    }

    pub fn registers(&mut self, broker: i32, epoch: i64) {
        let (host, epoch) = (u16::try_from(broker).unwrap(), BrokerEpoch(epoch));
        self.probe(host, NodeProbe::Registered { epoch });
    }

    pub fn unfenced_as(&mut self, broker: i32, epoch: i64) {
        let (broker, epoch) = (BrokerId(broker), BrokerEpoch(epoch));
        self.probe(0, ControllerProbe::BrokerUnfenced { broker, epoch });
    }

    pub fn metadata_committed(&mut self, epoch: i32, end: i64) {
        let (epoch, end) = (LeaderEpoch(epoch), Offset(end));
        self.probe(0, ControllerProbe::MetadataCommitted { epoch, end });
    }

    /// A node writes no-ops to its metadata log or copy, each with a value in a tagged field.
    pub fn decides(&mut self, host: u16, base: i64, epoch: i32, values: &[u64]) {
        let no_op = |value: &u64| [&[1, 20, 0, 1, 5, 8][..], &value.to_be_bytes()].concat();
        let records: Vec<Vec<u8>> = values.iter().map(no_op).collect();
        self.writes_metadata(host, batch_of(base, epoch, &records));
    }

    /// A node writes one record to its metadata log or copy.
    pub fn decides_bytes(&mut self, host: u16, base: i64, epoch: i32, record: &[u8]) {
        self.writes_metadata(host, batch_of(base, epoch, &[record.to_vec()]));
    }

    fn writes_metadata(&mut self, host: u16, bytes: Vec<u8>) {
        let file = self.metadata.entry(host).or_default();
        let offset = file.len() as u64;
        file.extend_from_slice(&bytes);
        self.sees(host, What::Wrote { path: METADATA.into(), offset, bytes: bytes.into() });
    }

    pub fn metadata_cut(&mut self, host: u16, end: i64) {
        let file = self.metadata.entry(host).or_default();
        file.truncate(position_of(file, end));
        let len = file.len() as u64;
        self.sees(host, What::Cut { path: METADATA.into(), len });
    }

    /// The metadata log keeps what lies below an offset.
    pub fn metadata_power_loss(&mut self, host: u16, kept_below: i64) {
        let file = self.metadata.entry(host).or_default();
        file.truncate(position_of(file, kept_below));
        let bytes = file.clone().into();
        self.sees(host, What::PowerLost { lost_pages: 1 });
        self.sees(host, What::Survived { path: METADATA.into(), bytes });
        self.sees(host, What::Booted);
    }
}
