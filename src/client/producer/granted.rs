//! What a broker grants a producer.

use crate::base::{ProducerEpoch, ProducerId};

/// Producer id and epoch.
pub(in crate::client) type GrantedId = (ProducerId, ProducerEpoch);
