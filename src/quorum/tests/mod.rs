//! Tests of the machine: steps made by hand for each state, messages that no correct peer sends, and a
//! small simulation of several machines with its own laws.
//!
//! | file | contents |
//! |---|---|
//! | `hand` | a replica to be stepped by hand |
//! | `starting` … `resigned` | steps made by hand, a file per state |
//! | `hostile` | arbitrary messages to one machine |
//! | `shell` | a shell around one machine: log, files, fetches |
//! | `cluster` | shells on one network, with time, faults and clients |
//! | `laws` | what must hold in a cluster |
//! | `chaos` | random faults, then none |
//! | `stories` | short stories of one fault each |

mod candidate;
mod chaos;
mod cluster;
mod follower;
mod hand;
mod hostile;
mod laws;
mod leader;
mod prospective;
mod resigned;
mod shell;
mod starting;
mod stories;
mod unattached;
