//! Serving connections: from bytes to a handler and back.
//!
//! | file | content |
//! |---|---|
//! | `listeners` | the node's listeners, from its configuration |
//! | `session` | one connection as its requests see it |
//! | `handler` | what an API implements, and what it may reply |
//! | `limits` | how many connections there may be |
//! | `connection` | accepting connections, reading requests, writing replies |
//!
//! The APIs and their table are in `api/`.

pub(super) mod connection;
pub(super) mod handler;
pub(super) mod limits;
pub(super) mod listeners;
pub(super) mod session;

pub use listeners::ListenerType;
