//! What clients send, read and are told in hand-made histories.

use super::*;

impl Story {
    pub fn sent(&mut self, producer: u32, op: u64, value: u64, acks: Acks) {
        self.sends(producer, op, value, acks, true);
    }

    pub fn sent_plain(&mut self, producer: u32, op: u64, value: u64, acks: Acks) {
        self.sends(producer, op, value, acks, false);
    }

    fn sends(&mut self, producer: u32, op: u64, value: u64, acks: Acks, idempotent: bool) {
        let (partition, txn) = (self.partition.clone(), None);
        self.client(ProducerEvent::Sent { producer, op, partition, value, acks, idempotent, txn });
    }

    /// A consumer can't read on at an offset.
    pub fn unreadable(&mut self, consumer: u32, offset: i64, served: bool) {
        let (partition, offset) = (self.partition.clone(), Offset(offset));
        self.client(ConsumerEvent::Unreadable { consumer, partition, offset, served });
    }

    /// And gives it up.
    pub fn skips(&mut self, consumer: u32, offset: i64) {
        let (partition, offset) = (self.partition.clone(), Offset(offset));
        self.client(ConsumerEvent::Skipped { consumer, partition, offset });
    }

    fn told(&mut self, producer: u32, op: u64, outcome: Outcome) {
        self.client(ProducerEvent::Told { producer, op, outcome });
    }

    pub fn told_ok(&mut self, producer: u32, op: u64, offset: Option<i64>) {
        self.told(producer, op, Outcome::Ok { offset: offset.map(Offset) });
    }

    pub fn told_fail(&mut self, producer: u32, op: u64, error: &str) {
        self.told(producer, op, Outcome::Fail { error: error.into() });
    }

    pub fn told_unknown(&mut self, producer: u32, op: u64, error: &str) {
        self.told(producer, op, Outcome::Unknown { error: error.into() });
    }

    pub fn polled(&mut self, consumer: u32, records: &[(i64, u64)]) {
        self.polled_of(consumer, records, &[]);
    }

    /// The same, with the leader epochs of the batches from these offsets on.
    pub fn polled_of(&mut self, consumer: u32, records: &[(i64, u64)], epochs: &[(i64, i32)]) {
        let records = records.iter().map(|(offset, value)| (Offset(*offset), *value)).collect();
        let epochs = epochs.iter().map(|(from, epoch)| (Offset(*from), LeaderEpoch(*epoch)));
        let (partition, epochs) = (self.partition.clone(), epochs.collect());
        self.client(ConsumerEvent::Polled { consumer, partition, records, epochs });
    }

    pub fn positioned(&mut self, consumer: u32, offset: i64) {
        let (partition, offset) = (self.partition.clone(), Offset(offset));
        self.client(ConsumerEvent::Positioned { consumer, partition, offset });
    }

    pub fn asks(&mut self, consumer: u32) {
        let partition = self.partition.clone();
        self.client(ConsumerEvent::Asked { consumer, partition });
    }

    pub fn lists(&mut self, consumer: u32, lookup: Lookup, offset: Option<i64>) {
        let (partition, offset) = (self.partition.clone(), offset.map(Offset));
        self.client(ConsumerEvent::Listed { consumer, partition, lookup, offset });
    }

    pub fn reached_end(&mut self, consumer: u32, end: i64) {
        let (partition, end) = (self.partition.clone(), Offset(end));
        self.client(ConsumerEvent::ReachedEnd { consumer, partition, end });
    }

    /// All clients run on one host.
    pub fn client_killed(&mut self) {
        self.sees(100, What::Killed);
        self.sees(100, What::Booted);
    }

    /// A link damages bytes from a broker to the clients.
    pub fn damaged_on_the_way(&mut self, broker: u16) {
        self.sees(100, What::Damaged { from: HostId(broker) });
    }

    /// A producer sends what must be refused.
    pub fn misbehaves(&mut self, value: u64, misdeed: Misdeed, repeats: Option<i64>) {
        let (partition, repeats) = (self.partition.clone(), repeats.map(Offset));
        self.client(ProducerEvent::Misbehaved { producer: 7, partition, value, misdeed, repeats });
    }

    /// And is answered.
    pub fn answered(&mut self, value: u64, error: &str, offset: Option<i64>) {
        let (error, offset) = (error.to_owned(), offset.map(Offset));
        self.client(ProducerEvent::Answered { producer: 7, value, error, offset });
    }
}
