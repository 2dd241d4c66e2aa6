//! Configuration and log directories.

mod alter_configs;
mod describe_configs;
mod describe_log_dirs;
mod incremental_alter_configs;

pub(in crate::broker) use alter_configs::AlterConfigs;
pub(in crate::broker) use describe_configs::DescribeConfigs;
pub(in crate::broker) use describe_log_dirs::DescribeLogDirs;
pub(in crate::broker) use incremental_alter_configs::IncrementalAlterConfigs;
