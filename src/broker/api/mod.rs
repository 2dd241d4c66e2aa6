//! The APIs, one file each: from a decoded request to its response, with the checks in the order in
//! which Kafka makes them.
//!
//! | family | APIs |
//! |---|---|
//! | `records` | writing, reading and deleting records; producer ids |
//! | `topics` | creating and deleting topics |
//! | `cluster` | versions, brokers, topics and their leaders |
//! | `admin` | configuration and log directories |

pub(super) mod admin;
pub(super) mod cluster;
pub(super) mod records;
pub(super) mod topics;
