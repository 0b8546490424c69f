//! A permitted request on its way: what is taken from it, what is added, and what becomes of the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderValue, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body as _, Incoming};

use super::body::RequestBody;
use super::challenge::TokenTrouble;
use super::exchange::Exchange;
use super::failure::Failure;
use super::headers::{self, PassedHeader};
use super::location;
use super::passage::Passage;
use super::progress::Progress;
use super::respond;
use super::response_body::ResponseBody;
use super::routes::{Route, RouteAuth, UpstreamCredentials};
use super::spool;
use super::state::State;
use super::upstream::{CallerKey, UpstreamBody, UpstreamSettings};
use crate::registry::{AccessSet, Operation};
use crate::secret::Secret;
use crate::subject::Caller;

/// A token younger than this, in seconds, that the upstream refuses is not too old: the upstream is not set up for our tokens.
const FRESH: u64 = 10;

/// A request with the proof that it may pass.
pub(crate) struct Permitted<'a> {
    pub(crate) passage: &'a Passage,
    pub(crate) head: request::Parts,
    pub(crate) body: Incoming,
    /// The host as the client wrote it.
    pub(crate) host: HeaderValue,
    /// The client's own token, and when it was issued.
    pub(crate) token: Option<(Secret, u64)>,
    pub(crate) peer: SocketAddr,
    pub(crate) worker: usize,
}

/// Sends the request and makes the answer public.
pub(crate) async fn forward(
    state: &State,
    permitted: Permitted<'_>,
    exchange: &mut Exchange,
) -> Result<Response<ResponseBody>, Failure> {
    let Permitted { passage, head, body, host, token, peer, worker } = permitted;
    let route = &passage.route;
    let issued = token.as_ref().map(|(_, issued)| *issued);
    let mut headers = head.headers;

    let settings = route.upstream.settings();
    exchange.upstream = Some(Arc::clone(&settings.name));
    exchange.retry_after.clone_from(&settings.retry_after);
    strip(state, route, &mut headers);
    let scheme = state.names.for_host(&exchange.peer.host).scheme().as_str();
    exchange.peer.describe(&mut headers, peer, scheme);
    if passage.operation().is_some_and(Operation::is_upload_body) {
        // docker-registry would read `mount` and `from` from a form.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }

    let body = onward(&head.method, body, settings, exchange).await?;
    let key = || caller_key(route, exchange);
    let permit = route.upstream.enter(key).await?;
    // What was good when the request came can have expired while it waited; one that is signed now takes its place.
    let waited = permit.is_some() || settings.spool.is_some();
    let token = token.filter(|(_, issued)| !waited || state.clock.now().saturating_sub(*issued) < state.issuer.ttl());
    if route.auth != RouteAuth::Public {
        // Not before: what is signed for the one request does not age while it waits.
        tell(state, passage, &host, token, &mut headers)?;
    }
    headers.insert(HOST, host);
    if body.is_end_stream() && matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }

    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(passage.target.clone());
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;

    let sent = Instant::now();
    let answered = route.upstream.send(worker, request, permit).await;
    exchange.upstream_time = Some(sent.elapsed());
    let response = answered?;

    if response.status() == StatusCode::UNAUTHORIZED && route.auth != RouteAuth::Public {
        return Err(rejected(state, passage, issued));
    }
    publish(response, passage, &head.method, &exchange.peer.host)
}

/// Takes out what a client may not tell this upstream.
fn strip(state: &State, route: &Route, headers: &mut HeaderMap) {
    let passed = route.upstream.settings().passed_headers;
    headers::strip_request(headers, passed);
    let script_name = passed.has(PassedHeader::ScriptName);
    state.strip.strip(headers, |name| script_name && headers::is_script_name(name));
    if !passed.has(PassedHeader::Authorization) {
        headers.remove(AUTHORIZATION);
    }
    if route.auth != RouteAuth::Public && !passed.has(PassedHeader::Cookie) {
        headers.remove(COOKIE);
    }
}

/// The body as it goes upstream: the client's, and where the upstream wants whole ones, what was kept of it.
async fn onward(
    method: &Method,
    body: Incoming,
    settings: &UpstreamSettings,
    exchange: &mut Exchange,
) -> Result<RequestBody, Failure> {
    let progress = Arc::new(Progress::new());
    exchange.progress = Some(Arc::clone(&progress));
    if matches!(*method, Method::GET | Method::HEAD) {
        // What a body of these means is undefined (RFC 9110, section 9.3.1), so it stays here, unread.
        return Ok(RequestBody::empty(progress));
    }
    exchange.unread = false;
    let body = RequestBody::new(body, progress);
    match &settings.spool {
        Some(spool) if !body.is_end_stream() => Ok(spool::keep(body, spool, settings.body_idle_timeout).await?),
        _ => Ok(body),
    }
}

/// Who takes turns with whom. Nobody says who they are on a public route.
fn caller_key(route: &Route, exchange: &Exchange) -> CallerKey {
    let caller = if route.auth == RouteAuth::Public { &Caller::Anonymous } else { &exchange.caller };
    CallerKey::new(caller, exchange.peer.client)
}

/// Adds what the upstream is told about the caller.
fn tell(
    state: &State,
    passage: &Passage,
    host: &HeaderValue,
    token: Option<(Secret, u64)>,
    headers: &mut HeaderMap,
) -> Result<(), Failure> {
    let bearer = match &passage.route.credentials {
        UpstreamCredentials::None => return Ok(()),
        UpstreamCredentials::Identity(identity) => {
            if let Some(value) = &passage.identity {
                headers.insert(identity.name().clone(), value.clone());
            }
            return Ok(());
        }
        UpstreamCredentials::Basic(value) => {
            headers.insert(AUTHORIZATION, value.clone());
            return Ok(());
        }
        UpstreamCredentials::ForwardToken => match token {
            Some((token, _)) => token,
            None => mint(state, passage, state.names.default_service())?,
        },
        UpstreamCredentials::MintToken => {
            let audience = host.to_str().map_err(|_| headers::FramingError::BadHost)?;
            mint(state, passage, audience)?
        }
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", bearer.expose())).map_err(|_| Failure::Signing)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

fn mint(state: &State, passage: &Passage, audience: &str) -> Result<Secret, Failure> {
    // A mount needs no pull on its target, but distribution asks for it: any POST may become an upload there.
    let access: AccessSet = passage.asks().into_iter().collect();
    state.issuer.mint(passage.permit().caller(), audience, &access).map_err(|_| Failure::Signing)
}

/// What a 401 of the upstream means. Its challenge never travels on.
fn rejected(state: &State, passage: &Passage, issued: Option<u64>) -> Failure {
    let credentials = &passage.route.credentials;
    let old = issued.is_some_and(|issued| state.clock.now().saturating_sub(issued) > FRESH);
    if old && matches!(credentials, UpstreamCredentials::ForwardToken) {
        return Failure::Challenged {
            asks: passage.asks(),
            trouble: TokenTrouble::Invalid("the registry did not accept the token; it may have expired".to_owned()),
        };
    }
    Failure::UpstreamChallenged {
        upstream: Arc::clone(&passage.route.upstream.settings().name),
        credentials: credentials.name(),
    }
}

/// Makes an upstream's response one of ours.
fn publish(
    response: Response<UpstreamBody>,
    passage: &Passage,
    method: &Method,
    host: &str,
) -> Result<Response<ResponseBody>, Failure> {
    let (mut head, body) = response.into_parts();
    headers::check_response_framing(method, head.status, head.version, &mut head.headers).map_err(|why| {
        Failure::UpstreamUnframed { upstream: Arc::clone(&passage.route.upstream.settings().name), why }
    })?;
    headers::strip_response(&mut head.headers);
    if passage.route.auth == RouteAuth::Registry {
        head.headers.remove(SET_COOKIE);
    }
    location::make_public(&mut head.headers, host, &passage.route.own_authorities);
    if let Some(retry_after) = &passage.route.upstream.settings().retry_after
        && respond::is_passing(head.status)
        && !head.headers.contains_key(RETRY_AFTER)
    {
        head.headers.insert(RETRY_AFTER, retry_after.clone());
    }
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, ResponseBody::Upstream(body)))
}
