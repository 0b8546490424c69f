//! One `[[access]]` rule.

use std::sync::Arc;

use http::Method;
use ipnet::IpNet;
use serde::Serialize;

use super::{PathPattern, RepositoryPattern, Who};
use crate::jq::Predicate;
use crate::registry::Actions;

/// Where a rule stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// Line of its `[[access]]` header, from 1.
    pub line: usize,
}

/// What a matching rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Grants.
    #[default]
    Allow,
    /// Refuses, whatever other rules grant.
    Deny,
}

/// What a rule is about. A rule is about one kind of thing.
#[derive(Debug)]
pub enum Target {
    /// `repositories`, `except_repositories` and `actions`.
    Repositories {
        /// Any of these.
        patterns: Vec<RepositoryPattern>,
        /// None of these.
        except: Vec<RepositoryPattern>,
        /// To do any of these.
        actions: Actions,
    },
    /// `registry = ["catalog"]`.
    Catalog,
    /// `paths` and `methods`, for routes with `auth = "api"`.
    Paths {
        /// Any of these.
        patterns: Vec<PathPattern>,
        /// With any of these.
        methods: Methods,
    },
}

/// Methods of API routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// `"*"`.
    Any,
    /// These; `"read"` stands for GET, HEAD and OPTIONS.
    Only(Vec<Method>),
}

/// One `[[access]]` rule.
#[derive(Debug)]
pub struct Rule {
    /// Where it stands.
    pub source: Source,
    /// What it does.
    pub effect: Effect,
    /// Any of these.
    pub who: Vec<Who>,
    /// None of these.
    pub except_who: Vec<Who>,
    /// About what.
    pub target: Target,
    /// From any of these addresses; empty: from anywhere.
    pub from: Vec<IpNet>,
    /// And this holds.
    pub when: Option<Predicate>,
}
