//! `[tracing]`: to which collector requests are told, in builds with the feature `otel`.

use http::Uri;

use super::item::Item;
use super::reader::Section;
use super::tree::Value;
use crate::telemetry::TraceSettings;

/// Whether this build can do it.
const BUILT_IN: bool = cfg!(feature = "otel");

/// Reads the section.
pub(super) fn tracing(mut section: Section<'_>) -> Option<TraceSettings> {
    if !BUILT_IN {
        let message = "traces are not built into this tidegate";
        section.reader.error("not-built-in", section.header, message, "build it with `cargo build --features otel`");
    }
    let endpoint = section.require("endpoint", "\"http://127.0.0.1:4318\"").map(|item| endpoint(&item));
    let service = section.take("service").map(|item| item.text());
    let sample = section.take("sample").map(|item| share(&item));
    section.finish();
    let (host, port, path) = endpoint??;
    let service = service.unwrap_or(Some("tidegate"))?.to_owned();
    Some(TraceSettings { host, port, path, service, sample: sample.unwrap_or(Some(1.0))? })
}

/// Host, port and path of an OTLP collector.
fn endpoint(item: &Item<'_>) -> Option<(String, u16, String)> {
    let uri: Option<Uri> = item.text()?.parse().ok();
    let found = uri.as_ref().and_then(|uri| {
        let host = uri.host().filter(|host| !host.is_empty() && uri.scheme_str() == Some("http"))?;
        let path = match uri.path().trim_end_matches('/') {
            "" => "/v1/traces",
            path => path,
        };
        let plain = uri.query().is_none() && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        plain.then(|| (host.trim_matches(['[', ']']).to_owned(), uri.port_u16().unwrap_or(4318), path.to_owned()))
    });
    if found.is_none() {
        let message = format!("\"{}\" is no address of a collector", item.shown());
        let hint =
            "write \"http://127.0.0.1:4318\"; a collector elsewhere gets traces from one beside the gateway, over TLS";
        item.fail("wrong-value", message, hint);
    }
    found
}

/// A part of a whole.
fn share(item: &Item<'_>) -> Option<f64> {
    let number = match item.value {
        Value::Float(digits) => digits.parse().ok(),
        Value::Integer(number) => number.digits.parse().ok(),
        _ => None,
    };
    let found = number.filter(|number| (0.0..=1.0).contains(number));
    if found.is_none() {
        item.fail("wrong-value", format!("`{}` must be a number from 0 to 1", item.name), "0.1 is every tenth request");
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::BUILT_IN;
    use crate::config::Config;

    fn read(lines: &str) -> Result<Config, String> {
        let text =
            format!("[server]\nlisten = '127.0.0.1:5000'\npublic_url = 'http://127.0.0.1:5000'\n[tracing]\n{lines}\n");
        Config::parse(&text, "gateway.toml", Path::new(""), &|_| None).map_err(|report| report.to_string())
    }

    #[test]
    fn a_collector_is_taken_only_where_traces_are_built_in() {
        let read = read("endpoint = 'http://[::1]:4318'\nsample = 0.25");
        if BUILT_IN {
            let tracing = read.unwrap().tracing.unwrap();
            assert_eq!((tracing.host.as_str(), tracing.port, tracing.path.as_str()), ("::1", 4318, "/v1/traces"));
            assert_eq!((tracing.service.as_str(), tracing.sample), ("tidegate", 0.25));
        } else {
            let problem = read.unwrap_err();
            assert!(problem.contains("gateway.toml:4:1") && problem.contains("--features otel"), "{problem}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (lines, expected) in [
            ("", "needs the key `endpoint`"),
            ("endpoint = 'https://collector:4318'", "no address of a collector"),
            ("endpoint = 'http://a:b@collector'", "no address of a collector"),
            ("endpoint = 'collector:4318'", "no address of a collector"),
            ("endpoint = 'http://c'\nsample = 2", "a number from 0 to 1"),
            ("endpoint = 'http://c'\nsample = 'all'", "a number from 0 to 1"),
            ("endpoint = 'http://c'\nservce = 'x'", "did you mean `service`"),
        ] {
            let problem = read(lines).unwrap_err();
            assert!(problem.contains(expected), "{lines}: {problem}");
        }
    }
}
