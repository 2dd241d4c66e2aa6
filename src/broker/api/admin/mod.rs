//! Configuration and log directories.

mod alter_configs;
mod describe_configs;
mod describe_log_dirs;

pub(in crate::broker) use alter_configs::{AlterConfigs, IncrementalAlterConfigs};
pub(in crate::broker) use describe_configs::DescribeConfigs;
pub(in crate::broker) use describe_log_dirs::DescribeLogDirs;
