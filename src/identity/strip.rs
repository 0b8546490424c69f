//! Headers of clients that never reach an upstream.

use http::HeaderName;

/// Headers by which some server believes who is asking.
const IDENTITY: [&str; 36] = [
    "auth-user",
    "authenticated-user",
    "remote-email",
    "remote-group",
    "remote-groups",
    "remote-name",
    "remote-user",
    "x-auth-user",
    "x-authenticated-email",
    "x-authenticated-groups",
    "x-authenticated-user",
    "x-client-cert",
    "x-client-dn",
    "x-client-verify",
    "x-email",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-forwarded-email",
    "x-forwarded-group",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-tls-client-cert",
    "x-forwarded-user",
    "x-groups",
    "x-proxy-user",
    "x-remote-email",
    "x-remote-group",
    "x-remote-groups",
    "x-remote-name",
    "x-remote-user",
    "x-ssl-cert",
    "x-user",
    "x-user-email",
    "x-user-id",
    "x-user-name",
    "x-username",
];

/// Headers by which some server believes that another path or method is asked for than the request line says.
const TARGET: [&str; 13] = [
    "path-info",
    "path-translated",
    "request-uri",
    "script-name",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-script-name",
];

/// Beginnings of families of such headers.
const FAMILIES: [&str; 6] =
    ["impersonate-", "ssl-client-", "x-auth-request-", "x-remote-extra-", "x-ssl-client-", "x-webauth-"];

/// The headers that a client's request loses, whatever their spelling.
///
/// Servers take headers for variables in which `-` is `_`, some other punctuation too. So every character that is
/// neither letter nor digit counts as `-` here, and case does not count.
#[derive(Debug)]
pub struct StripList {
    /// Normalised names, by length: few of them share one, so a lookup compares one or two.
    by_length: Vec<Vec<Box<[u8]>>>,
    /// Normalised names that nothing exempts: the identity header, and what the configuration adds.
    named: Vec<Box<[u8]>>,
}

impl StripList {
    /// The built-in list, the identity header itself, and what the configuration adds.
    pub fn new<'a>(identity: &'a HeaderName, extra: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        let mut list = Self { by_length: Vec::new(), named: Vec::new() };
        for name in IDENTITY.iter().chain(&TARGET) {
            list.add(name);
        }
        for name in std::iter::once(identity).chain(extra) {
            list.add(name.as_str());
            list.named.push(name.as_str().bytes().map(normal).collect());
        }
        list
    }

    /// Names that are always stripped, in the order in which documentation lists them; families end in `*`.
    pub fn built_in() -> impl Iterator<Item = String> {
        let names = IDENTITY.iter().chain(&TARGET).map(|name| (*name).to_owned());
        names.chain(FAMILIES.iter().map(|family| format!("{family}*")))
    }

    /// Whether a header of this name is stripped, unless it is `exempt`; the identity header, and what the configuration names, always
    /// are.
    pub fn strips(&self, name: &str, exempt: impl Fn(&str) -> bool) -> bool {
        self.holds(name) && (!exempt(name) || self.is_named(name))
    }

    /// Whether a header of this name is stripped.
    pub fn holds(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let same = |known: &[u8], given: &[u8]| given.iter().map(|byte| normal(*byte)).eq(known.iter().copied());
        self.by_length.get(name.len()).is_some_and(|known| known.iter().any(|known| same(known, name)))
            || FAMILIES
                .iter()
                .any(|family| name.get(..family.len()).is_some_and(|beginning| same(family.as_bytes(), beginning)))
    }

    fn is_named(&self, name: &str) -> bool {
        self.named.iter().any(|named| name.bytes().map(normal).eq(named.iter().copied()))
    }

    fn add(&mut self, name: &str) {
        let name: Box<[u8]> = name.bytes().map(normal).collect();
        if self.by_length.len() <= name.len() {
            self.by_length.resize_with(name.len() + 1, Vec::new);
        }
        if let Some(known) = self.by_length.get_mut(name.len())
            && !known.contains(&name)
        {
            known.push(name);
        }
    }
}

fn normal(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}
