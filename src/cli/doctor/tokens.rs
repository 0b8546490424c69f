//! Whether an upstream accepts our tokens, and nothing else.
//!
//! The tokens are anonymous and grant nothing, so nothing could be done with them.

use super::finding::{Finding, shown};
use super::http::{Challenge, Outcome};

/// What was asked at `/v2/`.
#[derive(Debug)]
pub(super) struct Seen {
    /// Nothing beside the path.
    pub(super) without: Outcome,
    /// With a token of ours; none where there is no key.
    pub(super) ours: Option<Outcome>,
    /// With the same token by a key that nobody knows.
    pub(super) foreign: Option<Outcome>,
}

/// What the configuration says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// Whether the upstream is Pulp.
    pub(super) pulp: bool,
    /// `token.issuer`.
    pub(super) issuer: &'a str,
    /// The host that the request named.
    pub(super) host: &'a str,
    /// For whom our token was.
    pub(super) audience: &'a str,
}

/// The findings about tokens.
pub(super) fn check(seen: &Seen, expected: Expected<'_>) -> Vec<Finding> {
    let Expected { pulp, issuer, .. } = expected;
    let Ok(without) = &seen.without else {
        return vec![Finding::note("tokens", "not checked: it did not answer in time")];
    };
    let mend = if pulp {
        "set TOKEN_AUTH_DISABLED = False in Pulp's settings, as `tidegate export pulp` prints them"
    } else {
        "put the `auth` section of `tidegate export distribution` into its configuration"
    };
    if without.status == 200 {
        return vec![Finding::error(
            "upstream-open",
            "it answers without any token: whoever reaches it may do everything",
            mend,
        )];
    }
    let Some(challenge) = without.challenge().filter(Challenge::is_bearer) else {
        let seen = format!("it asks for no token: it answers {} without a Bearer challenge", without.status);
        return vec![Finding::error("token-auth-off", seen, mend)];
    };
    let mut findings = vec![Finding::ok("refuses-strangers", "it refuses what comes without credentials")];
    findings.extend(realm(&challenge.realm, expected));
    findings.extend(service(&challenge.service, expected));
    let explained = findings.iter().any(Finding::is_wrong);
    match &seen.ours {
        Some(Ok(answer)) if answer.status == 200 => findings.push(Finding::ok("tokens", "it accepts our tokens")),
        // One cause is one error: the mend of the first is the mend of the second.
        Some(Ok(_)) if explained => {}
        Some(Ok(answer)) => {
            let mend = if pulp {
                format!(
                    "give it our public key and algorithm (PUBLIC_KEY_PATH, TOKEN_SIGNATURE_ALGORITHM: `tidegate export \
                     pulp`), TOKEN_SERVER = \"{issuer}\", and a clock that agrees; then restart it"
                )
            } else {
                format!(
                    "take the issuer \"{issuer}\" and the keys from `tidegate export distribution`, which also says what \
                     `token.key_id` must be; then restart it"
                )
            };
            findings.push(Finding::error("token-refused", format!("it answers {} to our token", answer.status), mend));
        }
        Some(Err(error)) => findings.push(Finding::note("tokens", format!("not checked: {error}"))),
        None => {}
    }
    if let Some(Ok(answer)) = &seen.foreign
        && answer.status == 200
    {
        findings.push(Finding::error("any-token", "it accepts a token by a key that is not ours", mend));
    }
    findings
}

/// Pulp names its `TOKEN_SERVER` as realm, and wants it as `iss`. The realm of others means nothing behind a gateway.
fn realm(realm: &str, expected: Expected<'_>) -> Option<Finding> {
    let Expected { pulp, issuer, .. } = expected;
    (pulp && realm != issuer).then(|| {
        Finding::error(
            "token-server",
            format!("Pulp's TOKEN_SERVER is {}, and `token.issuer` {issuer}", shown(realm)),
            format!(
                "set TOKEN_SERVER = \"{issuer}\" in Pulp's settings: it must equal `token.issuer` letter by letter"
            ),
        )
    })
}

/// Pulp wants the Host as audience, and says which one it got; others have a fixed one.
fn service(service: &str, expected: Expected<'_>) -> Option<Finding> {
    let Expected { pulp, host, audience, .. } = expected;
    if pulp && !service.eq_ignore_ascii_case(host) {
        return Some(Finding::error(
            "host-rewritten",
            format!("Pulp was asked as {host}, and takes itself for {}", shown(service)),
            "something between the gateway and Pulp changes Host: set `url` to Pulp itself, or have it pass Host as it came \
             (nginx: `proxy_set_header Host $http_host`)",
        ));
    }
    (service != audience).then(|| {
        let mend = if pulp {
            format!("list \"{host}\" in `token.service`, or set `credentials = \"mint-token\"`")
        } else {
            "make its `auth.token.service` and `token.service` equal, as `tidegate export distribution` does".to_owned()
        };
        Finding::error("service", format!("it wants tokens for {}, and gets them for {audience}", shown(service)), mend)
    })
}

/// Whether Pulp's own token endpoint hands out tokens.
pub(super) fn own_endpoint(answer: &Outcome) -> Option<Finding> {
    let answer = answer.as_ref().ok()?;
    (answer.status == 200 && answer.json().get("token").is_some()).then(|| {
        Finding::warning(
            "own-tokens",
            "Pulp's own /token/ hands out tokens that it accepts",
            "take PRIVATE_KEY_PATH out of Pulp's settings: only the gateway is to sign",
        )
    })
}

#[cfg(test)]
#[expect(clippy::unnecessary_wraps, reason = "the answers of tests are outcomes as they come")]
mod tests {
    use super::{Expected, Seen, check, own_endpoint};
    use crate::cli::doctor::http::{Answer, Outcome};

    const EXPECTED: Expected<'_> = Expected { pulp: true, issuer: "http://gw/token", host: "gw", audience: "gw" };
    const REGISTRY: Expected<'_> = Expected { pulp: false, ..EXPECTED };
    const GOOD: &str = "Bearer realm=\"http://gw/token\",service=\"gw\"";

    fn status(status: u16) -> Option<Outcome> {
        Some(Ok(Answer::of(status, &[], "{}")))
    }

    fn seen(challenge: &'static str, ours: u16) -> Seen {
        let without = Ok(Answer::of(401, &[("www-authenticate", challenge)], ""));
        Seen { without, ours: status(ours), foreign: status(401) }
    }

    fn codes(seen: &Seen, expected: Expected<'_>) -> Vec<&'static str> {
        check(seen, expected).iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_good_one_accepts_ours_and_refuses_the_rest() {
        assert_eq!(codes(&seen(GOOD, 200), EXPECTED), ["refuses-strangers", "tokens"]);
        let foreign = Seen { foreign: status(200), ..seen(GOOD, 200) };
        assert_eq!(codes(&foreign, EXPECTED), ["refuses-strangers", "tokens", "any-token"]);
    }

    #[test]
    fn open_doors_are_errors() {
        let open = Seen { without: Ok(Answer::of(200, &[], "{}")), ..seen(GOOD, 200) };
        assert_eq!(codes(&open, EXPECTED), ["upstream-open"]);
        assert_eq!(codes(&seen("Basic realm=\"api\"", 401), EXPECTED), ["token-auth-off"]);
    }

    #[test]
    fn one_cause_is_one_error() {
        let server = seen("Bearer realm=\"http://old/token\",service=\"gw\"", 401);
        assert_eq!(codes(&server, EXPECTED), ["refuses-strangers", "token-server"]);
        let host = seen("Bearer realm=\"http://gw/token\",service=\"127.0.0.1:24817\"", 401);
        assert_eq!(codes(&host, EXPECTED), ["refuses-strangers", "host-rewritten"]);
        assert_eq!(codes(&seen(GOOD, 401), EXPECTED), ["refuses-strangers", "token-refused"]);
        let other = Expected { audience: "other", ..EXPECTED };
        assert_eq!(codes(&seen(GOOD, 401), other), ["refuses-strangers", "service"]);
    }

    #[test]
    fn the_realm_of_distribution_means_nothing() {
        let realm = seen("Bearer realm=\"http://old/token\",service=\"gw\"", 200);
        assert_eq!(codes(&realm, REGISTRY), ["refuses-strangers", "tokens"]);
        let service = seen("Bearer realm=\"x\",service=\"old\"", 401);
        assert_eq!(codes(&service, REGISTRY), ["refuses-strangers", "service"]);
    }

    #[test]
    fn pulp_is_to_sign_nothing() {
        let answer = |status, body| Ok(Answer::of(status, &[], body));
        assert_eq!(own_endpoint(&answer(200, r#"{"token": "x"}"#)).unwrap().code, "own-tokens");
        assert_eq!(own_endpoint(&answer(500, "")), None);
        assert_eq!(own_endpoint(&answer(200, "{}")), None);
    }
}
