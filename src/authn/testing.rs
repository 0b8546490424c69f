//! What the tests of this module share.

use crate::secret::Secret;
use crate::subject::UserName;

pub(super) const ALICE: &str = "alice";
pub(super) const BOB: &str = "bob";

pub(super) fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub(super) fn password(text: &str) -> Secret {
    Secret::new(text)
}

/// A bcrypt hash at the lowest cost.
pub(super) fn cheap_hash(text: &str) -> String {
    bcrypt::hash_with_salt(text, 4, [9; 16]).unwrap().format_for_version(bcrypt::Version::TwoY)
}
