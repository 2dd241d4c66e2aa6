//! Configuration and log directories.

pub(in crate::broker) mod describe_configs;
pub(in crate::broker) mod describe_log_dirs;
