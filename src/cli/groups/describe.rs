//! Offsets, members and states of groups, as tables.

use std::collections::{BTreeMap, BTreeSet};

use super::super::say;
use super::GroupsArgs;
use crate::base::TopicPartition;
use crate::cli::table::Table;
use crate::client::{Admin, AdminError, GroupDescription, MemberDescription, OffsetSpec};
use crate::io::real::RealWorld;

/// Prints what is asked about one group.
pub(super) async fn describe(
    admin: &Admin<RealWorld>,
    args: &GroupsArgs,
    group: &str,
) -> Result<(), AdminError> {
    let described = admin.describe_group(group).await?;
    if described.state == "Dead" {
        let meant = admin.nearest_group(group).await?;
        let hint = meant.map_or_else(String::new, |meant| format!(" Did you mean '{meant}'?"));
        eprintln!("brokerquake groups: group '{group}' does not exist.{hint}");
        return Ok(());
    }
    if args.state {
        say(state(&described));
        return Ok(());
    }
    if described.members.is_empty() {
        eprintln!("brokerquake groups: group '{group}' has no active members.");
    }
    if args.members {
        say(members(&described, args.verbose));
        return Ok(());
    }
    say(offsets(admin, &described).await?);
    Ok(())
}

fn state(group: &GroupDescription) -> Table {
    let mut table = Table::new(&["GROUP", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]);
    let members = group.members.len().to_string();
    table.row([group.group.clone(), group.assignor.clone(), group.state.clone(), members]);
    table
}

fn members(group: &GroupDescription, verbose: bool) -> Table {
    let heads = ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "ASSIGNMENT"];
    let mut table = Table::new(if verbose { &heads } else { &heads[..5] });
    for member in &group.members {
        let owned: Vec<String> = member.assignment.iter().map(ToString::to_string).collect();
        let mut row = vec![
            group.group.clone(),
            member.id.clone(),
            member.host.clone(),
            member.client_id.clone(),
            owned.len().to_string(),
        ];
        if verbose {
            row.push(owned.join(","));
        }
        table.row(row);
    }
    table
}

async fn offsets(admin: &Admin<RealWorld>, group: &GroupDescription) -> Result<Table, AdminError> {
    let committed = admin.group_offsets(&group.group).await?;
    let owners: BTreeMap<&TopicPartition, &MemberDescription> = group
        .members
        .iter()
        .flat_map(|member| member.assignment.iter().map(move |owned| (owned, member)))
        .collect();
    let all: BTreeSet<&TopicPartition> = committed.keys().chain(owners.keys().copied()).collect();
    let asked: Vec<_> = all.iter().map(|name| ((*name).clone(), OffsetSpec::Latest)).collect();
    let ends = admin.list_offsets(&asked).await?;
    let mut table = Table::new(&[
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ]);
    for name in all {
        let at = committed.get(name).map(|committed| committed.offset.0);
        let end = ends.get(name).and_then(|listed| listed.offset).map(|offset| offset.0);
        let lag = at.zip(end).map(|(at, end)| end.saturating_sub(at).max(0));
        let number = |number: Option<i64>| number.map_or_else(String::new, |n| n.to_string());
        let owner = owners.get(name);
        let of_owner = |text: fn(&MemberDescription) -> &String| {
            owner.map_or_else(String::new, |member| text(member).clone())
        };
        table.row([
            group.group.clone(),
            name.topic.to_string(),
            name.partition.to_string(),
            number(at),
            number(end),
            number(lag),
            of_owner(|member| &member.id),
            of_owner(|member| &member.host),
            of_owner(|member| &member.client_id),
        ]);
    }
    Ok(table)
}
