//! Configuration and log directories.

mod describe_configs;
mod describe_log_dirs;

pub(in crate::broker) use describe_configs::DescribeConfigs;
pub(in crate::broker) use describe_log_dirs::DescribeLogDirs;
