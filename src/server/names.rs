//! The names that clients reach the gateway by, and what follows from each: realm, service, scheme.

use http::uri::Scheme;

/// A public URL of the gateway: scheme and authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicName {
    scheme: Scheme,
    authority: String,
    realm: String,
}

impl PublicName {
    /// The name with this scheme and authority (lower case), whose token endpoint has this path.
    pub fn new(scheme: Scheme, authority: String, token_path: &str) -> Self {
        let realm = format!("{scheme}://{authority}{token_path}");
        Self { scheme, authority, realm }
    }

    /// Where clients fetch tokens: the realm of challenges.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The same as text.
    pub(crate) fn scheme_str(&self) -> &'static str {
        if self.scheme == Scheme::HTTPS { "https" } else { "http" }
    }

    /// Host and port, as clients write them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    fn is_called(&self, host: &str) -> bool {
        let default_port = if self.scheme == Scheme::HTTPS { ":443" } else { ":80" };
        let bare = |text: &str| text.len().checked_sub(default_port.len()).filter(|_| text.ends_with(default_port));
        let host = bare(host).map_or(host, |end| &host[..end]);
        let own = bare(&self.authority).map_or(&*self.authority, |end| &self.authority[..end]);
        own.eq_ignore_ascii_case(host)
    }
}

/// All public names, and the services that tokens may be for.
#[derive(Clone, Debug)]
pub struct PublicNames {
    first: PublicName,
    others: Vec<PublicName>,
    services: Vec<String>,
}

impl PublicNames {
    /// The first name and the first service are the defaults.
    pub fn new(first: PublicName, others: Vec<PublicName>, services: Vec<String>) -> Self {
        Self { first, others, services }
    }

    /// The name that a request's Host names, else the first.
    pub fn for_host(&self, host: &str) -> &PublicName {
        if self.others.is_empty() {
            return &self.first;
        }
        std::iter::once(&self.first).chain(&self.others).find(|name| name.is_called(host)).unwrap_or(&self.first)
    }

    /// Whether an authority is one of the names.
    pub(crate) fn holds(&self, authority: &str) -> bool {
        std::iter::once(&self.first).chain(&self.others).any(|name| name.is_called(authority))
    }

    /// The service that a challenge names: the accepted one that equals the request's Host, else the default.
    pub fn service_for_host(&self, host: &str) -> &str {
        let own = self.services.iter().map(String::as_str).find(|service| service.eq_ignore_ascii_case(host));
        own.unwrap_or_else(|| self.default_service())
    }

    /// The service of a token request: the default when it names none, `None` when it names one that is not ours.
    pub fn requested_service(&self, requested: Option<&str>) -> Option<&str> {
        match requested {
            None | Some("") => Some(self.default_service()),
            Some(name) => self.services.iter().map(String::as_str).find(|service| *service == name),
        }
    }

    /// Every accepted service.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The default service.
    pub fn default_service(&self) -> &str {
        self.services.first().map_or(&self.first.authority, |service| service)
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Scheme;

    use super::{PublicName, PublicNames};

    fn names() -> PublicNames {
        PublicNames::new(
            PublicName::new(Scheme::HTTPS, "registry.example.org".into(), "/token"),
            vec![PublicName::new(Scheme::HTTP, "127.0.0.1:5000".into(), "/token")],
            vec!["registry.example.org".into(), "127.0.0.1:5000".into()],
        )
    }

    #[test]
    fn the_host_chooses_the_realm() {
        let names = names();
        assert_eq!(names.for_host("127.0.0.1:5000").realm(), "http://127.0.0.1:5000/token");
        assert_eq!(names.for_host("REGISTRY.example.org:443").realm(), "https://registry.example.org/token");
        assert_eq!(names.for_host("evil.example").realm(), "https://registry.example.org/token");
    }

    #[test]
    fn the_host_chooses_the_service_only_among_ours() {
        let names = names();
        assert_eq!(names.service_for_host("127.0.0.1:5000"), "127.0.0.1:5000");
        assert_eq!(names.service_for_host("evil.example"), "registry.example.org");
        assert_eq!(names.requested_service(None), Some("registry.example.org"));
        assert_eq!(names.requested_service(Some("")), Some("registry.example.org"));
        assert_eq!(names.requested_service(Some("127.0.0.1:5000")), Some("127.0.0.1:5000"));
        assert_eq!(names.requested_service(Some("evil.example")), None);
    }
}
