//! The APIs, one file each: from a decoded request to its response, with the checks in the order in
//! which Kafka makes them.
//!
//! | family | APIs |
//! |---|---|
//! | `records` | writing, reading and deleting records |
//! | `txn` | producer ids and transactions |
//! | `topics` | creating, extending and deleting topics |
//! | `groups` | coordinators, members of groups, committed offsets |
//! | `cluster` | versions, brokers, topics and their leaders |
//! | `admin` | configuration and log directories |
//! | `forward` | passing a request on to the controller |
//! | `table` | one row for each API: versions, listeners, handler |
//!
//! To add an API, write its handler in a family and add its row to `table`.

mod admin;
mod cluster;
mod forward;
mod groups;
mod records;
mod table;
#[cfg(test)]
mod tests;
mod topics;
mod txn;

pub use table::served;
