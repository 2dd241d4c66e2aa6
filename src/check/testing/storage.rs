//! Indexes and checkpoints of logs in hand-made histories.

use super::*;

impl Story {
    /// An empty log of the partition is found in another directory, and set aside.
    pub fn sets_aside(&mut self, broker: u16, dir: &str) {
        let from = format!("{dir}/{}", self.partition);
        let path = format!("{from}/{:020}.log", 0).into();
        self.sees(broker, What::Cut { path, len: 0 });
        let to = format!("{from}.0-stray").into();
        self.sees(broker, What::Renamed { from: from.into(), to });
    }

    /// A broker says in which directory its replica is.
    pub fn hosts_in(&mut self, broker: u16, dir: &str) {
        let (partition, dir) = (self.partition.clone(), dir.to_owned());
        let probe = StorageProbe::Hosted { partition, dir };
        self.sees(broker, What::Probe(Probe::Storage(probe)));
    }

    pub fn indexes(&mut self, broker: u16, segment: i64, (relative, position): (u32, u32)) {
        let bytes = [relative.to_be_bytes(), position.to_be_bytes()].concat().into();
        let path = format!("/data/orders-0/{segment:020}.index").into();
        self.sees(broker, What::Wrote { path, offset: 0, bytes });
    }

    pub fn indexes_time(&mut self, broker: u16, segment: i64, (time, relative): (i64, u32)) {
        let bytes = [&time.to_be_bytes()[..], &relative.to_be_bytes()].concat().into();
        let path = format!("/data/orders-0/{segment:020}.timeindex").into();
        self.sees(broker, What::Wrote { path, offset: 0, bytes });
    }

    /// All entries of segment 0's index, and then of its time index.
    pub fn fills_index(&mut self, broker: u16, places: &[(u32, u32)]) {
        let entries =
            places.iter().map(|(last, at)| [last.to_be_bytes(), at.to_be_bytes()].concat());
        self.fills(broker, "index", entries.collect());
    }

    /// An index is renamed into place, with these entries.
    pub fn swaps_index_in(&mut self, broker: u16, places: &[(u32, u32)]) {
        let path: Arc<str> = format!("/data/orders-0/{:020}.index", 0).into();
        let entries =
            places.iter().map(|(last, at)| [last.to_be_bytes(), at.to_be_bytes()].concat());
        let bytes = entries.collect::<Vec<_>>().concat().into();
        self.sees(broker, What::Cut { path: path.clone(), len: 0 });
        self.sees(broker, What::Wrote { path, offset: 0, bytes });
    }

    pub fn fills_time_index(&mut self, broker: u16, moments: &[(i64, u32)]) {
        let entry = |(at, last): &(i64, u32)| [&at.to_be_bytes()[..], &last.to_be_bytes()].concat();
        self.fills(broker, "timeindex", moments.iter().map(entry).collect());
    }

    fn fills(&mut self, broker: u16, which: &str, entries: Vec<Vec<u8>>) {
        let path: Arc<str> = format!("/data/orders-0/{:020}.{which}", 0).into();
        for (index, entry) in entries.into_iter().enumerate() {
            let (path, offset) = (path.clone(), (index * entry.len()) as u64);
            self.sees(broker, What::Wrote { path, offset, bytes: entry.into() });
        }
    }

    /// The disk writes the first bytes of the first entry of segment 0's index, and refuses the rest.
    pub fn refuses_place(&mut self, broker: u16, written: usize) {
        let path = format!("/data/orders-0/{:020}.index", 0).into();
        self.sees(broker, What::Wrote { path, offset: 0, bytes: vec![0; written].into() });
    }

    pub fn cuts_index(&mut self, broker: u16, which: &str, len: u64) {
        let path = format!("/data/orders-0/{:020}.{which}", 0).into();
        self.sees(broker, What::Cut { path, len });
    }

    /// A broker saves the recovery point of its log.
    pub fn saves_recovery_point(&mut self, broker: u16, offset: i64) {
        let (path, bytes) = recovery_point(offset);
        self.sees(broker, What::Cut { path: path.clone(), len: 0 });
        self.sees(broker, What::Wrote { path, offset: 0, bytes: bytes.into() });
    }

    /// The checkpoint as the last power loss left it.
    pub fn recovery_point_survives(&mut self, broker: u16, offset: i64) {
        let (path, bytes) = recovery_point(offset);
        self.sees(broker, What::Survived { path, bytes: bytes.into() });
    }
}

fn recovery_point(offset: i64) -> (Arc<str>, Vec<u8>) {
    let path = "/data/recovery-point-offset-checkpoint".into();
    (path, format!("0\n1\norders 0 {offset}\n").into_bytes())
}
