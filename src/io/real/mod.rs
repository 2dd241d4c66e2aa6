//! The real world: tokio's sockets and clock, the kernel's files.
//!
//! The only module with unsafe code (mapping a file), and one of the few that may use the real
//! network, file system and clock.
#![allow(clippy::disallowed_methods, reason = "this is the real world")]

mod account;
mod blocking;
mod disk;
mod map;
mod net;
mod world;

pub use account::Mark;
pub use disk::{RealDisk, RealFile};
pub use map::RealMap;
pub use net::{RealListener, RealNet, RealStream};
pub use world::RealWorld;
