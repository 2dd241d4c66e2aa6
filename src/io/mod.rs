//! The boundary: everything that a host may touch.
//!
//! Broker, log and clients see the world only through these traits. In a
//! process of its own `real` implements them, in a simulation `sim` does, and the code cannot tell
//! which.

mod disk;
mod net;
pub mod real;
mod together;
mod world;

pub use crate::base::Address;
pub use disk::{Disk, Entry, File, Lock, Map, Open, Slice};
pub use net::{Listener, Net, Part, Stream};
pub use together::together;
pub use world::{World, timeout};
