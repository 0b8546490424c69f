//! Scopes and access sets (distribution, "Docker Registry v2 authentication: token scope documentation").

use std::collections::BTreeMap;
use std::fmt;

use super::{Action, Actions, RepositoryName};

/// What a token can grant something on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// `registry:catalog:*`. Its only action is "all": [`Actions::ALL`].
    Catalog,
    /// `repository:<name>:…`.
    Repository(RepositoryName),
}

/// One scope: a resource and the actions on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// On what.
    pub resource: Resource,
    /// To do what.
    pub actions: Actions,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.resource {
            Resource::Catalog => f.write_str("registry:catalog:*"),
            Resource::Repository(name) => write!(f, "repository:{name}:{}", self.actions),
        }
    }
}

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
}

impl FromIterator<Scope> for AccessSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Self::default();
        for scope in scopes {
            set.insert(scope.resource, scope.actions);
        }
        set
    }
}
