//! Targets of faults: the role that a host has at that moment, or its name.

use std::fmt;

use crate::base::TopicPartition;

/// A host, or several, by role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The leader of the fault's partition.
    Leader,
    /// One that holds a copy and does not lead.
    Follower,
    /// All that hold a copy and don't lead.
    Followers,
    /// One follower that is in sync.
    IsrFollower,
    /// One follower that is not in sync.
    OutOfSync,
    /// One broker.
    Any,
    /// All brokers.
    All,
    /// Fewer than half of the brokers, but at least one.
    Minority,
    /// More than half of the brokers.
    Majority,
    /// One node that boots and does not yet answer.
    Recovering,
    /// The broker that coordinates the first group of the scenario.
    Coordinator,
    /// The broker that coordinates a group: `coordinator of billing`.
    CoordinatorOf(String),
    /// The broker that coordinates the first transactional id of the scenario.
    TransactionCoordinator,
    /// All controllers.
    Controller,
    /// All clients.
    Clients,
    /// All producers.
    Producers,
    /// All consumers.
    Consumers,
    /// Every host.
    Everyone,
    /// One host by its name: `b2`, `c1`, `p1`, `k1`.
    Host(char, u16),
    /// The leader of a partition that is not the fault's: `leader of invoices-0`.
    LeaderOf(TopicPartition),
    /// The host of a program that is not of the scenario, by its name; one of its instances, if it has
    /// several.
    Program(String),
    /// All instances of such a program: `all of app`.
    AllOf(String),
}

/// The words before the partition of [`Role::LeaderOf`].
const LEADER_OF: &str = "leader of ";
/// The words before the group of [`Role::CoordinatorOf`].
const COORDINATOR_OF: &str = "coordinator of ";
/// The words before the program of [`Role::AllOf`].
pub(super) const ALL_OF: &str = "all of ";

impl Role {
    /// Every word but the names of hosts.
    pub const WORDS: [(&str, Self); 17] = [
        ("leader", Self::Leader),
        ("follower", Self::Follower),
        ("followers", Self::Followers),
        ("isr-follower", Self::IsrFollower),
        ("out-of-sync", Self::OutOfSync),
        ("any", Self::Any),
        ("all", Self::All),
        ("minority", Self::Minority),
        ("majority", Self::Majority),
        ("recovering", Self::Recovering),
        ("coordinator", Self::Coordinator),
        ("transaction-coordinator", Self::TransactionCoordinator),
        ("controller", Self::Controller),
        ("clients", Self::Clients),
        ("producers", Self::Producers),
        ("consumers", Self::Consumers),
        ("everyone", Self::Everyone),
    ];

    /// Reads a word or a host's name.
    pub fn read(text: &str) -> Option<Self> {
        if let Some((_, role)) = Self::WORDS.iter().find(|(word, _)| *word == text) {
            return Some(role.clone());
        }
        if let Some(partition) = text.strip_prefix(LEADER_OF) {
            return TopicPartition::from_directory(partition).map(Self::LeaderOf);
        }
        if let Some(group) = text.strip_prefix(COORDINATOR_OF) {
            return (!group.is_empty()).then(|| Self::CoordinatorOf(group.to_owned()));
        }
        let kind = text.chars().next().filter(|kind| "bcpk".contains(*kind))?;
        let number = text.get(1..)?.parse().ok().filter(|number| *number > 0)?;
        Some(Self::Host(kind, number))
    }

    /// Whether it can only mean brokers and controllers.
    pub fn is_node(&self) -> bool {
        !matches!(
            self,
            Self::Clients
                | Self::Producers
                | Self::Consumers
                | Self::Everyone
                | Self::Host('p' | 'k', _)
                | Self::Program(_)
                | Self::AllOf(_)
        )
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(kind, number) => return write!(f, "{kind}{number}"),
            Self::LeaderOf(partition) => return write!(f, "{LEADER_OF}{partition}"),
            Self::CoordinatorOf(group) => return write!(f, "{COORDINATOR_OF}{group}"),
            Self::AllOf(program) => return write!(f, "{ALL_OF}{program}"),
            Self::Program(name) => return f.write_str(name),
            _ => {}
        }
        let word = Self::WORDS.iter().find(|(_, role)| role == self).map_or("", |(word, _)| word);
        f.write_str(word)
    }
}

/// One role or several: `"leader"` or `["followers", "controller"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(pub Vec<Role>);

impl Roles {
    /// Exactly one role.
    pub fn one(role: Role) -> Self {
        Self(vec![role])
    }

    /// The same without one of several, or with one host in the place of many.
    pub fn fewer(&self) -> Vec<Self> {
        let mut ways = Vec::new();
        for (index, role) in self.0.iter().enumerate() {
            if self.0.len() > 1 {
                let mut without = self.clone();
                without.0.remove(index);
                ways.push(without);
            }
            let one = match role {
                Role::All | Role::Everyone => Role::Leader,
                Role::Followers => Role::Follower,
                _ => continue,
            };
            let mut changed = self.clone();
            changed.0[index] = one;
            ways.push(changed);
        }
        ways
    }

    /// As a TOML value.
    pub fn to_toml(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|role| format!("\"{role}\"")).collect();
        match words.as_slice() {
            [word] => word.clone(),
            words => format!("[{}]", words.join(", ")),
        }
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(Role::to_string).collect();
        f.write_str(&words.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_round_trips() {
        for (word, role) in Role::WORDS {
            assert_eq!(Role::read(word), Some(role.clone()));
            assert_eq!(role.to_string(), word);
        }
        assert_eq!(Role::read("b2"), Some(Role::Host('b', 2)));
        let invoices = Role::LeaderOf(TopicPartition::new("invoices", 4));
        assert_eq!(Role::read("leader of invoices-4"), Some(invoices.clone()));
        assert_eq!(invoices.to_string(), "leader of invoices-4");
        let billing = Role::CoordinatorOf("billing".into());
        assert_eq!(Role::read("coordinator of billing"), Some(billing.clone()));
        assert_eq!(billing.to_string(), "coordinator of billing");
        assert_eq!(Role::read("coordinator of "), None);
        for wrong in ["", "b", "b0", "x1", "b-1", "leaders"] {
            assert_eq!(Role::read(wrong), None, "{wrong}");
        }
    }
}
