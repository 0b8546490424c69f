//! Authentication (stub: being written).

mod password;

pub use password::{HashError, PasswordHash};
