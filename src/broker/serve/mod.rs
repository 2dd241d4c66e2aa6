//! Serving connections: from bytes to a handler and back.
//!
//! | file | content |
//! |---|---|
//! | `listeners` | the node's listeners, from its configuration |
//! | `session` | one connection as its requests see it |
//! | `handler` | what an API implements, and what it may reply |
//! | `limits` | how many connections there may be |
//! | `table` | one row for each API: versions, listeners, handler |
//! | `connection` | accepting connections, reading requests, writing replies |
//!
//! To add an API, write its handler in `api/<family>/` and add its row to `table`.

pub(super) mod connection;
pub(super) mod handler;
pub(super) mod limits;
pub(super) mod listeners;
pub(super) mod session;
mod table;

pub use listeners::ListenerType;
pub use table::served;
