//! Whether Pulp reads our identity header, and takes the name from it.
//!
//! Pulp makes an account of every name that it is told, so none is told that could be made: first a header that is no JSON, which
//! Pulp answers with words of its own, and then a name that is too long for an account, on which it fails. An answer of neither
//! kind shows that it did not look.

use http::HeaderName;

use super::finding::Finding;
use super::http::{Answer, Outcome};

/// The name that the doctor gives itself.
pub(super) const NAME: &str = "tidegate-doctor";
/// Longer than any name in Pulp, which has up to 150 characters.
const TOO_LONG: usize = 200;

/// [`NAME`], too long for an account.
pub(super) fn impossible_name() -> String {
    format!("{NAME}-{}", "x".repeat(TOO_LONG - NAME.len() - 1))
}

/// What was asked of Pulp at one path.
#[derive(Debug)]
pub(super) struct Seen {
    /// Nothing beside the path.
    pub(super) without: Outcome,
    /// With our header, which held no JSON.
    pub(super) nonsense: Outcome,
    /// With our header, which held an impossible name where the filter puts it.
    pub(super) named: Outcome,
    /// With a wrong password and no header; only at the REST API.
    pub(super) basic: Option<Outcome>,
}

/// What the configuration says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// `identity.header`.
    pub(super) header: &'a HeaderName,
    /// `identity.username`.
    pub(super) username: &'a str,
}

/// The findings about the identity header.
pub(super) fn check(seen: &Seen, expected: Expected<'_>) -> Vec<Finding> {
    let Expected { header, username } = expected;
    let (Ok(without), Ok(nonsense), Ok(named)) = (&seen.without, &seen.nonsense, &seen.named) else {
        return vec![Finding::note("identity-header", "not checked: it did not answer in time")];
    };
    let bearer = without.challenge().is_some_and(|challenge| challenge.is_bearer());
    if seen.basic.is_none() && bearer {
        return vec![Finding::error(
            "token-auth-on",
            "Pulp asks for tokens at /v2/, and this route tells it the identity in a header",
            "set TOKEN_AUTH_DISABLED = True in Pulp's settings, or `credentials = \"forward-token\"` on the route",
        )];
    }
    let mut findings = vec![open(without)];
    findings.push(if !nonsense.says("Invalid JSON") {
        let mend = format!(
            "set AUTHENTICATION_JSON_HEADER = \"{}\" in Pulp's settings and list JSONHeaderRemoteAuthentication among the \
             authentication classes (`tidegate export pulp`); a proxy on the way must not remove the header",
            in_django(header)
        );
        Finding::error("header-ignored", format!("Pulp does not read the header {header}"), mend)
    } else if named.status >= 500 {
        Finding::ok("identity-header", format!("Pulp reads the name from {header} at {username} (it was told none that it could keep)"))
    } else if matches!(named.status, 401 | 403) {
        let mend = format!("set AUTHENTICATION_JSON_HEADER_JQ_FILTER = \"{username}\" in Pulp's settings");
        Finding::error("header-filter", format!("Pulp reads {header}, and finds no name in what our filter makes"), mend)
    } else {
        let seen = format!("Pulp answered {} to a name that is too long: whether it reads it cannot be told", named.status);
        Finding::note("identity-header", seen)
    });
    if let Some(Ok(basic)) = &seen.basic
        && basic.says("Invalid username/password")
    {
        findings.push(Finding::warning(
            "basic-listed",
            "Pulp also takes passwords of its own at the REST API",
            "list JSONHeaderRemoteAuthentication alone in REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES: pulp-cli fails \
             where both are listed, and passwords of Pulp open it around the gateway",
        ));
    }
    findings
}

fn open(without: &Answer) -> Finding {
    if matches!(without.status, 401 | 403) {
        return Finding::ok("refuses-strangers", "it refuses what comes without credentials");
    }
    Finding::error(
        "upstream-open",
        format!("Pulp answers {} to a request without credentials", without.status),
        "take out what lets anonymous requests in: the permission classes in Pulp's settings",
    )
}

/// A header's name as Django's settings have it.
fn in_django(header: &HeaderName) -> String {
    format!("HTTP_{}", header.as_str().to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
#[expect(clippy::unnecessary_wraps, reason = "the answers of tests are outcomes as they come")]
mod tests {
    use http::HeaderName;

    use super::{Expected, Seen, check, impossible_name};
    use crate::cli::doctor::finding::Finding;
    use crate::cli::doctor::http::{Answer, NoAnswer, Outcome};

    const MISSING: &str = r#"{"detail":"Authentication credentials were not provided."}"#;
    const INVALID: &str = r#"{"detail":"Access denied. Invalid JSON."}"#;

    fn codes(seen: &Seen) -> Vec<&'static str> {
        let header = HeaderName::from_static("x-authentication-service");
        let findings = check(seen, Expected { header: &header, username: ".identity.user.username" });
        findings.iter().map(|finding| finding.code).collect()
    }

    fn answer(status: u16, body: &'static str) -> Outcome {
        Ok(Answer::of(status, &[], body))
    }

    fn good() -> Seen {
        Seen {
            without: answer(403, MISSING),
            nonsense: answer(403, INVALID),
            named: answer(500, ""),
            basic: Some(answer(403, MISSING)),
        }
    }

    #[test]
    fn each_answer_says_how_far_pulp_got() {
        assert_eq!(codes(&good()), ["refuses-strangers", "identity-header"]);
        assert_eq!(codes(&Seen { nonsense: answer(403, MISSING), ..good() }), ["refuses-strangers", "header-ignored"]);
        assert_eq!(codes(&Seen { named: answer(403, MISSING), ..good() }), ["refuses-strangers", "header-filter"]);
        assert_eq!(codes(&Seen { without: answer(200, "{}"), ..good() })[0], "upstream-open");
        let basic = Some(answer(401, r#"{"detail":"Invalid username/password."}"#));
        assert_eq!(codes(&Seen { basic, ..good() }), ["refuses-strangers", "identity-header", "basic-listed"]);
    }

    #[test]
    fn tokens_where_a_header_is_sent_are_all_there_is_to_say() {
        let challenge = [("www-authenticate", "Bearer realm=\"r\",service=\"s\"")];
        let without = Ok(Answer::of(401, &challenge, MISSING));
        assert_eq!(codes(&Seen { without, basic: None, ..good() }), ["token-auth-on"]);
    }

    #[test]
    fn silence_is_no_verdict() {
        let findings = |seen: &Seen| -> Vec<Finding> {
            let header = HeaderName::from_static("x");
            check(seen, Expected { header: &header, username: "." })
        };
        assert!(!findings(&Seen { named: Err(NoAnswer::NoHttp), ..good() })[0].is_wrong());
        assert!(!findings(&Seen { named: answer(404, ""), ..good() }).iter().any(Finding::is_wrong));
    }

    #[test]
    fn nobody_can_have_the_name() {
        assert!(impossible_name().len() > 150);
    }

    #[test]
    fn the_mend_is_in_the_spelling_of_django() {
        let seen = Seen { nonsense: answer(403, MISSING), ..good() };
        let header = HeaderName::from_static("x-our-name");
        let findings = check(&seen, Expected { header: &header, username: "." });
        assert!(findings[1].mend.as_ref().unwrap().contains("\"HTTP_X_OUR_NAME\""));
    }
}
