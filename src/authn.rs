//! Authentication: who is it?
//!
//! Here are the credentials as a request carries them, the chain of `[[authn]]` members that judges user name and
//! password, and everything that makes this slow on purpose (hashes), bounded (hasher) and fast again (cache). What the
//! answer entitles to is not decided here, and tokens are not verified here.

mod cache;
mod chain;
mod credentials;
mod flight;
mod groups;
mod hasher;
mod htpasswd;
mod member;
mod password;
#[cfg(test)]
mod testing;
mod users;

pub use cache::NoRandomness;
pub use chain::{Chain, Refused, Settings};
pub use credentials::{Credentials, basic, from_parts};
pub use groups::Groups;
pub use hasher::{Hasher, HashingError};
pub use htpasswd::{Htpasswd, HtpasswdError, Problem};
pub use member::{Answer, Lookup, Member, Outcome, Trouble};
pub use password::{Cost, HashError, PasswordHash};
pub use users::{NewUser, Users};
