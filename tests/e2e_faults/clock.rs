//! A wall clock that jumps under the gateway's feet, by libfaketime; the monotonic one goes on as clocks do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tidegate::authn::KeyHash;
use tidegate::clock::Clock;
use tidegate::secret::Secret;

use crate::site::{directory, holds, settings, upload};
use crate::support::gateway::{Gateway, Settings, binary};
use crate::support::http::{Reply, Request};
use crate::support::people::{ALICE, BOB};
use crate::support::process::command;
use crate::support::registry::Registry;
use crate::support::{random, until};

const SOON: Duration = Duration::from_secs(20);
const KEY: &str = "tgk_of-a-program";

/// Where Debian has the library, whatever the machine.
fn library() -> PathBuf {
    let dirs = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|dir| dir.path().join("faketime/libfaketime.so.1"));
    dirs.filter(|file| file.exists())
        .min()
        .expect("libfaketime is not installed: apt-get install libfaketime (tests/run installs it)")
}

/// A gateway whose clock this test sets.
struct Site {
    gateway: Gateway,
    _registry: Registry,
    dir: tempfile::TempDir,
}

impl Site {
    fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = directory();
        let registry = Registry::start(dir.path());
        let mut settings = settings(registry.port);
        change(&mut settings);
        write_offset(dir.path(), 0);
        let gateway = Gateway::start_by(dir.path(), &settings, || faked(dir.path()));
        Self { gateway, _registry: registry, dir }
    }

    /// The clock of the gateway is so many seconds ahead of ours from now on, or behind.
    fn jump(&self, offset: i64) {
        write_offset(self.dir.path(), offset);
    }

    /// The claims of a new token.
    fn token(&self) -> (String, Value) {
        use base64::Engine as _;
        let token = self.gateway.token(Some(ALICE), &["repository:team/app:pull,push"]);
        let payload = token.split('.').nth(1).unwrap();
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        (token, serde_json::from_slice(&claims).unwrap())
    }

    fn with(&self, token: &str) -> Reply {
        Request::new(self.gateway.port, "GET", "/v2/team/app/tags/list").bearer(token).send()
    }
}

fn write_offset(dir: &Path, offset: i64) {
    // Whole at once: the library reads it at every look at the clock.
    let (new, file) = (dir.join("offset.new"), dir.join("offset"));
    std::fs::write(&new, format!("{offset:+}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn faked(dir: &Path) -> Command {
    let mut command = command(Path::new("env"), dir);
    command.arg(format!("LD_PRELOAD={}", library().display()));
    command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", dir.join("offset").display()));
    command.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_RESET=1"]).arg(binary());
    command
}

/// Whether `time` is so many seconds after now, give or take some: tokens are issued a little early.
fn is_at(time: &Value, offset: i64) -> bool {
    let now = i64::try_from(Clock::System.now()).unwrap();
    (time.as_i64().unwrap() - now - offset).abs() < 120
}

#[test]
fn a_jump_forward_ends_what_is_over_and_nothing_else() {
    let site = Site::start(|_| {});
    upload(&site.gateway, &random(1000)).expect(201);
    let (old, claims) = site.token();
    assert!(is_at(&claims["iat"], 0), "{claims}");
    // 404: the registry has been asked, and knows of no tags.
    site.with(&old).expect(404);

    site.jump(200);
    site.with(&old).expect(404);
    site.jump(3600);
    let refused = site.with(&old).expect(401);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\"") && challenge.contains("expired"), "{challenge}");
    // A client asks for another one then, and with a password nothing has changed.
    let (new, claims) = site.token();
    assert!(is_at(&claims["iat"], 3600), "{claims}");
    site.with(&new).expect(404);
    upload(&site.gateway, &random(1000)).expect(201);
    let wrong = Request::new(site.gateway.port, "GET", "/v2/").basic(ALICE.0, "wrong").send();
    wrong.expect(401);
}

#[test]
fn a_jump_back_makes_no_token_live_longer_than_its_own_time_says() {
    let site = Site::start(|_| {});
    site.jump(3600);
    let (late, claims) = site.token();
    assert!(is_at(&claims["iat"], 3600), "{claims}");
    site.with(&late).expect(404);
    site.jump(0);
    // It is not good yet: no leeway here, whatever was remembered of it.
    let refused = site.with(&late).expect(401);
    assert!(refused.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    let (now, _) = site.token();
    site.with(&now).expect(404);
    upload(&site.gateway, &random(1000)).expect(201);
    // Once its time has come it is good, and then over.
    site.jump(3600);
    site.with(&late).expect(404);
    site.with(&now).expect(401);
    site.jump(7200);
    site.with(&late).expect(401);
}

#[test]
fn what_has_an_end_of_its_own_ends_by_the_clock() {
    let hash = KeyHash::of(&Secret::new(KEY)).to_text();
    let site = Site::start(|settings| {
        let _ = write!(
            settings.rest,
            "[api_keys.program]\nhash = \"{hash}\"\nexpires = 2099-01-01T00:00:00Z\n\n\
             [[route]]\nprefix = \"/api/\"\nupstream = \"registry\"\nauth = \"api\"\n\n\
             [[access]]\nwho = [\"user:program\"]\npaths = [\"/api/**\"]\nmethods = [\"*\"]\n"
        );
    });
    let ask = || Request::new(site.gateway.port, "GET", "/api/x").header("X-Api-Key", KEY).send().status;
    assert_eq!(ask(), 404);
    let until_2099 = 4_070_908_800 - i64::try_from(Clock::System.now()).unwrap();
    site.jump(until_2099 + 60);
    assert_eq!(ask(), 401);
    site.jump(until_2099 - 600);
    assert_eq!(ask(), 404);
}

#[test]
fn time_outs_and_remembered_passwords_survive_jumps_in_both_directions() {
    let site = Site::start(|_| {});
    for offset in [0, 86_400, -86_400, 3_000_000, 0] {
        site.jump(offset);
        for _ in 0..3 {
            upload(&site.gateway, &random(1000)).expect(201);
            Request::new(site.gateway.port, "GET", "/v2/").basic(BOB.0, BOB.1).send().expect(200);
            Request::new(site.gateway.port, "GET", "/v2/").basic(BOB.0, "wrong").send().expect(401);
        }
        Request::new(site.gateway.admin, "GET", "/readyz").send().expect(200);
    }
    // Lines of the log tell the time that the gateway was told.
    let log = site.dir.path().join("gateway.log");
    let day = |offset: i64| {
        let time =
            time::OffsetDateTime::from_unix_timestamp(i64::try_from(Clock::System.now()).unwrap() + offset).unwrap();
        format!("\"time\":\"{:04}-{:02}-{:02}T", time.year(), u8::from(time.month()), time.day())
    };
    until("lines of yesterday and tomorrow are there", SOON, || {
        (holds(&log, &day(86_400)) && holds(&log, &day(-86_400))).then_some(())
    });
}
