use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    Action, Answer, CacheKind, Expiry, Form, Grant, Handshake, Link, LoginFailure, Metrics, Outcome, Protocol, Refusal,
    Reload, Request, Retry, Route, Throttle, TokenResult, Usage,
};
use crate::access_log::{Decision, LogWriter};

fn scrape(metrics: &Metrics) -> String {
    metrics.scrape(Form::Plain, true, &LogWriter::off())
}

/// The value of a series, as it is written.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = scrape(metrics);
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

const REQUEST: Request = Request {
    route: Route::Registry,
    action: Action::Pull,
    decision: Decision::Allowed,
    status: 200,
    duration: Duration::from_millis(3),
    bytes_in: 0,
    bytes_out: 10,
    whole: true,
};

#[test]
fn a_request_is_told_by_what_it_was_and_what_became_of_it() {
    let metrics = Metrics::new();
    for request in [REQUEST, Request { bytes_in: 7, whole: false, ..REQUEST }, Request { status: 799, ..REQUEST }] {
        metrics.request_begun();
        metrics.request_ended(&request);
    }
    metrics.request_begun();
    let series = |status| {
        format!(
            "tidegate_requests_total{{route=\"registry\",action=\"pull\",decision=\"allowed\",status=\"{status}\"}}"
        )
    };
    assert_eq!(value(&metrics, &series("200")), Some(2.0));
    assert_eq!(value(&metrics, &series("other")), Some(1.0));
    // Thousands of combinations are possible; those that nobody saw are not shown.
    assert_eq!(scrape(&metrics).matches("tidegate_requests_total{").count(), 2);
    assert_eq!(value(&metrics, "tidegate_request_duration_seconds_count{route=\"registry\"}"), Some(3.0));
    assert_eq!(value(&metrics, "tidegate_request_body_bytes_total{route=\"registry\"}"), Some(7.0));
    assert_eq!(value(&metrics, "tidegate_response_body_bytes_total{route=\"registry\"}"), Some(30.0));
    assert_eq!(value(&metrics, "tidegate_responses_broken_total{route=\"registry\"}"), Some(1.0));
    assert_eq!(value(&metrics, "tidegate_requests_in_flight"), Some(1.0));
}

#[test]
fn connections_and_log_ins_are_counted_by_how_they_went() {
    let metrics = Metrics::new();
    let open = metrics.connection();
    drop(metrics.connection());
    metrics.connection_refused(Refusal::Address);
    metrics.accept_failed();
    metrics.handshake(Handshake::Failed);
    metrics.protocol(Protocol::Http2);
    metrics.token(Grant::Password, TokenResult::Reduced);
    metrics.login_failed(LoginFailure::ApiKey);
    metrics.throttled(Throttle::Account);
    metrics.lookup(CacheKind::Password, true);
    for (series, expected) in [
        ("connections_accepted_total", 2.0),
        ("connections_open", 1.0),
        ("connections_refused_total{reason=\"address\"}", 1.0),
        ("connections_refused_total{reason=\"connections\"}", 0.0),
        ("accept_errors_total", 1.0),
        ("tls_handshakes_total{result=\"failed\"}", 1.0),
        ("connections_protocol_total{protocol=\"h2\"}", 1.0),
        ("tokens_total{grant=\"password\",result=\"reduced\"}", 1.0),
        ("login_failures_total{reason=\"api_key\"}", 1.0),
        ("throttled_total{by=\"account\"}", 1.0),
        ("cache_lookups_total{cache=\"password\",result=\"hit\"}", 1.0),
        ("cache_lookups_total{cache=\"password\",result=\"miss\"}", 0.0),
    ] {
        assert_eq!(value(&metrics, &format!("tidegate_{series}")), Some(expected), "{series}");
    }
    drop(open);
    assert_eq!(value(&metrics, "tidegate_connections_open"), Some(0.0));
}

#[test]
fn an_upstream_counts_on_under_its_name_and_ends_with_its_last_holder() {
    let metrics = Metrics::new();
    let old = metrics.upstream("registry");
    let new = metrics.upstream("registry");
    old.answered(204, Duration::from_millis(1));
    new.answered(503, Duration::from_millis(1));
    new.failed(Outcome::QueueFull);
    new.connected(Link::Kept);
    new.retried(Retry::Stale);
    new.retry_refused();
    let (request, turn) = (new.in_flight(), old.waits());
    let address = new.address("127.0.0.1:5050");
    address.set_healthy(true);
    address.ejected();
    drop(old);
    for (series, expected) in [
        ("requests_total{upstream=\"registry\",outcome=\"2xx\"}", 1.0),
        ("requests_total{upstream=\"registry\",outcome=\"5xx\"}", 1.0),
        ("requests_total{upstream=\"registry\",outcome=\"queue_full\"}", 1.0),
        ("response_seconds_count{upstream=\"registry\"}", 2.0),
        ("requests_in_flight{upstream=\"registry\"}", 1.0),
        ("queue_length{upstream=\"registry\"}", 1.0),
        ("queue_wait_seconds_count{upstream=\"registry\"}", 0.0),
        ("connections_total{upstream=\"registry\",kind=\"kept\"}", 1.0),
        ("retries_total{upstream=\"registry\",reason=\"stale\"}", 1.0),
        ("retries_refused_total{upstream=\"registry\"}", 1.0),
        ("healthy{upstream=\"registry\",address=\"127.0.0.1:5050\"}", 1.0),
        ("ejections_total{upstream=\"registry\",address=\"127.0.0.1:5050\"}", 1.0),
    ] {
        assert_eq!(value(&metrics, &format!("tidegate_upstream_{series}")), Some(expected), "{series}");
    }
    drop((request, turn));
    assert_eq!(value(&metrics, "tidegate_upstream_queue_length{upstream=\"registry\"}"), Some(0.0));
    assert_eq!(value(&metrics, "tidegate_upstream_queue_wait_seconds_count{upstream=\"registry\"}"), Some(1.0));
    drop((new, address));
    assert!(!scrape(&metrics).contains("upstream=\""));
    assert_eq!(value(&metrics, "tidegate_upstream_requests_total{upstream=\"registry\",outcome=\"2xx\"}"), None);
}

#[test]
fn a_member_tells_its_answers_and_its_time() {
    let metrics = Metrics::new();
    let member = metrics.member("htpasswd");
    member.answered(Answer::Wrong, Duration::from_millis(59));
    let series = |name| format!("tidegate_authn_{name}");
    assert_eq!(value(&metrics, &series("answers_total{member=\"htpasswd\",outcome=\"wrong\"}")), Some(1.0));
    assert_eq!(value(&metrics, &series("duration_seconds_bucket{member=\"htpasswd\",le=\"0.05\"}")), Some(0.0));
    assert_eq!(value(&metrics, &series("duration_seconds_bucket{member=\"htpasswd\",le=\"0.1\"}")), Some(1.0));
}

#[test]
fn a_refused_configuration_shows_until_the_next_good_one() {
    let metrics = Metrics::new();
    metrics.configured(1000);
    let shown =
        || ["valid", "loaded_timestamp_seconds"].map(|name| value(&metrics, &format!("tidegate_config_{name}")));
    assert_eq!(shown(), [Some(1.0), Some(1000.0)]);
    metrics.reloaded(Reload::Failure, 2000);
    assert_eq!(shown(), [Some(0.0), Some(1000.0)]);
    metrics.reloaded(Reload::Success, 3000);
    assert_eq!(shown(), [Some(1.0), Some(3000.0)]);
    for result in ["success", "failure"] {
        assert_eq!(value(&metrics, &format!("tidegate_config_reloads_total{{result=\"{result}\"}}")), Some(1.0));
    }
}

#[test]
fn the_first_certificate_to_end_counts_and_new_ones_take_the_place_of_old_ones() {
    let metrics = Metrics::new();
    let expiry = |name: &str, at| Expiry { usage: Usage::Server, name: name.to_owned(), at };
    metrics.expiries(Usage::Server, [expiry("gone.crt", 1), expiry("tls.crt", 1)]);
    metrics.expiries(Usage::SigningKey, [Expiry { usage: Usage::SigningKey, ..expiry("key", 5) }]);
    metrics.expiries(Usage::Server, [expiry("tls.crt", 30), expiry("tls.crt", 20), expiry("tls.crt", 40)]);
    let series =
        |usage, name| format!("tidegate_certificate_expiry_timestamp_seconds{{usage=\"{usage}\",name=\"{name}\"}}");
    assert_eq!(value(&metrics, &series("server", "tls.crt")), Some(20.0));
    assert_eq!(value(&metrics, &series("server", "gone.crt")), None);
    assert_eq!(value(&metrics, &series("signing_key", "key")), Some(5.0));
    // Two upstreams may trust one file.
    let upstreams = ["a", "b"].map(|name| metrics.upstream(name));
    for upstream in &upstreams {
        upstream.expiries(vec![Expiry { usage: Usage::UpstreamCa, ..expiry("ca.crt", 7) }]);
    }
    assert_eq!(value(&metrics, &series("upstream_ca", "ca.crt")), Some(7.0));
    assert_eq!(scrape(&metrics).matches("name=\"ca.crt\"").count(), 1);
}

#[test]
fn every_line_belongs_to_a_family_that_says_what_it_is() {
    let metrics = Metrics::new();
    metrics.request_begun();
    metrics.request_ended(&REQUEST);
    let _held = (metrics.upstream("registry"), metrics.member("users"), metrics.upstream("registry").address("a:1"));
    let text = scrape(&metrics);
    let (mut family, mut seen) = ("", BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(seen.insert(name), "{name} twice");
            assert!(help.ends_with('.'), "{line}");
            family = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands under {family}"));
            assert!(matches!(suffix, "" | "_bucket" | "_sum" | "_count"), "{line}");
        }
    }
    assert!(seen.len() > 30, "{}", seen.len());
    assert!(seen.iter().all(|name| name.starts_with("tidegate_") || name.starts_with("process_")), "{seen:?}");
}
