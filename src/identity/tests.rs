use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{IdentityError, IdentityHeader, StripList};
use crate::document::{Document, Kind, RequestAction, RequestFacts};
use crate::jq::{Filter, FilterError};
use crate::subject::{Caller, Subject, UserName};

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
    let header = header(".", false, 8160);
    let read = |value: Value| header.produced_username(&value);
    assert_eq!(read(json!({"identity": {"user": {"username": "a\"b"}}})).as_deref(), Some("a\"b"));
    for none in [json!({}), json!({"identity": {"user": {"username": 1}}}), json!("x"), json!({"identity": "x"})] {
        assert_eq!(read(none), None);
    }
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
    list.strip(&mut headers, |_| false);
    headers.keys().map(|name| name.as_str().to_owned()).collect()
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
