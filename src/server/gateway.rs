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

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body as _;

use super::authorize;
use super::challenge::TokenTrouble;
use super::connection::Inbound;
use super::exchange::{Exchange, FollowedBody};
use super::failure::Failure;
use super::forward::{self, Permitted};
use super::headers;
use super::passage::Passage;
use super::peer::Peer;
use super::presented::{Presented, present};
use super::respond::{self, Asked};
use super::response_body::ResponseBody;
use super::routes::{Route, RouteAuth};
use super::state::{JWKS_PATH, Shared, State};
use super::stream::PeerAddr;
use super::token_endpoint;
use crate::access_log::Decision;
use crate::authz::{self, PathRequest};
use crate::certificate::Certificate;
use crate::metrics::{self, Action, TokenResult};
use crate::pulp::Standing;
use crate::registry::path::RequestPath;
use crate::registry::query::Query;
use crate::registry::{Operation, OperationAction, RouteError};
use crate::secret::Secret;

/// `X-Registry-Supports-Signatures`, which podman and skopeo look for on the ping.
const SUPPORTS_SIGNATURES: HeaderName = HeaderName::from_static("x-registry-supports-signatures");

/// The service of one connection.
#[derive(Clone, Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    serves: Serves,
    peer: PeerAddr,
    worker: usize,
    certificate: Option<Arc<Certificate>>,
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
    pub fn new(shared: Arc<Shared>, serves: Serves, peer: PeerAddr, worker: usize) -> Self {
        Self { shared, serves, peer, worker, certificate: None }
    }

    /// With what the client has shown.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Option<Arc<Certificate>>) -> Self {
        self.certificate = certificate;
        self
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
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.serve(request).await) })
    }
}

impl Gateway {
    async fn serve(self, request: Request<Inbound>) -> Response<FollowedBody> {
        let state = self.shared.state.load_full();
        let (head, body) = request.into_parts();
        let framing = headers::check_framing(&head.uri, head.version, &head.headers);
        let host = framing.as_ref().ok().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let peer = Peer::new(self.peer, host, &head.headers, &state.trusted_proxies);
        let mut exchange =
            Exchange::new(self.shared.log.clone(), self.shared.metrics.clone(), peer, head.method.clone());
        exchange.certificate.clone_from(&self.certificate);
        exchange.trace = self.shared.tracer.begin(exchange.peer.trusted.then_some(&head.headers));
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
                key_header: &state.key_header,
                retry_after: exchange.retry_after.as_ref(),
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
        body: Inbound,
        host: HeaderValue,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Failure::Method);
        }
        if head.uri.path_and_query().is_some_and(|target| target.as_str().len() > state.max_target) {
            return Err(Failure::TargetTooLong { limit: state.max_target });
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
        exchange.scheme = route.challenge;
        let standing = route.standing(&head.method, &path);
        (exchange.route, exchange.action) = counted(standing, route.auth, &head.method);
        let way = Way { state, route, path, head, body, host };
        match (standing, route.auth) {
            (Standing::Closed, _) => Err(Failure::NoRoute),
            (Standing::Public, _) | (_, RouteAuth::Public) => self.public(way, exchange).await,
            (Standing::Judged, RouteAuth::Registry) => self.registry(way, exchange).await,
            (Standing::Judged, RouteAuth::Api) => self.api(way, exchange).await,
        }
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
        exchange.metrics.token(exchange.grant, result);
        answered.map(|(response, _)| response)
    }

    /// A route with `auth = "registry"`.
    async fn registry(&self, way: Way<'_>, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
        let Way { state, route, head, .. } = &way;
        let operation = Operation::at(&head.method, &way.path, head.uri.query())?;
        exchange.operation = Some(operation.name());
        exchange.action = action(&operation);
        exchange.repository = operation.repository().cloned();
        exchange.signatures = operation.is_ping() && route.signatures;
        let asks = operation.asks();
        let presented = present(state, &head.headers, RouteAuth::Registry, &asks, exchange).await?;
        if operation.is_ping() {
            return ping(&presented, exchange);
        }
        let passage = authorize::operation(state, route, head, operation, &asks, &presented, exchange)?;
        exchange.decision = Decision::Allowed;
        if let Some(newcomers) = &route.newcomers {
            newcomers.introduce(presented.caller(), presented.service(state)).await?;
        }
        let token = passing(route, &presented, &passage, &way.host).then(|| presented.into_token()).flatten();
        self.onward(way, &passage, token, exchange).await
    }

    /// A route with `auth = "api"`.
    async fn api(&self, way: Way<'_>, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
        exchange.operation = Some("api");
        let request = way.path_request()?;
        let presented = present(way.state, &way.head.headers, RouteAuth::Api, &[], exchange).await?;
        let passage = authorize::path(way.state, way.route, request, &presented, exchange)?;
        exchange.decision = Decision::Allowed;
        self.onward(way, &passage, presented.into_token(), exchange).await
    }

    /// A route with `auth = "public"`, or an endpoint of Pulp's that everybody may read.
    async fn public(&self, way: Way<'_>, exchange: &mut Exchange) -> Result<Response<ResponseBody>, Failure> {
        exchange.operation = Some("public");
        exchange.decision = Decision::Public;
        let permit = authz::permit_public(way.path_request()?);
        let passage = Passage::new(way.state, way.route, permit, None)?;
        self.onward(way, &passage, None, exchange).await
    }

    /// To the upstream.
    async fn onward(
        &self,
        way: Way<'_>,
        passage: &Passage,
        token: Option<(Secret, u64)>,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Way { state, head, body, host, .. } = way;
        let permitted = Permitted { passage, head, body, host, token, peer: self.peer, worker: self.worker };
        forward::forward(state, permitted, exchange).await
    }
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

/// What an operation of the registry is counted as.
fn action(operation: &Operation) -> Action {
    match operation.action() {
        _ if operation.is_ping() => Action::Ping,
        OperationAction::Pull => Action::Pull,
        OperationAction::Push => Action::Push,
        OperationAction::Delete => Action::Delete,
        OperationAction::Catalog => Action::Catalog,
    }
}

/// A request that has found its route.
struct Way<'a> {
    state: &'a State,
    route: &'a Arc<Route>,
    path: RequestPath,
    head: request::Parts,
    body: Inbound,
    /// The host as the client wrote it.
    host: HeaderValue,
}

impl Way<'_> {
    /// The request as routes without a grammar of their own judge it.
    fn path_request(&self) -> Result<PathRequest, RouteError> {
        let query = Query::parse(self.head.uri.query())?;
        Ok(PathRequest { method: self.head.method.clone(), path: self.path.clone(), query })
    }
}

/// Whether the client's own token would do upstream, where tokens are forwarded.
///
/// Pulp takes it only for the host that the client names, and knows no action but push for what changes anything. Where the client's
/// is not good for that, one is minted.
fn passing(route: &Route, presented: &Presented, passage: &Passage, host: &HeaderValue) -> bool {
    let deletes = passage.operation().is_some_and(|operation| operation.action() == OperationAction::Delete);
    let fits = |audience: &str| audience.as_bytes() == host.as_bytes();
    route.pulp.is_none() || !deletes && presented.token().is_some_and(|entry| fits(&entry.verified.audience))
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
