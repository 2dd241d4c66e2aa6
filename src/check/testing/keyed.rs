//! Segments of compacted topics, before and after a cleaning.

use std::sync::Arc;

use super::*;

impl Story {
    /// A whole segment's file, in which each record is a batch; it reaches to `until`.
    pub fn writes_keyed(
        &mut self,
        broker: u16,
        base: i64,
        suffix: &str,
        records: &[(i64, &str, Option<&str>)],
        until: i64,
    ) {
        let records: Vec<_> =
            records.iter().map(|(at, key, value)| (*at, 0, *key, *value)).collect();
        self.writes_keyed_of_epochs(broker, base, suffix, &records, until);
    }

    /// The same, with a leader epoch for each record, after its offset.
    pub fn writes_keyed_of_epochs(
        &mut self,
        broker: u16,
        base: i64,
        suffix: &str,
        records: &[(i64, i32, &str, Option<&str>)],
        until: i64,
    ) {
        let mut file = Vec::new();
        for (offset, epoch, key, value) in records {
            file.extend(one(*offset, *epoch, key, *value));
        }
        if records.last().is_none_or(|(offset, ..)| offset + 1 < until) {
            let epoch = records.last().map_or(0, |(_, epoch, ..)| *epoch);
            let last = one(until - 1, epoch, "", None);
            file.extend(batch::emptied(&BatchHeader::parse(&last).unwrap()));
        }
        self.replaces(broker, base, suffix, file);
    }

    /// The same with records that belong to transactions of a producer, and with a marker at the end:
    /// its offset, its producer, and whether it commits.
    pub fn writes_keyed_in(
        &mut self,
        broker: u16,
        base: i64,
        suffix: &str,
        records: &[(i64, Option<i64>, &str)],
        marker: Option<(i64, i64, bool)>,
    ) {
        let mut file = Vec::new();
        let mut add = |offset: i64, builder: BatchBuilder, producer: Option<i64>| {
            let mut bytes = match producer {
                Some(id) => builder.finish(ProducerId(id), ProducerEpoch(0), 0).to_vec(),
                None => builder.finish_plain().to_vec(),
            };
            batch::assign(&mut bytes, Offset(offset), LeaderEpoch(0));
            file.extend(bytes);
        };
        let builder = || BatchBuilder::new(Compression::None, Timestamp(0));
        for (offset, producer, key) in records {
            let mut one = if producer.is_some() { builder().transactional() } else { builder() };
            one.append(Timestamp(0), Some(key.as_bytes()), Some(b"1"), &[]);
            add(*offset, one, *producer);
        }
        if let Some((offset, producer, commit)) = marker {
            let mut one = builder().transactional().control();
            one.append(Timestamp(0), Some(&[0, 0, 0, u8::from(commit)]), Some(&[0; 6]), &[]);
            add(offset, one, Some(producer));
        }
        self.replaces(broker, base, suffix, file);
    }

    /// A cleaned segment with one tombstone at its base, which may go `horizon` seconds after the start.
    pub fn writes_tombstone_until(
        &mut self,
        broker: u16,
        base: i64,
        suffix: &str,
        key: &str,
        horizon: i64,
    ) {
        let bytes = one(base, 0, key, None);
        let records = batch::records(&bytes, bytes.len()).unwrap();
        let horizon = Timestamp(EPOCH_MS + 1000 * horizon);
        let header = BatchHeader::parse(&bytes).unwrap();
        let bytes = batch::rewritten(&header, &records, Some(horizon)).unwrap();
        self.replaces(broker, base, suffix, bytes);
    }

    /// A segment's file is written from its beginning, and has nothing else.
    fn replaces(&mut self, broker: u16, base: i64, suffix: &str, bytes: Vec<u8>) {
        let path: Arc<str> = format!("{}{suffix}", path(&self.partition, base)).into();
        self.sees(broker, What::Cut { path: path.clone(), len: 0 });
        self.sees(broker, What::Wrote { path, offset: 0, bytes: bytes.into() });
    }

    /// A cleaned segment takes the place of those of its base and of `others`.
    pub fn swaps(&mut self, broker: u16, base: i64, others: &[i64]) {
        let partition = self.partition.clone();
        let named = |base: i64, suffix: &str| -> Arc<str> {
            format!("{}{suffix}", path(&partition, base)).into()
        };
        let rename = |from, to| What::Renamed { from, to };
        self.sees(broker, rename(named(base, ".cleaned"), named(base, ".swap")));
        for old in [base].iter().chain(others) {
            self.sees(broker, rename(named(*old, ""), named(*old, ".deleted")));
        }
        self.sees(broker, rename(named(base, ".swap"), named(base, "")));
    }
}

/// A batch of one record.
fn one(offset: i64, epoch: i32, key: &str, value: Option<&str>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
    builder.append(Timestamp(0), Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    let mut bytes = builder.finish_plain().to_vec();
    batch::assign(&mut bytes, Offset(offset), LeaderEpoch(epoch));
    bytes
}
