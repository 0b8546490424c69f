use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{IdentityError, IdentityHeader, NameProblem, NameRules, StripList};
use crate::document::{Document, Kind, RequestAction, RequestFacts};
use crate::jq::{Filter, FilterError};
use crate::subject::{Caller, GroupName, Subject, UserName};

const NAME: HeaderName = HeaderName::from_static("x-authentication-service");

fn header(filter: &str, anonymous: bool, max: usize) -> IdentityHeader {
    let filter = Arc::new(Filter::compile(filter).unwrap());
    IdentityHeader::new(NAME, filter, ".identity.user.username", anonymous, max).unwrap()
}

fn alice() -> Caller {
    let mut subject = Subject::new(UserName::parse("alice").unwrap(), Vec::new(), "users".into());
    subject.claims.insert("planted".into(), "s3cret-claim".into());
    Caller::Known(subject.into())
}

fn document(caller: &Caller, action: RequestAction) -> Document<'_> {
    let facts = RequestFacts {
        kind: Kind::Repository,
        repository: Some("team/app"),
        reference: None,
        path: None,
        action,
        method: None,
    };
    Document::new(caller, "registry.example", &facts)
}

fn value(filter: &str, caller: &Caller, action: RequestAction) -> Option<Value> {
    let value = header(filter, false, 8160).value(&document(caller, action)).unwrap()?;
    Some(serde_json::from_slice(&STANDARD.decode(value.as_bytes()).unwrap()).unwrap())
}

#[test]
fn the_default_filter_tells_the_name() {
    let value = value("{identity: {user: {username: .subject}}}", &alice(), RequestAction::Pull);
    assert_eq!(value, Some(json!({"identity": {"user": {"username": "alice"}}})));
}

#[test]
fn the_header_is_exactly_padded_base64_of_compact_json() {
    let value = header("{identity: {user: {username: .subject}}}", false, 8160)
        .value(&document(&alice(), RequestAction::Pull))
        .unwrap()
        .unwrap();
    assert_eq!(value, "eyJpZGVudGl0eSI6eyJ1c2VyIjp7InVzZXJuYW1lIjoiYWxpY2UifX19");
}

#[test]
fn an_elevated_name_is_given_for_approved_writes_alone() {
    let filter = r#"{identity: {user: {username: (if (.request.action | IN("push", "delete")) then "registry-writer" else .subject end)}}}"#;
    let name = |action| value(filter, &alice(), action).unwrap()["identity"]["user"]["username"].clone();
    assert_eq!(name(RequestAction::Push), "registry-writer");
    assert_eq!(name(RequestAction::Delete), "registry-writer");
    assert_eq!(name(RequestAction::Pull), "alice");
    assert!(header(filter, false, 8160).reads_request());
}

#[test]
fn null_and_empty_send_no_header() {
    assert_eq!(value("null", &alice(), RequestAction::Pull), None);
    assert_eq!(value("select(.anonymous)", &alice(), RequestAction::Pull), None);
}

#[test]
fn the_filter_runs_for_anonymous_callers_only_if_it_is_told_to() {
    let filter = "{identity: {user: {username: (.subject // \"guest\")}}}";
    assert_eq!(value(filter, &Caller::Anonymous, RequestAction::Pull), None);
    let sent = header(filter, true, 8160).value(&document(&Caller::Anonymous, RequestAction::Pull)).unwrap();
    assert!(sent.is_some());
    // A filter that would fail is not even run.
    assert_eq!(value("error", &Caller::Anonymous, RequestAction::Pull), None);
}

#[test]
fn failures_are_errors_without_claims() {
    for (filter, max) in [
        ("error(.claims)", 8160),
        (".claims.planted.x", 8160),
        (".claims, .claims", 8160),
        (".claims", 8),
        (".claims", 30),
    ] {
        let error = header(filter, false, max).value(&document(&alice(), RequestAction::Pull)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
    let twice = header(".claims, .claims", false, 8160).value(&document(&alice(), RequestAction::Pull));
    assert_eq!(twice, Err(IdentityError::Filter(FilterError::ManyValues)));
}

#[test]
fn the_limit_is_that_of_the_header() {
    // `"alice"` is seven bytes, twelve in Base64.
    let at = |max| header(".subject", false, max).value(&document(&alice(), RequestAction::Pull));
    assert!(at(12).is_ok());
    assert_eq!(at(11), Err(IdentityError::TooLong { length: 12, limit: 11 }));
}

#[test]
fn the_name_is_read_where_the_upstream_reads_it() {
    let read = |filter: &str| header(filter, false, 8160).username(&document(&alice(), RequestAction::Pull));
    assert_eq!(read(r#"{identity: {user: {username: "a\"b"}}}"#), Ok(Some("a\"b".into())));
    assert_eq!(read("{identity: {user: {username: .subject}}}"), Ok(Some("alice".into())));
    for none in ["{}", "null", r#""x""#, r#"{identity: "x"}"#, "{identity: {user: null}}"] {
        assert_eq!(read(none), Ok(None), "{none}");
    }
}

/// What a Pulp, and another upstream, is told of alice by a filter that makes this name, with `writer` and `admin` reserved.
fn told(name: &str) -> (Result<bool, IdentityError>, Result<bool, IdentityError>) {
    let reserved = ["admin", "writer"].map(|name| UserName::parse(name).unwrap());
    let told = |pulp| {
        let filter = format!("{{identity: {{user: {{username: {name}}}}}}}");
        let header = header(&filter, false, 8160).with_names(NameRules::new(&reserved, pulp));
        header.value(&document(&alice(), RequestAction::Pull)).map(|value| value.is_some())
    };
    (told(true), told(false))
}

#[test]
fn what_an_upstream_would_choke_on_or_misread_is_not_sent() {
    let both = |problem: NameProblem| (Err(problem.into()), Err(problem.into()));
    let pulp_alone = |problem: NameProblem| (Err(problem.into()), Ok(true));
    for wrong in ["true", "false", "42", "0", "[]", "{}", ".groups", ".claims"] {
        assert_eq!(told(wrong), both(NameProblem::NotText), "{wrong}");
    }
    assert_eq!(told("\"\""), both(NameProblem::Empty));
    for wrong in ["\"alice \"", "\" alice\"", "\"a\\u0000\"", "\"a\\nb\"", "\"\\u00a0\"", "\"a\\u0085b\""] {
        assert_eq!(told(wrong), both(NameProblem::BadCharacter), "{wrong}");
    }
    for wrong in ["null", ".claims.none"] {
        assert_eq!(told(wrong), pulp_alone(NameProblem::Missing), "{wrong}");
    }
    // Characters count, not bytes.
    let long = |count| format!("\"{}\"", "ä".repeat(count));
    assert_eq!(told(&long(151)), pulp_alone(NameProblem::TooLong));
    assert_eq!(told(&long(150)), (Ok(true), Ok(true)));
}

#[test]
fn a_reserved_name_is_the_filters_own_or_nobodys() {
    assert_eq!(told("\"writer\""), (Ok(true), Ok(true)));
    assert_eq!(told("\"admin\""), (Ok(true), Ok(true)));
    let reserved = ["admin", "writer"].map(|name| UserName::parse(name).unwrap());
    let of = |caller: &Caller, name: &str| {
        let filter = format!("{{identity: {{user: {{username: {name}}}}}}}");
        let header = header(&filter, false, 8160).with_names(NameRules::new(&reserved, false));
        header.username(&document(caller, RequestAction::Push))
    };
    let named = |name: &str, group: &str, claim: &str| {
        let groups = vec![GroupName::parse(group).unwrap()];
        let mut subject = Subject::new(UserName::parse(name).unwrap(), groups, "users".into());
        subject.claims.insert("name".into(), json!({"all": [claim]}));
        Caller::Known(subject.into())
    };
    let refused = Err(IdentityError::Name(NameProblem::Reserved));
    for name in ["admin", "Admin", "WRITER"] {
        assert_eq!(of(&named(name, "g", "c"), ".subject"), refused, "{name}");
        assert_eq!(of(&named("a", name, "c"), ".groups[0]"), refused, "{name}");
        assert_eq!(of(&named("a", "g", name), ".claims.name.all[0]"), refused, "{name}");
    }
    // The group decides, the filter names.
    let chosen = "(if any(.groups[]; . == \"writer\") then \"writer\" else .subject end)";
    assert_eq!(of(&named("a", "writer", "c"), chosen), Ok(Some("writer".into())));
    assert_eq!(of(&named("a", "g", "c"), "\"writ\" + \"er\""), Ok(Some("writer".into())));
    assert_eq!(of(&named("a", "g", "c"), ".subject"), Ok(Some("a".into())));
}

#[test]
fn an_anonymous_caller_may_stay_without_a_name() {
    let pulp = header("{identity: {user: {username: .subject}}}", true, 8160).with_names(NameRules::new([], true));
    assert!(pulp.value(&document(&Caller::Anonymous, RequestAction::Pull)).unwrap().is_some());
}

fn stripped(names: &[&str]) -> Vec<String> {
    let extra = [HeaderName::from_static("x-corp-user")];
    let list = StripList::new(&NAME, &extra);
    let mut headers = HeaderMap::new();
    for name in names {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name.clone(), HeaderValue::from_static("eve"));
        headers.append(name, HeaderValue::from_static("mallory"));
    }
    headers.keys().filter(|name| !list.strips(name.as_str(), |_| false)).map(|name| name.as_str().to_owned()).collect()
}

#[test]
fn every_spelling_of_an_identity_header_is_stripped() {
    let spellings = [
        "X-Authentication-Service",
        "x_authentication_service",
        "X-Authentication_Service",
        "X.AUTHENTICATION.service",
        "X-Remote-User",
        "Remote_User",
        "REMOTE-USER",
        "x_forwarded_user",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Forwarded-Preferred-Username",
        "X-Auth-Request-User",
        "x_auth_request_anything",
        "X-WEBAUTH-USER",
        "X-SSL-Client-S-DN",
        "X_SSL_CLIENT_VERIFY",
        "SCRIPT_NAME",
        "Script-Name",
        "X-User",
        "X-Remote-Group",
        "X-Corp_User",
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "Impersonate-User",
    ];
    assert_eq!(stripped(&spellings), Vec::<String>::new());
}

#[test]
fn other_headers_stay() {
    let others = [
        "accept",
        "authorization",
        "content-type",
        "range",
        "x-forwarded-for",
        "user-agent",
        "x-authentication-services",
        "x-authentication",
        "x-users",
        "docker-upload-uuid",
        "x-auth-request",
    ];
    let mut left = stripped(&others);
    let mut expected: Vec<_> = others.iter().map(|name| (*name).to_owned()).collect();
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
}

proptest! {
    #[test]
    fn no_spelling_gets_through(
        name in prop::sample::select(StripList::built_in().map(|name| name.replace('*', "x")).collect::<Vec<_>>()),
        upper in prop::collection::vec(any::<bool>(), 64), under in prop::collection::vec(any::<bool>(), 64),
    ) {
        let spelt: String = name.chars().zip(upper.iter().zip(&under)).map(|(c, (upper, under))| match c {
            '-' if *under => '_',
            c if *upper => c.to_ascii_uppercase(),
            c => c,
        }).collect();
        prop_assert!(StripList::new(&NAME, []).holds(&spelt), "{}", spelt);
    }
}
