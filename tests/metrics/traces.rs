//! Trace contexts: whose are believed, and what a collector is told in a build with the feature `otel`.

use crate::site::{SETUP, Setup, Site};
use crate::upstream::ok;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn headers() -> String {
    format!("traceparent: {PARENT}\r\ntracestate: a=b\r\nbaggage: c=d\r\n")
}

#[test]
fn a_trusted_context_goes_upstream_as_it_came() {
    let trusting = Setup { server: "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]", ..SETUP };
    let site = Site::with(&trusting, ok);
    assert_eq!(site.ask("GET", &crate::site::blob(), &headers()).0.status(), 200);
    let head = site.upstream.last();
    assert_eq!(
        ["traceparent", "tracestate", "baggage"].map(|name| head.get(name)),
        [Some(PARENT), Some("a=b"), Some("c=d")]
    );
}

#[test]
fn a_stranger_s_context_ends_here() {
    let site = Site::new(ok);
    assert_eq!(site.ask("GET", &crate::site::blob(), &headers()).0.status(), 200);
    let head = site.upstream.last();
    assert_eq!(["traceparent", "tracestate", "baggage"].map(|name| head.get(name)), [None; 3]);
}

#[cfg(feature = "otel")]
mod told {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use serde_json::Value;

    use super::{PARENT, headers};
    use crate::site::{SETUP, Setup, Site};
    use crate::upstream::{Then, Upstream, answer_with, ok};
    use crate::wire::LIMIT;

    /// A collector that hands on the spans that it is told.
    fn collector() -> (Upstream, Receiver<Value>) {
        let (told, spans) = channel();
        let told = Mutex::new(told);
        let upstream = Upstream::start(move |head, wire| {
            let body = wire.body(head).json();
            assert_eq!((head.method(), head.target()), ("POST", "/v1/traces"));
            let resource = &body["resourceSpans"][0];
            assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "gateway-1");
            for span in resource["scopeSpans"][0]["spans"].as_array().unwrap() {
                // A test that has seen enough does not listen any more.
                let _ = told.lock().unwrap().send(span.clone());
            }
            answer_with(head, wire, "200 OK", "content-type: application/json\r\n", "{}");
            Then::Close
        });
        (upstream, spans)
    }

    fn setup(collector: &Upstream, sample: &str) -> Setup {
        let rest = format!(
            "[tracing]\nendpoint = \"http://127.0.0.1:{}\"\nservice = \"gateway-1\"\nsample = {sample}\n",
            collector.port
        );
        Setup { server: "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]", rest: rest.leak(), ..SETUP }
    }

    /// The next request's spans, by name.
    fn next(spans: &Receiver<Value>) -> BTreeMap<String, Value> {
        let spans = (0..3).map(|_| spans.recv_timeout(LIMIT).unwrap());
        spans.map(|span| (span["name"].as_str().unwrap().to_owned(), span)).collect()
    }

    fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
        let attribute = span["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
        attribute["value"].as_object()?.values().next()
    }

    #[test]
    fn a_request_is_told_with_its_parts_below_who_sent_it() {
        let (collector, spans) = collector();
        let site = Site::with(&setup(&collector, "0"), ok);
        // Sampled because the caller's trace is.
        assert_eq!(site.ask("GET", &crate::site::blob(), &headers()).0.status(), 200);
        let told = next(&spans);
        let (request, authn, upstream) = (&told["blob.get"], &told["authn"], &told["upstream"]);
        let [_, trace, parent, _] = PARENT.split('-').collect::<Vec<_>>()[..] else { panic!("{PARENT}") };
        assert_eq!((&request["traceId"], &request["parentSpanId"]), (&trace.into(), &parent.into()));
        for part in [authn, upstream] {
            assert_eq!((&part["traceId"], &part["parentSpanId"]), (&request["traceId"], &request["spanId"]));
            let time = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
            assert!(time(part, "startTimeUnixNano") >= time(request, "startTimeUnixNano"));
            assert!(time(part, "endTimeUnixNano") <= time(request, "endTimeUnixNano"));
            assert!(time(part, "endTimeUnixNano") >= time(part, "startTimeUnixNano"));
        }
        assert_eq!((&request["kind"], &authn["kind"], &upstream["kind"]), (&2.into(), &1.into(), &3.into()));
        assert_eq!(attribute(request, "http.response.status_code"), Some(&"200".into()));
        assert_eq!(attribute(request, "tidegate.repository"), Some(&"team/app".into()));
        assert!(request["status"].is_null());
        let head = site.upstream.last();
        let id = upstream["spanId"].as_str().unwrap();
        assert_eq!(head.get("traceparent"), Some(format!("00-{trace}-{id}-01").as_str()));
        assert_eq!(head.get("tracestate"), Some("a=b"));
    }

    #[test]
    fn a_stranger_chooses_no_trace() {
        let (collector, spans) = collector();
        let trusting_nobody = Setup { server: "workers = 1", ..setup(&collector, "1") };
        let site = Site::with(&trusting_nobody, ok);
        assert_eq!(site.ask("GET", &crate::site::blob(), &headers()).0.status(), 200);
        let told = next(&spans);
        assert!(told["blob.get"]["parentSpanId"].is_null());
        assert!(told.values().all(|span| !PARENT.contains(span["traceId"].as_str().unwrap())), "{told:?}");
        let head = site.upstream.last();
        assert!(head.get("traceparent").unwrap().contains(told["blob.get"]["traceId"].as_str().unwrap()));
        assert_eq!(head.get("tracestate"), None);
    }

    #[test]
    fn what_is_not_sampled_is_not_told_and_goes_upstream_as_such() {
        let (collector, spans) = collector();
        let site = Site::with(&setup(&collector, "0"), ok);
        assert_eq!(site.get().0.status(), 200);
        assert!(site.upstream.last().get("traceparent").unwrap().ends_with("-00"));
        site.ask("GET", &crate::site::blob(), &headers());
        // The first that comes is of the second request.
        assert!(next(&spans).values().all(|span| PARENT.contains(span["traceId"].as_str().unwrap())));
        assert!(spans.try_recv().is_err());
    }

    #[test]
    fn failures_are_told_and_secrets_are_not() {
        let (collector, spans) = collector();
        let site = Site::with(&setup(&collector, "1"), |head, wire| answer_with(head, wire, "500 Oops", "", ""));
        site.get();
        let told = next(&spans);
        assert_eq!(told["upstream"]["status"]["code"], 2);
        assert_eq!(told["blob.get"]["status"]["code"], 2);
        assert!(told["blob.get"]["parentSpanId"].is_null());
        let text = format!("{told:?}");
        assert!(text.contains("team/app") && !text.contains("alice-secret") && !text.contains("Basic"), "{text}");
    }

    #[test]
    fn a_collector_that_is_away_holds_nothing_up() {
        let (collector, _spans) = collector();
        let setup = setup(&collector, "1");
        collector.stop();
        collector.close_all();
        let mut site = Site::with(&setup, ok);
        for _ in 0..5 {
            assert_eq!(site.get().0.status(), 200);
        }
        site.wait_for_log("does not take traces");
        assert_eq!(site.gateway.stop().code(), Some(0));
    }
}
