//! Why a token is refused.

use std::fmt;

use crate::keys::Algorithm;

/// A part of a compact JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first.
    Header,
    /// The second.
    Payload,
    /// The third.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

/// Why a token is refused. The texts are fit for `error_description` (RFC 6750 section 3): no quotes, no backslash, ASCII,
/// and nothing that the token itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Over [`MAX_TOKEN`](super::MAX_TOKEN) bytes.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts with dots between them.
    #[error("the token is not a signed JWT of three parts")]
    NotThreeParts,
    /// Padding, white space, stray bits, or a foreign alphabet.
    #[error("the token's {0} is not canonical Base64url")]
    Encoding(Part),
    /// No JSON object.
    #[error("the token's {0} is not a JSON object")]
    Json(Part),
    /// A name twice in one object, at any depth: two readers could see two different tokens.
    #[error("the token's {0} holds a name twice")]
    Duplicate(Part),
    /// `typ` is there and is not `JWT`.
    #[error("the token is of another type than JWT")]
    WrongType,
    /// A header member that would have us trust what the token brings along, or do what we do not know.
    #[error("the token's header holds {0}, which is not accepted")]
    ForbiddenHeader(&'static str),
    /// A header member that is needed and is missing, or of the wrong type.
    #[error("the token's header has no usable {0}")]
    Header(&'static str),
    /// No key of ours has this `kid`.
    #[error("the token was signed with an unknown key")]
    UnknownKey,
    /// `alg` is not the one algorithm of the key.
    #[error("the token's alg is not {0}, the algorithm of its key")]
    WrongAlgorithm(Algorithm),
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// A claim is missing.
    #[error("the token has no claim {0}")]
    MissingClaim(&'static str),
    /// A claim is of the wrong type or holds what we never issue.
    #[error("the token's claim {0} has the wrong form")]
    BadClaim(&'static str),
    /// `iss` is not ours.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `aud` is none of ours.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `exp` has come.
    #[error("the token expired {seconds} s ago")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// `nbf` or `iat` has not.
    #[error("the token is not valid for another {seconds} s")]
    NotYetValid {
        /// How long it takes.
        seconds: u64,
    },
    /// Our own, but without the private claim: minted for an upstream, and no good here.
    #[error("the token was not issued for use at this gateway")]
    NotForUs,
}
