//! What the routes to a Pulp ask of its settings, and of whoever runs it.

use crate::cli::console::Failure;
use crate::config::{Config, Credentials, Kind, Pulp, Route, RouteAuth, Upstream, UpstreamUrl, UserAccount};
use crate::registry::path::is_at_or_below;

use super::{Key, Scheme};

/// Where Pulp's content app serves the layers of images, whatever `API_ROOT` says.
const LAYERS: &str = "/pulp/container/";

/// What a configuration asks of a Pulp.
pub(super) struct Needs<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) pulp: &'a Pulp,
    pub(super) registry: Registry,
    pub(super) rest: Rest,
    /// Whether clients reach the content app through the gateway.
    pub(super) content: bool,
}

/// How `/v2/` is told who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registry {
    /// It has no route.
    Closed,
    /// By the identity header.
    Header,
    /// By tokens.
    Tokens,
    /// By one account.
    Account,
    /// Not at all.
    Anonymous,
}

/// How the REST API is told who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// Some of its routes send the identity header, or users are created by it.
    pub(super) header: bool,
    /// Some of them send an account, or users are created by one.
    pub(super) account: bool,
}

impl<'a> Needs<'a> {
    /// Of the upstream of this name, or of the only Pulp.
    pub(super) fn of(config: &'a Config, name: Option<&str>) -> Result<Self, Failure> {
        let (number, upstream, pulp) = find(config, name)?;
        let routes: Vec<_> = config.routes.iter().filter(|route| route.upstream == number).collect();
        if routes.is_empty() {
            let message = format!("no route leads to the upstream {}", upstream.name);
            return Err(Failure::usage(message).hint(
                "add a [[route]], such as `prefix = \"/v2/\"` with `auth = \"registry\"`; examples/ has whole files",
            ));
        }
        let api = |way: fn(&Credentials) -> bool| {
            routes.iter().any(|route| route.auth == RouteAuth::Api && way(&route.credentials))
        };
        let creates = upstream.create_users.as_ref().map(|create| &create.account);
        Ok(Self {
            upstream,
            pulp,
            registry: registry(&routes)?,
            rest: Rest {
                header: api(|credentials| matches!(credentials, Credentials::Identity))
                    || matches!(creates, Some(UserAccount::Identity)),
                account: api(|credentials| matches!(credentials, Credentials::Basic { .. }))
                    || matches!(creates, Some(UserAccount::Basic { .. })),
            },
            content: config.routes.iter().any(|route| is_at_or_below(LAYERS, route.prefix.trim_end_matches('/'))),
        })
    }

    /// Whether anything tells Pulp the caller by the identity header.
    pub(super) fn header(&self) -> bool {
        self.rest.header || self.registry == Registry::Header
    }

    /// Whether anything tells Pulp the caller by name and password.
    pub(super) fn account(&self) -> bool {
        self.rest.account || self.registry == Registry::Account
    }

    /// What settings.py cannot do.
    pub(super) fn notes(&self, config: &Config, key: Option<&Key>, scheme: Scheme) -> Vec<String> {
        let address = self.upstream.urls.first().map(UpstreamUrl::place).unwrap_or_default();
        let mut notes = vec![
            format!(
                "bind Pulp where only the gateway reaches it: `pulpcore-api --bind {address} --timeout 3600`, and \
                 `pulpcore-content --bind` likewise; --timeout because a layer of some 3 GiB takes a worker longer than \
                 gunicorn's 30 s"
            ),
            "let no other proxy lead to Pulp: take out the nginx or Apache site that came with it, and let what is in front \
             lead to the gateway"
                .to_owned(),
        ];
        for name in config.identity.reserved.iter().filter(|name| self.header() && name.as_str() != "admin") {
            notes.push(format!(
                "make the superuser that the filter may name, with a password that nobody knows: \
                 `DJANGO_SUPERUSER_PASSWORD=\"$(openssl rand -hex 32)\" pulpcore-manager createsuperuser --noinput \
                 --username {name} --email ''`"
            ));
        }
        if self.header() {
            notes.push(
                "whoever reaches Pulp past the gateway is whom they say they are in that header, a superuser too"
                    .into(),
            );
        }
        if self.registry == Registry::Header && config.identity.reserved.iter().all(|name| name.as_str() == "admin") {
            notes.push(
                "Pulp takes pushes and deletions from superusers only, and no name is `elevated` in [identity]: pushes \
                 work for users that are superusers in Pulp, and for no others"
                    .into(),
            );
        }
        notes.extend(self.about_tokens(key));
        notes.extend(self.about_scheme(config, scheme));
        if !self.content {
            notes.push(format!(
                "no route leads to {LAYERS}: clients fetch layers from Pulp's own CONTENT_ORIGIN, past the gateway"
            ));
        }
        notes
    }

    fn about_scheme(&self, config: &Config, scheme: Scheme) -> Option<String> {
        match scheme {
            Scheme::Basic => None,
            _ if !self.header() => Some(
                "--scheme changes nothing here: no route tells Pulp the caller by the identity header, and docs/api.json \
                 describes user and password as Pulp's own settings have it"
                    .into(),
            ),
            Scheme::ApiKey if config.api_keys.is_empty() => {
                Some("there is no API key yet: `tidegate api-key --name NAME` makes one, for [api_keys] of the gateway".into())
            }
            Scheme::ApiKey => Some(
                "pulp-cli knows no API keys: give it the key's name as `--username` and the key as `--password` (`pulp config \
                 create`), and leave out `--header`"
                    .into(),
            ),
            Scheme::Oauth2 if config.clients.is_empty() => Some(
                "there is no client yet: `tidegate api-key --client --name NAME` makes one, for [clients] of the gateway".into(),
            ),
            Scheme::Oauth2 => None,
        }
    }

    fn about_tokens(&self, key: Option<&Key>) -> Vec<String> {
        let mut notes = Vec::new();
        if self.registry != Registry::Tokens {
            return notes;
        }
        if key.is_some_and(|key| key.others > 0) {
            notes.push(
                "Pulp knows one key, the one that signs: when `token.keys` changes its first, run this again and start the \
                 gateway anew at once; tokens of the old key are refused by Pulp, and clients fetch new ones"
                    .into(),
            );
        }
        if self.upstream.create_users.is_none() {
            notes.push(
                "Pulp refuses the tokens of users that it does not know, and does not create them: set `create_users`, or \
                 create them by hand"
                    .into(),
            );
        }
        notes.push(
            "`pulpcore-manager check --deploy` asks for a PRIVATE_KEY_PATH: it is left out on purpose, see the comment"
                .into(),
        );
        notes
    }
}

fn find<'a>(config: &'a Config, name: Option<&str>) -> Result<(usize, &'a Upstream, &'a Pulp), Failure> {
    let pulps = || {
        let pulp = |(number, upstream): (usize, &'a Upstream)| match &upstream.kind {
            Kind::Pulp(pulp) => Some((number, upstream, pulp)),
            Kind::Registry => None,
        };
        config.upstreams.iter().enumerate().filter_map(pulp)
    };
    let names = || pulps().map(|(_, upstream, _)| &*upstream.name).collect::<Vec<_>>().join(", ");
    let none = "set `kind = \"pulp\"` on the [[upstream]] that is Pulp's API app";
    let mut found: Vec<_> =
        pulps().filter(|(_, upstream, _)| name.is_none_or(|name| *upstream.name == *name)).collect();
    match (found.pop(), found.is_empty(), name) {
        (Some(one), true, _) => Ok(one),
        (Some(_), false, _) => {
            Err(Failure::usage("more than one upstream is a Pulp")
                .hint(format!("name one with --upstream: {}", names())))
        }
        (None, _, Some(name)) if config.upstreams.iter().any(|upstream| *upstream.name == *name) => {
            Err(Failure::usage(format!("the upstream {name} is no Pulp")).hint(none))
        }
        (None, _, Some(name)) => {
            let failure = Failure::usage(format!("there is no upstream \"{}\"", name.escape_debug()));
            Err(if names().is_empty() {
                failure.hint(none)
            } else {
                failure.hint(format!("those that are a Pulp: {}", names()))
            })
        }
        (None, _, None) => Err(Failure::usage("no upstream is a Pulp").hint(none)),
    }
}

/// Pulp either takes tokens on all of `/v2/` and `/extensions/v2/`, or on none of it.
fn registry(routes: &[&Route]) -> Result<Registry, Failure> {
    let mut found: Option<(Registry, &str)> = None;
    for route in routes.iter().filter(|route| route.auth == RouteAuth::Registry) {
        let own = match route.credentials {
            Credentials::Identity => Registry::Header,
            Credentials::ForwardToken | Credentials::MintToken => Registry::Tokens,
            Credentials::Basic { .. } => Registry::Account,
            Credentials::None => Registry::Anonymous,
        };
        let takes_tokens = |one| one == Registry::Tokens;
        match found {
            Some((other, prefix)) if takes_tokens(other) != takes_tokens(own) => {
                let message = format!("the routes {prefix} and {} differ in whether they send tokens", route.prefix);
                return Err(Failure::usage(message)
                    .hint("a Pulp takes tokens on all registry routes or on none: give them the same `credentials`"));
            }
            // Of the ways without tokens the header asks for settings.
            Some((Registry::Tokens | Registry::Header, _)) => {}
            _ => found = Some((own, &route.prefix)),
        }
    }
    Ok(found.map_or(Registry::Closed, |(registry, _)| registry))
}
