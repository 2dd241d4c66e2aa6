//! The lines of consumers.

use super::{Said, read_partition};
use crate::sim::ConsumerEvent;

/// The line of a consumer's event.
pub(super) fn said(event: ConsumerEvent) -> Said {
    match event {
        ConsumerEvent::Polled { consumer, partition, records, epochs } => {
            Said::Polled { consumer, partition: partition.to_string(), records, epochs }
        }
        ConsumerEvent::Positioned { consumer, partition, offset } => {
            Said::Positioned { consumer, partition: partition.to_string(), offset }
        }
        ConsumerEvent::ReachedEnd { consumer, partition, end } => {
            Said::ReachedEnd { consumer, partition: partition.to_string(), end }
        }
        ConsumerEvent::Unreadable { consumer, partition, offset, served } => {
            Said::Unreadable { consumer, partition: partition.to_string(), offset, served }
        }
        ConsumerEvent::Skipped { consumer, partition, offset } => {
            Said::Skipped { consumer, partition: partition.to_string(), offset }
        }
        ConsumerEvent::Asked { consumer, partition } => {
            Said::Asked { consumer, partition: partition.to_string() }
        }
        ConsumerEvent::Listed { consumer, partition, lookup, offset } => {
            Said::Listed { consumer, partition: partition.to_string(), lookup, offset }
        }
        ConsumerEvent::Isolated { consumer, isolation } => Said::Isolated { consumer, isolation },
    }
}

/// The event of a consumer's line.
pub(super) fn heard(said: Said) -> Result<ConsumerEvent, String> {
    Ok(match said {
        Said::Polled { consumer, partition, records, epochs } => {
            let partition = read_partition(&partition)?;
            ConsumerEvent::Polled { consumer, partition, records, epochs }
        }
        Said::Positioned { consumer, partition, offset } => {
            ConsumerEvent::Positioned { consumer, partition: read_partition(&partition)?, offset }
        }
        Said::ReachedEnd { consumer, partition, end } => {
            ConsumerEvent::ReachedEnd { consumer, partition: read_partition(&partition)?, end }
        }
        Said::Unreadable { consumer, partition, offset, served } => {
            let partition = read_partition(&partition)?;
            ConsumerEvent::Unreadable { consumer, partition, offset, served }
        }
        Said::Skipped { consumer, partition, offset } => {
            ConsumerEvent::Skipped { consumer, partition: read_partition(&partition)?, offset }
        }
        Said::Asked { consumer, partition } => {
            ConsumerEvent::Asked { consumer, partition: read_partition(&partition)? }
        }
        Said::Listed { consumer, partition, lookup, offset } => {
            let partition = read_partition(&partition)?;
            ConsumerEvent::Listed { consumer, partition, lookup, offset }
        }
        Said::Isolated { consumer, isolation } => ConsumerEvent::Isolated { consumer, isolation },
        _ => return Err("not an event of a consumer".into()),
    })
}
