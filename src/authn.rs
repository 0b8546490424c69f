//! Authentication: who is it?
//!
//! Here are the credentials as a request carries them, the chain of `[[authn]]` members that judges user name and
//! password, the API keys, client certificates and OAuth2 clients beside it, and everything that makes this slow on purpose
//! (hashes), bounded (hasher) and fast again (cache). What the
//! answer entitles to is not decided here, and tokens are not verified here.

mod api_keys;
mod cache;
mod certificates;
mod chain;
mod clients;
mod credentials;
mod flight;
mod groups;
mod hasher;
mod htpasswd;
mod key_hash;
mod member;
mod password;
#[cfg(test)]
mod testing;
mod users;

pub use api_keys::{API_KEYS, ApiKeys, KeyRefused, NewApiKey};
pub use cache::NoRandomness;
pub use certificates::{CLIENT_CERTIFICATE, CertificateRefused, Certificates, NameFrom};
pub use chain::{Chain, Refused, Settings};
pub use clients::{CLIENTS, Clients, NewClient, SecretHash};
pub use credentials::{Credentials, basic, bearer, from_parts};
pub use groups::Groups;
pub use hasher::{Hasher, HashingError};
pub use htpasswd::{Htpasswd, HtpasswdError, Problem};
pub use key_hash::{KEY_PREFIX, KeyHash, KeyHashError, new_key};
pub use member::{Answer, Lookup, Member, Outcome, Trouble};
pub use password::{Cost, HashError, PasswordHash};
pub use users::{NewUser, Users};
