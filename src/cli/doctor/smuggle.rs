//! Whether an identity header that a client brings has an effect at Pulp.
//!
//! The header holds a name that is too long for an account. Where Pulp reads it, it fails; where the gateway has removed it, the
//! answer is the same as without.

use http::header::CONNECTION;
use http::{HeaderName, HeaderValue};

use super::finding::Finding;
use super::http::{Answer, Header, Outcome};

/// One way to write the header.
#[derive(Debug)]
pub(super) struct Spelling {
    /// In words.
    pub(super) what: String,
    /// What is sent.
    pub(super) headers: Vec<Header>,
}

/// The ways that are tried. What goes over the wire is in lower case; case means nothing to any server.
pub(super) fn spellings(name: &HeaderName, value: &HeaderValue) -> Vec<Spelling> {
    let header = |name: &HeaderName| (name.clone(), value.clone());
    let mut list = vec![
        Spelling { what: format!("{name}"), headers: vec![header(name)] },
        Spelling { what: format!("{name}, twice"), headers: vec![header(name), header(name)] },
    ];
    if let Ok(nominated) = HeaderValue::from_str(name.as_str()) {
        let headers = vec![(CONNECTION, nominated), header(name)];
        list.push(Spelling { what: format!("{name}, nominated by Connection"), headers });
    }
    let underscored = name.as_str().replace('-', "_");
    let first = name.as_str().replacen('-', "_", 1);
    for spelled in [&underscored, &first] {
        if let Ok(name) = HeaderName::from_bytes(spelled.as_bytes()) {
            let what = name.to_string();
            if list.iter().all(|other| other.what != what) {
                list.push(Spelling { what, headers: vec![header(&name)] });
            }
        }
    }
    list
}

/// What was asked at one path by the public URL, without credentials.
#[derive(Debug)]
pub(super) struct Seen {
    /// The path.
    pub(super) path: String,
    /// Without the header.
    pub(super) plain: Outcome,
    /// With it, in each spelling.
    pub(super) smuggled: Vec<(String, Outcome)>,
}

/// The finding about all paths together.
pub(super) fn check(paths: &[Seen]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in paths {
        let Ok(plain) = &seen.plain else { continue };
        let failed = |outcome: &Outcome| outcome.as_ref().is_ok_and(|answer| answer.status >= 500);
        let effective = seen.smuggled.iter().filter(|(_, outcome)| plain.status < 500 && failed(outcome));
        let effective: Vec<&str> = effective.map(|(what, _)| what.as_str()).collect();
        if !effective.is_empty() {
            findings.push(Finding::error(
                "smuggled",
                format!("Pulp reads an identity that a client claims, at {} ({})", seen.path, effective.join("; ")),
                "every path of Pulp must lead through the gateway: take the routes to Pulp itself out of the proxy in front",
            ));
        } else if plain.status == 401 && is_of_pulp(plain) {
            // The gateway never shows an upstream's own challenge.
            findings.push(Finding::error(
                "bypass",
                format!("{} is answered by Pulp, and not by the gateway", seen.path),
                "take the routes to Pulp itself out of the proxy in front",
            ));
        }
    }
    let answered: Vec<_> = paths.iter().filter_map(|seen| seen.plain.as_ref().ok()).collect();
    if findings.is_empty() && !answered.is_empty() {
        let spellings = paths.iter().map(|seen| seen.smuggled.len()).max().unwrap_or_default();
        let through = answered.iter().filter(|answer| is_of_pulp(answer)).count();
        let seen = format!(
            "an identity header of a client has no effect ({spellings} spellings at {} paths, of which {through} lead to Pulp \
             without credentials)",
            answered.len()
        );
        findings.push(Finding::ok("smuggled", seen));
    }
    findings
}

/// Whether an answer is Pulp's, even if it came through the gateway.
fn is_of_pulp(answer: &Answer) -> bool {
    answer.headers.contains_key("correlation-id")
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::{Seen, check, spellings};
    use crate::cli::doctor::finding::Severity;
    use crate::cli::doctor::http::Answer;

    fn seen(plain: Answer, smuggled: u16) -> Seen {
        let smuggled = vec![("X_A".to_owned(), Ok(Answer::of(smuggled, &[], "")))];
        Seen { path: "/pulp/api/v3/users/".into(), plain: Ok(plain), smuggled }
    }

    #[test]
    fn the_header_is_tried_in_every_spelling() {
        let list = spellings(&HeaderName::from_static("x-a-b"), &HeaderValue::from_static("v"));
        let what: Vec<&str> = list.iter().map(|spelling| spelling.what.as_str()).collect();
        assert_eq!(what, ["x-a-b", "x-a-b, twice", "x-a-b, nominated by Connection", "x_a_b", "x_a-b"]);
    }

    #[test]
    fn an_answer_that_changes_shows_an_effect() {
        let unauthorized = || Answer::of(401, &[], "");
        let well = check(&[seen(unauthorized(), 401), seen(Answer::of(404, &[("correlation-id", "1")], ""), 404)]);
        assert_eq!(well[0].severity, Severity::Ok);
        assert!(well[0].seen.contains("1 spellings at 2 paths, of which 1 lead to Pulp"));
        let findings = check(&[seen(unauthorized(), 500)]);
        assert!(findings[0].seen.contains("X_A"));
        assert_eq!(findings[0].severity, Severity::Error);
        // It failed before: nothing follows.
        assert_eq!(check(&[seen(Answer::of(502, &[], ""), 502)])[0].severity, Severity::Ok);
    }

    #[test]
    fn the_challenge_of_pulp_is_never_shown_by_a_gateway() {
        let pulp = Answer::of(401, &[("correlation-id", "1")], "");
        assert_eq!(check(&[seen(pulp, 401)])[0].code, "bypass");
    }
}
