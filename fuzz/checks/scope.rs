//! Scopes: each line of the input is one `scope` parameter of a token request.

use std::collections::BTreeSet;

use tidegate::registry::scope::{MAX_SCOPE, parse_requested};
use tidegate::registry::{AccessSet, Actions, Resource, Scope};

/// How many scopes a request may hold here; few, so that the bound is met.
const MAX: usize = 8;

/// Holds what is requested against what stands there.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let scopes: Vec<&str> = text.split(['\n', ' ']).filter(|scope| !scope.is_empty()).collect();
    for scope in &scopes {
        one(scope);
    }
    let requested = parse_requested(text.split('\n'), MAX);
    let read: Vec<Scope> = scopes.iter().take(MAX).filter_map(|scope| scope.parse().ok()).collect();
    assert_eq!(requested.ignored, scopes.len() - read.len());
    let access: AccessSet = read.iter().cloned().collect();
    assert_eq!(requested.access, access);
    // How they are cut into parameters, and their order, mean nothing.
    let backwards: Vec<&str> = scopes.iter().take(MAX).rev().copied().collect();
    assert_eq!(parse_requested([&*backwards.join(" ")].into_iter(), MAX).access, access);
    set(&access);
    assert!(read.iter().all(|scope| access.covers(scope)));
    let resources: BTreeSet<&Resource> = read.iter().map(|scope| &scope.resource).collect();
    assert_eq!(access.len(), resources.len());
}

fn one(text: &str) {
    let Ok(scope) = text.parse::<Scope>() else { return };
    assert!(text.len() <= MAX_SCOPE);
    let printed = scope.to_string();
    assert_eq!(printed.parse::<Scope>().as_ref(), Ok(&scope), "{printed}");
    assert!(printed.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'), "{printed}");
    assert!(!scope.actions.is_empty());
    let asked: Vec<&str> = text.rsplit(':').next().unwrap_or_default().split(',').collect();
    match &scope.resource {
        Resource::Catalog => {
            assert_eq!((&*printed, scope.actions), ("registry:catalog:*", Actions::ALL));
            assert!(text.starts_with("registry:catalog:") && asked.contains(&"*"));
        }
        Resource::Repository(name) => {
            // The name stands between the first colon and the last, as it is.
            let between = text.split_once(':').and_then(|(_, rest)| rest.rsplit_once(':')).map(|(name, _)| name);
            assert_eq!(between, Some(name.as_str()));
            let all = asked.contains(&"*");
            assert!(scope.actions.iter().all(|action| all || asked.contains(&action.as_str())), "{text} {printed}");
        }
    }
}

/// A set goes through its two spellings unchanged.
fn set(access: &AccessSet) {
    let printed = access.to_string();
    assert_eq!(&parse_requested([&*printed].into_iter(), usize::MAX).access, access);
    let json = serde_json::to_string(access).unwrap();
    assert_eq!(&serde_json::from_str::<AccessSet>(&json).unwrap(), access);
    assert_eq!((access.union(access), access.intersection(access)), (access.clone(), access.clone()));
}
