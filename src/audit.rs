//! What an audit line says: who did, or tried to do, what, from where, with which result and why.
//!
//! One line for each decision, each token and each log-in that failed. How lines get to their place, without ever being
//! dropped, is `access_log`'s matter, together with the request lines'.

use std::time::SystemTime;

use crate::subject::{Caller, GroupName, Origin};
use crate::telemetry::{Line, Style};

/// Texts of an audit line are cut here. Longer than whatever the limits on requests let through to a decision.
const LONGEST: usize = 32 * 1024;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was judged by the rules.
    Decision,
    /// A token was issued, or asked for and refused.
    Token,
    /// Credentials were judged and not accepted.
    Login,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// As asked.
    Allowed,
    /// In part: a token with less than was asked for, a mount that became an upload.
    Reduced,
    /// Not at all.
    Denied,
    /// Nobody could tell: a directory was unavailable, or the bound on log-ins reached. Or it was allowed, and no identity
    /// header could be made for it.
    Failed,
}

/// One line. Nothing in it may be a secret.
#[derive(Clone, Copy, Debug)]
pub struct AuditLine<'a> {
    /// When it was decided.
    pub time: SystemTime,
    /// The id that the request line has too.
    pub request_id: &'a str,
    /// What the line is about.
    pub event: Event,
    /// Where the request came from.
    pub client: Origin,
    /// Who it was, as verified.
    pub caller: &'a Caller,
    /// The user name that was given with credentials that were not accepted.
    pub claimed: Option<&'a str>,
    /// The service, or audience, that was asked.
    pub service: Option<&'a str>,
    /// What was asked for: an operation's name or `token`.
    pub action: &'a str,
    /// On what: a repository, `catalog`, or the path of an API route without its query.
    pub resource: Option<&'a str>,
    /// The scopes that were asked for or needed, as the protocol writes them.
    pub requested: Option<&'a str>,
    /// The scopes that a token was issued with.
    pub granted: Option<&'a str>,
    /// The id (`jti`) of the token that was issued or used; never the token.
    pub token_id: Option<&'a str>,
    /// How it ended.
    pub result: Result,
    /// What decided: the file and line of a rule, or a reason in words.
    pub why: &'a str,
}

impl AuditLine<'_> {
    /// Writes the line, with its newline, to the end of a buffer.
    pub fn write(&self, buf: &mut Vec<u8>, style: Style) {
        let mut line = Line::begin(buf, style, LONGEST, self.time, "audit");
        line.text("request_id", self.request_id);
        line.word(
            "event",
            match self.event {
                Event::Decision => "decision",
                Event::Token => "token",
                Event::Login => "login",
            },
        );
        line.origin("client", self.client);
        match self.caller {
            Caller::Anonymous => line.none("subject"),
            Caller::Known(subject) => {
                line.text("subject", subject.name.as_str());
                line.list("groups", subject.groups.iter().map(GroupName::as_str));
                line.text("authn", &subject.member);
            }
        }
        line.maybe("claimed", self.claimed);
        line.maybe("service", self.service);
        line.text("action", self.action);
        line.maybe("resource", self.resource);
        line.maybe("requested", self.requested);
        line.maybe("granted", self.granted);
        line.maybe("token_id", self.token_id);
        line.word(
            "result",
            match self.result {
                Result::Allowed => "allowed",
                Result::Reduced => "reduced",
                Result::Denied => "denied",
                Result::Failed => "failed",
            },
        );
        line.text("why", self.why);
        line.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use super::{AuditLine, Event, Result};
    use crate::subject::{Caller, GroupName, Origin, Subject, UserName};
    use crate::telemetry::Style;

    fn written(line: &AuditLine<'_>, style: Style) -> String {
        let mut buf = Vec::new();
        line.write(&mut buf, style);
        String::from_utf8(buf).unwrap()
    }

    const TOKEN: AuditLine<'_> = AuditLine {
        time: UNIX_EPOCH,
        request_id: "r-1",
        event: Event::Token,
        client: Origin::Unix,
        caller: &Caller::Anonymous,
        claimed: None,
        service: Some("registry.test"),
        action: "token",
        resource: None,
        requested: Some("repository:team/app:pull,push"),
        granted: Some("repository:team/app:pull"),
        token_id: Some("t-1"),
        result: Result::Reduced,
        why: "gateway.toml:42",
    };

    #[test]
    fn a_line_says_who_what_from_where_and_why() {
        let groups = vec![GroupName::parse("dev \"ops\"").unwrap()];
        let subject = Subject::new(UserName::parse("al\u{202e}ice").unwrap(), groups, "users".into());
        let caller = Caller::Known(Arc::new(subject));
        let client = Origin::Ip("2001:db8::1".parse().unwrap());
        let text = written(&AuditLine { caller: &caller, client, ..TOKEN }, Style::Json);
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            parsed,
            serde_json::json!({
                "time": "1970-01-01T00:00:00.000Z", "kind": "audit", "request_id": "r-1", "event": "token",
                "client": "2001:db8::1", "subject": "al\u{202e}ice", "groups": ["dev \"ops\""], "authn": "users",
                "service": "registry.test", "action": "token", "requested": "repository:team/app:pull,push",
                "granted": "repository:team/app:pull", "token_id": "t-1", "result": "reduced",
                "why": "gateway.toml:42",
            })
        );
        assert!(text.contains("al\\u202eice"), "{text}");
    }

    #[test]
    fn a_failed_log_in_shows_the_name_as_data() {
        let line = AuditLine {
            event: Event::Login,
            time: UNIX_EPOCH + Duration::from_secs(1),
            claimed: Some("x\" result=allowed\n"),
            service: None,
            action: "login",
            requested: None,
            granted: None,
            token_id: None,
            result: Result::Denied,
            why: "wrong user name or password",
            ..TOKEN
        };
        assert_eq!(
            written(&line, Style::Human),
            "1970-01-01T00:00:01.000Z audit request_id=r-1 event=login client=unix subject=- claimed=\"x\\\" result=allowed\\n\" \
             action=login result=denied why=\"wrong user name or password\"\n"
        );
    }
}
