//! The seed corpus of each target: files of the specimen, records written by Kafka, requests of
//! every kind, scenarios of this repository.

use std::path::{Path, PathBuf};

use brokerquake::wire::messages::API_DESCRIPTORS;

use super::samples::{self, Sane};
use super::specimen::{ROOT, Specimen};

/// The seeds of a target, from the repository at `root`.
pub fn of(target: &str, root: &Path) -> Vec<Vec<u8>> {
    let specimen = Specimen::new();
    let file = |name: &str| specimen.files[&Path::new(ROOT).join(name)].clone();
    let recorded = |end: &str| files(&root.join("sims/fixtures/kafka/data"), end);
    match target {
        "record_batch" => recorded(".log"),
        "segment" => vec![
            file("orders-0/00000000000000000000.log"),
            file("bills-0/00000000000000000000.log"),
        ],
        "indexes" => {
            let index = file("orders-0/00000000000000000008.index");
            let times = file("orders-0/00000000000000000008.timeindex");
            vec![[&[index.len() as u8][..], &index, &times].concat()]
        }
        "snapshot" => recorded(".snapshot"),
        "transaction_index" => recorded(".txnindex"),
        "checkpoints" => {
            let names = [
                "orders-0/leader-epoch-checkpoint",
                "recovery-point-offset-checkpoint",
                "replication-offset-checkpoint",
                "log-start-offset-checkpoint",
                "orders-0/partition.metadata",
                ".kafka_cleanshutdown",
            ];
            let seed = |(which, name): (usize, &str)| [&[which as u8][..], &file(name)].concat();
            names.into_iter().enumerate().map(seed).collect()
        }
        "meta_properties" => vec![file("meta.properties")],
        "internal_records" => internal_records(root),
        "scenario" => files(&root.join("scenarios/smoke"), ".toml"),
        "history" => vec![HISTORY.as_bytes().to_vec()],
        "server_properties" => vec![PROPERTIES.as_bytes().to_vec()],
        "request_frame" => requests(),
        other => panic!("no seeds for {other}"),
    }
}

/// Content of all files below `dir` whose names have this suffix.
fn files(dir: &Path, end: &str) -> Vec<Vec<u8>> {
    let (mut open, mut found) = (vec![dir.to_owned()], Vec::<PathBuf>::new());
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.display().to_string().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    let contents = found.iter().map(|path| std::fs::read(path).expect("a readable file"));
    contents.filter(|content| !content.is_empty()).collect()
}

/// Keys with their values, of every internal topic.
fn internal_records(root: &Path) -> Vec<Vec<u8>> {
    use brokerquake::wire::batch;
    let mut seeds = Vec::new();
    for topic in ["consumer_offsets", "transaction_state", "share_group_state", "cluster_metadata"]
    {
        let path = format!("sims/fixtures/kafka/data/__{topic}-0");
        for log in files(&root.join(path), ".log") {
            for found in batch::batches(&log).flatten() {
                for record in batch::records(found.1, 1 << 20).into_iter().flatten() {
                    let key = record.key.unwrap_or_default();
                    let value = record.value.unwrap_or_default();
                    seeds.push([&[key.len() as u8][..], &key, &value].concat());
                }
            }
        }
    }
    seeds
}

fn requests() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for api in API_DESCRIPTORS {
        let (key, known) = (api.api_key.value(), api.supported_versions);
        for version in known.min().value()..=known.max().value() {
            let target = samples::Target::default();
            seeds.extend(samples::request(key, version, &target, &mut Sane).map(|b| b.to_vec()));
        }
    }
    seeds
}

const HISTORY: &str = r#"{"history":1,"enable.idempotence":true,"within_ms":60000}
{"at":12410000000,"host":9,"event":"sent","producer":3,"op":17,"partition":"orders-2","value":71,"acks":"all","idempotent":true}
{"at":12415000000,"host":9,"event":"ok","producer":3,"op":17,"offset":4118}
{"at":21007000000,"host":12,"event":"polled","consumer":0,"partition":"orders-2","records":[[4118,71]]}
"#;

const PROPERTIES: &str = "process.roles=broker,controller\nnode.id=1\n\
    controller.quorum.voters=1@127.0.0.1:9093\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
    controller.listener.names=CONTROLLER\nlog.dirs=/tmp/a,/tmp/b\nmin.insync.replicas=2\n\
    log.flush.interval.messages = 10000\\\n  # not a comment\nlog.segment.bytes:1073741824\n";
