//! The `Authorization` header: each line of the input is the value of one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tidegate::authn::{self, Credentials};

/// Holds what is read against what stands there.
pub fn check(data: &[u8]) {
    let values: Vec<HeaderValue> =
        data.split(|&byte| byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    // An empty input is no header; an empty line is an empty one.
    let values = if data.is_empty() { Vec::new() } else { values };
    let headers: HeaderMap = values.iter().map(|value| (AUTHORIZATION, value.clone())).collect();
    let credentials = authn::basic(&headers);
    shows_no_secret(&credentials);
    let value = match &values[..] {
        [] => return assert!(matches!(credentials, Credentials::Anonymous), "no header: {credentials:?}"),
        [value] => value,
        _ => return assert!(matches!(credentials, Credentials::Malformed), "several headers: {credentials:?}"),
    };
    let text = value.to_str().ok().map(|text| text.trim_matches([' ', '\t']));
    let (scheme, rest) = text.map_or(("", ""), |text| text.split_once(' ').unwrap_or((text, "")));
    let rest = rest.trim_start_matches(' ');
    match &credentials {
        Credentials::Anonymous => {
            let nothing = matches!(rest, "" | "Og==");
            assert!(text == Some("") || (scheme.eq_ignore_ascii_case("basic") && nothing), "{value:?} was anonymous");
        }
        Credentials::Password { user, password } => {
            assert!(scheme.eq_ignore_ascii_case("basic"), "{value:?}");
            assert!(!user.is_empty() && !user.contains(':'), "{user:?}");
            assert!(!user.chars().chain(password.expose().chars()).any(char::is_control), "{user:?}");
            // One spelling in Base64, and nothing else, means these two.
            let pair = format!("{user}:{}", password.expose());
            assert_eq!(STANDARD.encode(&pair), rest);
            let parts = authn::from_parts(user, password.expose());
            assert!(
                matches!(&parts, Credentials::Password { user: name, password: word }
                    if name == user && word.expose() == password.expose()),
                "{parts:?}"
            );
        }
        Credentials::Bearer(token) => {
            assert!(scheme.eq_ignore_ascii_case("bearer") && !token.expose().is_empty());
            assert_eq!(token.expose(), rest);
        }
        Credentials::Malformed => assert_ne!(text, Some(""), "nothing is not malformed"),
    }
}

/// What a log would show holds the user's name and no more.
fn shows_no_secret(credentials: &Credentials<'_>) {
    let expected = match credentials {
        Credentials::Anonymous => "Anonymous".to_owned(),
        Credentials::Password { user, .. } => format!("Password {{ user: {user:?}, password: **** }}"),
        Credentials::Bearer(_) => "Bearer(****)".to_owned(),
        Credentials::Malformed => "Malformed".to_owned(),
    };
    assert_eq!(format!("{credentials:?}"), expected);
}
