//! The values that labels may have. There are no others: whatever a client sends ends up in one of these.

use crate::access_log::Decision;

/// One label whose values are known when the program is built.
pub trait Label: Copy {
    /// Its name.
    const NAME: &'static str;
    /// Its values, each at its [`Label::index`].
    const VALUES: &'static [&'static str];

    /// The position of a value.
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $type:ident = $name:literal { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[$value_doc])* $value,)+ }

        impl Label for $type {
            const NAME: &'static str = $name;
            const VALUES: &'static [&'static str] = &[$($text),+];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// What kind of endpoint a request reached.
    Route = "route" {
        /// A route with `auth = "registry"`.
        Registry = "registry",
        /// A route with `auth = "api"`.
        Api = "api",
        /// A route with `auth = "public"`, or what everybody may read of a Pulp.
        Public = "public",
        /// The token endpoint.
        Token = "token",
        /// Another endpoint of the gateway's own, such as its key set.
        Own = "own",
        /// None: it was refused before.
        None = "none",
    }
}

label! {
    /// What a request wants to do.
    Action = "action" {
        /// `/v2/`.
        Ping = "ping",
        /// Read from a repository.
        Pull = "pull",
        /// Write to a repository.
        Push = "push",
        /// Delete from a repository.
        Delete = "delete",
        /// List repositories.
        Catalog = "catalog",
        /// GET, HEAD or OPTIONS where the registry's grammar does not rule.
        Read = "read",
        /// Any other method there.
        Write = "write",
        /// Get a token.
        Token = "token",
        /// Nobody knows: it was refused before.
        None = "none",
    }
}

/// A status code: one that registries use by itself, any other by its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(u16);

impl Status {
    /// Of an answer with this code.
    pub fn new(code: u16) -> Self {
        Self(code)
    }
}

/// The codes that are told apart, in order, and behind them the classes of the others.
const CODES: &[u16] = &[
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413,
    414, 415, 416, 422, 425, 429, 431, 500, 501, 502, 503, 504, 505, 507,
];

impl Label for Status {
    const NAME: &'static str = "status";
    const VALUES: &'static [&'static str] = &[
        "200", "201", "202", "204", "206", "301", "302", "303", "304", "307", "308", "400", "401", "403", "404", "405",
        "406", "408", "409", "410", "411", "412", "413", "414", "415", "416", "422", "425", "429", "431", "500", "501",
        "502", "503", "504", "505", "507", "1xx", "2xx", "3xx", "4xx", "5xx", "other",
    ];

    fn index(self) -> usize {
        let class = || match self.0 {
            100..=599 => usize::from(self.0 / 100) - 1,
            _ => 5,
        };
        CODES.binary_search(&self.0).unwrap_or_else(|_| CODES.len() + class())
    }
}

impl Label for Decision {
    const NAME: &'static str = "decision";
    const VALUES: &'static [&'static str] = &["allowed", "denied", "challenged", "refused", "public", "own"];

    fn index(self) -> usize {
        self as usize
    }
}

label! {
    /// Why a connection was refused.
    Refusal = "reason" {
        /// `limits.connections` is reached.
        Connections = "connections",
        /// `limits.connections_per_address` is reached.
        Address = "address",
        /// The PROXY header was missing or wrong.
        ProxyProtocol = "proxy_protocol",
    }
}

label! {
    /// How a TLS handshake ended.
    Handshake = "result" {
        /// With a connection.
        Done = "ok",
        /// With an error.
        Failed = "failed",
        /// It took too long.
        Timeout = "timeout",
    }
}

label! {
    /// What a connection speaks.
    Protocol = "protocol" {
        /// HTTP/1.1.
        Http1 = "http/1.1",
        /// HTTP/2.
        Http2 = "h2",
    }
}

label! {
    /// How a token was asked for.
    Grant = "grant" {
        /// GET without credentials.
        Anonymous = "anonymous",
        /// GET with name and password.
        Basic = "basic",
        /// GET with a client certificate.
        Certificate = "certificate",
        /// POST with `grant_type=password`.
        Password = "password",
        /// POST with `grant_type=client_credentials`.
        ClientCredentials = "client_credentials",
        /// In no way that could be understood.
        Unknown = "unknown",
    }
}

label! {
    /// What became of a request for a token.
    TokenResult = "result" {
        /// All that was asked for.
        Granted = "granted",
        /// A part of it.
        Reduced = "reduced",
        /// A token that allows nothing of what was asked for.
        Empty = "empty",
        /// No token.
        Refused = "refused",
    }
}

label! {
    /// Why credentials were not accepted.
    LoginFailure = "reason" {
        /// Name and password.
        Password = "password",
        /// An API key.
        ApiKey = "api_key",
        /// A token: expired, forged, or not for this.
        Token = "token",
        /// An OAuth2 client and its secret.
        Client = "client",
        /// More than one kind of credentials.
        Several = "several",
        /// Too many log-ins at once.
        Busy = "busy",
        /// A directory could not be asked.
        Unavailable = "unavailable",
    }
}

label! {
    /// By what a log-in was slowed down or turned away.
    Throttle = "by" {
        /// The client's address.
        Address = "address",
        /// The account, from this address.
        Account = "account",
    }
}

label! {
    /// A memory.
    CacheKind = "cache" {
        /// Verified tokens.
        Token = "token",
        /// Decisions for tokens.
        Decision = "decision",
        /// Verified passwords.
        Password = "password",
    }
}

/// Whether what was looked for was there.
impl Label for bool {
    const NAME: &'static str = "result";
    const VALUES: &'static [&'static str] = &["miss", "hit"];

    fn index(self) -> usize {
        self.into()
    }
}

label! {
    /// What a member of the authn chain said.
    Answer = "outcome" {
        /// Known, and the password is right.
        Accepted = "accepted",
        /// Not known here.
        Unknown = "unknown",
        /// Known, and the password is wrong.
        Wrong = "wrong",
        /// Too many at once.
        Busy = "busy",
        /// It could not say.
        Unavailable = "unavailable",
    }
}

label! {
    /// What came of a request to an upstream.
    Outcome = "outcome" {
        /// A 1xx or 2xx.
        Success = "2xx",
        /// A 3xx.
        Redirect = "3xx",
        /// A 4xx.
        ClientError = "4xx",
        /// A 5xx.
        ServerError = "5xx",
        /// No connection.
        Connect = "connect",
        /// The connection ended without an answer, or what came was none.
        Broken = "broken",
        /// No answer in time, or the upstream stopped reading.
        Timeout = "timeout",
        /// The client broke off, or stopped sending.
        Client = "client",
        /// As many requests waited as may.
        QueueFull = "queue_full",
        /// It waited too long for its turn.
        QueueTimeout = "queue_timeout",
    }
}

impl Outcome {
    /// Of an answer with this status.
    pub fn of_status(code: u16) -> Self {
        match code {
            0..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

label! {
    /// Why a request was sent to an upstream once more.
    Retry = "reason" {
        /// A kept connection had been closed meanwhile.
        Stale = "stale",
        /// No connection, or none in time.
        Connect = "connect",
        /// The connection ended without an answer.
        Broken = "broken",
        /// The answer was a 502, 503 or 504.
        Status = "status",
    }
}

label! {
    /// Whether a connection to an upstream had to be opened.
    Link = "kind" {
        /// It had.
        New = "new",
        /// A kept one was used.
        Kept = "kept",
    }
}

label! {
    /// How a reload ended.
    Reload = "result" {
        /// The new configuration is in force.
        Success = "success",
        /// The old one stays.
        Failure = "failure",
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES, Label, Status};
    use crate::access_log::Decision;

    #[test]
    fn a_status_is_told_by_its_code_or_by_its_class() {
        assert!(CODES.is_sorted() && Status::VALUES.len() == CODES.len() + 6);
        for code in 0..=u16::MAX {
            let value = Status::VALUES[Status::new(code).index()];
            match code {
                _ if CODES.contains(&code) => assert_eq!(value, code.to_string()),
                100..=599 => assert_eq!(value, format!("{}xx", code / 100)),
                _ => assert_eq!(value, "other"),
            }
        }
    }

    #[test]
    fn decisions_have_the_words_of_the_log() {
        for decision in [
            Decision::Allowed,
            Decision::Denied,
            Decision::Challenged,
            Decision::Refused,
            Decision::Public,
            Decision::Own,
        ] {
            assert_eq!(Decision::VALUES[decision.index()], decision.as_str());
        }
    }
}
