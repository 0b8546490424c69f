//! A request between the stages of its way.

use std::sync::Arc;

use super::connection::Inbound;
use http::{HeaderValue, request};

use super::routes::Route;
use super::state::State;
use crate::authz::PathRequest;
use crate::registry::RouteError;
use crate::registry::path::RequestPath;
use crate::registry::query::Query;

/// A request that has found its route.
pub(crate) struct Way<'a> {
    pub(crate) state: &'a State,
    pub(crate) route: &'a Arc<Route>,
    pub(crate) path: RequestPath,
    pub(crate) head: request::Parts,
    pub(crate) body: Inbound,
    /// The host as the client wrote it.
    pub(crate) host: HeaderValue,
}

impl Way<'_> {
    /// The request as routes without a grammar of their own judge it.
    pub(crate) fn path_request(&self) -> Result<PathRequest, RouteError> {
        let query = Query::parse(self.head.uri.query())?;
        Ok(PathRequest { method: self.head.method.clone(), path: self.path.clone(), query })
    }
}
