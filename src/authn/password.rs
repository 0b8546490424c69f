//! Stored password hashes: what is accepted, what each costs, and the computation itself.
//!
//! Everything here is plain and slow on purpose. What runs it off the workers and bounds it is in `hasher`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Most memory that one argon2id computation may take, in KiB: 1 GiB.
const MAX_ARGON2_MEMORY: u32 = 1024 * 1024;

/// Most work that one argon2id computation may do: KiB of memory times passes, some four seconds.
const MAX_ARGON2_WORK: u64 = 4 * 1024 * 1024;

/// The highest bcrypt cost: some four seconds.
const MAX_BCRYPT_COST: u32 = 16;

/// The bcrypt cost of new hashes.
const NEW_BCRYPT_COST: u32 = 12;

/// The fewest bytes of hash that are worth comparing.
const MIN_OUTPUT: usize = 16;

const RUN_HASH_PASSWORD: &str = "run `tidegate hash-password` to make one that is";

/// A stored hash: argon2id or bcrypt, within the cost limits. Cheap to clone; `Debug` does not show it.
#[derive(Clone)]
pub struct PasswordHash(Arc<Stored>);

#[cfg_attr(test, derive(Debug, PartialEq))]
enum Stored {
    Argon2id {
        memory: u32,
        passes: u32,
        lanes: u32,
        /// As many bytes of `bytes` are the salt; the others are the output.
        salt: usize,
        bytes: Zeroizing<Vec<u8>>,
    },
    Bcrypt {
        cost: u32,
        text: Zeroizing<String>,
    },
}

/// Why a text is no usable password hash, and what to do about it. Never shows the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HashError(pub String);

impl HashError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl PasswordHash {
    /// Parses an argon2id (`$argon2id$v=19$…`) or bcrypt (`$2a$`, `$2b$`, `$2y$`) hash.
    ///
    /// Refused is every other scheme, and costs that would let one log-in stall the gateway: argon2id over 1 GiB or
    /// over 4 GiB times passes, bcrypt over cost 16.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let stored = match scheme(text) {
            Scheme::Argon2id => match usual_argon2id(text) {
                Some(stored) => stored,
                None => argon2id(text)?,
            },
            Scheme::Bcrypt => bcrypt_entry(text)?,
            Scheme::Other(what) => {
                return Err(HashError::new(format!(
                    "{what} not supported, only argon2id and bcrypt are: {RUN_HASH_PASSWORD}"
                )));
            }
        };
        Ok(Self(Arc::new(stored)))
    }

    /// Hashes a new password with argon2id: 19 MiB, two passes, one lane, a random salt (about 25 ms). Yields the PHC
    /// string.
    pub fn new_argon2id(password: &Secret) -> Result<String, HashError> {
        let hash: Result<phc::PasswordHash, _> = Argon2::default().hash_password(password.expose().as_bytes());
        hash.map(|hash| hash.to_string()).map_err(|error| HashError(format!("hashing failed: {error}")))
    }

    /// Hashes a new password with bcrypt at cost 12, as htpasswd files hold it (`$2y$…`). Passwords of 72 bytes and
    /// more are refused: bcrypt would ignore what follows.
    pub fn new_bcrypt(password: &Secret) -> Result<String, HashError> {
        match bcrypt::non_truncating_hash_with_result(password.expose(), NEW_BCRYPT_COST) {
            Ok(parts) => Ok(parts.format_for_version(bcrypt::Version::TwoY)),
            Err(bcrypt::BcryptError::Truncation(_)) => Err(HashError::new(
                "bcrypt takes no more than 71 bytes of password; use argon2id (without --bcrypt) or a shorter password",
            )),
            Err(error) => Err(HashError(format!("hashing failed: {error}"))),
        }
    }

    /// Hands over what tells this hash from every other.
    pub(super) fn identify(&self, mut take: impl FnMut(&[u8])) {
        match &*self.0 {
            Stored::Argon2id { salt, bytes, .. } => {
                let (salt, output) = bytes.split_at(*salt);
                take(salt);
                take(output);
            }
            Stored::Bcrypt { text, .. } => take(text.as_bytes()),
        }
    }

    /// What a verification against this hash costs.
    pub fn cost(&self) -> Cost {
        match &*self.0 {
            Stored::Argon2id { memory, passes, lanes, salt, bytes } => {
                Cost(Work::Argon2id { memory: *memory, passes: *passes, lanes: *lanes, output: bytes.len() - salt })
            }
            Stored::Bcrypt { cost, .. } => Cost(Work::Bcrypt { cost: *cost }),
        }
    }

    /// Whether `password` is the one behind this hash. Takes tens of milliseconds and, for argon2id, its memory.
    pub fn verify(&self, password: &Secret) -> bool {
        let password = password.expose().as_bytes();
        match &*self.0 {
            Stored::Argon2id { memory, passes, lanes, salt, bytes } => {
                let (salt, output) = bytes.split_at(*salt);
                let mut computed = Zeroizing::new(vec![0; output.len()]);
                let Ok(params) = Params::new(*memory, *passes, *lanes, Some(output.len())) else { return false };
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2.hash_password_into(password, salt, &mut computed).is_ok()
                    && aws_lc_rs::constant_time::verify_slices_are_equal(&computed, output).is_ok()
            }
            Stored::Bcrypt { text, .. } => match bcrypt::non_truncating_verify(password, text) {
                Ok(matches) => matches,
                Err(bcrypt::BcryptError::Truncation(_)) => {
                    // Whether a password is too long must not show in how long the answer takes.
                    let _ = bcrypt::verify(password, text);
                    false
                }
                Err(_) => false,
            },
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(****)")
    }
}

/// What a verification costs: the parameters of a hash without the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(Work);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Argon2id { memory: u32, passes: u32, lanes: u32, output: usize },
    Bcrypt { cost: u32 },
}

impl Default for Cost {
    /// The cost of what [`PasswordHash::new_argon2id`] makes.
    fn default() -> Self {
        Self(Work::Argon2id {
            memory: Params::DEFAULT_M_COST,
            passes: Params::DEFAULT_T_COST,
            lanes: Params::DEFAULT_P_COST,
            output: Params::DEFAULT_OUTPUT_LEN,
        })
    }
}

impl Cost {
    /// Does the work of one verification, for nothing.
    pub fn spend(self, password: &Secret) {
        let password = password.expose().as_bytes();
        match self.0 {
            Work::Argon2id { memory, passes, lanes, output } => {
                let mut computed = Zeroizing::new(vec![0; output]);
                if let Ok(params) = Params::new(memory, passes, lanes, Some(output)) {
                    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                    let _ = argon2.hash_password_into(password, &[0; 16], &mut computed);
                }
            }
            Work::Bcrypt { cost } => {
                let _ = bcrypt::hash_with_salt(password, cost, [0; 16]);
            }
        }
    }
}

enum Scheme {
    Argon2id,
    Bcrypt,
    Other(&'static str),
}

/// Which scheme a text begins like; for what we refuse, the subject and verb of the sentence that says so.
fn scheme(text: &str) -> Scheme {
    let begins = |prefix: &str| text.starts_with(prefix);
    if begins("$argon2id$") {
        Scheme::Argon2id
    } else if begins("$2a$") || begins("$2b$") || begins("$2y$") {
        Scheme::Bcrypt
    } else if text.is_empty() {
        Scheme::Other("an empty password hash is")
    } else if begins("$argon2") {
        Scheme::Other("argon2i and argon2d are")
    } else if begins("$2") {
        Scheme::Other("this variant of bcrypt is")
    } else if begins("$apr1$") || begins("$1$") {
        Scheme::Other("MD5 entries are")
    } else if begins("$5$") || begins("$6$") {
        Scheme::Other("SHA-crypt entries are")
    } else if begins("{") {
        Scheme::Other("entries in braces, such as {SHA}, are")
    } else if begins("$") {
        Scheme::Other("this hash scheme is")
    } else {
        Scheme::Other("plain text and crypt entries are")
    }
}

/// An argon2id hash as programs write it, `$argon2id$v=19$m=…,t=…,p=…$salt$output`, within the limits. What is none may be one all the
/// same, or its mistake is to be told: [`argon2id`] says so, and takes ten times as long, which shows with very many users.
fn usual_argon2id(text: &str) -> Option<Stored> {
    let (memory, text) = number(text.strip_prefix("$argon2id$v=19$m=")?)?;
    let (passes, text) = number(text.strip_prefix(",t=")?)?;
    let (lanes, text) = number(text.strip_prefix(",p=")?)?;
    let (salt, output) = text.strip_prefix('$')?.split_once('$')?;
    let within = (USUAL_SALT.contains(&salt.len()) && USUAL_OUTPUT.contains(&output.len()))
        && memory <= MAX_ARGON2_MEMORY
        && u64::from(memory) * u64::from(passes) <= MAX_ARGON2_WORK;
    if !within {
        return None;
    }
    let (salt_len, output_len) = (salt.len() * 3 / 4, output.len() * 3 / 4);
    Params::new(memory, passes, lanes, Some(output_len)).ok()?;
    let mut bytes = Zeroizing::new(vec![0; salt_len + output_len]);
    let (salt_bytes, output_bytes) = bytes.split_at_mut(salt_len);
    let decodes = |text: &str, bytes: &mut [u8]| STANDARD_NO_PAD.decode_slice(text, bytes) == Ok(bytes.len());
    let good = decodes(salt, salt_bytes) && decodes(output, output_bytes);
    good.then_some(Stored::Argon2id { memory, passes, lanes, salt: salt_len, bytes })
}

/// Lengths of a salt in Base64, of 8 to 48 bytes.
const USUAL_SALT: std::ops::RangeInclusive<usize> = 11..=64;
/// Lengths of an output in Base64, of 16 to 64 bytes.
const USUAL_OUTPUT: std::ops::RangeInclusive<usize> = 22..=86;

/// A decimal number without leading zeros at the beginning of a text, and what follows.
fn number(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit())?);
    let plain = digits == "0" || !digits.starts_with('0');
    Some((digits.parse().ok().filter(|_| plain)?, rest))
}

fn argon2id(text: &str) -> Result<Stored, HashError> {
    let malformed = || HashError(format!("this argon2id hash is malformed or cut short: {RUN_HASH_PASSWORD} not"));
    let hash = phc::PasswordHash::new(text).map_err(|_| malformed())?;
    if hash.version != Some(0x13) {
        return Err(HashError(format!("argon2id hashes must say v=19: {RUN_HASH_PASSWORD} accepted")));
    }
    if hash.params.iter().any(|(name, _)| !matches!(name.as_str(), "m" | "t" | "p")) {
        return Err(HashError::new("argon2id hashes may set m, t and p, and nothing else"));
    }
    let (Some(salt), Some(output)) = (&hash.salt, &hash.hash) else { return Err(malformed()) };
    let params = Params::try_from(&hash).map_err(|_| malformed())?;
    if output.len() < MIN_OUTPUT {
        return Err(HashError(format!("an argon2id hash must be at least {MIN_OUTPUT} bytes long")));
    }
    if params.m_cost() > MAX_ARGON2_MEMORY {
        return Err(HashError(format!(
            "this argon2id hash takes {} MiB for each log-in; at most 1024 (m={MAX_ARGON2_MEMORY}) are accepted",
            params.m_cost() / 1024
        )));
    }
    if u64::from(params.m_cost()) * u64::from(params.t_cost()) > MAX_ARGON2_WORK {
        return Err(HashError(format!(
            "this argon2id hash takes too long for each log-in: m times t must not exceed {MAX_ARGON2_WORK}"
        )));
    }
    Ok(Stored::Argon2id {
        memory: params.m_cost(),
        passes: params.t_cost(),
        lanes: params.p_cost(),
        salt: salt.len(),
        bytes: Zeroizing::new([&**salt, output.as_bytes()].concat()),
    })
}

fn bcrypt_entry(text: &str) -> Result<Stored, HashError> {
    let parts = bcrypt::HashParts::from_str(text).map_err(|_| {
        HashError::new("this bcrypt hash is malformed or cut short: it must be 60 characters, as `htpasswd -B` prints")
    })?;
    let cost = parts.get_cost();
    if !(4..=MAX_BCRYPT_COST).contains(&cost) {
        return Err(HashError(format!("bcrypt cost {cost} is out of range: 4 to {MAX_BCRYPT_COST} are accepted")));
    }
    Ok(Stored::Bcrypt { cost, text: Zeroizing::new(text.to_owned()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cost, PasswordHash, argon2id, usual_argon2id};
    use crate::secret::Secret;

    const ARGON2: &str =
        "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn refused(text: &str) -> String {
        PasswordHash::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_made_is_accepted_and_verifies() {
        let password = Secret::new("correct horse");
        for text in [PasswordHash::new_argon2id(&password).unwrap(), PasswordHash::new_bcrypt(&password).unwrap()] {
            let hash = PasswordHash::parse(&text).unwrap();
            assert!(hash.verify(&password));
            assert!(!hash.verify(&Secret::new("correct horsf")));
            assert!(!hash.verify(&Secret::new("")));
        }
    }

    #[test]
    fn bcrypt_vectors_of_all_three_prefixes_verify() {
        for prefix in ["2a", "2b", "2y"] {
            let hash =
                PasswordHash::parse(&format!("${prefix}$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
            assert!(hash.unwrap().verify(&Secret::new("U*U")));
        }
    }

    #[test]
    fn a_password_over_72_bytes_never_matches_its_first_72() {
        let long = "x".repeat(80);
        let hash = bcrypt::hash_with_salt(&long, 4, [7; 16]).unwrap().to_string();
        assert!(!PasswordHash::parse(&hash).unwrap().verify(&Secret::new(long.clone())));
        assert!(PasswordHash::new_bcrypt(&Secret::new(long)).unwrap_err().to_string().contains("71 bytes"));
    }

    #[test]
    fn other_schemes_are_refused_with_what_to_do() {
        for (text, says) in [
            ("{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=", "{SHA}"),
            ("$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "MD5"),
            ("$6$rounds=5000$usesomesillystri$D4IrlXatmP7rx3P3InaxBeoomnAihCKRVQAr/36eYUL", "SHA-crypt"),
            ("rqXexS6ZhobKA", "crypt"),
            ("hunter2", "plain text"),
            ("$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "bcrypt"),
            ("$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "argon2i "),
            ("", "empty"),
        ] {
            let error = refused(text);
            assert!(error.contains(says), "{error}");
            assert!(error.contains("tidegate hash-password"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn costs_that_would_stall_the_gateway_are_refused() {
        assert!(PasswordHash::parse(ARGON2).is_ok());
        assert!(refused(&ARGON2.replace("m=8", "m=1048577")).contains("1024"));
        assert!(refused(&ARGON2.replace("m=8,t=1", "m=65536,t=65")).contains("too long"));
        assert!(refused(&ARGON2.replace("t=1", "t=4294967295")).contains("too long"));
        let bcrypt = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert!(refused(&bcrypt.replace("$05$", "$17$")).contains("4 to 16"));
        assert!(refused(&bcrypt.replace("$05$", "$03$")).contains("4 to 16"));
    }

    #[test]
    fn broken_hashes_are_refused() {
        for text in [
            &ARGON2[..60],
            &ARGON2.replace("v=19", "v=16"),
            &ARGON2.replace("$v=19", ""),
            &ARGON2.replace("p=1", "p=1,keyid=AAAA"),
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAA",
            "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
            "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyO€",
        ] {
            assert!(PasswordHash::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_takes_nothing_that_the_long_one_does_not(
            memory in "(0|[1-9][0-9]{0,6}|0[0-9]|\\+8|)", passes in "(0|[1-9][0-9]{0,2}|4294967296)", lanes in "(0|[1-9][0-9]{0,3})",
            salt in "[A-Za-z0-9+/]{9,66}[AQgw=]?", output in "[A-Za-z0-9+/]{20,88}[AQgw=]?", end in "(|\\$|=|é)",
        ) {
            let text = format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${output}{end}");
            if let Some(usual) = usual_argon2id(&text) {
                prop_assert_eq!(usual, argon2id(&text).map_err(|error| TestCaseError::fail(error.to_string()))?);
            }
        }
    }

    #[test]
    fn hashes_as_programs_write_them_are_taken_the_short_way() {
        for text in [ARGON2.to_owned(), PasswordHash::new_argon2id(&Secret::new("x")).unwrap()] {
            assert_eq!(usual_argon2id(&text).unwrap(), argon2id(&text).unwrap());
        }
    }

    #[test]
    fn equal_parameters_cost_the_same_and_debug_shows_no_hash() {
        let [a, b] = [ARGON2, &ARGON2.replace("AAAA$", "BBBB$")].map(|text| PasswordHash::parse(text).unwrap());
        assert_eq!(a.cost(), b.cost());
        assert_ne!(a.cost(), Cost::default());
        assert_eq!(format!("{a:?}"), "PasswordHash(****)");
    }
}
