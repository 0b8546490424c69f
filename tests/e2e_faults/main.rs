//! Faults that take other programs or root to make: a real registry that is killed or stands still, disks that are full, and
//! clocks that jump.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod disk;
mod registry;
mod site;
