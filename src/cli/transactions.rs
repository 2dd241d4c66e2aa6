//! `transactions`: lists, describes, aborts and finds transactions, as Kafka's `TransactionsCommand` does.

use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};

use super::table::Table;
use super::{refuse, say};
use crate::base::config::{AdminConfig, Config};
use crate::base::{BrokerId, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::client::{
    AbortSpec, Admin, AdminError, PartitionDescription, ProducerDescription, TransactionFilter,
};
use crate::io::World;
use crate::io::real::RealWorld;

/// The arguments of `transactions`, those of Kafka's `kafka-transactions.sh`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    brokerquake transactions --bootstrap-server 127.0.0.1:9092 list\n  \
    brokerquake transactions --bootstrap-server 127.0.0.1:9092 describe --transactional-id till\n  \
    brokerquake transactions --bootstrap-server 127.0.0.1:9092 describe-producers --topic orders \\\n    \
    --partition 0\n  \
    brokerquake transactions --bootstrap-server 127.0.0.1:9092 find-hanging --topic orders\n  \
    brokerquake transactions --bootstrap-server 127.0.0.1:9092 abort --topic orders \\\n    \
    --partition 0 --start-offset 42\n\n\
    Exit codes: 0 done, 1 the cluster refused or did not answer, 2 usage.")]
pub struct TransactionsArgs {
    /// Brokers to ask first, separated by commas
    #[arg(long, value_name = "HOST:PORT,…", required = true)]
    bootstrap_server: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List transactional ids
    List {
        /// Only transactions that are open for longer than so many milliseconds
        #[arg(long, value_name = "MS")]
        duration_filter: Option<u64>,
        /// Only ids that match a regular expression as a whole
        #[arg(long, value_name = "REGEX")]
        transactional_id_pattern: Option<String>,
    },
    /// Describe a transactional id, as its coordinator knows it
    Describe {
        /// The transactional id
        #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        transactional_id: String,
    },
    /// Describe the producers that a partition knows
    DescribeProducers {
        /// The broker to ask, instead of the leader
        #[arg(long, value_name = "BROKER")]
        broker_id: Option<i32>,
        /// The topic
        #[arg(long, value_name = "TOPIC", value_parser = NonEmptyStringValueParser::new())]
        topic: String,
        /// The partition
        #[arg(long, value_name = "PARTITION")]
        partition: i32,
    },
    /// Write the marker of an abort into a partition, for a transaction that hangs there
    Abort(AbortArgs),
    /// Find transactions that are open in partitions, and that no coordinator will end
    FindHanging {
        /// Only partitions that this broker has
        #[arg(long, value_name = "BROKER", required_unless_present = "topic")]
        broker_id: Option<i32>,
        /// Minutes after which a transaction may hang
        #[arg(long, value_name = "MINUTES", default_value_t = 15)]
        max_transaction_timeout: u64,
        /// Only partitions of this topic
        #[arg(long, value_name = "TOPIC", value_parser = NonEmptyStringValueParser::new())]
        topic: Option<String>,
        /// Only this partition of the topic
        #[arg(long, value_name = "PARTITION", requires = "topic")]
        partition: Option<i32>,
    },
    /// Abort the transaction of a transactional id, and fence its producer
    #[command(name = "force-terminate", alias = "forceTerminateTransaction")]
    ForceTerminate {
        /// The transactional id
        #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        transactional_id: String,
    },
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").required(true)))]
struct AbortArgs {
    /// The topic
    #[arg(long, value_name = "TOPIC", value_parser = NonEmptyStringValueParser::new())]
    topic: String,
    /// The partition
    #[arg(long, value_name = "PARTITION")]
    partition: i32,
    /// Where the transaction begins
    #[arg(long, value_name = "OFFSET", group = "which")]
    start_offset: Option<i64>,
    /// The producer, whose epochs are named too
    #[arg(long, value_name = "ID", group = "which", requires_all = ["producer_epoch", "coordinator_epoch"])]
    producer_id: Option<i64>,
    /// The producer's epoch
    #[arg(long, value_name = "EPOCH", requires = "producer_id")]
    producer_epoch: Option<i16>,
    /// The epoch of the coordinator that the marker claims to be from
    #[arg(long, value_name = "EPOCH", requires = "producer_id", allow_hyphen_values = true)]
    coordinator_epoch: Option<i32>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Cluster(#[from] AdminError),
}

/// Asks the cluster, and prints its answers.
pub fn run(args: &TransactionsArgs) -> ExitCode {
    let mut config = AdminConfig::default();
    if let Err(error) = config.set("bootstrap.servers", &args.bootstrap_server) {
        return refuse("transactions", error);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(|error| Problem::Usage(error.to_string())).and_then(|runtime| {
        runtime.block_on(async {
            let admin = Admin::new(RealWorld::new(), config)
                .map_err(|error| Problem::Usage(error.to_string()))?;
            act(&admin, &args.action).await
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Usage(problem)) => refuse("transactions", problem),
        Err(problem) => {
            eprintln!("brokerquake transactions: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn act(admin: &Admin<RealWorld>, action: &Action) -> Result<(), Problem> {
    match action {
        Action::List { duration_filter, transactional_id_pattern } => {
            let filter = TransactionFilter {
                longer_than: duration_filter.map(Duration::from_millis),
                pattern: transactional_id_pattern.clone(),
                ..TransactionFilter::default()
            };
            list(admin, &filter).await?;
        }
        Action::Describe { transactional_id } => describe(admin, transactional_id).await?,
        Action::DescribeProducers { broker_id, topic, partition } => {
            let described = existing(admin, topic, *partition).await?;
            let partition = TopicPartition::new(topic.as_str(), *partition);
            let known = match broker_id {
                Some(broker) if !described.replicas.contains(&BrokerId(*broker)) => {
                    let replicas = listed(described.replicas.iter().map(|replica| replica.0));
                    return Err(Problem::Unknown(format!(
                        "broker {broker} has no replica of {partition}: those are on brokers {replicas}"
                    )));
                }
                Some(broker) => admin.describe_producers_at(BrokerId(*broker), &partition).await?,
                None => known_at_leader(admin, &partition).await?,
            };
            say(producers(known));
        }
        Action::Abort(args) => {
            let spec = spec(admin, args).await?;
            admin.abort_transaction(&spec).await?;
        }
        Action::FindHanging { broker_id, max_transaction_timeout, topic, partition } => {
            let partitions = candidates(admin, *broker_id, topic.as_deref(), *partition).await?;
            let minutes = max_transaction_timeout.saturating_mul(60);
            find_hanging(admin, &partitions, Duration::from_secs(minutes)).await?;
        }
        Action::ForceTerminate { transactional_id } => {
            // A coordinator would create an id that it does not know.
            admin.describe_transaction(transactional_id).await?;
            admin.fence_producer(transactional_id).await?;
        }
    }
    Ok(())
}

async fn list(admin: &Admin<RealWorld>, filter: &TransactionFilter) -> Result<(), Problem> {
    let mut table =
        Table::new(&["TransactionalId", "Coordinator", "ProducerId", "TransactionState"]);
    for listed in admin.list_transactions(filter).await? {
        let (coordinator, producer) = (listed.coordinator.0, listed.producer.0);
        table.row([listed.id, coordinator.to_string(), producer.to_string(), listed.state]);
    }
    say(table);
    Ok(())
}

async fn describe(admin: &Admin<RealWorld>, id: &str) -> Result<(), Problem> {
    let described = admin.describe_transaction(id).await?;
    let mut table = Table::new(&[
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ]);
    let now = admin.world().wall_clock();
    let started = described.started;
    let names: Vec<_> = described.partitions.iter().map(ToString::to_string).collect();
    table.row([
        described.id,
        described.producer.0.to_string(),
        described.epoch.0.to_string(),
        described.state,
        described.timeout.as_millis().to_string(),
        started.map_or_else(|| "None".to_owned(), |started| started.0.to_string()),
        started.map_or_else(|| "None".to_owned(), |started| (now.0 - started.0).to_string()),
        names.join(","),
    ]);
    say(table);
    Ok(())
}

fn producers(known: Vec<ProducerDescription>) -> Table {
    let mut table = Table::new(&[
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ]);
    for producer in known {
        let start = producer.transaction_start;
        table.row([
            producer.producer.0.to_string(),
            producer.epoch.to_string(),
            producer.coordinator_epoch.to_string(),
            producer.last_sequence.to_string(),
            producer.last_timestamp.0.to_string(),
            start.map_or_else(|| "None".to_owned(), |start| start.0.to_string()),
        ]);
    }
    table
}

async fn known_at_leader(
    admin: &Admin<RealWorld>,
    partition: &TopicPartition,
) -> Result<Vec<ProducerDescription>, Problem> {
    let known = admin.describe_producers(std::slice::from_ref(partition)).await?;
    Ok(known.into_values().flatten().collect())
}

/// A partition as the cluster has it; an error if it has no such topic or partition: the leader of one
/// that does not exist would be looked for until `default.api.timeout.ms` is over.
async fn existing(
    admin: &Admin<RealWorld>,
    topic: &str,
    partition: i32,
) -> Result<PartitionDescription, Problem> {
    let partitions: Vec<PartitionDescription> =
        admin.metadata(Some(&[topic])).await?.into_iter().flat_map(|it| it.partitions).collect();
    let found = partitions.iter().find(|described| described.partition == partition);
    found.cloned().ok_or_else(|| {
        let known = listed(partitions.iter().map(|described| described.partition));
        Problem::Unknown(format!(
            "topic `{topic}` has no partition {partition}: it has partitions {known}"
        ))
    })
}

/// Numbers as a user reads them; of many, the first and the last.
fn listed(numbers: impl Iterator<Item = i32>) -> String {
    const SHOWN: usize = 8;
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    match &numbers[..] {
        [first, .., last] if numbers.len() > SHOWN => format!("{first} to {last}"),
        all => all.join(", "),
    }
}

/// The transaction to abort, which the leader knows by its first offset.
async fn spec(admin: &Admin<RealWorld>, args: &AbortArgs) -> Result<AbortSpec, Problem> {
    existing(admin, &args.topic, args.partition).await?;
    let partition = TopicPartition::new(args.topic.as_str(), args.partition);
    if let (Some(producer), Some(epoch), Some(coordinator_epoch)) =
        (args.producer_id, args.producer_epoch, args.coordinator_epoch)
    {
        let (producer, epoch) = (ProducerId(producer), ProducerEpoch(epoch));
        return Ok(AbortSpec { partition, producer, epoch, coordinator_epoch });
    }
    let start = args.start_offset.map(Offset);
    let known = known_at_leader(admin, &partition).await?;
    let found = known.into_iter().find(|producer| producer.transaction_start == start);
    let found = found.ok_or_else(|| {
        let at = start.unwrap_or(Offset::NONE);
        let remedy = "take one that `transactions describe-producers` shows";
        Problem::Usage(format!("no transaction of {partition} begins at offset {at}: {remedy}"))
    })?;
    let epoch = i16::try_from(found.epoch).map_err(|_| {
        Problem::Cluster(AdminError::Incomplete("an epoch of a producer".to_owned()))
    })?;
    Ok(AbortSpec {
        partition,
        producer: found.producer,
        epoch: ProducerEpoch(epoch),
        // A partition that never had a marker takes one of the first coordinator.
        coordinator_epoch: found.coordinator_epoch.max(0),
    })
}

/// The partitions in which transactions may hang.
async fn candidates(
    admin: &Admin<RealWorld>,
    broker: Option<i32>,
    topic: Option<&str>,
    partition: Option<i32>,
) -> Result<Vec<TopicPartition>, Problem> {
    if let (Some(topic), Some(partition)) = (topic, partition) {
        existing(admin, topic, partition).await?;
    }
    let wanted = topic.map(|topic| vec![topic]);
    let mut found = Vec::new();
    for described in admin.metadata(wanted.as_deref()).await? {
        for replicated in &described.partitions {
            let at_broker =
                broker.is_none_or(|broker| replicated.replicas.contains(&BrokerId(broker)));
            let is_wanted = partition.is_none_or(|wanted| wanted == replicated.partition);
            if at_broker && is_wanted {
                found.push(TopicPartition::new(described.name.as_str(), replicated.partition));
            }
        }
    }
    match broker {
        Some(broker) if found.is_empty() => {
            let of = match (topic, partition) {
                (Some(topic), Some(partition)) => format!(" of {topic}-{partition}"),
                (Some(topic), None) => format!(" of topic `{topic}`"),
                _ => String::new(),
            };
            let brokers = listed(admin.describe_cluster().await?.brokers.iter().map(|b| b.id.0));
            let known = format!("the brokers of the cluster are {brokers}");
            Err(Problem::Unknown(format!("broker {broker} has no replica{of}: {known}")))
        }
        _ => Ok(found),
    }
}

async fn find_hanging(
    admin: &Admin<RealWorld>,
    partitions: &[TopicPartition],
    longer_than: Duration,
) -> Result<(), Problem> {
    let mut table = Table::new(&[
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ]);
    let now = admin.world().wall_clock();
    for hanging in admin.find_hanging_transactions(partitions, longer_than).await? {
        let (TopicPartition { topic, partition }, known) = (hanging.partition, hanging.producer);
        let minutes = (now.0 - known.last_timestamp.0) / 60_000;
        table.row([
            topic.to_string(),
            partition.to_string(),
            known.producer.0.to_string(),
            known.epoch.to_string(),
            known.coordinator_epoch.to_string(),
            known.transaction_start.map_or_else(String::new, |start| start.0.to_string()),
            known.last_timestamp.0.to_string(),
            minutes.to_string(),
        ]);
    }
    say(table);
    Ok(())
}
