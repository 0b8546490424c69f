//! Everything that speaks HTTP: listeners, connections, the admin pages.
//!
//! Nothing here reads the configuration; every part takes a settings struct of its own.

pub mod admin;
pub mod connection;
pub mod linger;
pub mod listener;
pub mod shutdown;
pub mod worker;
