//! On whose behalf a command asks: `--user` and what the configuration knows of that user, or `--anonymous`.

use std::sync::Arc;

use crate::authn::{API_KEYS, CLIENT_CERTIFICATE, CLIENTS, Hasher, Htpasswd, Lookup, Member as _};
use crate::clock::Clock;
use crate::config::{Config, Member};
use crate::subject::{Caller, GroupName, Subject, UserName};

/// Who asks.
#[derive(Debug, clap::Args)]
pub(super) struct Who {
    /// Ask on behalf of this user
    #[arg(long, value_name = "NAME", value_parser = user_name)]
    user: Option<UserName>,

    /// A group of that user; may be repeated. Without it, the groups are those that the configuration gives
    #[arg(long = "group", value_name = "NAME", requires = "user", value_parser = group_name)]
    groups: Vec<GroupName>,

    /// Ask on behalf of nobody, which is also the default
    #[arg(long, conflicts_with = "user")]
    anonymous: bool,
}

/// A caller, and what is to be said about them.
pub(super) struct Resolved {
    pub(super) caller: Caller,
    pub(super) notes: Vec<String>,
}

impl Who {
    /// The caller as they would be after logging in.
    pub(super) fn resolve(&self, config: &Config) -> Resolved {
        let mut notes = Vec::new();
        let Some(name) = self.user.as_ref().filter(|_| !self.anonymous) else {
            return Resolved { caller: Caller::Anonymous, notes };
        };
        if is_reserved(config, name) {
            notes
                .push(format!("nobody can log in as {name}: the name is kept for what only the identity filter makes"));
        }
        let known = find(config, name, None, &mut notes);
        if known.is_none() {
            notes.push(format!(
                "no member of the [[authn]] chain knows {name}, and no API key or client has that name, so nobody can log in by it"
            ));
        }
        let mut subject = known.unwrap_or_else(|| Subject::new(name.clone(), given(config, name), "users".into()));
        if !self.groups.is_empty() {
            let configured = std::mem::take(&mut subject.groups);
            subject = Subject::new(subject.name, self.groups.clone(), subject.member);
            if configured != subject.groups {
                let groups = match listed(&configured) {
                    None => "in no group".to_owned(),
                    Some(groups) => format!("in {groups}"),
                };
                notes.push(format!(
                    "the groups are those of --group; by the configuration {name} is {groups}, and the groups of local \
                     users are looked up again whenever a token is used"
                ));
            }
        }
        Resolved { caller: Caller::Known(Arc::new(subject)), notes }
    }
}

/// Whether nobody can log in by this name, as the chain decides it.
pub(super) fn is_reserved(config: &Config, name: &UserName) -> bool {
    let folded = name.as_str().to_lowercase();
    config.identity.reserved.iter().any(|reserved| reserved.as_str().to_lowercase() == folded)
}

/// Names with commas between them; `None` when there are none.
pub(super) fn listed(groups: &[GroupName]) -> Option<String> {
    let names: Vec<_> = groups.iter().map(GroupName::as_str).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// What the first member of the chain that knows a user says of them, or the one of that name; and behind them API keys and
/// OAuth2 clients. Files that cannot be read, and keys whose time is over, are noted.
pub(super) fn find(config: &Config, name: &UserName, member: Option<&str>, notes: &mut Vec<String>) -> Option<Subject> {
    for entry in &config.authn {
        let (kind, own) = match entry {
            Member::Users(users) => {
                ("users", users.iter().find(|user| user.name == *name).map(|user| user.groups.clone()))
            }
            // Whoever has a certificate: only when that is asked for, or everybody would be known.
            Member::ClientCertificate { groups, .. } => {
                (CLIENT_CERTIFICATE, (member == Some(CLIENT_CERTIFICATE)).then(|| groups.clone()))
            }
            Member::Htpasswd { file } => match Htpasswd::load(file, Arc::new(Hasher::new(1, 1)), Clock::System) {
                Ok(file) => ("htpasswd", matches!(file.lookup(name), Lookup::Known(_)).then(Vec::new)),
                Err(error) => {
                    notes.push(error.to_string());
                    ("htpasswd", None)
                }
            },
        };
        if member.is_some_and(|member| member != kind) {
            continue;
        }
        if let Some(mut groups) = own {
            groups.extend(given(config, name));
            return Some(Subject::new(name.clone(), groups, kind.into()));
        }
    }
    let own = own_entry(config, name, member, notes)?;
    let (kind, mut groups) = own;
    groups.extend(given(config, name));
    Some(Subject::new(name.clone(), groups, kind.into()))
}

/// Who comes to API routes with an API key or as an OAuth2 client: the member that says so, and the groups.
fn own_entry(
    config: &Config,
    name: &UserName,
    member: Option<&str>,
    notes: &mut Vec<String>,
) -> Option<(&'static str, Vec<GroupName>)> {
    let is_asked = |kind| member.is_none_or(|member| member == kind);
    if let Some(client) = config.clients.iter().find(|client| client.name == *name && is_asked(CLIENTS)) {
        return Some((CLIENTS, client.groups.clone()));
    }
    let key = config.api_keys.iter().find(|key| key.name == *name && is_asked(API_KEYS))?;
    if key.expires.is_some_and(|expires| expires <= Clock::System.now()) {
        notes.push(format!("the API key {name} has expired, and is refused"));
    }
    Some((API_KEYS, key.groups.clone()))
}

/// What `[groups]` gives to a user of whatever member.
fn given(config: &Config, name: &UserName) -> Vec<GroupName> {
    config.groups.iter().filter(|(_, users)| users.contains(name)).map(|(group, _)| group.clone()).collect()
}

fn user_name(text: &str) -> Result<UserName, String> {
    UserName::parse(text).map_err(|error| error.to_string())
}

fn group_name(text: &str) -> Result<GroupName, String> {
    GroupName::parse(text).map_err(|error| error.to_string())
}
