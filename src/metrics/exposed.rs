//! The names and meanings of all metrics, in the order of `/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::text::{Family, Form, Named, Text};
use super::{Expiry, Numbers, process};
use crate::access_log::LogWriter;

pub(super) fn write(numbers: &Numbers, form: Form, ready: bool, log: &LogWriter) -> String {
    let mut text = Text::new(form);
    requests(&mut text, numbers);
    connections(&mut text, numbers);
    callers(&mut text, numbers);
    upstreams(&mut text, numbers);
    gateway(&mut text, numbers, ready, log);
    process::tell(&mut text);
    text.end()
}

fn requests(text: &mut Text, numbers: &Numbers) {
    text.counter("tidegate_requests_total", "Requests that have ended.").counters(&[], &numbers.requests);
    text.histogram("tidegate_request_duration_seconds", "From the head of a request to the end of its response.")
        .times(&[], &numbers.durations);
    text.gauge("tidegate_requests_in_flight", "Requests that have not ended.").value(&[], numbers.in_flight.value());
    text.counter("tidegate_request_body_bytes_total", "Bytes of the bodies of requests that have ended.")
        .counters(&[], &numbers.request_bytes);
    text.counter("tidegate_response_body_bytes_total", "Bytes of the bodies of responses that have ended.")
        .counters(&[], &numbers.response_bytes);
    text.counter("tidegate_responses_broken_total", "Responses that were not sent to their end.")
        .counters(&[], &numbers.broken);
}

fn connections(text: &mut Text, numbers: &Numbers) {
    text.counter("tidegate_connections_accepted_total", "Connections of clients that were accepted.")
        .counters(&[], &numbers.accepted);
    text.gauge("tidegate_connections_open", "Connections of clients that are open.").value(&[], numbers.open.value());
    text.counter(
        "tidegate_connections_refused_total",
        "Connections of clients that were closed before their first request.",
    )
    .counters(&[], &numbers.refused);
    text.counter(
        "tidegate_accept_errors_total",
        "Failures to accept a connection that are the gateway's own, such as no file descriptor.",
    )
    .counters(&[], &numbers.accept_errors);
    text.counter("tidegate_tls_handshakes_total", "TLS handshakes of clients.").counters(&[], &numbers.handshakes);
    text.counter("tidegate_connections_protocol_total", "Connections of clients by what they speak.")
        .counters(&[], &numbers.protocols);
}

fn callers(text: &mut Text, numbers: &Numbers) {
    text.counter("tidegate_tokens_total", "Requests for tokens.").counters(&[], &numbers.tokens);
    text.counter("tidegate_login_failures_total", "Credentials that were not accepted.")
        .counters(&[], &numbers.login_failures);
    text.counter("tidegate_throttled_total", "Log-ins that were turned away, or made to wait, for those before them.")
        .counters(&[], &numbers.throttled);
    text.counter("tidegate_cache_lookups_total", "Look-ups in the gateway's memories.").counters(&[], &numbers.lookups);
    let members = numbers.members.held();
    each(
        "member",
        &members,
        text.counter("tidegate_authn_answers_total", "What members of the authn chain said."),
        |family, named, member| family.counters(named, &member.answers),
    );
    each(
        "member",
        &members,
        text.histogram("tidegate_authn_duration_seconds", "How long members of the authn chain took to answer."),
        |family, named, member| family.times(named, &member.time),
    );
}

fn upstreams(text: &mut Text, numbers: &Numbers) {
    let upstreams = numbers.upstreams.held();
    each(
        "upstream",
        &upstreams,
        text.counter("tidegate_upstream_requests_total", "Requests for an upstream, by what came of them."),
        |family, named, of| family.counters(named, &of.requests),
    );
    each(
        "upstream",
        &upstreams,
        text.histogram(
            "tidegate_upstream_response_seconds",
            "From the start of sending a request to the head of the upstream's response.",
        ),
        |family, named, of| family.times(named, &of.response_time),
    );
    each(
        "upstream",
        &upstreams,
        text.gauge("tidegate_upstream_requests_in_flight", "Requests that an upstream has."),
        |family, named, of| family.value(named, of.in_flight.value()),
    );
    each(
        "upstream",
        &upstreams,
        text.gauge("tidegate_upstream_queue_length", "Requests that wait for their turn at an upstream."),
        |family, named, of| family.value(named, of.queue.value()),
    );
    each(
        "upstream",
        &upstreams,
        text.histogram(
            "tidegate_upstream_queue_wait_seconds",
            "How long requests waited for their turn, at an upstream with a bound.",
        ),
        |family, named, of| family.times(named, &of.queue_wait),
    );
    each(
        "upstream",
        &upstreams,
        text.counter("tidegate_upstream_connections_total", "Connections to an upstream that requests went over."),
        |family, named, of| family.counters(named, &of.links),
    );
    each(
        "upstream",
        &upstreams,
        text.counter("tidegate_upstream_retries_total", "Requests that were sent to an upstream once more."),
        |family, named, of| family.counters(named, &of.retries),
    );
    each(
        "upstream",
        &upstreams,
        text.counter(
            "tidegate_upstream_retries_refused_total",
            "Requests that were not sent once more, for want of budget.",
        ),
        |family, named, of| family.counters(named, &of.retries_refused),
    );
    each(
        "upstream",
        &upstreams,
        text.gauge("tidegate_upstream_healthy", "Whether an address of an upstream answers."),
        |family, named, of| {
            for (address, of) in of.addresses.held() {
                family.value(&[named, &[("address", &*address)]].concat(), of.healthy.load(Relaxed).into());
            }
        },
    );
    each(
        "upstream",
        &upstreams,
        text.counter("tidegate_upstream_ejections_total", "How often an address was taken out for how it answered."),
        |family, named, of| {
            for (address, of) in of.addresses.held() {
                family.counters(&[named, &[("address", &*address)]].concat(), &of.ejections);
            }
        },
    );
}

/// One family with what each name has of it.
fn each<T>(
    label: &str,
    held: &[(Arc<str>, Arc<T>)],
    mut family: Family<'_>,
    tell: impl Fn(&mut Family<'_>, Named<'_>, &T),
) {
    for (name, numbers) in held {
        tell(&mut family, &[(label, &**name)], numbers);
    }
}

fn gateway(text: &mut Text, numbers: &Numbers, ready: bool, log: &LogWriter) {
    text.gauge("tidegate_ready", "Whether /readyz says that requests should be sent here.").value(&[], ready.into());
    text.counter("tidegate_config_reloads_total", "Readings of the configuration after the first.")
        .counters(&[], &numbers.reloads);
    text.gauge("tidegate_config_valid", "Whether the configuration that was last read is in force.")
        .value(&[], (!numbers.config_refused.load(Relaxed)).into());
    text.gauge("tidegate_config_loaded_timestamp_seconds", "When the configuration that is in force was read.")
        .value(&[], numbers.config_loaded.load(Relaxed));
    let mut expiry = text.gauge("tidegate_certificate_expiry_timestamp_seconds", "When a certificate ends.");
    for ((usage, name), at) in expiries(numbers) {
        expiry.value(&[("usage", usage), ("name", &name)], at);
    }
    text.counter("tidegate_log_lines_dropped_total", "Request lines that were not written because too many waited.")
        .value(&[], log.dropped());
    text.counter("tidegate_log_lines_lost_total", "Request and audit lines that were lost because writing failed.")
        .value(&[], log.lost());
    text.gauge("tidegate_build_info", "1, with the version and what was built in.")
        .value(&[("version", env!("CARGO_PKG_VERSION")), ("features", FEATURES)], 1);
}

/// What ends when. Of several with one name, a chain say, the first to end counts.
fn expiries(numbers: &Numbers) -> BTreeMap<(&'static str, String), u64> {
    let mut all = numbers.expiries.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (_, upstream) in numbers.upstreams.held() {
        all.extend(upstream.expiries.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
    }
    let mut first = BTreeMap::new();
    for Expiry { usage, name, at } in all {
        let earliest = first.entry((usage.as_str(), name)).or_insert(at);
        *earliest = at.min(*earliest);
    }
    first
}

/// The optional parts of this build.
const FEATURES: &str = if cfg!(feature = "otel") { "otel" } else { "" };
