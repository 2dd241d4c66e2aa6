//! The states of a transaction.

/// The state of a transactional id. Source: Kafka's `TransactionState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionState {
    /// A producer was given an epoch, and has no transaction yet.
    #[default]
    Empty,
    /// A transaction has begun.
    Ongoing,
    /// The outcome is commit: markers travel.
    PrepareCommit,
    /// The outcome is abort: markers travel.
    PrepareAbort,
    /// All partitions know that the transaction is committed.
    CompleteCommit,
    /// All partitions know that the transaction is aborted.
    CompleteAbort,
    /// The id has expired. In Kafka a passing state of memory; never stored, and never met here.
    Dead,
    /// The producer is being fenced. In Kafka a passing state of memory; never stored, and never
    /// met here: the fence and the abort are one record.
    PrepareEpochFence,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its records count.
    Commit,
    /// Its records are void.
    Abort,
}

impl Outcome {
    /// As EndTxn and WriteTxnMarkers have it.
    pub fn of(is_committed: bool) -> Self {
        if is_committed { Self::Commit } else { Self::Abort }
    }

    /// The state in which the outcome is decided.
    pub fn prepared(self) -> TransactionState {
        match self {
            Self::Commit => TransactionState::PrepareCommit,
            Self::Abort => TransactionState::PrepareAbort,
        }
    }

    /// The state in which all partitions know of it.
    pub fn completed(self) -> TransactionState {
        match self {
            Self::Commit => TransactionState::CompleteCommit,
            Self::Abort => TransactionState::CompleteAbort,
        }
    }
}

impl TransactionState {
    const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    /// Its number in a record.
    pub fn id(self) -> i8 {
        self as i8
    }

    /// The state with this number in a record. Kafka stores neither `Dead` nor `PrepareEpochFence`.
    pub fn stored(id: i8) -> Option<Self> {
        let state = *Self::ALL.get(usize::try_from(id).ok()?)?;
        (!matches!(state, Self::Dead | Self::PrepareEpochFence)).then_some(state)
    }

    /// Its name, as DescribeTransactions and ListTransactions have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The outcome that is decided and that not all partitions know of yet.
    pub fn pending(self) -> Option<Outcome> {
        match self {
            Self::PrepareCommit => Some(Outcome::Commit),
            Self::PrepareAbort => Some(Outcome::Abort),
            _ => None,
        }
    }

    /// The outcome that all partitions know of.
    pub fn completed(self) -> Option<Outcome> {
        match self {
            Self::CompleteCommit => Some(Outcome::Commit),
            Self::CompleteAbort => Some(Outcome::Abort),
            _ => None,
        }
    }

    /// Whether no transaction is ongoing or being completed. Only then may the id expire.
    pub fn is_idle(self) -> bool {
        self == Self::Empty || self.completed().is_some()
    }

    /// Whether a transactional id may go from this state to `next` by one record.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Empty => self.is_idle(),
            Self::Ongoing | Self::PrepareAbort => self.is_idle() || self == Self::Ongoing,
            Self::PrepareCommit => self == Self::Ongoing,
            Self::CompleteCommit => self == Self::PrepareCommit,
            Self::CompleteAbort => self == Self::PrepareAbort,
            Self::Dead | Self::PrepareEpochFence => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_name_of_a_state_lead_back_to_it() {
        for (id, state) in (0..).zip(TransactionState::ALL) {
            assert_eq!(state.id(), id);
            assert_eq!(TransactionState::named(state.name()), Some(state));
        }
        assert_eq!(TransactionState::named("prepareCommit"), None, "names have one spelling");
    }

    #[test]
    fn states_that_kafka_never_stores_are_not_read() {
        assert_eq!(TransactionState::stored(5), Some(TransactionState::CompleteAbort));
        for id in [-1, 6, 7, 8, i8::MIN] {
            assert_eq!(TransactionState::stored(id), None, "{id}");
        }
    }
}
