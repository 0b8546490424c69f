//! The grammar of the registry: names, scopes, operations and routes of the distribution API, and its errors.
//!
//! Plain functions over plain types; nothing here knows hyper or tokio. Who may do what is decided in `authz`, and which
//! upstream a path goes to in the configuration's routes.

mod access;
mod action;
mod digest;
mod error;
mod escape;
mod name;
mod operation;
pub mod path;
pub mod query;
mod route;
pub mod scope;
mod session;

pub use access::AccessSet;
pub use action::{Action, Actions, UnknownAction};
pub use digest::{Digest, DigestCheck, DigestError, DigestMismatch, UnknownAlgorithm};
pub use error::{ErrorCode, OciError, RouteError};
pub use name::{
    MAX_REPOSITORY_NAME, MAX_TAG, Reference, ReferenceError, RepositoryName, RepositoryNameError, Tag, TagError,
    is_component,
};
pub use operation::{MARKER, Operation, OperationAction, Parameters, Read, RepositoryOperation, Request, UploadStart};
pub use scope::{Requested, Resource, Scope, ScopeError};
pub use session::{MAX_SESSION_ID, SessionId, SessionIdError};
