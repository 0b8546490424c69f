//! What the audit log is told about a request: each decision, each token, each log-in that failed.

use std::time::SystemTime;

use super::challenge::TokenTrouble;
use super::exchange::Exchange;
use super::failure::{Failure, TokenRequestError};
use super::token_endpoint::{Granted, What};
use crate::audit::{AuditLine, Event, Result};
use crate::metrics::LoginFailure;
use crate::registry::{AccessSet, RepositoryName};
use crate::subject::Caller;

/// A judged request.
pub(crate) struct Judged<'a> {
    /// The service that was asked.
    pub(crate) service: &'a str,
    /// The scopes that it needs, as the protocol writes them; none on API routes.
    pub(crate) requested: Option<&'a str>,
    /// The id of the token that it came with.
    pub(crate) token_id: Option<&'a str>,
    /// How it ended.
    pub(crate) result: Result,
    /// Which rules decided, or why none did.
    pub(crate) why: &'a str,
}

impl Exchange {
    /// Tells of a decision.
    pub(crate) fn audit_decision(&self, judged: &Judged<'_>) {
        if !self.is_audited() {
            return;
        }
        self.audit(&AuditLine {
            service: Some(judged.service),
            resource: Some(self.resource()),
            requested: judged.requested,
            token_id: judged.token_id,
            result: judged.result,
            why: judged.why,
            ..self.line(Event::Decision)
        });
    }

    /// Tells of a token that was issued.
    pub(crate) fn audit_token(&self, granted: &Granted) {
        if !self.is_audited() {
            return;
        }
        let (requested, access, whole, why) = match &granted.what {
            What::Registry { requested, access, rules } => {
                let whole = requested.iter().all(|scope| access.covers(&scope));
                let why = match (rules.as_str(), whole) {
                    ("", true) => "nothing was asked for",
                    ("", false) => "no rule allows it",
                    (rules, _) => rules,
                };
                (scopes(requested), scopes(access), whole, why)
            }
            What::Api(scopes) => (scopes.to_string(), scopes.to_string(), true, "rules are asked when it is used"),
        };
        self.audit(&AuditLine {
            service: Some(&granted.service),
            requested: Some(&requested),
            granted: Some(&access),
            token_id: Some(&granted.token_id),
            result: if whole { Result::Allowed } else { Result::Reduced },
            why,
            ..self.line(Event::Token)
        });
    }

    /// Tells of credentials that were not accepted, and counts them, if that is what the failure is.
    pub(crate) fn audit_failure(&self, failure: &Failure) {
        let (result, reason) = match failure {
            Failure::WrongCredentials { .. } | Failure::TokenRequest(TokenRequestError::WrongCredentials) => {
                (Result::Denied, LoginFailure::Password)
            }
            Failure::TokenRequest(TokenRequestError::InvalidClient) => (Result::Denied, LoginFailure::Client),
            Failure::WrongApiKey(_) => (Result::Denied, LoginFailure::ApiKey),
            Failure::SeveralCredentials => (Result::Denied, LoginFailure::Several),
            // A token that only the upstream refuses was judged here before, and has its line.
            Failure::Challenged { trouble: TokenTrouble::Invalid(_), .. } if self.upstream.is_none() => {
                (Result::Denied, LoginFailure::Token)
            }
            Failure::Busy => (Result::Failed, LoginFailure::Busy),
            Failure::Throttled { by, .. } => {
                self.metrics().throttled(*by);
                if self.claimed.is_none() {
                    // Nobody has tried to log in.
                    return;
                }
                (Result::Failed, LoginFailure::Busy)
            }
            Failure::AuthenticationUnavailable => (Result::Failed, LoginFailure::Unavailable),
            _ => return,
        };
        self.metrics().login_failed(reason);
        let why = failure.to_string();
        self.audit(&AuditLine {
            claimed: self.claimed.as_deref(),
            resource: Some(self.resource()),
            result,
            why: &why,
            ..self.line(Event::Login)
        });
    }

    fn resource(&self) -> &str {
        self.repository().map_or_else(|| self.path(), RepositoryName::as_str)
    }

    fn line(&self, event: Event) -> AuditLine<'_> {
        AuditLine {
            time: SystemTime::now(),
            request_id: &self.peer.request_id,
            event,
            client: self.peer.client,
            caller: if event == Event::Login { &Caller::Anonymous } else { &self.caller },
            claimed: None,
            service: None,
            action: self.operation().unwrap_or("unknown"),
            resource: None,
            requested: None,
            granted: None,
            token_id: None,
            result: Result::Denied,
            why: "",
        }
    }
}

fn scopes(access: &AccessSet) -> String {
    printed(access.iter()).unwrap_or_default()
}

/// Scopes as the protocol writes them; `None` for none.
pub(crate) fn printed(scopes: impl Iterator<Item = impl std::fmt::Display>) -> Option<String> {
    let parts: Vec<String> = scopes.map(|scope| scope.to_string()).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}
