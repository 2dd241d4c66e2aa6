//! The targets. None may panic, hang, or allocate out of proportion to its input; some check more.

use std::path::{Path, PathBuf};

use brokerquake::base::config::{Compression, Purpose, ServerProperties, parse_properties};
use brokerquake::base::{Offset, Timestamp};
use brokerquake::check::history;
use brokerquake::decide::{KeyValue, LogRecord};
use brokerquake::group::Record as GroupRecord;
use brokerquake::log::dump::{Decoder, Dump, DumpOptions};
use brokerquake::log::{Log, Recovery};
use brokerquake::scenario::Scenario;
use brokerquake::wire::api::key;
use brokerquake::wire::batch::{self, BatchBuilder};
use brokerquake::wire::frame;
use brokerquake::wire::messages::*;
use bytes::Bytes;

use super::memory::MemoryDisk;
use super::specimen::{End, Outcome, ROOT, Specimen, at_once, config, forward, served};

/// Fuzzes one format with some bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 12] = [
    ("record_batch", record_batch),
    ("segment", segment),
    ("indexes", indexes),
    ("snapshot", snapshot),
    ("transaction_index", transaction_index),
    ("checkpoints", checkpoints),
    ("meta_properties", meta_properties),
    ("internal_records", internal_records),
    ("scenario", scenario),
    ("history", history),
    ("server_properties", server_properties),
    ("request_frame", request_frame),
];

const MOST_UNPACKED: usize = 1 << 20;

/// A record batch: decoding is deterministic.
pub fn record_batch(data: &[u8]) {
    for found in batch::batches(data) {
        let Ok((header, bytes)) = found else { break };
        assert_eq!(bytes.len(), header.size());
        let once = batch::records(bytes, MOST_UNPACKED);
        let shared = Bytes::copy_from_slice(bytes);
        let again = batch::records_of(&shared, MOST_UNPACKED).and_then(Iterator::collect);
        assert_eq!(once, again);
        // As in a dump, even if the checksum is wrong.
        if let Ok(records) = batch::unchecked_records_of(&shared, MOST_UNPACKED) {
            records.take_while(Result::is_ok).for_each(drop);
        }
    }
    dump("00000000000000000000.log", data, Decoder::default());
}

/// A file of batches, after a crash: served batches have valid checksums and consecutive offsets.
pub fn segment(data: &[u8]) {
    let disk = MemoryDisk::default();
    let dir = Path::new(ROOT).join("orders-0");
    disk.put(&dir.join("00000000000000000000.log"), data.to_vec());
    at_once(async {
        let opened = Log::open(disk, dir, config(), Recovery::default(), Timestamp(0)).await;
        let Ok((log, _)) = opened else { return };
        let mut due = Offset(0);
        let (read, refused) = served(&log, forward(&log));
        assert_eq!(refused, None, "what recovery kept can be read");
        for (offset, bytes) in read {
            let header = batch::check(&bytes).expect("what recovery kept is valid");
            assert_eq!((offset, header.base_offset), (due, due));
            due = header.next_offset();
        }
        assert_eq!(due, log.log_end());
    });
}

/// Both indexes of a segment: with corrupt indexes, reads still find everything.
pub fn indexes(data: &[u8]) {
    let Some((at, rest)) = data.split_first() else { return };
    let (index, time_index) = rest.split_at(rest.len().min(usize::from(*at)));
    let segment = Path::new(ROOT).join("orders-0/00000000000000000008.log");
    let outcome = judged(&[
        (&segment.with_extension("index"), index),
        (&segment.with_extension("timeindex"), time_index),
    ]);
    assert_eq!(outcome, Outcome::Whole);
    dump("00000000000000000000.index", index, Decoder::default());
    dump("00000000000000000000.timeindex", time_index, Decoder::default());
}

/// A producer snapshot: without it the log is read instead.
pub fn snapshot(data: &[u8]) {
    let path = Path::new(ROOT).join("orders-0/00000000000000000024.snapshot");
    assert_eq!(judged(&[(&path, data)]), Outcome::Whole);
    dump("00000000000000000000.snapshot", data, Decoder::default());
}

/// The index of aborted transactions.
pub fn transaction_index(data: &[u8]) {
    let path = Path::new(ROOT).join("orders-0/00000000000000000008.txnindex");
    judged(&[(&path, data)]);
    dump("00000000000000000000.txnindex", data, Decoder::default());
}

/// A checkpoint; the first byte selects which.
pub fn checkpoints(data: &[u8]) {
    let Some((which, text)) = data.split_first() else { return };
    let name = [
        "orders-0/leader-epoch-checkpoint",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "log-start-offset-checkpoint",
        "orders-0/partition.metadata",
        ".kafka_cleanshutdown",
    ][usize::from(*which) % 6];
    judged(&[(&Path::new(ROOT).join(name), text)]);
    dump("leader-epoch-checkpoint", text, Decoder::default());
    dump("recovery-point-offset-checkpoint", text, Decoder::default());
}

/// `meta.properties`.
pub fn meta_properties(data: &[u8]) {
    judged(&[(&Path::new(ROOT).join("meta.properties"), data)]);
}

/// Records of the internal topics, as in a dump: the first byte is the length of the key.
pub fn internal_records(data: &[u8]) {
    let Some((at, rest)) = data.split_first() else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*at)));
    let of = |bytes: &[u8]| Some(Bytes::copy_from_slice(bytes));
    if let Ok(record) = GroupRecord::decode(KeyValue { key: of(key), value: of(value) }) {
        let again = GroupRecord::decode(record.encode());
        assert!(!record.is_writable() || again.as_ref() == Ok(&record), "{record:?}: {again:?}");
    }
    for control in [false, true] {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
        if control {
            builder = builder.control();
        }
        builder.append(Timestamp(0), Some(key), Some(value), &[]);
        builder.append(Timestamp(0), Some(key), None, &[]);
        let bytes = builder.finish_plain();
        for decoder in [
            Decoder::Offsets,
            Decoder::TransactionLog,
            Decoder::ShareGroupState,
            Decoder::ClusterMetadata,
        ] {
            dump("00000000000000000000.log", &bytes, decoder);
        }
    }
}

/// A scenario file.
pub fn scenario(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Scenario::parse("fuzzed.toml", text);
    }
}

/// A history of a run.
pub fn history(data: &[u8]) {
    let _ = history::judge(data);
}

/// A `server.properties`.
pub fn server_properties(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = parse_properties(text);
        let _ = ServerProperties::read(text, Purpose::Serve);
    }
}

/// A request without its length field, as any client may send it.
pub fn request_frame(data: &[u8]) {
    let Ok(request) = frame::decode_request(data.to_vec()) else { return };
    macro_rules! decode {
        ($($key:ident => $request:ty,)*) => {
            match request.header.api_key {
                $(key::$key => drop(request.decode::<$request>()),)*
                _ => {}
            }
        };
    }
    decode! {
        PRODUCE => ProduceRequest,
        FETCH => FetchRequest,
        LIST_OFFSETS => ListOffsetsRequest,
        METADATA => MetadataRequest,
        API_VERSIONS => ApiVersionsRequest,
        CREATE_TOPICS => CreateTopicsRequest,
        DELETE_TOPICS => DeleteTopicsRequest,
        INIT_PRODUCER_ID => InitProducerIdRequest,
        OFFSET_FOR_LEADER_EPOCH => OffsetForLeaderEpochRequest,
        DESCRIBE_CLUSTER => DescribeClusterRequest,
        DESCRIBE_CONFIGS => DescribeConfigsRequest,
        DELETE_RECORDS => DeleteRecordsRequest,
        DESCRIBE_LOG_DIRS => DescribeLogDirsRequest,
        ALTER_PARTITION => AlterPartitionRequest,
        BROKER_REGISTRATION => BrokerRegistrationRequest,
        BROKER_HEARTBEAT => BrokerHeartbeatRequest,
        ALLOCATE_PRODUCER_IDS => AllocateProducerIdsRequest,
        ASSIGN_REPLICAS_TO_DIRS => AssignReplicasToDirsRequest,
        ADD_PARTITIONS_TO_TXN => AddPartitionsToTxnRequest,
        ADD_OFFSETS_TO_TXN => AddOffsetsToTxnRequest,
        END_TXN => EndTxnRequest,
        DESCRIBE_TRANSACTIONS => DescribeTransactionsRequest,
        LIST_TRANSACTIONS => ListTransactionsRequest,
        UPDATE_FEATURES => UpdateFeaturesRequest,
    }
}

/// Opens the specimen with changed content in some files, after every kind of end; returns the last
/// outcome that is not `Whole`.
fn judged(files: &[(&Path, &[u8])]) -> Outcome {
    thread_local! {
        static SPECIMENS: [Specimen; 3] = {
            let specimen = Specimen::new();
            [End::Clean, End::Synced, End::Unsynced].map(|end| specimen.after(end))
        };
    }
    SPECIMENS.with(|specimens| {
        let mut worst = Outcome::Whole;
        for specimen in specimens {
            let disk = MemoryDisk::with(&specimen.files);
            files.iter().for_each(|(path, bytes)| disk.put(path, bytes.to_vec()));
            let outcome = specimen.judge(&disk);
            if outcome != Outcome::Whole {
                worst = outcome;
            }
        }
        worst
    })
}

/// Dumps a file in each way; an index together with its log.
fn dump(name: &str, data: &[u8], decoder: Decoder) {
    let disk = MemoryDisk::default();
    let dir = PathBuf::from("/dump");
    let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
    builder.append(Timestamp(0), None, Some(b"value"), &[]);
    disk.put(&dir.join("00000000000000000000.log"), builder.finish_plain().to_vec());
    disk.put(&dir.join("00000000000000000000.index"), vec![0; 8]);
    disk.put(&dir.join(name), data.to_vec());
    for index_sanity_check in [false, true] {
        let options = DumpOptions {
            deep: true,
            contents: true,
            decoder,
            index_sanity_check,
            ..DumpOptions::default()
        };
        let mut dump = Dump::new(|path: &Path| disk.look(path), &options, std::io::sink());
        let _ = dump.file(&dir.join(name));
        let _ = dump.problems().to_string();
    }
}
