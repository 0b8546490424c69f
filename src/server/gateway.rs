//! The way of a request, in the order of its stages:
//!
//! framing → own endpoints → route → credentials → authenticate → authorize → identity → forward.
//!
//! Each stage either hands on what the next one needs, or ends in a [`Failure`]; one place makes responses of those.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use hyper::body::{Body as _, Incoming};

use super::body::ResponseBody;
use super::challenge::TokenTrouble;
use super::exchange::{Exchange, FollowedBody};
use super::failure::Failure;
use super::forward::{self, Permitted};
use super::headers;
use super::passage::Passage;
use super::peer::Peer;
use super::respond::{self, Asked};
use super::routes::{Route, RouteAuth};
use super::session::{Key, Session};
use super::state::{JWKS_PATH, Shared, State};
use super::token_endpoint;
use super::trail::Judged;
use crate::access_log::Decision;
use crate::audit;
use crate::authn::{self, Credentials, Refused};
use crate::authz::{self, PathRequest, Refusal};
use crate::registry::path::RequestPath;
use crate::registry::query::Query;
use crate::registry::{Action, Operation, Resource, RouteError, Scope};
use crate::secret::Secret;
use crate::subject::Caller;
use crate::token::{Entry, TokenKind};

/// `X-Registry-Supports-Signatures`, which podman and skopeo look for on the ping.
const SUPPORTS_SIGNATURES: HeaderName = HeaderName::from_static("x-registry-supports-signatures");

/// The service of one connection.
#[derive(Clone, Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    serves: Serves,
    peer: SocketAddr,
    worker: usize,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Everything.
    Everything,
    /// The token endpoint and the key set (`token.listen`).
    TokensOnly,
}

impl Gateway {
    /// The service of a connection from `peer`, driven by this worker.
    pub fn new(shared: Arc<Shared>, serves: Serves, peer: SocketAddr, worker: usize) -> Self {
        Self { shared, serves, peer, worker }
    }
}

impl tower::Service<Request<Incoming>> for Gateway {
    type Response = Response<FollowedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.serve(request).await) })
    }
}

impl Gateway {
    async fn serve(self, request: Request<Incoming>) -> Response<FollowedBody> {
        let state = self.shared.state.load_full();
        let (head, body) = request.into_parts();
        let framing = headers::check_framing(&head.uri, head.version, &head.headers);
        let host = framing.as_ref().ok().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let peer = Peer::new(self.peer, host, &head.headers, &state.trusted_proxies);
        let mut exchange = Exchange::new(self.shared.log.clone(), peer, head.method.clone());
        exchange.user_agent = head.headers.get(USER_AGENT).cloned();
        exchange.unread = !body.is_end_stream();
        // Until it is parsed; the log escapes whatever it is.
        head.uri.path().clone_into(&mut exchange.path);

        let answered = match framing {
            Ok(host) => self.answer(&state, head, body, host, &mut exchange).await,
            Err(error) => Err(error.into()),
        };
        let mut response = answered.unwrap_or_else(|failure| {
            exchange.fail(&failure);
            let asked = Asked {
                realm: state.names.for_host(&exchange.peer.host).realm(),
                service: state.names.service_for_host(&exchange.peer.host),
                scheme: exchange.scheme,
            };
            respond::failure(&failure, asked)
        });
        if exchange.signatures {
            response.headers_mut().insert(SUPPORTS_SIGNATURES, HeaderValue::from_static("1"));
        }
        if exchange.is_unread() {
            // The client may still be sending: it is told to stop, and the connection lingers until it has read this.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        exchange.follow(response)
    }

    async fn answer(
        &self,
        state: &State,
        head: request::Parts,
        body: Incoming,
        host: HeaderValue,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Failure::Method);
        }
        let path = RequestPath::parse(head.uri.path()).map_err(RouteError::from)?;
        path.as_str().clone_into(&mut exchange.path);
        if path.as_str() == state.token_path {
            return self.issue(state, &head, body, exchange).await;
        }
        if path.as_str() == JWKS_PATH {
            return keys(state, &head.method, exchange);
        }
        if self.serves == Serves::TokensOnly {
            return Err(Failure::NoRoute);
        }
        let route = state.routes.find(&path).ok_or(Failure::NoRoute)?;
        exchange.scheme = route.auth.scheme();
        let way = Way { state, route, head, body, host };
        match route.auth {
            RouteAuth::Registry => self.registry(way, exchange).await,
            RouteAuth::Api => self.api(way, path, exchange).await,
            RouteAuth::Public => self.public(way, path, exchange).await,
        }
    }

    /// The token endpoint.
    async fn issue(
        &self,
        state: &State,
        head: &request::Parts,
        body: Incoming,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        let client = exchange.peer.client;
        let answered = token_endpoint::answer(state, head, body, client, exchange).await;
        if let Ok((_, granted)) = &answered {
            exchange.decision = Decision::Own;
            exchange.audit_token(granted);
        }
        answered.map(|(response, _)| response)
    }

    /// A route with `auth = "registry"`.
    async fn registry(&self, way: Way<'_>, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
        let operation = Operation::parse(&way.head.method, way.head.uri.path(), way.head.uri.query())?;
        exchange.operation = Some(operation.name());
        exchange.repository = operation.repository().cloned();
        exchange.signatures = operation.is_ping() && way.route.signatures;
        let asks = operation.asks();
        let presented = present(way.state, &way.head.headers, TokenKind::Registry, &asks, exchange).await?;
        if operation.is_ping() {
            return ping(&presented, exchange);
        }
        let passage = permit(&way, operation, &asks, &presented, exchange)?;
        exchange.decision = Decision::Allowed;
        let token = presented.into_token();
        let Way { state, head, body, host, .. } = way;
        let permitted = Permitted { passage: &passage, head, body, host, token, peer: self.peer, worker: self.worker };
        forward::forward(state, permitted, exchange).await
    }

    /// A route with `auth = "api"`.
    async fn api(
        &self,
        way: Way<'_>,
        path: RequestPath,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Way { state, route, head, body, host } = way;
        exchange.operation = Some("api");
        let query = Query::parse(head.uri.query()).map_err(RouteError::from)?;
        let presented = present(state, &head.headers, TokenKind::Api, &[], exchange).await?;
        let caller = presented.caller().clone();
        let service = presented.service(state);
        let request = PathRequest { method: head.method.clone(), path, query };
        let judged = authz::authorize_api(&state.rules, request, &caller, service, Some(exchange.peer.client));
        let permit = judged.map_err(|refusal| {
            let what = format!("{} {}", head.method, exchange.path);
            refused(state, &refusal, &presented, &[], &what, exchange)
        })?;
        let passage = Passage::new(state, route, permit).inspect_err(|failure| {
            exchange.audit_decision(&presented.judged(state, &[], audit::Result::Failed, &failure.to_string()));
        })?;
        exchange.audit_decision(&presented.judged(state, &[], audit::Result::Allowed, &passage.reason));
        exchange.decision = Decision::Allowed;
        let token = presented.into_token();
        forward::forward(
            state,
            Permitted { passage: &passage, head, body, host, token, peer: self.peer, worker: self.worker },
            exchange,
        )
        .await
    }

    /// A route with `auth = "public"`.
    async fn public(
        &self,
        way: Way<'_>,
        path: RequestPath,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Way { state, route, head, body, host } = way;
        exchange.operation = Some("public");
        exchange.decision = Decision::Public;
        let query = Query::parse(head.uri.query()).map_err(RouteError::from)?;
        let permit = authz::permit_public(PathRequest { method: head.method.clone(), path, query });
        let passage = Passage::new(state, route, permit)?;
        let permitted =
            Permitted { passage: &passage, head, body, host, token: None, peer: self.peer, worker: self.worker };
        forward::forward(state, permitted, exchange).await
    }
}

/// A request that has found its route.
struct Way<'a> {
    state: &'a State,
    route: &'a Arc<Route>,
    head: request::Parts,
    body: Incoming,
    /// The host as the client wrote it.
    host: HeaderValue,
}

/// May they? Decides about an operation, or finds what was decided for the same token before.
fn permit(
    way: &Way<'_>,
    operation: Operation,
    asks: &[Scope],
    presented: &Presented,
    exchange: &mut Exchange,
) -> Result<Arc<Passage>, Failure> {
    let Way { state, route, head, .. } = way;
    let client = exchange.peer.client;
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let kept = presented.token().filter(|_| reads).map(|entry| {
        let target = head.uri.path_and_query().map(|target| target.as_str().to_owned()).unwrap_or_default();
        let client = state.rules_read_client.then_some(client);
        (&entry.state, Key { method: head.method.clone(), target, client })
    });
    if let Some((session, key)) = &kept
        && let Some(passage) = session.passage(presented.caller(), key)
    {
        exchange.audit_decision(&presented.judged(state, asks, audit::Result::Allowed, &passage.reason));
        return Ok(passage);
    }
    let is_mount = operation.mount_source().is_some();
    let request = authz::Request {
        operation,
        caller: presented.caller(),
        granted: presented.token().map(|entry| &entry.verified.access),
        service: presented.service(state),
        client: Some(client),
        mounts_allowed: route.mounts,
    };
    let judged = authz::authorize(&state.rules, request);
    let permit = judged.map_err(|refusal| refused(state, &refusal, presented, asks, &in_words(asks), exchange))?;
    let passage = Passage::new(state, route, permit).inspect_err(|failure| {
        exchange.audit_decision(&presented.judged(state, asks, audit::Result::Failed, &failure.to_string()));
    })?;
    let passage = Arc::new(passage);
    let reduced = is_mount && passage.operation().is_some_and(|operation| operation.mount_source().is_none());
    let result = if reduced { audit::Result::Reduced } else { audit::Result::Allowed };
    exchange.audit_decision(&presented.judged(state, asks, result, &passage.reason));
    if let Some((session, key)) = kept {
        session.keep(presented.caller(), key, Arc::clone(&passage));
    }
    Ok(passage)
}

/// What a caller brought, verified.
enum Presented {
    /// Nothing.
    Nothing,
    /// Name and password.
    Password(Caller),
    /// A token, as it came, and who its subject is now.
    Token { entry: Arc<Entry<Session>>, caller: Caller, text: Secret },
}

impl Presented {
    fn caller(&self) -> &Caller {
        match self {
            Self::Nothing => &Caller::Anonymous,
            Self::Password(caller) | Self::Token { caller, .. } => caller,
        }
    }

    fn token(&self) -> Option<&Entry<Session>> {
        match self {
            Self::Token { entry, .. } => Some(entry),
            _ => None,
        }
    }

    fn service<'a>(&'a self, state: &'a State) -> &'a str {
        self.token().map_or_else(|| state.names.default_service(), |entry| &entry.verified.audience)
    }

    /// The start of an audit line.
    fn judged<'a>(&'a self, state: &'a State, needs: &'a [Scope], result: audit::Result, why: &'a str) -> Judged<'a> {
        let token_id = self.token().map(|entry| &*entry.verified.jti);
        Judged { service: self.service(state), needs, token_id, result, why }
    }

    fn into_token(self) -> Option<(Secret, u64)> {
        match self {
            Self::Token { entry, text, .. } => Some((text, entry.verified.issued_at)),
            _ => None,
        }
    }
}

/// Who is it?
async fn present(
    state: &State,
    headers: &HeaderMap,
    kind: TokenKind,
    asks: &[Scope],
    exchange: &mut Exchange,
) -> Result<Presented, Failure> {
    let wrong = || Failure::WrongCredentials { asks: asks.to_vec() };
    let presented = match authn::basic(headers) {
        Credentials::Anonymous => Presented::Nothing,
        Credentials::Malformed => return Err(wrong()),
        Credentials::Password { user, password } => {
            let verdict = state.chain.authenticate(&user, &password).await;
            exchange.claimed = Some(user);
            match verdict {
                Ok(subject) => Presented::Password(Caller::Known(subject)),
                Err(Refused::Wrong) => return Err(wrong()),
                Err(Refused::Busy) => return Err(Failure::Busy),
                Err(Refused::Unavailable) => return Err(Failure::AuthenticationUnavailable),
            }
        }
        Credentials::Bearer(text) => verify(state, text, kind)
            .map_err(|why| Failure::Challenged { asks: asks.to_vec(), trouble: TokenTrouble::Invalid(why) })?,
    };
    exchange.caller = presented.caller().clone();
    Ok(presented)
}

/// Is the token ours, is it still good, and does its subject still exist?
fn verify(state: &State, text: Secret, kind: TokenKind) -> Result<Presented, String> {
    let entry = state
        .verifier
        .verify_cached(&state.sessions, text.expose(), Session::new)
        .map_err(|error| error.to_string())?;
    if entry.verified.kind != kind {
        return Err("the token is not for this kind of request".to_owned());
    }
    let caller = match &entry.verified.caller {
        Caller::Anonymous => Caller::Anonymous,
        Caller::Known(subject) => match state.chain.current(subject) {
            Some(subject) => Caller::Known(subject),
            None => return Err("the user of the token does not exist any more".to_owned()),
        },
    };
    Ok(Presented::Token { entry, caller, text })
}

/// What a refusal becomes depends on how the caller came.
fn refused(
    state: &State,
    refusal: &Refusal,
    presented: &Presented,
    asks: &[Scope],
    what: &str,
    exchange: &Exchange,
) -> Failure {
    let why = match refusal {
        Refusal::Denied { rules, .. } if !rules.is_empty() => state.name_rules(rules),
        _ => refusal.to_string(),
    };
    exchange.audit_decision(&presented.judged(state, asks, audit::Result::Denied, &why));
    let who = presented.caller().name().map_or("an anonymous caller", |name| name.as_str());
    let message = || format!("requested access to the resource is denied: {who} may not {what}");
    match presented {
        Presented::Nothing => Failure::Challenged { asks: asks.to_vec(), trouble: TokenTrouble::None },
        Presented::Password(_) => Failure::Denied { message: message() },
        Presented::Token { .. } => {
            Failure::Challenged { asks: asks.to_vec(), trouble: TokenTrouble::InsufficientScope(message()) }
        }
    }
}

/// An operation's needs in words: "pull and push team/app".
fn in_words(needs: &[Scope]) -> String {
    let parts: Vec<String> = needs
        .iter()
        .map(|scope| match &scope.resource {
            Resource::Catalog => "list the catalog".to_owned(),
            Resource::Repository(name) => {
                let actions: Vec<&str> = scope.actions.iter().map(Action::as_str).collect();
                format!("{} {name}", actions.join(" and "))
            }
        })
        .collect();
    parts.join(", or ")
}

/// `/v2/`: the gateway answers itself. Without any credentials it is always challenged, or clients would never send theirs.
fn ping(presented: &Presented, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
    if matches!(presented, Presented::Nothing) {
        return Err(Failure::Challenged { asks: Vec::new(), trouble: TokenTrouble::None });
    }
    exchange.decision = Decision::Own;
    Ok(respond::json(StatusCode::OK, "{}".to_owned()))
}

/// `/.well-known/jwks.json` (RFC 7517).
fn keys(state: &State, method: &Method, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
    exchange.operation = Some("keys");
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(RouteError::Method { allowed: "GET, HEAD" }.into());
    }
    exchange.decision = Decision::Public;
    let mut response = Response::new(ResponseBody::own(state.jwks.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}
