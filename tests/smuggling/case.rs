//! What a case of the corpus is: bytes, and what must become of them.

use crate::support::gateway::Gateway;
use crate::support::site::{ALICE, BOB};
use crate::support::wire::basic;

/// One case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// What it is about; unique.
    pub(crate) name: &'static str,
    /// What is sent, as [`fill`] fills it in.
    pub(crate) sends: &'static str,
    /// What must become of it.
    pub(crate) outcome: Outcome,
}

/// What becomes of a case. A further request stands behind each in the same write, as the one that somebody would smuggle.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// One answer of this status that says `Connection: close`, then the end. Nothing goes upstream.
    Ends(u16),
    /// As [`Outcome::Ends`], but the connection may also end without any answer: these bytes are no HTTP.
    EndsOrHangsUp(u16),
    /// One answer of this status, nothing upstream. Where the request ends was never in doubt, so that what stands behind it is a
    /// request of its own.
    Refused(u16),
    /// It goes upstream as one request: this request line and this body. What stands behind it is a request of its own.
    Passes(&'static str, &'static str),
    /// The same, and the connection ends with its answer.
    PassesAndEnds(&'static str, &'static str),
    /// Its head may go upstream, its body breaks there: never a whole request, never a success, and the connection ends.
    Breaks,
}

impl Case {
    pub(crate) const fn new(name: &'static str, sends: &'static str, outcome: Outcome) -> Self {
        Self { name, sends, outcome }
    }
}

/// The bytes that a text stands for: each character up to U+00FF is the byte of its number, and of what stands in braces
///
/// - `{host}` is the gateway's authority, `{alice}` and `{bob}` are the header lines with their credentials,
/// - `{upload}` is the session of the case of this number, `{manifest}` a manifest,
/// - `{get}` and `{patch}` are the request lines of a manifest and of a part of an upload, with `Host` and alice's credentials,
/// - `{hostless}` is the request line of a manifest with alice's credentials, and `{rest}` is what stands behind a request line of hers,
/// - `{TEXT*N}` is TEXT, N times.
pub(crate) fn fill(text: &str, gateway: &Gateway, number: usize) -> Vec<u8> {
    let (host, upload) = (gateway.host(), format!("{SESSIONS}{number}"));
    let credentials = |user| format!("Authorization: {}\r\n", basic(user));
    let begin = |line: &str| format!("{line} HTTP/1.1\r\nHost: {host}\r\n{}", credentials(ALICE));
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap();
        out.push_str(before);
        let filled = match name {
            "host" => host.clone(),
            "alice" => credentials(ALICE),
            "bob" => credentials(BOB),
            "get" => begin(&format!("GET {MANIFEST}")),
            "patch" => begin(&format!("PATCH {upload}")),
            "hostless" => format!("GET {MANIFEST} HTTP/1.1\r\n{}", credentials(ALICE)),
            "rest" => format!("Host: {host}\r\n{}\r\n", credentials(ALICE)),
            "upload" => upload.clone(),
            "manifest" => MANIFEST.to_owned(),
            other => {
                let (text, count) = other.rsplit_once('*').unwrap_or_else(|| panic!("no such placeholder: {other}"));
                text.repeat(count.parse().unwrap())
            }
        };
        out.push_str(&filled);
        rest = after;
    }
    out.push_str(rest);
    out.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
}

/// Below it is an upload session for each case: what breaks off may come upstream late, and is known by its session then.
pub(crate) const SESSIONS: &str = "/v2/team/app/blobs/uploads/case-";
/// A manifest that alice may read.
pub(crate) const MANIFEST: &str = "/v2/team/app/manifests/v1";
/// The request line upstream of `{get}`.
pub(crate) const GET: &str = "GET {manifest} HTTP/1.1";
/// The request line upstream of `{patch}`.
pub(crate) const PATCH: &str = "PATCH {upload} HTTP/1.1";
