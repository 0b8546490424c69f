//! Who people are: the authn chain of a configuration.

use std::sync::Arc;

use super::StartError;
use crate::authn::{
    self, ApiKeys, Certificates, Chain, Clients, Groups, Hasher, Htpasswd, Member, NewApiKey, NewClient, NewUser, Users,
};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::metrics::Metrics;

/// How many verified passwords are remembered.
const REMEMBERED: usize = 10_000;

pub(super) fn chain(
    config: &Config,
    clock: &Clock,
    hasher: Arc<Hasher>,
    metrics: &Metrics,
) -> Result<Chain, StartError> {
    let mut members: Vec<Box<dyn Member>> = Vec::new();
    let mut certificates = None;
    for member in &config.authn {
        members.push(match member {
            config::Member::Users(users) => {
                let users = users.iter().map(|user| NewUser {
                    name: user.name.clone(),
                    hash: user.password_hash.clone(),
                    groups: user.groups.clone(),
                });
                Box::new(Users::new(users, Arc::clone(&hasher)))
            }
            config::Member::ClientCertificate { names, groups } => {
                certificates = Some(Certificates::new(names.clone(), groups.clone(), clock.clone()));
                continue;
            }
            config::Member::Htpasswd { file } => Box::new(Htpasswd::load(file, Arc::clone(&hasher), clock.clone())?),
        });
    }
    let groups = Groups::new(config.groups.iter().cloned());
    let settings = authn::Settings {
        hasher,
        clock: clock.clone(),
        remember: config.limits.password_cache,
        remembered: REMEMBERED,
    };
    let clients = Clients::new(config.clients.iter().map(|client| NewClient {
        name: client.name.clone(),
        secret_hash: client.secret_hash.clone(),
        groups: client.groups.clone(),
    }));
    let keys = config.api_keys.iter().map(|key| NewApiKey {
        name: key.name.clone(),
        hash: key.hash,
        groups: key.groups.clone(),
        expires: key.expires,
    });
    let keys = ApiKeys::new(keys, clock.clone());
    let chain = Chain::new(members, groups, &config.identity.reserved, settings)?;
    Ok(chain.with(clients, keys).with_certificates(certificates).measured(metrics.clone()))
}
