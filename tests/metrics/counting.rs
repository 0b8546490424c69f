//! What happens is counted as what it is, and nothing that a client sends makes a series of its own.

use crate::scrape::Scrape;
use crate::site::{ALICE, BOB, DIGEST, Site, blob};
use crate::support::http::Request;
use crate::support::{pause, until};
use crate::upstream::ok;
use crate::wire::LIMIT;

const REQUESTS: &str = "tidegate_requests_total";

/// The scrape in which a series has this value. A request is counted after its answer has been sent, so it may take a moment.
fn when(site: &Site, series: &str, value: f64) -> Scrape {
    until(&format!("{series} is {value}"), LIMIT, || {
        let scrape = Scrape::of(&site.gateway);
        (scrape.value(series) - value).abs().lt(&0.5).then_some(scrape)
    })
}

fn requests(route: &str, action: &str, decision: &str, status: u16) -> String {
    format!("{REQUESTS}{{route=\"{route}\",action=\"{action}\",decision=\"{decision}\",status=\"{status}\"}}")
}

#[test]
fn requests_are_told_apart() {
    let site = Site::new(ok);
    let port = site.gateway.port;
    let as_alice = |method: &str, target: &str| Request::new(port, method, target).basic(ALICE.0, ALICE.1);
    as_alice("GET", &blob()).send().expect(200);
    as_alice("GET", &blob()).send().expect(200);
    when(&site, &requests("registry", "pull", "allowed", 200), 2.0);
    as_alice("DELETE", &blob()).send().expect(200);
    when(&site, &requests("registry", "delete", "allowed", 200), 1.0);
    Request::new(port, "GET", "/v2/").send().expect(401);
    when(&site, &requests("registry", "ping", "challenged", 401), 1.0);
    Request::new(port, "DELETE", &blob()).basic(BOB.0, BOB.1).send().expect(403);
    when(&site, &requests("registry", "delete", "denied", 403), 1.0);
    Request::new(port, "GET", "/nowhere").send().expect(404);
    when(&site, &requests("none", "none", "refused", 404), 1.0);
    Request::new(port, "GET", "/.well-known/jwks.json").send().expect(200);
    let scrape = when(&site, &requests("own", "read", "public", 200), 1.0);

    assert!(scrape.value("tidegate_request_duration_seconds_count{route=\"registry\"}") >= 5.0);
    assert!(scrape.value("tidegate_response_body_bytes_total{route=\"registry\"}") > 0.0);
    assert!(scrape.value("tidegate_connections_accepted_total") >= 7.0);
    let upstream = |name: &str| scrape.value(&format!("tidegate_upstream_{name}"));
    assert_eq!(upstream("requests_total{upstream=\"registry\",outcome=\"2xx\"}"), 3.0);
    assert_eq!(upstream("response_seconds_count{upstream=\"registry\"}"), 3.0);
    assert_eq!(upstream("requests_in_flight{upstream=\"registry\"}"), 0.0);
    assert_eq!(scrape.value("tidegate_ready"), 1.0);
    assert_eq!(scrape.value("tidegate_config_valid"), 1.0);
    assert!(scrape.value("tidegate_config_loaded_timestamp_seconds") > 1e9);
}

#[test]
fn log_ins_and_tokens_are_told_apart() {
    let site = Site::new(ok);
    let token = |user: Option<(&str, &str)>, scopes: &[&str]| site.gateway.ask_token(user, scopes);
    let (pull, push) = ("repository:team/app:pull", "repository:team/app:pull,push");
    let text = token(Some(BOB), &[pull]).expect(200).json()["token"].as_str().unwrap().to_owned();
    token(Some(BOB), &[push]).expect(200);
    token(None, &[push]).expect(200);
    token(Some((BOB.0, "wrong")), &[pull]).expect(401);
    let target = format!("/v2/team/app/manifests/{DIGEST}");
    for _ in 0..3 {
        Request::new(site.gateway.port, "GET", &target).bearer(&text).send().expect(200);
    }
    Request::new(site.gateway.port, "GET", &target).bearer("x.y.z").send().expect(401);
    let scrape = when(&site, "tidegate_login_failures_total{reason=\"token\"}", 1.0);
    for (series, value) in [
        ("tokens_total{grant=\"basic\",result=\"granted\"}", 1.0),
        ("tokens_total{grant=\"basic\",result=\"reduced\"}", 1.0),
        ("tokens_total{grant=\"anonymous\",result=\"empty\"}", 1.0),
        ("tokens_total{grant=\"basic\",result=\"refused\"}", 1.0),
        ("login_failures_total{reason=\"password\"}", 1.0),
        ("authn_answers_total{member=\"users\",outcome=\"accepted\"}", 1.0),
        ("authn_answers_total{member=\"users\",outcome=\"wrong\"}", 1.0),
        ("authn_duration_seconds_count{member=\"users\"}", 2.0),
        ("cache_lookups_total{cache=\"password\",result=\"hit\"}", 1.0),
        ("cache_lookups_total{cache=\"password\",result=\"miss\"}", 2.0),
        ("cache_lookups_total{cache=\"token\",result=\"hit\"}", 2.0),
        ("cache_lookups_total{cache=\"decision\",result=\"hit\"}", 2.0),
        ("cache_lookups_total{cache=\"decision\",result=\"miss\"}", 1.0),
    ] {
        assert_eq!(scrape.value(&format!("tidegate_{series}")), value, "{series}");
    }
}

#[test]
fn an_upstream_that_goes_away_shows() {
    let site = Site::new(ok);
    let healthy =
        format!("tidegate_upstream_healthy{{upstream=\"registry\",address=\"127.0.0.1:{}\"}}", site.upstream.port);
    when(&site, &healthy, 1.0);
    site.upstream.stop();
    site.upstream.close_all();
    let (head, _) = site.get();
    assert_eq!(head.status(), 502);
    when(&site, "tidegate_upstream_requests_total{upstream=\"registry\",outcome=\"connect\"}", 1.0);
    when(&site, &requests("registry", "pull", "allowed", 502), 1.0);
    let scrape = when(&site, &healthy, 0.0);
    assert!(scrape.series.contains_key(&healthy));
    assert_eq!(when(&site, "tidegate_ready", 0.0).families["tidegate_ready"], "gauge");
}

#[test]
fn nothing_that_a_client_sends_becomes_a_series() {
    let site = Site::new(ok);
    let hostile = |round: usize| {
        for n in 0..20 {
            let name = format!("hostile-{round}-{n}");
            let request = |method: &str, target: &str| {
                Request::new(site.gateway.port, method, target)
                    .host(&format!("{name}.test"))
                    .header("User-Agent", &name)
                    .header("X-Request-Id", &name)
            };
            let _ = request(&format!("HOSTILE{round}{n}"), &blob()).try_send();
            request("GET", &format!("/{name}")).send();
            request("GET", &format!("/v2/{name}/manifests/{name}")).send();
            request("GET", &format!("/token?service={name}&scope=repository:{name}:pull")).basic(&name, &name).send();
            request("GET", &blob()).bearer(&name).send();
        }
    };
    let settled = || {
        let mut before = Scrape::of(&site.gateway);
        until("all requests are counted", LIMIT, || {
            pause(std::time::Duration::from_millis(50));
            let now = Scrape::of(&site.gateway);
            let same = now.value("tidegate_requests_in_flight") == 0.0 && before.series.keys().eq(now.series.keys());
            before = now;
            same.then_some(())
        });
        before
    };
    hostile(0);
    let first = settled();
    hostile(1);
    let second = settled();
    let total = |scrape: &Scrape| {
        let of_requests = scrape.series.iter().filter(|(series, _)| series.starts_with(REQUESTS));
        of_requests.map(|(_, value)| value).sum::<f64>()
    };
    assert!(total(&second) >= 160.0, "{}", total(&second));
    let series = |scrape: &Scrape| scrape.series.keys().cloned().collect::<Vec<_>>();
    assert_eq!(series(&first), series(&second));
    assert!(!series(&second).iter().any(|series| series.to_lowercase().contains("hostile")));
}
