//! The result of a cell about durability: in how many seeds acknowledged records were lost.

use serde::Serialize;

use super::cell::{Cell, Misfortune, assumptions};
use super::grid::{Grid, Status, told};
use super::{CellResult, Flush, Settings};
use crate::base::config::{Acks, Setting};
use crate::lab::report::Report;

/// Row and column of a cell, as its file has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Keys {
    acks: String,
    replication_factor: i16,
    min_insync_replicas: i32,
    flush: String,
    unclean: bool,
    fault: &'static str,
}

/// What a cell lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Number of seeds that lost an acknowledged record.
    pub seeds_lost: u64,
    /// Acknowledged records that the final read did not find, over all seeds.
    pub lost: u64,
}

/// Comparisons for the cells that were also measured with Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Beside {
    /// One for each such cell.
    pub beside_kafka: Vec<BesideKafka>,
}

/// A comparison with Apache Kafka under the same fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BesideKafka {
    /// The cell.
    pub cell: String,
    /// Acknowledged records in Kafka's run.
    pub kafka_acked: u64,
    /// Acknowledged records that Kafka lost.
    pub kafka_lost: u64,
    /// Acknowledged records of our cell, over all seeds.
    pub acked: u64,
    /// Acknowledged records that our cell lost.
    pub lost: u64,
    /// Whether both lose, or both lose nothing.
    pub agrees: bool,
}

/// Records acknowledged by Apache Kafka 4.3.1 (acks=all, replication factor 3, min.insync.replicas
/// 2) before the power of all three machines was cut, and how many of them were lost.
const KAFKA_MEASURED: [(Flush, u64, u64); 2] =
    [(Flush::NEVER, 18_880, 3_800), (Flush::EACH, 18_880, 0)];

impl Grid for Cell {
    const KIND: &'static str = "durability-matrix";
    const SCHEMA: u32 = 1;
    const WORDS: [&'static str; 2] = ["survives", "loses"];

    type Row = Settings;
    type Keys = Keys;
    type Found = Lost;
    type Beside = Beside;

    fn assumptions() -> String {
        assumptions()
    }

    fn columns() -> Vec<(&'static str, &'static str)> {
        Misfortune::ALL.map(|column| (column.name(), column.what())).to_vec()
    }

    fn row(&self) -> Settings {
        self.settings
    }

    fn column(&self) -> &'static str {
        self.misfortune.name()
    }

    fn keys(&self) -> Keys {
        let settings = &self.settings;
        Keys {
            acks: settings.acks.show(),
            replication_factor: settings.replication_factor,
            min_insync_replicas: settings.min_insync,
            flush: settings.flush.name(),
            unclean: settings.unclean,
            fault: self.misfortune.name(),
        }
    }

    /// Such as `acks-all-rf3-min2-cache-clean-all-power`.
    fn name(&self) -> String {
        format!("{}-{}", self.settings.slug(), self.misfortune.name())
    }

    fn promised(&self) -> bool {
        self.keeps_acknowledged()
    }

    fn to_toml(&self) -> String {
        self.toml(&self.name())
    }

    fn found(report: &Report) -> (Lost, bool) {
        let seeds_lost = report.runs.iter().filter(|run| run.lost > 0).count() as u64;
        let lost = report.counts.lost;
        (Lost { seeds_lost, lost }, lost > 0)
    }

    fn shown(_: &Lost, status: Status, report: &Report) -> Option<(u64, String)> {
        let shown = match status {
            // `acked-write-unseen` breaks in every run that lost something.
            Status::Failed => {
                let unseen = "acked-write-unseen";
                report.witnesses.iter().find(|witness| witness.broken.invariant == unseen)
            }
            _ => report.worst(),
        };
        let first = || report.runs.iter().find(|run| run.lost > 0);
        shown.map(told).or_else(|| first().map(|run| (run.seed, String::new())))
    }

    fn said(result: &CellResult) -> String {
        let Lost { seeds_lost, lost } = result.found;
        if result.status == Status::Kept {
            return format!("survives (0 of {})", result.seeds);
        }
        let records = if lost == 1 { "record" } else { "records" };
        format!("LOSES {seeds_lost}/{}, {lost} {records}", result.seeds)
    }

    fn beside(cells: &[CellResult]) -> Beside {
        let beside_kafka = KAFKA_MEASURED.iter().filter_map(|(flush, acked, lost)| {
            let settings = Settings {
                acks: Acks::All,
                replication_factor: 3,
                min_insync: 2,
                flush: *flush,
                unclean: false,
            };
            let cell = Cell::new(settings, Misfortune::AllPower)?;
            let ours = cells.iter().find(|result| result.cell == cell)?;
            Some(BesideKafka {
                cell: cell.name(),
                kafka_acked: *acked,
                kafka_lost: *lost,
                acked: ours.acked,
                lost: ours.found.lost,
                agrees: (ours.found.lost > 0) == (*lost > 0),
            })
        });
        Beside { beside_kafka: beside_kafka.collect() }
    }

    fn disagrees(beside: &Beside) -> bool {
        beside.beside_kafka.iter().any(|beside| !beside.agrees)
    }
}
