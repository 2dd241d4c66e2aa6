//! The name of a producer across its lives.

use crate::base::name;

name! {
    /// A transactional id (`transactional.id`).
    TransactionalId
}
