//! The identity header: what a filter makes of a document, and which of the client's headers never pass.
//!
//! The lines of the input are: a name of a header, a filter, a user name, groups separated by commas, a repository, a reference, and
//! the claims as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, Method};
use serde_json::{Map, Value};
use std::sync::Arc;
use tidegate::document::{Document, Kind, RequestAction, RequestFacts};
use tidegate::identity::{IdentityHeader, NameRules, StripList};
use tidegate::jq::Filter;
use tidegate::subject::{Caller, GroupName, Subject, UserName};

/// The identity header here, and its limit: small, so that it is met.
const NAME: HeaderName = HeaderName::from_static("x-authentication-service");
const MAX: usize = 512;
/// Filters are the operator's own and may double their value at each step. Longer ones find nothing but that.
const LONGEST_FILTER: usize = 160;

/// Holds what is made of the two.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    name_of_a_header(lines.next().unwrap_or_default());
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let (filter, user, groups, repository, reference, claims) = (text(), text(), text(), text(), text(), text());
    let caller = match UserName::parse(user) {
        Err(_) => Caller::Anonymous,
        Ok(name) => {
            let groups = groups.split(',').filter_map(|group| GroupName::parse(group).ok()).collect();
            let mut subject = Subject::new(name, groups, "users".into());
            subject.claims = serde_json::from_str::<Map<String, Value>>(claims).unwrap_or_default();
            Caller::Known(Arc::new(subject))
        }
    };
    let facts = RequestFacts {
        kind: Kind::Repository,
        repository: Some(repository),
        reference: Some(reference),
        path: None,
        action: RequestAction::Push,
        method: Some(&Method::PUT),
    };
    if filter.len() <= LONGEST_FILTER {
        value_of_a_filter(filter, &Document::new(&caller, "registry.example:5000", &facts));
    }
}

fn name_of_a_header(line: &[u8]) {
    let Ok(name) = HeaderName::from_bytes(line) else { return };
    let own = HeaderName::from_static("x-house_user");
    let list = StripList::new(&NAME, [&own]);
    // The same list, as one would write it without a thought to speed.
    let normal = |name: &str| name.to_ascii_lowercase().replace(|char: char| !char.is_ascii_alphanumeric(), "-");
    let spelt = normal(name.as_str());
    let listed = StripList::built_in().any(|known| match known.strip_suffix('*') {
        Some(family) => spelt.starts_with(family),
        None => spelt == known,
    });
    let named = spelt == normal(NAME.as_str()) || spelt == normal(own.as_str());
    assert_eq!(list.holds(name.as_str()), listed || named, "{name}");

    assert_eq!(list.strips(name.as_str(), |_| false), listed || named, "{name}");
    // Nothing exempts what the configuration names.
    assert_eq!(list.strips(name.as_str(), |_| true), named, "{name}");
}

fn value_of_a_filter(text: &str, document: &Document<'_>) {
    let filter = match Filter::compile(text) {
        Ok(filter) => Arc::new(filter),
        Err(error) => {
            assert!(error.offset <= text.len() && error.length >= 1, "{error:?} in {text:?}");
            assert!(text.is_char_boundary(error.offset), "{error:?} in {text:?}");
            return;
        }
    };
    let Ok(header) = IdentityHeader::new(NAME, Arc::clone(&filter), ".identity.user.username", false, MAX) else {
        panic!("a fixed path compiles")
    };
    let header = header.with_names(NameRules::new([], true));
    let made = header.value(document);
    assert_eq!(made, header.value(document), "a filter makes one thing of one document");
    let username = header.username(document);
    let Ok(Some(value)) = made else {
        assert!(username.is_err() || made.is_err() || username == Ok(None), "{username:?}");
        return;
    };
    assert!(!document.is_anonymous(), "nobody is told of a caller without a name");
    assert!(value.len() <= MAX, "{value:?}");
    let json = String::from_utf8(STANDARD.decode(value.as_bytes()).unwrap()).unwrap();
    assert_eq!(filter.run(document, MAX), Ok(Some(json.clone())), "what is sent is what the filter made");
    assert!(!json.bytes().any(|byte| byte.is_ascii_control()), "{json:?}");
    let read: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert!(!read.is_null(), "null sends no header");
    let named = read.pointer("/identity/user/username").and_then(Value::as_str);
    assert_eq!(username.as_ref().map(Option::as_deref), Ok(named), "{json}");
    // A Pulp is told a name that it takes as it is.
    let name = named.unwrap_or_else(|| panic!("no name: {json}"));
    assert!(!name.is_empty() && name.trim() == name && !name.chars().any(char::is_control), "{json}");
    assert!(name.chars().count() <= 150, "{json}");
}
