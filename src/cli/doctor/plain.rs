//! Small comparisons: the other credentials, clocks, and where content is.

use super::finding::{Finding, shown};
use super::http::{Answer, Outcome};
use crate::config::PublicUrl;
use crate::token::EARLY;

/// A difference between clocks that is worth a warning, in seconds.
const APART: u64 = 5;

/// Whether a clock agrees with ours. `whose` names it, `now` is our own time.
pub(super) fn clock(whose: &str, answer: &Answer, now: u64) -> Option<Finding> {
    let theirs = answer.date()?;
    let ours = i64::try_from(now).ok()?;
    let apart = theirs.abs_diff(ours);
    let way = if theirs < ours { "behind" } else { "ahead of" };
    let seen = format!("the clock of {whose} is {apart} s {way} the one here");
    let mend =
        "synchronize the clocks (NTP): tokens are good between two moments, and some upstreams allow no difference";
    Some(match apart {
        0..=APART => Finding::ok("clock", format!("the clock of {whose} agrees with the one here")),
        apart if apart > EARLY => Finding::error("clock", seen, mend),
        _ => Finding::warning("clock", seen, mend),
    })
}

/// Whether an upstream that is told nothing we could check, or an account, takes what it gets.
pub(super) fn account(without: &Outcome, with: &Outcome) -> Vec<Finding> {
    let (Ok(without), Ok(with)) = (without, with) else {
        return vec![Finding::note("account", "not checked: it did not answer in time")];
    };
    let mut findings = Vec::new();
    if matches!(with.status, 401) || with.says("Invalid username/password") {
        let seen = format!("it answers {} to the account in `credentials`", with.status);
        findings.push(Finding::error(
            "account-refused",
            seen,
            "correct `username` and `password`, or make the account",
        ));
    } else {
        findings.push(Finding::ok("account", "it accepts the account in `credentials`"));
    }
    if without.status == 200 {
        let seen = "it answers without credentials too: whoever reaches it may do everything";
        findings.push(Finding::warning("upstream-open", seen, "have it ask for the account that the gateway brings"));
    } else {
        findings.push(Finding::ok("refuses-strangers", "it refuses what comes without credentials"));
    }
    findings
}

/// An upstream without credentials of its own: it must ask for none.
pub(super) fn unguarded(without: &Outcome, setting: &str) -> Finding {
    match without {
        Ok(answer) if answer.status == 401 => Finding::error(
            "upstream-wants-credentials",
            format!("it answers 401, and `credentials = \"{setting}\"` brings it nothing that it could accept"),
            "take the `auth` section out of its configuration, or choose the credentials that it wants",
        ),
        Ok(_) => Finding::note("unguarded", "it asks for no credentials: the gateway is the only control"),
        Err(error) => Finding::note("unguarded", format!("not checked: {error}")),
    }
}

/// Whether redirects to content lead back through the gateway.
pub(super) fn content_origin(origin: Option<&str>, public: &[PublicUrl], content: &[PublicUrl]) -> Finding {
    let Some(origin) = origin else {
        return Finding::ok("content-origin", "redirects to content are relative, and so come through the gateway");
    };
    let is = |url: &PublicUrl| {
        format!("{}://{}", url.scheme, url.authority).eq_ignore_ascii_case(origin.trim_end_matches('/'))
    };
    if public.iter().chain(content).any(is) {
        return Finding::ok("content-origin", format!("redirects to {} come through the gateway", shown(origin)));
    }
    Finding::error(
        "content-origin",
        format!("Pulp sends clients to {} for blobs, around the gateway", shown(origin)),
        "set CONTENT_ORIGIN in Pulp's settings to the public URL of the gateway or to None, or list the origin in \
         `content_origins` of the upstream",
    )
}

#[cfg(test)]
mod tests {
    use http::uri::Scheme;

    use super::{account, clock, content_origin, unguarded};
    use crate::cli::doctor::finding::Severity;
    use crate::cli::doctor::http::{Answer, Outcome};
    use crate::config::PublicUrl;

    #[test]
    fn clocks_may_be_a_little_apart() {
        let answer = Answer::of(200, &[("date", "Mon, 23 Nov 2026 09:03:11 GMT")], "");
        let severity = |now| clock("it", &answer, now).map(|finding| finding.severity);
        assert_eq!(severity(1_795_424_591 + 5), Some(Severity::Ok));
        assert_eq!(severity(1_795_424_591 - 6), Some(Severity::Warning));
        assert_eq!(severity(1_795_424_591 + 31), Some(Severity::Error));
        assert_eq!(clock("it", &Answer::default(), 0), None);
    }

    #[test]
    fn content_comes_through_the_gateway_or_around_it() {
        let url = |authority: &str| vec![PublicUrl { scheme: Scheme::HTTP, authority: authority.into() }];
        let code = |origin| content_origin(origin, &url("gw:5000"), &url("content:24816")).severity;
        assert_eq!(code(None), Severity::Ok);
        assert_eq!(code(Some("http://GW:5000/")), Severity::Ok);
        assert_eq!(code(Some("http://content:24816")), Severity::Ok);
        assert_eq!(code(Some("https://gw:5000")), Severity::Error);
        assert_eq!(code(Some("http://pulp:24816")), Severity::Error);
    }

    #[test]
    fn accounts_and_open_doors_are_seen() {
        let answer = |status| -> Outcome { Ok(Answer::of(status, &[], "{}")) };
        let codes =
            |without, with| account(&answer(without), &answer(with)).iter().map(|one| one.code).collect::<Vec<_>>();
        assert_eq!(codes(401, 200), ["account", "refuses-strangers"]);
        assert_eq!(codes(401, 401), ["account-refused", "refuses-strangers"]);
        assert_eq!(codes(200, 200), ["account", "upstream-open"]);
        assert_eq!(unguarded(&answer(200), "none").severity, Severity::Note);
        assert_eq!(unguarded(&answer(401), "identity").code, "upstream-wants-credentials");
    }
}
