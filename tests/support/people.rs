//! The people of the end-to-end tests, and what each of them may do with images.

/// May do everything in `team/` and `public/`, and nothing in `private/`.
pub(crate) const ALICE: (&str, &str) = ("alice", "alice-secret");
/// May pull from `team/`.
pub(crate) const BOB: (&str, &str) = ("bob", "bob-secret");
/// May pull and push in `private/`.
pub(crate) const CAROL: (&str, &str) = ("carol", "carol-secret");

/// The three, as [`super::gateway::Settings`] have users.
pub(crate) const USERS: [(&str, &str, &[&str]); 3] =
    [(ALICE.0, ALICE.1, &["dev"]), (BOB.0, BOB.1, &[]), (CAROL.0, CAROL.1, &[])];

/// The member that knows them, and the rules.
pub(crate) const RULES: &str = r#"
[[authn]]
kind = "users"

[[access]]
who = ["group:dev"]
repositories = ["team/**", "public/**"]
actions = ["pull", "push"]

[[access]]
who = ["user:alice"]
repositories = ["team/**"]
actions = ["delete"]

[[access]]
who = ["user:bob"]
repositories = ["team/**"]
actions = ["pull"]

[[access]]
who = ["user:carol"]
repositories = ["private/**"]
actions = ["pull", "push"]

[[access]]
who = ["anyone"]
repositories = ["public/**"]
actions = ["pull"]
"#;
