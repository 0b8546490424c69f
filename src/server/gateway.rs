//! The way of a request, in the order of its stages:
//!
//! framing → own endpoints → route → credentials → authenticate → authorize → identity → forward.
//!
//! Each stage either hands on what the next one needs, or ends in a [`Failure`]; one place makes responses of those.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body as _;

use super::authorize;
use super::challenge::TokenTrouble;
use super::connection::{ConnectionInfo, Inbound};
use super::exchange::{Exchange, FollowedBody, Recorder};
use super::failure::Failure;
use super::forward::{self, Permitted};
use super::headers;
use super::memory::Memory;
use super::passage::Passage;
use super::peer::Peer;
use super::presented::{Presented, present, recall};
use super::respond::{self, Asked};
use super::response_body::ResponseBody;
use super::routes::RouteAuth;
use super::state::{JWKS_PATH, Shared, State};
use super::strangers::Stranger;
use super::stream::PeerAddr;
use super::token_endpoint;
use super::way::Way;
use crate::access_log::Decision;
use crate::authz;
use crate::certificate::Certificate;
use crate::metrics::{self, Action, TokenResult};
use crate::pulp::Standing;
use crate::registry::path::RequestPath;
use crate::registry::{Operation, OperationAction, RouteError};

/// `X-Registry-Supports-Signatures`, which podman and skopeo look for on the ping.
const SUPPORTS_SIGNATURES: HeaderName = HeaderName::from_static("x-registry-supports-signatures");

/// The service of one connection. Clones are the same connection's.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Connection>);

/// A connection as its requests see it. It has handles of its own on what all connections share: to count a handle costs much where
/// several workers do it.
#[derive(Debug)]
struct Connection {
    shared: Arc<Shared>,
    recorder: Arc<Recorder>,
    serves: Serves,
    peer: PeerAddr,
    worker: usize,
    certificate: Option<Arc<Certificate>>,
    memory: Memory,
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
    /// The service of a connection.
    pub fn new(shared: Arc<Shared>, serves: Serves, connection: &ConnectionInfo) -> Self {
        let recorder = Arc::new(Recorder { log: shared.log.clone(), metrics: shared.metrics.clone() });
        Self(Arc::new(Connection {
            shared,
            recorder,
            serves,
            peer: connection.peer,
            worker: connection.worker,
            certificate: connection.certificate.clone(),
            memory: Memory::default(),
        }))
    }
}

impl tower::Service<Request<Inbound>> for Gateway {
    type Response = Response<FollowedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Inbound>) -> Self::Future {
        Box::pin(self.clone().serve(request))
    }
}

impl Gateway {
    async fn serve(self, request: Request<Inbound>) -> Result<Response<FollowedBody>, Infallible> {
        let state = self.0.memory.state(&self.0.shared.state);
        let (head, body) = request.into_parts();
        let framing =
            headers::check_framing(&head.uri, head.version, &head.headers, |host| self.0.memory.knows_host(host));
        let host = framing.as_ref().ok().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let scheme = |host: &str| state.names.for_host(host).scheme_str();
        let peer = Peer::new(self.0.peer, host, &head.headers, &state.trusted_proxies, scheme, &self.0.memory);
        let mut exchange = Exchange::new(Arc::clone(&self.0.recorder), peer, head.method.clone());
        exchange.certificate.clone_from(&self.0.certificate);
        exchange.trace = self.0.shared.tracer.begin(exchange.peer.trusted.then_some(&head.headers));
        exchange.user_agent = head.headers.get(USER_AGENT).cloned();
        exchange.unread = !body.is_end_stream();
        let answered = match framing {
            Ok(host) => self.answer(&state, head, body, host, &mut exchange).await,
            Err(error) => {
                head.uri.path().clone_into(&mut exchange.path);
                Err(error.into())
            }
        };
        let mut response = answered.unwrap_or_else(|failure| {
            exchange.fail(&failure);
            let asked = Asked {
                realm: state.names.for_host(exchange.peer.host()).realm(),
                service: state.names.service_for_host(exchange.peer.host()),
                scheme: exchange.scheme,
                key_header: &state.key_header,
                retry_after: exchange.retry_after.as_ref(),
            };
            let response = respond::failure(&failure, asked);
            if let Failure::Challenged { trouble: TokenTrouble::None, .. } = failure
                && let Some(stranger) = exchange.stranger.take()
            {
                state.strangers.keep(*stranger, &exchange, &response);
            }
            response
        });
        if exchange.signatures {
            response.headers_mut().insert(SUPPORTS_SIGNATURES, HeaderValue::from_static("1"));
        }
        if exchange.is_unread() {
            // The client may still be sending: it is told to stop, and the connection lingers until it has read this.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(exchange.follow(response))
    }

    async fn answer(
        &self,
        state: &State,
        head: request::Parts,
        body: Inbound,
        host: HeaderValue,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        // Each of both ways has a place of its own: what a short answer does not need is not carried along.
        if !is_too_long(state, &head) && self.0.serves == Serves::Everything {
            if let Some(presented) = self.recall(state, &head, exchange)
                && let Some(passage) = authorize::known(state, &head, &presented, exchange)
            {
                introduce(state, &passage, &presented).await?;
                let permitted = self.permitted(&passage, &presented, (head, body, host));
                return Box::pin(forward::forward(state, permitted, exchange)).await;
            }
            if let Some(challenge) = state.strangers.answer(state, &head, exchange) {
                return Ok(challenge);
            }
        }
        Box::pin(self.parse(state, head, body, host, exchange)).await
    }

    /// The long way, on which a request is parsed and judged.
    async fn parse(
        &self,
        state: &State,
        head: request::Parts,
        body: Inbound,
        host: HeaderValue,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        // Until it is parsed; the log escapes whatever it is.
        head.uri.path().clone_into(&mut exchange.path);
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Failure::Method);
        }
        if is_too_long(state, &head) {
            return Err(Failure::TargetTooLong { limit: state.max_target });
        }
        let path = RequestPath::parse(head.uri.path()).map_err(RouteError::from)?;
        path.as_str().clone_into(&mut exchange.path);
        if path.as_str() == state.token_path {
            return Box::pin(self.issue(state, &head, body, exchange)).await;
        }
        if path.as_str() == JWKS_PATH {
            return keys(state, &head.method, exchange);
        }
        if self.0.serves == Serves::TokensOnly {
            return Err(Failure::NoRoute);
        }
        let route = state.routes.find(&path).ok_or(Failure::NoRoute)?;
        exchange.scheme = route.challenge;
        let standing = route.standing(&head.method, &path);
        (exchange.route, exchange.action) = counted(standing, route.auth, &head.method);
        let way = Way { state, route, path, head, body, host };
        match (standing, route.auth) {
            (Standing::Closed, _) => Err(Failure::NoRoute),
            (Standing::Public, _) | (_, RouteAuth::Public) => Box::pin(self.public(way, exchange)).await,
            (Standing::Judged, RouteAuth::Registry) => self.registry(way, exchange).await,
            (Standing::Judged, RouteAuth::Api) => Box::pin(self.api(way, exchange)).await,
        }
    }

    /// Whose token it is, where it may be one of which much is known already: with a read of the registry.
    fn recall(&self, state: &State, head: &request::Parts, exchange: &mut Exchange) -> Option<Presented> {
        if !matches!(head.method, Method::GET | Method::HEAD) || !head.uri.path().starts_with("/v2/") {
            return None;
        }
        let began = exchange.trace.is_some().then(Instant::now);
        let presented = recall(state, &head.headers, &self.0.memory.latest)?;
        if let (Some(trace), Some(began)) = (&mut exchange.trace, began) {
            trace.authenticated(began, true);
        }
        Some(presented)
    }

    /// The token endpoint.
    async fn issue(
        &self,
        state: &State,
        head: &request::Parts,
        body: Inbound,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        (exchange.route, exchange.action) = (metrics::Route::Token, Action::Token);
        let answered = token_endpoint::answer(state, head, body, exchange).await;
        if let Ok((_, granted)) = &answered {
            exchange.decision = Decision::Own;
            exchange.audit_token(granted);
        }
        let result = answered.as_ref().map_or(TokenResult::Refused, |(_, granted)| granted.result());
        exchange.metrics().token(exchange.grant, result);
        answered.map(|(response, _)| response)
    }

    /// A route with `auth = "registry"`.
    async fn registry(&self, way: Way<'_>, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
        let (state, route, head) = (way.state, way.route, &way.head);
        let operation = Operation::at(&head.method, &way.path, head.uri.query())?;
        exchange.asks(&operation);
        exchange.signatures = operation.is_ping() && route.signatures;
        let asks = operation.asks();
        let presented =
            present(state, &head.headers, RouteAuth::Registry, &asks, &self.0.memory.latest, exchange).await?;
        if matches!(presented, Presented::Nothing) {
            exchange.stranger = Stranger::new(state, head, &operation, exchange);
        }
        if operation.is_ping() {
            return ping(&presented, exchange);
        }
        let passage = authorize::operation(&way, operation, &asks, &presented, exchange)?;
        exchange.decision = Decision::Allowed;
        introduce(state, &passage, &presented).await?;
        let Way { head, body, host, .. } = way;
        let permitted = self.permitted(&passage, &presented, (head, body, host));
        Box::pin(forward::forward(state, permitted, exchange)).await
    }

    /// A request that the registry may get.
    fn permitted<'a>(
        &self,
        passage: &'a Passage,
        presented: &Presented,
        (head, body, host): (request::Parts, Inbound, HeaderValue),
    ) -> Permitted<'a> {
        let issued = presented.issued_at().filter(|_| passing(presented, passage, &host));
        Permitted::new(passage, head, body, host, issued, self.0.worker)
    }

    /// A route with `auth = "api"`.
    async fn api(&self, way: Way<'_>, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
        exchange.is("api");
        let request = way.path_request()?;
        let presented =
            present(way.state, &way.head.headers, RouteAuth::Api, &[], &self.0.memory.latest, exchange).await?;
        let passage = authorize::path(&way, request, &presented, exchange)?;
        exchange.decision = Decision::Allowed;
        let Way { state, head, body, host, .. } = way;
        let permitted = Permitted::new(&passage, head, body, host, presented.issued_at(), self.0.worker);
        forward::forward(state, permitted, exchange).await
    }

    /// A route with `auth = "public"`, or an endpoint of Pulp's that everybody may read.
    async fn public(&self, way: Way<'_>, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
        exchange.is("public");
        exchange.decision = Decision::Public;
        let permit = authz::permit_public(way.path_request()?);
        let passage = Passage::new(way.state, way.route, permit, &way.path)?;
        let Way { state, head, body, host, .. } = way;
        let permitted = Permitted::new(&passage, head, body, host, None, self.0.worker);
        forward::forward(state, permitted, exchange).await
    }
}

/// Makes the caller known to an upstream that has to know them.
async fn introduce(state: &State, passage: &Passage, presented: &Presented) -> Result<(), Failure> {
    if let Some(newcomers) = &passage.route.newcomers {
        Box::pin(newcomers.introduce(presented.caller(), presented.service(state))).await?;
    }
    Ok(())
}

fn is_too_long(state: &State, head: &request::Parts) -> bool {
    head.uri.path_and_query().is_some_and(|target| target.as_str().len() > state.max_target)
}

/// What a request on a route is counted as, as far as that is known before its operation is.
fn counted(standing: Standing, auth: RouteAuth, method: &Method) -> (metrics::Route, Action) {
    let route = match (standing, auth) {
        (Standing::Closed, _) => return (metrics::Route::None, Action::None),
        (Standing::Public, _) | (_, RouteAuth::Public) => metrics::Route::Public,
        (Standing::Judged, RouteAuth::Registry) => return (metrics::Route::Registry, Action::None),
        (Standing::Judged, RouteAuth::Api) => metrics::Route::Api,
    };
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    (route, if reads { Action::Read } else { Action::Write })
}

/// Whether the client's own token would do upstream, where tokens are forwarded.
///
/// Pulp takes it only for the host that the client names, and knows no action but push for what changes anything. Where the client's
/// is not good for that, one is minted.
fn passing(presented: &Presented, passage: &Passage, host: &HeaderValue) -> bool {
    let deletes = passage.operation().is_some_and(|operation| operation.action() == OperationAction::Delete);
    let fits = |audience: &str| audience.as_bytes() == host.as_bytes();
    passage.route.pulp.is_none() || !deletes && presented.token().is_some_and(|entry| fits(&entry.verified.audience))
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
    exchange.is("keys");
    (exchange.route, exchange.action) = (metrics::Route::Own, Action::Read);
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(RouteError::Method { allowed: "GET, HEAD" }.into());
    }
    exchange.decision = Decision::Public;
    let mut response = Response::new(ResponseBody::own(state.jwks.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}
