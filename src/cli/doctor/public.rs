//! What clients meet at a public URL: whether it is this gateway, and whether names, keys and tokens agree.

use serde_json::Value;

use super::finding::{Finding, shown};
use super::http::{NoAnswer, Outcome};

/// What was asked by one public URL.
#[derive(Debug)]
pub(super) struct Seen {
    /// `/v2/` without credentials.
    pub(super) ping: Outcome,
    /// The same with an anonymous token of ours; none where there is no key.
    pub(super) ours: Option<Outcome>,
    /// The key set.
    pub(super) keys: Outcome,
    /// What the token endpoint that the challenge names answers; none where it is not asked.
    pub(super) realm: Option<Outcome>,
}

/// What the configuration says.
#[derive(Debug)]
pub(super) struct Expected {
    /// The URL as clients know it.
    pub(super) url: String,
    /// Whether it is one of `server.public_url`.
    pub(super) known: bool,
    /// Whether there is a route for `/v2/`.
    pub(super) registry: bool,
    /// The realm of challenges.
    pub(super) realm: String,
    /// `token.service`.
    pub(super) services: Vec<String>,
    /// `token.issuer`.
    pub(super) issuer: String,
    /// The ids of our keys; none where they cannot be read.
    pub(super) keys: Option<Vec<String>>,
}

/// The findings about the gateway as clients see it.
pub(super) fn check(seen: &Seen, expected: &Expected) -> Vec<Finding> {
    let keys = match &seen.keys {
        Ok(keys) => keys,
        Err(error) => return vec![silent(error, &expected.url)],
    };
    let Some(ids) = ids(&keys.json()).filter(|_| keys.status == 200) else {
        let server = match keys.server() {
            "" => String::new(),
            server => format!("; it calls itself {}", shown(server)),
        };
        return vec![Finding::error(
            "not-the-gateway",
            format!("what answers at {} is no gateway of ours{server}", expected.url),
            "start the gateway, and have the proxy in front pass every path to it; `public_url` is what clients call it",
        )];
    };
    let mut findings = Vec::new();
    match &expected.keys {
        Some(own) if sorted(own) == sorted(&ids) => {
            findings.push(Finding::ok("keys", "it serves the keys of this configuration"));
        }
        Some(_) => findings.push(Finding::error(
            "other-keys",
            "it serves other keys than those of this configuration",
            "restart the gateway if the configuration is newer; replicas need the same `token.keys`",
        )),
        None => {}
    }
    if expected.registry {
        findings.extend(registry(seen, expected));
    }
    findings
}

fn silent(error: &NoAnswer, url: &str) -> Finding {
    Finding::error(
        "gateway-unreachable",
        format!("{url}: {error}"),
        "start the gateway (`tidegate serve`); if it runs, `server.listen` and `public_url`, or the proxy between, disagree",
    )
}

fn registry(seen: &Seen, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Ok(ping) = &seen.ping else { return findings };
    let Some(challenge) = ping.challenge().filter(|challenge| ping.status == 401 && challenge.is_bearer()) else {
        let seen = format!("/v2/ answers {} without credentials, where the gateway would challenge", ping.status);
        return vec![Finding::error("bypass", seen, "take the route to the registry itself out of the proxy in front")];
    };
    let known = if expected.known { "" } else { ", which is not in `server.public_url`" };
    if challenge.realm != expected.realm || !expected.known {
        findings.push(Finding::error(
            "realm",
            format!("clients of {}{known} are sent to {} for tokens", expected.url, shown(&challenge.realm)),
            "name in `server.public_url` what clients call the gateway, port included, and have the proxy in front pass Host",
        ));
    }
    if !expected.services.contains(&challenge.service) {
        findings.push(Finding::error(
            "service",
            format!("it names the service {}, which is not in `token.service`", shown(&challenge.service)),
            "restart the gateway if the configuration is newer",
        ));
    }
    findings.extend(seen.realm.as_ref().and_then(|answer| endpoint(answer, &challenge.realm, expected)));
    match &seen.ours {
        Some(Ok(answer)) if answer.status == 200 => findings.push(Finding::ok("tokens", "it accepts our tokens")),
        Some(Ok(answer)) => findings.push(Finding::error(
            "token-refused",
            format!("it answers {} to a token by the key of this configuration", answer.status),
            "restart the gateway if the configuration is newer; keys, `token.issuer` or `token.service` differ, or the clock",
        )),
        _ => {}
    }
    if !findings.iter().any(Finding::is_wrong) {
        findings.insert(0, Finding::ok("realm", format!("clients are sent to {} for tokens", shown(&challenge.realm))));
    }
    findings
}

/// What the realm answers to an anonymous request.
fn endpoint(answer: &Outcome, realm: &str, expected: &Expected) -> Option<Finding> {
    let mend = "name in `server.public_url` what clients can reach";
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let seen = format!("the token endpoint {} does not answer: {error}", shown(realm));
            return Some(Finding::error("realm-dead", seen, mend));
        }
    };
    let token = answer.json();
    let Some(token) = token["token"].as_str().filter(|_| answer.status == 200) else {
        let seen = format!("the token endpoint {} answers {} without a token", shown(realm), answer.status);
        return Some(Finding::error("realm-dead", seen, mend));
    };
    let issuer = claims(token)["iss"].as_str().unwrap_or_default().to_owned();
    (issuer != expected.issuer).then(|| {
        let seen =
            format!("the token endpoint issues as {}, and `token.issuer` is {}", shown(&issuer), expected.issuer);
        Finding::error(
            "issuer",
            seen,
            "restart the gateway if the configuration is newer; else the realm is another gateway's",
        )
    })
}

/// What Pulp takes itself for, by its description of the API.
pub(super) fn pulp_name(document: &Outcome, url: &str) -> Option<Finding> {
    let answer = document.as_ref().ok().filter(|answer| answer.status == 200)?;
    let json = answer.json();
    let name = json["servers"][0]["url"].as_str()?.trim_end_matches('/');
    if name.eq_ignore_ascii_case(url) {
        return Some(Finding::ok("pulp-name", "Pulp builds its links with the public URL"));
    }
    Some(Finding::warning(
        "pulp-name",
        format!("Pulp, asked by {url}, takes itself for {}: its links will not work", shown(name)),
        "something on the way changes Host or X-Forwarded-Proto; Pulp believes the latter from loopback only \
         (gunicorn's --forwarded-allow-ips)",
    ))
}

/// The claims of a token, unbelieved.
fn claims(token: &str) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    payload.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

fn ids(set: &Value) -> Option<Vec<String>> {
    set["keys"].as_array()?.iter().map(|key| key["kid"].as_str().map(str::to_owned)).collect()
}

fn sorted(ids: &[String]) -> Vec<&String> {
    let mut ids: Vec<_> = ids.iter().collect();
    ids.sort();
    ids
}

#[cfg(test)]
#[expect(clippy::unnecessary_wraps, reason = "the answers of tests are outcomes as they come")]
mod tests {
    use super::{Expected, Seen, check, pulp_name};
    use crate::cli::doctor::http::{Answer, NoAnswer, Outcome};

    fn expected() -> Expected {
        Expected {
            url: "http://gw".into(),
            known: true,
            registry: true,
            realm: "http://gw/token".into(),
            services: vec!["gw".into()],
            issuer: "http://gw/token".into(),
            keys: Some(vec!["a".into(), "b".into()]),
        }
    }

    fn challenged(challenge: &'static str) -> Outcome {
        Ok(Answer::of(401, &[("www-authenticate", challenge)], ""))
    }

    /// The claims of this token are `{"iss":"http://gw/token"}`.
    fn good() -> Seen {
        Seen {
            ping: challenged("Bearer realm=\"http://gw/token\",service=\"gw\""),
            ours: Some(Ok(Answer::of(200, &[], "{}"))),
            keys: Ok(Answer::of(200, &[], r#"{"keys": [{"kid": "b"}, {"kid": "a"}]}"#)),
            realm: Some(Ok(Answer::of(200, &[], r#"{"token": "x.eyJpc3MiOiJodHRwOi8vZ3cvdG9rZW4ifQ.x"}"#))),
        }
    }

    fn wrong(seen: &Seen, expected: &Expected) -> Vec<&'static str> {
        check(seen, expected).iter().filter(|finding| finding.is_wrong()).map(|finding| finding.code).collect()
    }

    #[test]
    fn nothing_is_wrong_where_all_agrees() {
        let codes: Vec<_> = check(&good(), &expected()).iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["keys", "realm", "tokens"]);
    }

    #[test]
    fn what_is_no_gateway_is_told_from_another_one() {
        let dead = Seen { keys: Err(NoAnswer::NoHttp), ..good() };
        assert_eq!(wrong(&dead, &expected()), ["gateway-unreachable"]);
        let nginx = Seen { keys: Ok(Answer::of(404, &[("server", "nginx")], "")), ..good() };
        assert_eq!(wrong(&nginx, &expected()), ["not-the-gateway"]);
        let keys = Seen { keys: Ok(Answer::of(200, &[], r#"{"keys": [{"kid": "c"}]}"#)), ..good() };
        assert_eq!(wrong(&keys, &expected()), ["other-keys"]);
    }

    #[test]
    fn names_have_to_agree() {
        let realm = Seen { ping: challenged("Bearer realm=\"http://other/token\",service=\"gw\""), ..good() };
        assert_eq!(wrong(&realm, &expected()), ["realm"]);
        assert_eq!(wrong(&good(), &Expected { known: false, ..expected() }), ["realm"]);
        assert_eq!(wrong(&good(), &Expected { services: vec!["x".into()], ..expected() }), ["service"]);
        assert_eq!(wrong(&good(), &Expected { issuer: "x".into(), ..expected() }), ["issuer"]);
        let dead = Seen { realm: Some(Err(NoAnswer::NoHttp)), ..good() };
        assert_eq!(wrong(&dead, &expected()), ["realm-dead"]);
        let refused = Seen { ours: Some(Ok(Answer::of(401, &[], ""))), ..good() };
        assert_eq!(wrong(&refused, &expected()), ["token-refused"]);
    }

    #[test]
    fn a_registry_that_answers_itself_is_seen() {
        let open = Seen { ping: Ok(Answer::of(200, &[], "{}")), ..good() };
        assert_eq!(wrong(&open, &expected()), ["bypass"]);
    }

    #[test]
    fn pulp_has_to_know_its_public_name() {
        let document = Ok(Answer::of(200, &[], r#"{"servers": [{"url": "http://gw/"}]}"#));
        assert!(!pulp_name(&document, "http://gw").unwrap().is_wrong());
        assert!(pulp_name(&document, "https://gw").unwrap().is_wrong());
        assert_eq!(pulp_name(&Ok(Answer::of(401, &[], "")), "http://gw"), None);
    }
}
