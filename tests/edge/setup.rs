//! A gateway that speaks TLS, and its upstream.

use std::fmt::Write as _;

use crate::client::{Client, Settings};
use crate::support::pki::{Authority, Issued};
use crate::support::site::{SETUP, Setup, Site};
use crate::support::upstream::ok;

/// A gateway with TLS.
pub(crate) struct Secured {
    pub(crate) site: Site,
    /// Whom its certificates are from, and those of clients where they are asked for.
    pub(crate) authority: Authority,
}

/// What differs between the tests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct With<'a> {
    /// Further keys of the first table of `tls`, each with a comma before it; `{ca}` stands for the file of the authority.
    pub(crate) tls: &'a str,
    /// Lines of `[server]`.
    pub(crate) server: &'a str,
    /// Sections.
    pub(crate) rest: &'a str,
    /// Names of further certificates, and what they are for.
    pub(crate) more: &'a [(&'a str, &'a [&'a str])],
}

impl Secured {
    /// With a certificate for `gw.example`.
    pub(crate) fn new(with: With<'_>) -> Self {
        Self::under(Authority::new("Test authority"), with)
    }

    pub(crate) fn under(authority: Authority, with: With<'_>) -> Self {
        authority.serve("server", &["gw.example"]);
        for (name, dns) in with.more {
            authority.serve(name, dns);
        }
        Self::start(authority, with)
    }

    /// With the files that are there.
    pub(crate) fn start(authority: Authority, with: With<'_>) -> Self {
        let table = |name: &str, more: &str| {
            let dir = authority.dir().join(name).display().to_string();
            format!("{{ cert = \"{dir}/tls.crt\", key = \"{dir}/tls.key\"{more} }}")
        };
        let more = with.tls.replace("{ca}", &authority.file().display().to_string());
        let mut tables = table("server", &more);
        for (name, _) in with.more {
            let _ = write!(tables, ", {}", table(name, ""));
        }
        let server = format!("workers = 1\ntls = [{tables}]\n{}", with.server);
        let setup = Setup {
            public_url: "\"https://gw.example\"",
            // Tests end; what they leak of texts goes with them.
            server: server.leak(),
            rest: with.rest.to_owned().leak(),
            ..SETUP
        };
        Self { site: Site::with(&setup, ok), authority }
    }

    pub(crate) fn settings(&self) -> Settings<'_> {
        Settings::new(self.site.gateway.port, &self.authority)
    }

    /// A client without a certificate.
    pub(crate) fn client(&self) -> Client {
        self.settings().client()
    }

    /// A client with one.
    pub(crate) fn client_with(&self, certificate: &Issued) -> Client {
        Settings { certificate: Some(certificate), ..self.settings() }.client()
    }
}
