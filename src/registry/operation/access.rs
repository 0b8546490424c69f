//! What an operation needs: the design's table, and the words of the challenge.

use crate::registry::{Action, Actions, Resource, Scope};

use super::{Operation, Request, UploadStart};

/// What an operation does, as rules and filters are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationAction {
    /// Reads from a repository.
    Pull,
    /// Writes to it.
    Push,
    /// Deletes from it.
    Delete,
    /// Lists the catalog.
    Catalog,
}

impl OperationAction {
    /// The action's name in documents and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Catalog => "catalog",
        }
    }
}

impl Operation {
    /// What it does. The ping does nothing that rules could be asked about; it counts as a pull.
    pub fn action(&self) -> OperationAction {
        match self {
            Self::Ping(_) => OperationAction::Pull,
            Self::Catalog(..) => OperationAction::Catalog,
            Self::Repository(operation) => operation.request.action(),
        }
    }

    /// The access without which it is refused, one scope a resource; none for the ping.
    ///
    /// Writes need pull and push, as clients ask for both. A mount needs push on its target and pull on its source.
    pub fn needs(&self) -> Vec<Scope> {
        match self {
            Self::Ping(_) => Vec::new(),
            Self::Catalog(..) => vec![Scope { resource: Resource::Catalog, actions: Actions::ALL }],
            Self::Repository(operation) => match &operation.request {
                Request::StartUpload(UploadStart::Mount { from, .. }) => {
                    let push = Actions::only(Action::Push);
                    let pull = Actions::only(Action::Pull);
                    merged(operation.scope(push), Scope { resource: Resource::Repository(from.clone()), actions: pull })
                }
                request => vec![operation.scope(request.actions())],
            },
        }
    }

    /// The access that a challenge asks for. It is what the operation [needs](Self::needs); a mount asks for pull on the
    /// target too, because it may go on as an upload.
    pub fn asks(&self) -> Vec<Scope> {
        let mut scopes = self.needs();
        if let Some(target) = scopes.first_mut()
            && self.mount_source().is_some()
        {
            target.actions = target.actions.union(Actions::only(Action::Pull));
        }
        scopes
    }
}

impl super::RepositoryOperation {
    fn scope(&self, actions: Actions) -> Scope {
        Scope { resource: Resource::Repository(self.repository.clone()), actions }
    }
}

impl Request {
    fn action(&self) -> OperationAction {
        match self {
            Self::ReadManifest(..)
            | Self::ReadBlob(..)
            | Self::ListTags(_)
            | Self::ListReferrers(..)
            | Self::ReadSignatures(..) => OperationAction::Pull,
            // Sessions belong to whoever may write: reading or cancelling one is part of an upload.
            Self::PutManifest(_)
            | Self::PutManifestByDigest(..)
            | Self::StartUpload(_)
            | Self::ReadUpload(..)
            | Self::AppendUpload(_)
            | Self::FinishUpload(..)
            | Self::CancelUpload(_)
            | Self::PutSignature(_) => OperationAction::Push,
            Self::DeleteManifest(_) | Self::DeleteBlob(_) => OperationAction::Delete,
        }
    }

    fn actions(&self) -> Actions {
        match self.action() {
            OperationAction::Pull | OperationAction::Catalog => Actions::only(Action::Pull),
            OperationAction::Push => Actions::only(Action::Pull).union(Actions::only(Action::Push)),
            OperationAction::Delete => Actions::only(Action::Delete),
        }
    }
}

fn merged(target: Scope, source: Scope) -> Vec<Scope> {
    if target.resource == source.resource {
        vec![Scope { resource: target.resource, actions: target.actions.union(source.actions) }]
    } else {
        vec![target, source]
    }
}
