//! Scopes, as challenges print them and clients ask for them (distribution, "Docker Registry v2 authentication: token
//! scope documentation"). What is granted of them is decided in `authz`.

use std::fmt;
use std::str::FromStr;

use super::{AccessSet, Action, Actions, RepositoryName, RepositoryNameError};

/// The longest scope in bytes. It is far more than a repository name and its actions can need.
pub const MAX_SCOPE: usize = 1024;

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

/// Why a scope grants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Over [`MAX_SCOPE`] bytes.
    #[error("a scope must not be longer than {MAX_SCOPE} bytes")]
    TooLong,
    /// Not of the form `type:name:actions`.
    #[error("a scope is of the form type:name:actions")]
    BadForm,
    /// A type of resource that is not known here.
    #[error("no such type of resource; there are repository:<name>:<actions> and registry:catalog:*")]
    UnknownResource,
    /// A name that no repository can have, one with a host and port among them.
    #[error(transparent)]
    Name(#[from] RepositoryNameError),
    /// None of the actions is known.
    #[error("the scope names no known action")]
    NoAction,
}

/// The type stands before the first colon and the actions behind the last, so that a name may hold `host:port`. The class
/// in `repository(plugin)` is deprecated and means nothing; `*` means all actions, and unknown ones are left out.
impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.len() > MAX_SCOPE {
            return Err(ScopeError::TooLong);
        }
        let (kind, rest) = text.split_once(':').ok_or(ScopeError::BadForm)?;
        let (name, actions) = rest.rsplit_once(':').ok_or(ScopeError::BadForm)?;
        if kind == "registry" && name == "catalog" {
            // Reading is all that can be done to the catalog, and `*` is its name.
            let all = actions.split(',').any(|action| action == "*");
            return if all {
                Ok(Self { resource: Resource::Catalog, actions: Actions::ALL })
            } else {
                Err(ScopeError::NoAction)
            };
        }
        if without_class(kind) != Some("repository") {
            return Err(ScopeError::UnknownResource);
        }
        let resource = Resource::Repository(RepositoryName::parse(name)?);
        let actions = actions.split(',').map(requested_actions).fold(Actions::NONE, Actions::union);
        if actions.is_empty() { Err(ScopeError::NoAction) } else { Ok(Self { resource, actions }) }
    }
}

fn requested_actions(action: &str) -> Actions {
    match action {
        "*" => Actions::ALL,
        _ => action.parse().map_or(Actions::NONE, |action: Action| Actions::only(action)),
    }
}

/// `type` or `type(class)`, both of lower-case letters and digits.
fn without_class(kind: &str) -> Option<&str> {
    let word =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let Some((kind, class)) = kind.split_once('(') else { return Some(kind) };
    class.strip_suffix(')').is_some_and(word).then_some(kind)
}

/// What a client asks a token for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// The scopes that could be granted, merged.
    pub access: AccessSet,
    /// How many scopes were left out: malformed, of an unknown type, without a known action, too long, or too many.
    pub ignored: usize,
}

/// Reads the values of all `scope` parameters: each holds scopes separated by spaces, and the same repository may come
/// more than once. Of more than `max` scopes the rest is ignored. Nothing here is an error: what cannot be granted is
/// left out of the token.
pub fn parse_requested<'a>(params: impl Iterator<Item = &'a str>, max: usize) -> Requested {
    let mut requested = Requested::default();
    let scopes = params.flat_map(|param| param.split(' ')).filter(|scope| !scope.is_empty());
    for (n, scope) in scopes.enumerate() {
        match scope.parse::<Scope>() {
            Ok(scope) if n < max => requested.access.insert(scope.resource, scope.actions),
            _ => requested.ignored += 1,
        }
    }
    requested
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn requested(params: &[&str]) -> (String, usize) {
        let requested = parse_requested(params.iter().copied(), 10);
        let scopes: Vec<_> = requested.access.iter().map(|scope| scope.to_string()).collect();
        (scopes.join(" "), requested.ignored)
    }

    #[test]
    fn scopes_are_merged_however_they_come() {
        let merged = ("repository:a/b:pull,push repository:c:pull".to_owned(), 0);
        assert_eq!(requested(&["repository:a/b:pull repository:c:pull", "repository:a/b:pull,push"]), merged);
        assert_eq!(requested(&["repository:a/b:pull,push", "", "  repository:c:pull,pull "]), merged);
        assert_eq!(requested(&["repository:c:pull", "repository:a/b:push", "repository:a/b:pull"]), merged);
        assert_eq!(requested(&[]), (String::new(), 0));
        assert_eq!(requested(&[""]), (String::new(), 0));
    }

    #[test]
    fn stars_and_classes_have_their_meaning() {
        assert_eq!(requested(&["repository:x:*"]), ("repository:x:pull,push,delete".into(), 0));
        assert_eq!(requested(&["repository:x:push,*"]), ("repository:x:pull,push,delete".into(), 0));
        assert_eq!(requested(&["repository(plugin):x:pull"]), ("repository:x:pull".into(), 0));
        assert_eq!(requested(&["registry:catalog:*"]), ("registry:catalog:*".into(), 0));
        assert_eq!(requested(&["repository:x:pull,metadata"]), ("repository:x:pull".into(), 0));
    }

    #[test]
    fn what_means_nothing_grants_nothing_and_breaks_nothing() {
        let long = format!("repository:{}:pull", "a/".repeat(600));
        for scope in [
            "repository",
            "repository:x",
            ":",
            "::",
            ":::",
            "repository:x:",
            "repository::pull",
            "repository:x:PULL",
            "repository:x:fly",
            "repository:X:pull",
            "repository:../x:pull",
            "repository:*:pull",
            "repository:a/**:pull",
            "repository:${user}/x:pull",
            "repository:localhost:5000/x:pull",
            "repository:registry.example:443/team/app:pull,push",
            "Repository:x:pull",
            "repository(:x:pull",
            "repository():x:pull",
            "repository(a)b:x:pull",
            "repository(A):x:pull",
            "plugin:x:pull",
            "registry:catalog:pull",
            "registry:catalog:",
            "registry:other:*",
            "registry(x):catalog:*",
            "repository:x:pull\u{a0}",
            "repository:x\0:pull",
            &long,
        ] {
            assert_eq!(requested(&[scope]), (String::new(), 1), "{scope}");
            assert_eq!(requested(&[scope, "repository:y:pull"]), ("repository:y:pull".into(), 1), "{scope}");
        }
    }

    #[test]
    fn the_number_of_scopes_is_bounded() {
        let many: Vec<_> = (0..12).map(|n| format!("repository:r{n}:pull")).collect();
        let requested = parse_requested(many.iter().map(String::as_str), 10);
        assert_eq!((requested.access.iter().count(), requested.ignored), (10, 2));
    }

    pub(in crate::registry) fn any_scope() -> impl Strategy<Value = Scope> {
        let resource = prop_oneof![
            1 => Just(Resource::Catalog),
            4 => "[a-c]{1,2}(/[a-c]((\\.|_|__|-{1,3})[a-c0-9])?){0,2}"
                .prop_map(|name| Resource::Repository(RepositoryName::parse(&name).unwrap())),
        ];
        (resource, 1_usize..8).prop_map(|(resource, bits)| {
            let actions = Action::ALL.into_iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
            let actions = match resource {
                Resource::Catalog => Actions::ALL,
                Resource::Repository(_) => actions.map(|(_, action)| action).collect(),
            };
            Scope { resource, actions }
        })
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(scope in any_scope()) {
            prop_assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
        }

        #[test]
        fn nothing_panics_and_what_parses_prints_stably(text in "(repository|registry|[a-z(]{1,4}):\\PC{0,12}:(pull|push|[*,]|\\PC){0,3}") {
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
            }
        }

        #[test]
        fn how_scopes_are_cut_into_parameters_does_not_matter(scopes in prop::collection::vec(any_scope(), 0..6)) {
            let texts: Vec<_> = scopes.iter().map(ToString::to_string).collect();
            let joined = texts.join(" ");
            let one = parse_requested([joined.as_str()].into_iter(), 100);
            let each = parse_requested(texts.iter().rev().map(String::as_str), 100);
            prop_assert_eq!(&one, &each);
            prop_assert_eq!(one.access, scopes.into_iter().collect::<AccessSet>());
        }
    }
}
