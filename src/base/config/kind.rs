//! The types of Kafka's keys.

/// The type of a key, as Kafka's `ConfigDef` has it; the number is that of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

impl Kind {
    /// The number in DescribeConfigs.
    pub const fn code(self) -> i8 {
        self as i8
    }
}
