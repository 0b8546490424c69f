//! Which configuration is in force, as `/readyz` tells it: the one on disk, or another, and why.

use std::fmt;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What there is to say of the configuration beyond that it is in force.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    refused: Option<Refused>,
    /// Keys whose new values wait for a restart.
    waiting: Vec<&'static str>,
}

#[derive(Debug)]
struct Refused {
    /// When the first of those was read that were refused without one between them that was not.
    since: SystemTime,
    why: String,
}

impl Configuration {
    /// What is on disk is in force, but for the keys that wait for a restart.
    pub(super) fn applied(&mut self, waiting: Vec<&'static str>) {
        *self = Self { refused: None, waiting };
    }

    /// What is on disk is not in force, and why: one line without secrets.
    pub(super) fn refused(&mut self, why: &str, now: SystemTime) {
        let since = self.refused.as_ref().map_or(now, |before| before.since);
        let why = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.refused = Some(Refused { since, why });
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let refused = self.refused.as_ref().map(|Refused { since, why }| {
            format!(
                "configuration: what is on disk is invalid since {}, and the one before stays in force: {why}",
                Written(*since)
            )
        });
        let waiting = (!self.waiting.is_empty())
            .then(|| format!("configuration: waiting for a restart: {}", self.waiting.join(", ")));
        refused.into_iter().chain(waiting)
    }
}

/// A time in whole seconds, UTC.
struct Written(SystemTime);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from(self.0);
        let time = time.replace_nanosecond(0).unwrap_or(time);
        f.write_str(&time.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Configuration;

    fn lines(configuration: &Configuration) -> Vec<String> {
        configuration.lines().collect()
    }

    #[test]
    fn what_is_refused_is_so_since_the_first_time() {
        let mut configuration = Configuration::default();
        assert!(lines(&configuration).is_empty());
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 250);
        configuration.refused("gateway.toml:1:2: one", at(60));
        configuration.refused("gateway.toml:3:4: two\nready", at(90));
        let expected = "configuration: what is on disk is invalid since 1970-01-01T00:01:00Z, and the one before stays in \
                        force: gateway.toml:3:4: two ready";
        assert_eq!(lines(&configuration), [expected]);
        configuration.applied(vec![]);
        assert!(lines(&configuration).is_empty());
        configuration.refused("three", at(120));
        assert!(lines(&configuration)[0].contains("since 1970-01-01T00:02:00Z"));
    }

    #[test]
    fn keys_wait_until_the_next_reload_even_while_one_is_refused() {
        let mut configuration = Configuration::default();
        configuration.applied(vec!["server.listen", "server.workers"]);
        assert_eq!(lines(&configuration), ["configuration: waiting for a restart: server.listen, server.workers"]);
        configuration.refused("x", UNIX_EPOCH);
        assert_eq!(lines(&configuration).len(), 2);
    }
}
