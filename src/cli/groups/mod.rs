//! `groups`: lists, describes, deletes and resets groups, as Kafka's `ConsumerGroupCommand` does.
//!
//! | file | contents |
//! |---|---|
//! | `describe` | offsets, members and states of groups, as tables |
//! | `reset` | where offsets are reset to |

mod describe;
mod reset;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use self::reset::Target;
use super::table::Table;
use super::{refuse, say};
use crate::base::config::{AdminConfig, Config};
use crate::base::{Offset, TopicPartition};
use crate::client::{Admin, AdminError};
use crate::io::real::RealWorld;

/// The arguments of `groups`, those of Kafka's `kafka-consumer-groups.sh`.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("action").required(true)),
    group(ArgGroup::new("which").multiple(false)),
    group(ArgGroup::new("target")),
    after_help = "Examples:\n  \
    brokerquake groups --bootstrap-server 127.0.0.1:9092 --list\n  \
    brokerquake groups --bootstrap-server 127.0.0.1:9092 --describe --group workers\n  \
    brokerquake groups --bootstrap-server 127.0.0.1:9092 --group workers --topic orders \\\n    \
    --reset-offsets --to-earliest --execute\n\n\
    Exit codes: 0 done, 1 the cluster refused or did not answer, 2 usage."
)]
pub struct GroupsArgs {
    /// Brokers to ask first, separated by commas
    #[arg(long, value_name = "HOST:PORT,…", required = true)]
    bootstrap_server: String,
    /// List all groups
    #[arg(long, group = "action")]
    list: bool,
    /// Describe offsets, members or the state of groups
    #[arg(long, group = "action")]
    describe: bool,
    /// Delete groups that have no members, with their offsets
    #[arg(long, group = "action")]
    delete: bool,
    /// Delete the offsets of topics
    #[arg(long, group = "action")]
    delete_offsets: bool,
    /// Reset offsets of a group that has no members; shows what it would do without --execute
    #[arg(long, group = "action", requires = "target")]
    reset_offsets: bool,
    /// A group; may be repeated
    #[arg(long, value_name = "GROUP", group = "which", value_parser = NonEmptyStringValueParser::new())]
    group: Vec<String>,
    /// All groups
    #[arg(long, group = "which")]
    all_groups: bool,
    /// With --list or --describe: the state of groups
    #[arg(long)]
    state: bool,
    /// With --describe: the members of groups
    #[arg(long, conflicts_with = "state")]
    members: bool,
    /// With --describe: the offsets of groups, which is the default
    #[arg(long, conflicts_with_all = ["state", "members"])]
    offsets: bool,
    /// With --describe --members: what each member owns
    #[arg(long, requires = "members")]
    verbose: bool,
    /// A topic, or some of its partitions as `orders:0,2`; may be repeated
    #[arg(long, value_name = "TOPIC[:PARTITION,…]", conflicts_with = "all_topics", value_parser = NonEmptyStringValueParser::new())]
    topic: Vec<String>,
    /// All topics of which the group has offsets
    #[arg(long)]
    all_topics: bool,
    /// Reset to the first record that is kept
    #[arg(long, group = "target")]
    to_earliest: bool,
    /// Reset to after the last record
    #[arg(long, group = "target")]
    to_latest: bool,
    /// Commit the current offsets again
    #[arg(long, group = "target")]
    to_current: bool,
    /// Reset to an offset; one outside of the log becomes its nearest end
    #[arg(long, value_name = "OFFSET", group = "target")]
    to_offset: Option<i64>,
    /// Move offsets by a number of records, which may be negative
    #[arg(long, value_name = "N", group = "target", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// Reset to the first record from a time on, such as 2026-11-29T12:30:00.000+01:00
    #[arg(long, value_name = "TIME", group = "target")]
    to_datetime: Option<String>,
    /// Reset to the first record since a duration ago, such as PT1H30M
    #[arg(long, value_name = "DURATION", group = "target")]
    by_duration: Option<String>,
    /// Show what --reset-offsets would do; the default
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Do it
    #[arg(long)]
    execute: bool,
}

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Usage(String),
    #[error("group `{0}`: {1}")]
    Group(String, AdminError),
    #[error(transparent)]
    Cluster(#[from] AdminError),
}

/// Asks the cluster, and prints its answers.
pub fn run(args: &GroupsArgs) -> ExitCode {
    let target = match Target::of(args) {
        Ok(target) => target,
        Err(problem) => return refuse("groups", problem),
    };
    if !args.list && args.group.is_empty() && !args.all_groups {
        return refuse("groups", "name a group with --group, or take --all-groups");
    }
    if (args.reset_offsets || args.delete_offsets) && args.topic.is_empty() && !args.all_topics {
        return refuse("groups", "name a topic with --topic, or take --all-topics");
    }
    let mut config = AdminConfig::default();
    if let Err(error) = config.set("bootstrap.servers", &args.bootstrap_server) {
        return refuse("groups", error);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(|error| Problem::Usage(error.to_string())).and_then(|runtime| {
        runtime.block_on(async {
            let admin = Admin::new(RealWorld::new(), config)
                .map_err(|error| Problem::Usage(error.to_string()))?;
            act(&admin, args, target.as_ref()).await
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Usage(problem)) => refuse("groups", problem),
        Err(problem) => {
            eprintln!("brokerquake groups: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn act(
    admin: &Admin<RealWorld>,
    args: &GroupsArgs,
    target: Option<&Target>,
) -> Result<(), Problem> {
    if args.list {
        return list(admin, args.state).await;
    }
    let groups = match args.all_groups {
        false => args.group.clone(),
        true => admin.list_groups().await?.into_iter().map(|listed| listed.group).collect(),
    };
    for group in &groups {
        let of_group = |error| Problem::Group(group.clone(), error);
        if args.describe {
            describe::describe(admin, args, group).await.map_err(of_group)?;
        } else if args.delete {
            admin.delete_group(group).await.map_err(of_group)?;
            say(format_args!("Deletion of requested consumer groups ('{group}') was successful."));
        } else if args.delete_offsets {
            let wanted = wanted(admin, args, group).await?;
            admin.delete_group_offsets(group, &wanted).await.map_err(of_group)?;
            let mut table = Table::new(&["TOPIC", "PARTITION", "STATUS"]);
            for TopicPartition { topic, partition } in wanted {
                table.row([topic.to_string(), partition.to_string(), "Successful".to_owned()]);
            }
            say(table);
        } else if let Some(target) = target {
            reset(admin, args, group, target).await?;
        }
    }
    Ok(())
}

async fn list(admin: &Admin<RealWorld>, with_state: bool) -> Result<(), Problem> {
    let groups = admin.list_groups().await?;
    if !with_state {
        groups.iter().for_each(|listed| say(&listed.group));
        return Ok(());
    }
    let mut table = Table::new(&["GROUP", "TYPE", "STATE"]);
    for listed in groups {
        table.row([listed.group, listed.kind, listed.state]);
    }
    say(table);
    Ok(())
}

/// The partitions that `--topic` and `--all-topics` name.
async fn wanted(
    admin: &Admin<RealWorld>,
    args: &GroupsArgs,
    group: &str,
) -> Result<Vec<TopicPartition>, Problem> {
    if args.all_topics {
        let of_group = |error| Problem::Group(group.to_owned(), error);
        let offsets = admin.group_offsets(group).await.map_err(of_group)?;
        return Ok(offsets.into_keys().collect());
    }
    let mut wanted = Vec::new();
    for named in &args.topic {
        let (topic, partitions) = reset::topic(named).map_err(Problem::Usage)?;
        match partitions {
            Some(partitions) => {
                wanted.extend(partitions.into_iter().map(|p| TopicPartition::new(topic, p)));
            }
            None => {
                let described = admin.metadata(Some(&[topic])).await?;
                let partitions = described.iter().flat_map(|topic| &topic.partitions);
                wanted.extend(partitions.map(|p| TopicPartition::new(topic, p.partition)));
            }
        }
    }
    Ok(wanted)
}

/// Resets the offsets of a group, or shows what it would do.
async fn reset(
    admin: &Admin<RealWorld>,
    args: &GroupsArgs,
    group: &str,
    target: &Target,
) -> Result<(), Problem> {
    let of_group = |error| Problem::Group(group.to_owned(), error);
    let described = admin.describe_group(group).await.map_err(of_group)?;
    if !matches!(described.state.as_str(), "Empty" | "Dead") {
        let state = &described.state;
        return Err(Problem::Usage(format!(
            "group `{group}` is {state}: offsets are reset while it has no members; stop them first"
        )));
    }
    let partitions = wanted(admin, args, group).await?;
    let offsets = target.resolve(admin, group, &partitions).await.map_err(of_group)?;
    let mut table = Table::new(&["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"]);
    for (TopicPartition { topic, partition }, offset) in &offsets {
        let offset = offset.to_string();
        table.row([group.to_owned(), topic.to_string(), partition.to_string(), offset]);
    }
    if args.execute && !offsets.is_empty() {
        let offsets: BTreeMap<TopicPartition, Offset> = offsets;
        admin.set_group_offsets(group, &offsets).await.map_err(of_group)?;
    }
    say(table);
    if !args.execute {
        eprintln!("brokerquake groups: nothing was changed; add --execute to do it");
    }
    Ok(())
}
