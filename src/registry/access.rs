//! Sets of scopes, and how a token's `access` claim holds them (distribution, "Docker Registry v2 authentication: JWT").

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::{Action, Actions, RepositoryName, Resource, Scope};

/// A set of scopes, merged: at most one entry a resource, none without actions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSet(BTreeMap<Resource, Actions>);

impl AccessSet {
    /// Adds actions on a resource to what is there.
    pub fn insert(&mut self, resource: Resource, actions: Actions) {
        if !actions.is_empty() {
            let entry = self.0.entry(resource).or_default();
            *entry = entry.union(actions);
        }
    }

    /// The actions on a resource.
    pub fn actions(&self, resource: &Resource) -> Actions {
        self.0.get(resource).copied().unwrap_or_default()
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of resources.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The scopes, sorted by resource.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().map(|(resource, actions)| Scope { resource: resource.clone(), actions: *actions })
    }

    /// Whether every action of the scope is granted.
    pub fn covers(&self, scope: &Scope) -> bool {
        self.actions(&scope.resource).covers(scope.actions)
    }

    /// Whether one action on a resource is granted.
    pub fn allows(&self, resource: &Resource, action: Action) -> bool {
        self.actions(resource).contains(action)
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter()
            .map(|Scope { resource, actions }| {
                let actions = actions.intersection(other.actions(&resource));
                Scope { resource, actions }
            })
            .collect()
    }
}

impl FromIterator<Scope> for AccessSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Self::default();
        set.extend(scopes);
        set
    }
}

impl Extend<Scope> for AccessSet {
    fn extend<I: IntoIterator<Item = Scope>>(&mut self, scopes: I) {
        for scope in scopes {
            self.insert(scope.resource, scope.actions);
        }
    }
}

/// The scopes as the `scope` parameter has them, separated by spaces.
impl fmt::Display for AccessSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            scope.fmt(f)?;
        }
        Ok(())
    }
}

#[derive(serde::Serialize)]
struct Printed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    actions: Vec<&'static str>,
}

/// A list of `{"type", "name", "actions"}`, never null. The actions are those that were granted; only the catalog's is
/// `*`, because it has no other.
impl Serialize for AccessSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(resource, actions)| match resource {
            Resource::Catalog => Printed { kind: "registry", name: "catalog", actions: vec!["*"] },
            Resource::Repository(name) => Printed {
                kind: "repository",
                name: name.as_str(),
                actions: actions.iter().map(Action::as_str).collect(),
            },
        }))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Parsed {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl Parsed {
    /// `None` for what is never issued: a type, name or action that is not known here, or `*` on a repository.
    fn into_scope(self) -> Option<Scope> {
        match (self.kind.as_str(), self.name.as_str()) {
            ("registry", "catalog") => {
                (self.actions == ["*"]).then_some(Scope { resource: Resource::Catalog, actions: Actions::ALL })
            }
            ("repository", name) => Some(Scope {
                resource: Resource::Repository(RepositoryName::parse(name).ok()?),
                actions: self.actions.iter().map(|action| action.parse::<Action>().ok()).collect::<Option<_>>()?,
            }),
            _ => None,
        }
    }
}

/// Strict: each entry has exactly the three fields, once, of the right types, and grants only what is issued here. Entries of
/// one resource are merged.
impl<'de> Deserialize<'de> for AccessSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<Parsed>::deserialize(deserializer)?;
        let scopes = entries.into_iter().map(Parsed::into_scope).collect::<Option<Vec<_>>>();
        scopes.map(Self::from_iter).ok_or_else(|| D::Error::custom("an access entry that is never issued"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scope::tests::any_scope;
    use super::*;

    fn set(scopes: &str) -> AccessSet {
        scopes.split_whitespace().map(|scope| scope.parse::<Scope>().unwrap()).collect()
    }

    #[test]
    fn the_claim_lists_what_was_granted() {
        let access = set("repository:b:pull,push registry:catalog:* repository:a/b:*");
        let json = serde_json::to_string(&access).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"[{"type":"registry","name":"catalog","actions":["*"]},"#,
                r#"{"type":"repository","name":"a/b","actions":["pull","push","delete"]},"#,
                r#"{"type":"repository","name":"b","actions":["pull","push"]}]"#
            )
        );
        assert_eq!(serde_json::from_str::<AccessSet>(&json).unwrap(), access);
        assert_eq!(serde_json::to_string(&AccessSet::default()).unwrap(), "[]");
    }

    #[test]
    fn entries_of_one_resource_are_merged() {
        let json = r#"[{"type":"repository","name":"x","actions":["pull"]},{"type":"repository","name":"x","actions":["push"]},
            {"type":"repository","name":"y","actions":[]}]"#;
        assert_eq!(serde_json::from_str::<AccessSet>(json).unwrap(), set("repository:x:pull,push"));
    }

    #[test]
    fn what_is_never_issued_is_refused() {
        for json in [
            r#"[{"type":"moon","name":"x","actions":["*"]}]"#,
            r#"[{"type":"repository","name":"../x","actions":["pull"]}]"#,
            r#"[{"type":"repository","name":"x","actions":["*"]}]"#,
            r#"[{"type":"repository","name":"x","actions":["pull","fly"]}]"#,
            r#"[{"type":"repository(plugin)","name":"x","actions":["pull"]}]"#,
            r#"[{"type":"registry","name":"catalog","actions":["pull"]}]"#,
            r#"[{"type":"registry","name":"other","actions":["*"]}]"#,
        ] {
            assert!(serde_json::from_str::<AccessSet>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn reading_is_strict_in_shape() {
        for json in [
            "null",
            "{}",
            "\"*\"",
            "[null]",
            "[[]]",
            r#"{"type":"repository","name":"x","actions":["pull"]}"#,
            r#"[{"type":"repository","name":"x"}]"#,
            r#"[{"type":"repository","actions":["pull"]}]"#,
            r#"[{"name":"x","actions":["pull"]}]"#,
            r#"[{"type":"repository","name":"x","actions":"pull"}]"#,
            r#"[{"type":"repository","name":"x","actions":null}]"#,
            r#"[{"type":"repository","name":"x","actions":[1]}]"#,
            r#"[{"type":"repository","name":"x","name":"y","actions":["pull"]}]"#,
            r#"[{"type":"repository","name":"x","actions":["pull"],"unless":"rain"}]"#,
        ] {
            assert!(serde_json::from_str::<AccessSet>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn covering_is_by_action_and_resource() {
        let access = set("repository:a:pull,push");
        let covers = |scope: &str| access.covers(&scope.parse().unwrap());
        assert!(covers("repository:a:pull") && covers("repository:a:push,pull"));
        assert!(!covers("repository:a:delete") && !covers("repository:a:*"));
        assert!(!covers("repository:a/b:pull") && !covers("registry:catalog:*"));
        assert_eq!(access.to_string(), "repository:a:pull,push");
    }

    fn any_set() -> impl Strategy<Value = AccessSet> {
        prop::collection::vec(any_scope(), 0..5).prop_map(|scopes| scopes.into_iter().collect())
    }

    proptest! {
        #[test]
        fn union_is_commutative_associative_and_idempotent(a in any_set(), b in any_set(), c in any_set()) {
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
            prop_assert_eq!(a.union(&a), a.clone());
            prop_assert_eq!(a.union(&AccessSet::default()), a);
        }

        #[test]
        fn intersection_is_commutative_associative_and_idempotent(a in any_set(), b in any_set(), c in any_set()) {
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert_eq!(a.intersection(&b).intersection(&c), a.intersection(&b.intersection(&c)));
            prop_assert_eq!(a.intersection(&a), a.clone());
            prop_assert_eq!(a.intersection(&a.union(&b)), a);
        }

        #[test]
        fn an_intersection_grants_nothing_that_is_not_in_both(a in any_set(), b in any_set()) {
            let both = a.intersection(&b);
            for scope in both.iter() {
                prop_assert!(!scope.actions.is_empty() && a.covers(&scope) && b.covers(&scope));
            }
        }

        #[test]
        fn the_claim_reads_back(a in any_set()) {
            prop_assert_eq!(serde_json::from_str::<AccessSet>(&serde_json::to_string(&a).unwrap()).unwrap(), a);
        }
    }
}
