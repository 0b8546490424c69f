//! Secrets that a test has planted, and the search for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::setup::escaped;

/// What must occur nowhere: a name for messages, and the text.
pub(crate) struct Planted(Vec<(String, String)>);

impl Planted {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn plant(&mut self, what: &str, text: &str) {
        assert!(text.len() >= 8, "too short to be told from chance: {what}");
        self.0.push((what.to_owned(), text.to_owned()));
    }

    /// A user's password, plain and as it goes over the wire.
    pub(crate) fn plant_password(&mut self, user: &str, password: &str) {
        self.plant("a password", password);
        self.plant("an escaped password", &escaped(password));
        self.plant("Basic credentials", &STANDARD.encode(format!("{user}:{password}")));
    }

    /// A token: its signature, and the claims as they go over the wire.
    pub(crate) fn plant_token(&mut self, what: &str, token: &str) {
        let parts: Vec<&str> = token.split('.').collect();
        self.plant(&format!("{what}: signature"), parts[2]);
        self.plant(&format!("{what}: claims"), &parts[1][parts[1].len() / 2..]);
    }

    #[track_caller]
    pub(crate) fn absent(&self, place: &str, text: &str) {
        for (what, secret) in &self.0 {
            if let Some(at) = text.find(secret.as_str()) {
                let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
                panic!("{what} in {place}: {}", text[line..].lines().next().unwrap());
            }
        }
    }
}
