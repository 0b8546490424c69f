//! Signing keys (stub: being written).

/// How a key's `kid` is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyIdFormat {
    /// The JWK thumbprint of RFC 7638.
    #[default]
    Rfc7638,
    /// libtrust's fingerprint, which distribution 2.x looks keys up by.
    Libtrust,
}
