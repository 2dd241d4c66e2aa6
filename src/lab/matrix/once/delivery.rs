//! The rows: ways to deliver records, from retries to a stage that reads, transforms and writes in
//! transactions.

/// A way to deliver records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// A producer that retries, without idempotence.
    Retries,
    /// An idempotent producer.
    Idempotence,
    /// Transactions, and readers that get everything.
    ReadUncommitted,
    /// Transactions, and readers of committed records.
    ReadCommitted,
    /// Members of a group that commit before they process.
    CommitFirst,
    /// Members of a group that commit after they processed.
    CommitAfter,
    /// A stage in transactions whose offsets are sent without the member's generation.
    NoGeneration,
    /// A stage in transactions, as KIP-447 has it.
    Stage,
}

impl Delivery {
    /// All of them, in the order of rows.
    pub const ALL: [Self; 8] = [
        Self::Retries,
        Self::Idempotence,
        Self::ReadUncommitted,
        Self::ReadCommitted,
        Self::CommitFirst,
        Self::CommitAfter,
        Self::NoGeneration,
        Self::Stage,
    ];

    /// The name used in cell names and row heads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retries => "retries",
            Self::Idempotence => "idempotence",
            Self::ReadUncommitted => "read-uncommitted",
            Self::ReadCommitted => "read-committed",
            Self::CommitFirst => "commit-first",
            Self::CommitAfter => "commit-after",
            Self::NoGeneration => "no-generation",
            Self::Stage => "stage",
        }
    }

    /// A description for reports.
    pub fn what(self) -> &'static str {
        match self {
            Self::Retries => "a producer that retries (enable.idempotence=false)",
            Self::Idempotence => "an idempotent producer (enable.idempotence=true)",
            Self::ReadUncommitted => {
                "a transactional producer, and readers with isolation.level=read_uncommitted"
            }
            Self::ReadCommitted => {
                "a transactional producer, and readers with isolation.level=read_committed"
            }
            Self::CommitFirst => {
                "members of a group that commit offsets before they process (at most once)"
            }
            Self::CommitAfter => {
                "members of a group that commit offsets after they processed (at least once)"
            }
            Self::NoGeneration => {
                "members of a group that read, transform and write in transactions, each with its own \
                 transactional.id, and send offsets without their generation (before KIP-447)"
            }
            Self::Stage => {
                "members of a group that read, transform and write in transactions, and send offsets \
                 with their generation (KIP-447)"
            }
        }
    }

    /// What its zombie can do, in words.
    pub fn zombie(self) -> Option<&'static str> {
        Some(match self {
            Self::Retries | Self::Idempotence => return None,
            Self::ReadUncommitted | Self::ReadCommitted => {
                "another producer has its transactional.id and a newer epoch: what the zombie sends is \
                 refused, and what it had sent is aborted"
            }
            Self::CommitFirst => {
                "what it had committed it processes when it comes back; its commits are refused"
            }
            Self::CommitAfter => {
                "nothing fences what it does besides its commits: it processes what another member has \
                 processed meanwhile"
            }
            Self::NoGeneration => {
                "the other member has another transactional.id, so that nothing fences the zombie: its \
                 transaction commits, with offsets that are another member's"
            }
            Self::Stage => {
                "the coordinator refuses offsets of its old generation: its transaction aborts"
            }
        })
    }

    /// Whether it promises each record once under any fault that loses no acknowledged record.
    pub fn is_exactly_once(self) -> bool {
        matches!(self, Self::Idempotence | Self::ReadCommitted | Self::Stage)
    }

    /// Invariants that it breaks by design.
    pub(super) fn allows(self) -> &'static [&'static str] {
        match self {
            Self::Retries => &["send-reorder"],
            Self::CommitFirst => &["processed-at-least-once"],
            Self::CommitAfter => &["processed-at-most-once"],
            // A zombie's offsets may also be less than what is committed.
            Self::NoGeneration => &["input-output-mismatch", "commit-rewound"],
            _ => &[],
        }
    }

    /// The topics and loads of a scenario. Several clients share an id, or a group, so that one takes
    /// the place of a zombie.
    pub(super) fn loads(self, zombie: bool) -> String {
        let topic = |name: &str| {
            format!(
                "[[topic]]\nname = \"{name}\"\npartitions = 2\nreplication.factor = 3\n\
                 min.insync.replicas = 2\n\n"
            )
        };
        let producer = |rate: &str, idempotence: bool| {
            format!(
                "[[load]]\nkind = \"producer\"\ntopic = \"payments\"\nclients = 1\nrate = \"{rate}\"\n\
                 record.size = 100\nacks = \"all\"\nenable.idempotence = {idempotence}\n\
                 request.timeout.ms = 2000\ndelivery.timeout.ms = 8000\n\n"
            )
        };
        let reader = |topic: &str, isolation: &str| {
            format!(
                "[[load]]\nkind = \"consumer\"\ntopic = \"{topic}\"\nisolation.level = \"{isolation}\"\n\n"
            )
        };
        let group = |commit: &str| {
            format!(
                "[[load]]\nkind = \"group\"\ntopic = \"payments\"\nclients = 2\ncommit = \"{commit}\"\n\
                 processing = \"1ms..3ms\"\n{MEMBER}\n"
            )
        };
        let stage = |generation: &str| {
            format!(
                "[[load]]\nkind = \"transform\"\ntopic = \"payments\"\noutput = \"invoices\"\n\
                 clients = 2\nprocessing = \"2ms..6ms\"\n{generation}{MEMBER}{PATIENCE}\n"
            )
        };
        match self {
            Self::Retries | Self::Idempotence => {
                let idempotent = self == Self::Idempotence;
                let (topic, reader) = (topic("payments"), reader("payments", "read_uncommitted"));
                format!("{topic}{}{reader}", producer("400/s", idempotent))
            }
            Self::ReadUncommitted | Self::ReadCommitted => {
                let isolation = self.name().replace('-', "_");
                let (topic, reader) = (topic("payments"), reader("payments", &isolation));
                format!("{topic}{}{reader}", transactional(zombie))
            }
            Self::CommitFirst | Self::CommitAfter => {
                let commit = if self == Self::CommitFirst { "before" } else { "after" };
                format!("{}{}{}", topic("payments"), producer("200/s", true), group(commit))
            }
            Self::NoGeneration | Self::Stage => {
                let generation = if self == Self::Stage { "" } else { "generation = false\n" };
                let (topics, reader) =
                    (topic("payments") + &topic("invoices"), reader("invoices", "read_committed"));
                format!("{topics}{}{}{reader}", producer("200/s", true), stage(generation))
            }
        }
    }
}

/// Settings of a group's member.
const MEMBER: &str = "group.id = \"billing\"\nmax.poll.records = 50\nsession.timeout.ms = 2000\n\
                      heartbeat.interval.ms = 300\n";
/// Timeouts that fit into a short run.
const PATIENCE: &str =
    "max.block.ms = 4000\nrequest.timeout.ms = 2000\ndelivery.timeout.ms = 4000\n";

/// Producers of transactions; with one id for both, one fences the other.
fn transactional(zombie: bool) -> String {
    let shape = if zombie {
        "ids = 1\nhold = \"200ms..400ms\"\nrestart = \"1s..2s\"\n"
    } else {
        "hold = \"0ms..50ms\"\n"
    };
    format!(
        "[[load]]\nkind = \"transactional\"\ntopic = \"payments\"\nclients = 2\n\
         transaction.records = \"2..10\"\ntransaction.partitions = 2\nthink = \"0ms..20ms\"\n\
         aborts = 10\n{shape}transactional.id = \"till\"\n{PATIENCE}\n"
    )
}
