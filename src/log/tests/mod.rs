//! Stories about one log on real files, and a plain model that it is held against.

mod appending;
mod compacting;
mod dirs;
mod gaps;
mod indexing;
mod model;
mod recovering;
mod retaining;
mod torn;
mod transacting;
mod truncating;
mod validating;
