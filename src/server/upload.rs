//! What an upstream's settings make of uploads and manifests: how their bodies are framed, what they have to be, and which
//! `Location` carries the marker. How a body is held against its digest is in `checked_body`.

mod marker;

use http::header::{HeaderValue, LOCATION};
use http::{HeaderMap, Method, Response, StatusCode};

pub use marker::Markers;

use super::body::Framing;
use super::checked_body::{Requirement, Unfit};
use super::progress::Progress;
use super::routes::Route;
use super::state::State;
use crate::registry::{DigestCheck, DigestMismatch, Operation, UnknownAlgorithm};

/// What an upstream wants to be done with the bodies of uploads and manifests.
#[derive(Clone, Copy, Debug, Default)]
pub struct UploadSettings {
    /// They go upstream in chunks.
    pub chunk: bool,
    /// Those that must fit a digest are held against it.
    pub verify: bool,
}

/// Why the content of an upload or a manifest is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// It is not what its digest names.
    #[error("the content does not fit its digest: expected {}, got {} ({} bytes){hint}", .found.expected, .found.computed, .found.bytes)]
    Digest {
        /// What was found.
        found: DigestMismatch,
        /// What may be the reason.
        hint: &'static str,
    },
    /// It cannot be held against its digest.
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    /// A PATCH that would append nothing.
    #[error("the PATCH has no bytes to append")]
    Empty,
}

/// What becomes of one request's body, and of the `Location` of its answer.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) framing: Framing,
    /// What its body has to be.
    pub(crate) requirement: Option<Requirement>,
    /// Whether it came with the marker of its session.
    is_marked: bool,
    /// What it does with an upload session, where markers are used.
    step: Step,
}

/// What a request does with an upload session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// Nothing that a marker could tell of.
    #[default]
    Other,
    /// It asks how far it is.
    Look,
    /// It appends.
    Append,
    /// It ends it.
    Finish,
}

impl Plan {
    /// What the route's upstream asks for. On other routes than those of a registry there is no operation, and nothing to do.
    pub(crate) fn new(state: &State, route: &Route, operation: Option<&Operation>) -> Result<Self, UploadError> {
        let Some(operation) = operation else { return Ok(Self::default()) };
        let mut plan = Self::default();
        if route.uploads.chunk && operation.carries_content() {
            plan.framing = Framing::Chunked;
        }
        if !route.uploads.verify {
            return Ok(plan);
        }
        plan.step = match (operation.session().is_some(), operation.method()) {
            (true, Method::GET | Method::HEAD) => Step::Look,
            (true, Method::PATCH) => Step::Append,
            (true, Method::PUT) => Step::Finish,
            _ => Step::Other,
        };
        plan.is_marked = state.markers.is_marked(operation);
        plan.requirement = match operation.content_digest() {
            // Nobody is asked to judge by an algorithm that nobody here knows, not even the upstream.
            Some(digest) => Some(Requirement::Digest(DigestCheck::new(digest)?)),
            None if plan.step == Step::Append => Some(Requirement::NotEmpty),
            None => None,
        };
        if plan.step == Step::Finish && plan.is_marked {
            plan.requirement = None;
        }
        Ok(plan)
    }

    /// Takes a request that has no body. A PATCH without one is not sent as such: it changes nothing, and Pulp could be made by it to
    /// forget that there was another. What there is to say of the session is asked for instead.
    pub(crate) fn take_empty(&mut self) -> Result<Asks, UploadError> {
        match self.requirement.take() {
            Some(Requirement::NotEmpty) => Ok(Asks::ForTheSession),
            Some(requirement) => requirement.judge_empty().map_err(|unfit| self.explain(unfit)).map(|()| Asks::AsItIs),
            None => Ok(Asks::AsItIs),
        }
    }

    /// What the client is told of an unfit body.
    pub(crate) fn explain(&self, unfit: Unfit) -> UploadError {
        match unfit {
            Unfit::Digest(found) => {
                let hint = if found.bytes == 0 && self.step == Step::Finish {
                    "; a PUT that ends an upload by PATCH must go to the Location that the last PATCH was answered with"
                } else {
                    ""
                };
                UploadError::Digest { found, hint }
            }
            Unfit::Empty => UploadError::Empty,
        }
    }

    /// Whether an answer says that the content is stored. 202 says that the upload goes on.
    pub(crate) fn says_stored(status: StatusCode) -> bool {
        status.is_success() && status != StatusCode::ACCEPTED
    }

    /// Puts the marker into the `Location` of an answer: once a PATCH has brought something, and then at each step of the session.
    /// The headers have been made public.
    pub(crate) fn mark<B>(&self, response: &mut Response<B>, state: &State, base: &str, progress: &Progress) {
        let begun =
            self.step == Step::Append && response.status().is_success() && progress.is_done() && progress.bytes() > 0;
        let goes_on = self.is_marked && matches!(self.step, Step::Look | Step::Append);
        if begun || goes_on {
            mark(response.headers_mut(), state, base);
        }
    }
}

/// What the upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// What the client asks.
    AsItIs,
    /// How far the session is.
    ForTheSession,
}

fn mark(headers: &mut HeaderMap, state: &State, base: &str) {
    let marked = headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|location| state.markers.mark(location, base, |authority| state.names.holds(authority)))
        .and_then(|location| HeaderValue::from_str(&location).ok());
    if let Some(value) = marked {
        headers.insert(LOCATION, value);
    }
}
