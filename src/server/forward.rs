//! A permitted request on its way: what is taken from it, what is added, and what becomes of the answer.

use std::sync::Arc;
use std::time::Instant;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request};
use http_body::Body as _;

use super::body::RequestBody;
use super::challenge::TokenTrouble;
use super::checked_body::Verdict;
use super::connection::Inbound;
use super::exchange::Exchange;
use super::failure::Failure;
use super::headers::{self, PassedHeader, ResponseFramingError};
use super::location;
use super::passage::Passage;
use super::peer::Peer;
use super::progress::Progress;
use super::respond;
use super::response_body::ResponseBody;
use super::routes::{Route, RouteAuth, UpstreamCredentials};
use super::spool;
use super::state::State;
use super::upload::{Asks, Plan};
use super::upstream::{CallerKey, UpstreamBody};
use crate::authn;
use crate::registry::{AccessSet, Action, Actions, Operation, Scope};
use crate::secret::Secret;
use crate::subject::Caller;

/// A token younger than this, in seconds, that the upstream refuses is not too old: the upstream is not set up for our tokens.
const FRESH: u64 = 10;

/// A request with the proof that it may pass.
pub(crate) struct Permitted<'a> {
    pub(crate) passage: &'a Passage,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Inbound,
    /// The host as the client wrote it.
    pub(crate) host: HeaderValue,
    /// When the client's own token was issued, if it came with one that would do upstream.
    pub(crate) issued: Option<u64>,
    pub(crate) worker: usize,
}

impl<'a> Permitted<'a> {
    /// What is left of a request that may pass.
    pub(crate) fn new(
        passage: &'a Passage,
        head: request::Parts,
        body: Inbound,
        host: HeaderValue,
        issued: Option<u64>,
        worker: usize,
    ) -> Self {
        let request::Parts { method, version, headers, .. } = head;
        Self { passage, method, version, headers, body, host, issued, worker }
    }
}

/// Sends the request and makes the answer public.
pub(crate) async fn forward(
    state: &State,
    permitted: Permitted<'_>,
    exchange: &mut Exchange,
) -> Result<Response<ResponseBody>, Failure> {
    let Permitted { passage, method: asked, version, mut headers, body, host, issued, worker } = permitted;
    let route = &passage.route;
    let mut plan = Plan::new(state, route, passage.operation())?;
    let token = match route.credentials {
        UpstreamCredentials::ForwardToken => issued.and_then(|_| authn::bearer(&headers)).map(Secret::new),
        _ => None,
    };

    let settings = route.upstream.settings();
    exchange.upstream = Some(Arc::clone(&settings.name));
    exchange.retry_after.clone_from(&settings.retry_after);
    strip(state, passage, &exchange.peer, &mut headers);
    exchange.peer.describe(&mut headers);
    if passage.operation().is_some_and(Operation::is_upload_body) {
        // docker-registry would read `mount` and `from` from a form.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }

    let progress = Arc::new(Progress::demanding(state.body_rate));
    exchange.progress = Some(Arc::clone(&progress));
    let mut method = asked.clone();
    let (body, verdict) = if matches!(method, Method::GET | Method::HEAD) {
        // What a body of these means is undefined (RFC 9110, section 9.3.1), so it stays here, unread.
        (RequestBody::empty(Arc::clone(&progress)), None)
    } else {
        if body.is_end_stream() && plan.take_empty()? == Asks::ForTheSession {
            method = Method::GET;
        }
        exchange.unread = false;
        RequestBody::new(body, version, plan.requirement.take(), plan.framing, Arc::clone(&progress))
    };
    let unfit = |unfit| Failure::from(plan.explain(unfit));
    let body = match &settings.spool {
        Some(spool) if !body.is_end_stream() => {
            let kept = Box::pin(spool::keep(body, spool, settings.body_idle_timeout)).await;
            kept.map_err(|error| verdict.as_ref().and_then(Verdict::unfit).map_or_else(|| error.into(), unfit))?
        }
        _ => body,
    };
    let key = || caller_key(route, exchange);
    let permit = route.upstream.enter(key).await.inspect_err(|error| settings.metrics.failed(error.outcome()))?;
    // What was good when the request came can have expired while it waited; one that is signed now takes its place.
    let waited = permit.is_some() || settings.spool.is_some();
    let is_fresh = |issued: u64| !waited || state.clock.now().saturating_sub(issued) < state.issuer.ttl();
    let token = token.filter(|_| issued.is_some_and(is_fresh));
    if !passage.is_public() {
        // Not before: what is signed for the one request does not age while it waits.
        tell(state, passage, &host, token, &mut headers)?;
    }
    headers.insert(HOST, host);
    if let Some(trace) = &mut exchange.trace {
        headers.insert(HeaderName::from_static("traceparent"), trace.begin_upstream());
    }
    if body.is_end_stream() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }

    let mut request = Box::new(Request::new(body));
    *request.method_mut() = method.clone();
    *request.uri_mut() = Uri::from(passage.target.clone());
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;

    exchange.in_flight = Some(settings.metrics.in_flight());
    let sent = Instant::now();
    let answered = route.upstream.send(worker, request, permit).await;
    let took = sent.elapsed();
    exchange.upstream_time = Some(took);
    if let Some(trace) = &mut exchange.trace {
        trace.end_upstream(answered.as_ref().ok().map(|response| response.status().as_u16()));
    }
    match &answered {
        Ok(response) => settings.metrics.answered(response.status().as_u16(), took),
        Err(error) => settings.metrics.failed(error.outcome()),
    }
    if let Some(why) = verdict.as_ref().and_then(Verdict::unfit) {
        // Whatever the upstream made of a body without an end.
        return Err(unfit(why));
    }
    let mut response = answered?;
    if let Some(mut verdict) = verdict.filter(|_| Plan::says_stored(response.status())) {
        let decided = response.body_mut().while_sending(verdict.decided());
        let decided = Box::pin(route.upstream.while_moving(&progress, decided)).await?;
        decided.ok_or_else(|| unframed(passage, ResponseFramingError::Premature))?.map_err(unfit)?;
    }
    if response.status() == StatusCode::UNAUTHORIZED && !passage.is_public() {
        return Err(rejected(state, passage, issued));
    }
    let mut response = publish(response, passage, &method, exchange.peer.host())?;
    if method != asked && response.status() == StatusCode::NO_CONTENT {
        // What a PATCH is answered with.
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    plan.mark(&mut response, state, passage.target.path(), &progress);
    Ok(response)
}

/// Takes out what a client may not tell this upstream.
fn strip(state: &State, passage: &Passage, peer: &Peer, headers: &mut HeaderMap) {
    let passed = passage.route.upstream.settings().passed_headers;
    let script_name = passed.has(PassedHeader::ScriptName);
    let authorization = passed.has(PassedHeader::Authorization);
    let cookie = passage.route.auth == RouteAuth::Public || passed.has(PassedHeader::Cookie);
    headers::strip_request(headers, passed, |name| {
        *name == AUTHORIZATION && !authorization
            || *name == COOKIE && !cookie
            || peer.replaces(name)
            || state.strip.strips(name.as_str(), |name| script_name && headers::is_script_name(name))
    });
}

/// Who takes turns with whom. Nobody says who they are on a public route.
fn caller_key(route: &Route, exchange: &Exchange) -> CallerKey {
    let caller = if route.auth == RouteAuth::Public { &Caller::Anonymous } else { &exchange.caller };
    CallerKey::new(caller, exchange.peer.client.ip())
}

/// Adds what the upstream is told about the caller.
fn tell(
    state: &State,
    passage: &Passage,
    host: &HeaderValue,
    token: Option<Secret>,
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
            Some(token) => token,
            // Pulp holds the audience against the host; others have one name for themselves.
            None if passage.route.pulp.is_none() => mint(state, passage, state.names.default_service())?,
            None => mint_for_host(state, passage, host)?,
        },
        UpstreamCredentials::MintToken => mint_for_host(state, passage, host)?,
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", bearer.expose())).map_err(|_| Failure::Signing)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

fn mint_for_host(state: &State, passage: &Passage, host: &HeaderValue) -> Result<Secret, Failure> {
    mint(state, passage, host.to_str().map_err(|_| headers::FramingError::BadHost)?)
}

fn mint(state: &State, passage: &Passage, audience: &str) -> Result<Secret, Failure> {
    // A mount needs no pull on its target, but distribution asks for it: any POST may become an upload there.
    let mut asks = passage.asks();
    if passage.route.pulp.is_some() {
        asks.iter_mut().for_each(in_words_of_pulp);
    }
    let access: AccessSet = asks.into_iter().collect();
    state.issuer.mint(passage.permit().caller(), audience, &access).map_err(|_| Failure::Signing)
}

/// To Pulp a deletion is a push.
fn in_words_of_pulp(scope: &mut Scope) {
    if scope.actions.contains(Action::Delete) {
        scope.actions = scope.actions.union(Actions::only(Action::Push));
    }
}

/// What a 401 of the upstream means. Its challenge never travels on.
fn rejected(state: &State, passage: &Passage, issued: Option<u64>) -> Failure {
    let credentials = &passage.route.credentials;
    if let (Some(newcomers), Some(name)) = (&passage.route.newcomers, passage.permit().caller().name()) {
        // The user may have been taken out of Pulp; the next request finds out.
        newcomers.forget(name);
    }
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

fn unframed(passage: &Passage, why: ResponseFramingError) -> Failure {
    Failure::UpstreamUnframed { upstream: Arc::clone(&passage.route.upstream.settings().name), why }
}

/// Makes an upstream's response one of ours.
fn publish(
    response: Response<UpstreamBody>,
    passage: &Passage,
    method: &Method,
    host: &str,
) -> Result<Response<ResponseBody>, Failure> {
    let (mut head, body) = response.into_parts();
    headers::check_response_framing(method, head.status, head.version, &mut head.headers)
        .map_err(|why| unframed(passage, why))?;
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
