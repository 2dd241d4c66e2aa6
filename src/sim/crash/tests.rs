//! What a crash may leave and what not, told and explained.
