//! Serving connections: from bytes to a handler and back.
//!
//! | file | content |
//! |---|---|
//! | `listeners` | the node's listeners, from its configuration |
//! | `connection` | accepting connections, reading requests, writing responses |
//! | `table` | from a request to its API's handler |

pub(super) mod connection;
pub(super) mod listeners;
pub(super) mod table;
