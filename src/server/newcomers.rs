//! Users that Pulp does not know yet (`create_users`).
//!
//! A Pulp that takes tokens refuses one whose user it does not know, and creates none. So before the first registry request of a
//! user goes there, the gateway makes Pulp create them, over its REST API. That is a request of the gateway's own: it carries
//! nothing of the client's but the name, goes to one fixed path, and needs no permit because it reads and changes nothing that a
//! client could ask for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use quick_cache::sync::Cache;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::names::PublicName;
use super::upstream::Upstream;
use crate::document::{Document, Kind, RequestAction, RequestFacts};
use crate::identity::{IdentityError, IdentityHeader};
use crate::pulp;
use crate::subject::{Caller, UserName};

/// How long a request may wait for its user, with the wait for a turn.
const LIMIT: Duration = Duration::from_secs(30);
/// How many are created at once, so that a crowd of new users leaves something of Pulp to the others.
const AT_ONCE: usize = 2;
/// How many names are remembered; one that was forgotten is asked about again.
const REMEMBERED: usize = 100_000;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Makes users known to a Pulp.
pub struct Newcomers {
    upstream: Arc<Upstream>,
    path: PathAndQuery,
    account: Account,
    /// The gateway's first public name, which Pulp may insist on.
    host: HeaderValue,
    scheme: HeaderValue,
    known: Cache<UserName, ()>,
    turns: Semaphore,
}

/// As whom Pulp is asked.
#[derive(Clone)]
pub enum Account {
    /// As the user: Pulp creates whoever the identity header names, whatever it then answers.
    Identity(Arc<IdentityHeader>),
    /// As an account that may create users; the value of `Authorization`.
    Basic(HeaderValue),
}

/// Why a user could not be made known. No text of it holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NewcomerError {
    /// Pulp gave no answer.
    #[error("cannot create a user in upstream {upstream}: {why}")]
    Unanswered {
        /// The upstream's name.
        upstream: Arc<str>,
        /// What happened.
        why: String,
    },
    /// Pulp did not do it.
    #[error("upstream {upstream} created no user: it answered {status}; {mend}")]
    Refused {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The status of its answer.
        status: StatusCode,
        /// What would be right.
        mend: &'static str,
    },
    /// No name that Pulp could take.
    #[error("upstream {upstream} can have no such user: {why}")]
    Unfit {
        /// The upstream's name.
        upstream: Arc<str>,
        /// What is wrong with the name.
        why: &'static str,
    },
    /// No identity header.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Newcomers {
    /// Users of this upstream, at this path of its REST API, which is asked as if for this name of the gateway.
    pub fn new(upstream: Arc<Upstream>, path: PathAndQuery, account: Account, name: &PublicName) -> Arc<Self> {
        let (known, turns) = (Cache::new(REMEMBERED), Semaphore::new(AT_ONCE));
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("localhost"));
        let (host, scheme) = (value(name.authority()), value(name.scheme().as_str()));
        Arc::new(Self { upstream, path, account, host, scheme, known, turns })
    }

    /// Returns when Pulp knows the caller. Of several requests of one user, one asks and the others wait for it.
    pub(crate) async fn introduce(&self, caller: &Caller, service: &str) -> Result<(), NewcomerError> {
        let Some(name) = caller.name() else { return Ok(()) };
        if self.known.get(name).is_some() {
            return Ok(());
        }
        let made = self.known.get_or_insert_async(name, self.in_turn(caller, name, service));
        tokio::time::timeout(LIMIT, made)
            .await
            .unwrap_or_else(|_| Err(self.unanswered(format!("it took longer than {LIMIT:?}"))))
    }

    /// Asks again at this user's next request: Pulp did not accept a token of theirs.
    pub(crate) fn forget(&self, name: &UserName) {
        self.known.remove(name);
    }

    async fn in_turn(&self, caller: &Caller, name: &UserName, service: &str) -> Result<(), NewcomerError> {
        let _turn = self.turns.acquire().await.map_err(|closed| self.unanswered(closed.to_string()))?;
        if name.as_str().chars().count() > pulp::LONGEST_NAME {
            return Err(self.unfit("Pulp takes names of up to 150 characters"));
        }
        let (status, body) = match &self.account {
            Account::Identity(header) => {
                let value = self.identity(header, caller, name, service)?;
                self.ask(self.request(Method::GET, header.name().clone(), value, Bytes::new())).await?
            }
            Account::Basic(value) => {
                let body = Bytes::from(json!({"username": name.as_str()}).to_string());
                let request = self.request(Method::POST, AUTHORIZATION, value.clone(), body);
                let (status, body) = self.ask(request.clone()).await?;
                if status.is_server_error() {
                    // Another replica may just have created the same user. If so, Pulp says it at the second time.
                    self.ask(request).await?
                } else {
                    (status, body)
                }
            }
        };
        if status.is_server_error() {
            return Err(self.unanswered(format!("it answered {status}")));
        }
        self.account.verdict(status, &body).map_err(|mend| NewcomerError::Refused {
            upstream: self.name(),
            status,
            mend,
        })?;
        tracing::info!(upstream = &*self.name(), user = name.as_str(), "knows the user from now on");
        Ok(())
    }

    /// The identity header that makes Pulp create this user, and no other.
    fn identity(
        &self,
        header: &IdentityHeader,
        caller: &Caller,
        name: &UserName,
        service: &str,
    ) -> Result<HeaderValue, NewcomerError> {
        let facts = RequestFacts {
            kind: Kind::Api,
            repository: None,
            reference: None,
            path: Some(self.path.path()),
            action: RequestAction::Read,
            method: Some(&Method::GET),
        };
        let document = Document::new(caller, service, &facts);
        if header.username(&document)?.as_deref() != Some(name.as_str()) {
            return Err(self.unfit("the identity filter calls it by another name than its token does"));
        }
        header.value(&document)?.ok_or_else(|| self.unfit("the identity filter yields no header for it"))
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), NewcomerError> {
        self.upstream.ask(request).await.map_err(|why| self.unanswered(why))
    }

    fn request(&self, method: Method, credential: HeaderName, value: HeaderValue, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone().into();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert("x-forwarded-proto", self.scheme.clone());
        headers.insert(ACCEPT, JSON);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(credential, value);
        request
    }

    fn name(&self) -> Arc<str> {
        Arc::clone(&self.upstream.settings().name)
    }

    fn unanswered(&self, why: String) -> NewcomerError {
        NewcomerError::Unanswered { upstream: self.name(), why }
    }

    fn unfit(&self, why: &'static str) -> NewcomerError {
        NewcomerError::Unfit { upstream: self.name(), why }
    }
}

impl Account {
    /// Whether Pulp knows the user now; if not, what would mend it.
    fn verdict(&self, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (self, status) {
            (_, StatusCode::NOT_FOUND) => Err("hint: `create_users.path` must be that of Pulp's users"),
            (Self::Identity(_), status) if status.is_success() => Ok(()),
            // Pulp creates users before it asks what they may do, and says 403 to those that it did not believe too.
            (Self::Identity(_), StatusCode::FORBIDDEN) if !disbelieves(&body) => Ok(()),
            (Self::Identity(_), _) => Err(
                "hint: its REST API must take the identity header (JSONHeaderRemoteAuthentication), or set `create_users.credentials` to { basic = … }",
            ),
            (Self::Basic(_), StatusCode::CREATED) => Ok(()),
            // The name was checked, so the only thing left to be wrong with it is that there is one.
            (Self::Basic(_), StatusCode::BAD_REQUEST) if body.get("username").is_some() => Ok(()),
            (Self::Basic(_), _) => Err("hint: the account of `create_users` must be one that may create users in Pulp"),
        }
    }
}

/// The two answers of Pulp's to a header that it does not read, or that tells it nothing.
fn disbelieves(body: &Value) -> bool {
    let detail = body.get("detail").and_then(Value::as_str).unwrap_or_default();
    detail.contains("credentials were not provided") || detail.starts_with("Access denied")
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity(_) => "Identity",
            Self::Basic(_) => "Basic",
        })
    }
}

impl fmt::Debug for Newcomers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newcomers").field("path", &self.path).field("account", &self.account).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};

    use super::Account;

    #[test]
    fn answers_are_read_as_pulp_means_them() {
        let basic = Account::Basic(HeaderValue::from_static("Basic eA=="));
        assert_eq!(basic.verdict(StatusCode::CREATED, b"{\"id\": 3}"), Ok(()));
        assert_eq!(basic.verdict(StatusCode::BAD_REQUEST, br#"{"username":["This field must be unique."]}"#), Ok(()));
        for (status, body) in [
            (StatusCode::OK, "{}"),
            (StatusCode::BAD_REQUEST, "{\"detail\":\"JSON parse error\"}"),
            (StatusCode::BAD_REQUEST, "no JSON"),
            (StatusCode::FORBIDDEN, "{\"detail\":\"Invalid username/password.\"}"),
            (StatusCode::FORBIDDEN, "{\"detail\":\"You do not have permission to perform this action.\"}"),
            (StatusCode::NOT_FOUND, ""),
            (StatusCode::MOVED_PERMANENTLY, ""),
            (StatusCode::INTERNAL_SERVER_ERROR, ""),
        ] {
            assert!(basic.verdict(status, body.as_bytes()).is_err(), "{status} {body}");
        }
    }
}
