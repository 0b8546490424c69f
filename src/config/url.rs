//! URLs of the configuration: public names of the gateway, upstreams, origins of content.

use http::Uri;
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

/// The URL of an upstream.
pub(super) fn upstream_url(item: &Item<'_>) -> Option<Uri> {
    let (scheme, authority) = origin(item)?;
    if scheme == Scheme::HTTPS {
        item.fail(
            "not-built",
            "upstreams over https are not built yet",
            "reach it by http on a network that you trust",
        );
        return None;
    }
    let url = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
    if url.is_err() {
        item.fail("wrong-value", "this is no URL", "write \"http://host:port\"");
    }
    url.ok()
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
