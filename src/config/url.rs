//! URLs of the configuration: public names of the gateway, upstreams, origins of content.

use std::fmt;
use std::path::PathBuf;

use http::uri::Scheme;

use super::item::Item;

/// A public URL of the gateway: scheme and authority, without path, query or user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and, where it differs from the scheme's, port; lower case.
    pub authority: String,
}

/// A URL that is only scheme, host and port.
pub(super) fn public_url(item: &Item<'_>) -> Option<PublicUrl> {
    origin(item).map(|(scheme, authority)| PublicUrl { scheme, authority })
}

/// Where an upstream listens, and how it is spoken to there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamUrl {
    /// `http://host:port` or `https://host:port`.
    Web {
        /// `http` or `https`.
        scheme: Scheme,
        /// Host and, where it differs from the scheme's, port; lower case.
        authority: String,
        /// The host without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:/path`: http over a Unix socket.
    Unix(PathBuf),
}

impl UpstreamUrl {
    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        matches!(self, Self::Web { scheme, .. } if *scheme == Scheme::HTTPS)
    }

    /// Host and, where it differs from the scheme's, port; none of a Unix socket.
    pub fn authority(&self) -> Option<&str> {
        match self {
            Self::Web { authority, .. } => Some(authority),
            Self::Unix(_) => None,
        }
    }

    /// Where a server would have to be bound for it.
    pub fn place(&self) -> String {
        match self {
            Self::Web { authority, .. } => authority.clone(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// What must be the same of all addresses of an upstream.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Web { .. } if self.is_https() => "https",
            Self::Web { .. } => "http",
            Self::Unix(_) => "unix",
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web { scheme, authority, .. } => write!(f, "{scheme}://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The URL of an upstream.
pub(super) fn upstream_url(item: &Item<'_>) -> Option<UpstreamUrl> {
    let text = item.text_as("a URL such as \"http://127.0.0.1:5050\"")?;
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') || path.starts_with("//") || path.contains('\0') {
            let message = format!("\"{}\" names no socket", item.shown());
            item.fail(
                "wrong-value",
                message,
                "write \"unix:\" and an absolute path, as in \"unix:/run/registry.sock\"",
            );
            return None;
        }
        return Some(UpstreamUrl::Unix(path.into()));
    }
    let (scheme, authority) = origin(item)?;
    let parsed: http::uri::Authority = authority.parse().ok()?;
    let default = if scheme == Scheme::HTTPS { 443 } else { 80 };
    let (host, port) = (parsed.host().trim_matches(['[', ']']).to_owned(), parsed.port_u16().unwrap_or(default));
    Some(UpstreamUrl::Web { scheme, authority, host, port })
}

fn origin(item: &Item<'_>) -> Option<(Scheme, String)> {
    let text = item.text_as("a URL such as \"http://127.0.0.1:5000\"")?;
    let fail = |message: &str, hint: String| {
        item.fail("wrong-value", format!("\"{}\" {message}", item.shown()), hint);
        None
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return fail("is no URL", "begin it with http:// or https://".into());
    };
    let scheme = match scheme {
        "http" => Scheme::HTTP,
        "https" => Scheme::HTTPS,
        _ => return fail("is neither http nor https", "begin it with http:// or https://".into()),
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    if authority.contains('@') {
        // What stands before the @ may be a password: the text itself is not repeated.
        item.fail(
            "wrong-value",
            format!("`{}` must not hold a user or password", item.name),
            "leave out what stands before the @",
        );
        return None;
    }
    if !matches!(path, "" | "/") {
        return fail("must not have a path, query or fragment", format!("write \"{scheme}://{authority}\""));
    }
    let Ok(parsed) = authority.to_ascii_lowercase().parse::<http::uri::Authority>() else {
        return fail("has no valid host", format!("write \"{scheme}://host\" or \"{scheme}://host:port\""));
    };
    let host = parsed.host();
    let port = authority.get(host.len()..).unwrap_or_default();
    let good_port = port.is_empty() || parsed.port_u16().is_some();
    if host.is_empty() || !good_port || port == ":" {
        return fail("has no valid host and port", format!("write \"{scheme}://host\" or \"{scheme}://host:port\""));
    }
    let default = if scheme == Scheme::HTTP { 80 } else { 443 };
    let authority = match parsed.port_u16() {
        Some(port) if port != default => format!("{host}:{port}"),
        _ => host.to_owned(),
    };
    Some((scheme, authority))
}
