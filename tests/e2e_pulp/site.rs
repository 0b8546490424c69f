//! The site that most tests use: Pulp, a gateway in front of it, four people and what they may do.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::mode::Mode;
use crate::support::gateway::Gateway;
use crate::support::image::Image;
pub(crate) use crate::support::people::{ALICE, BOB, CAROL};
use crate::support::pulp::{Access, App, lasting};

/// What the tests of a mode share, for as long as the process lasts.
struct Shared {
    gateway: Gateway,
    api: App,
    sites: AtomicUsize,
}

impl Shared {
    fn of(mode: Mode) -> &'static Self {
        static HEADER: OnceLock<Shared> = OnceLock::new();
        static TOKEN: OnceLock<Shared> = OnceLock::new();
        static MINTED: OnceLock<Shared> = OnceLock::new();
        static HYBRID: OnceLock<Shared> = OnceLock::new();
        let shared = match mode {
            Mode::Header => &HEADER,
            Mode::Token => &TOKEN,
            Mode::Minted => &MINTED,
            Mode::Hybrid => &HYBRID,
        };
        shared.get_or_init(|| lasting(move || Self::start(mode)))
    }

    fn start(mode: Mode) -> Self {
        let (gateway, api) = mode.start();
        Self { gateway, api, sites: AtomicUsize::new(0) }
    }
}

/// A test's own view of a gateway in front of Pulp: its repositories are no other test's.
pub(crate) struct Site {
    pub(crate) gateway: &'static Gateway,
    pub(crate) api: &'static App,
    number: usize,
    dir: TempDir,
}

impl Site {
    /// In front of a Pulp in that mode.
    pub(crate) fn start(mode: Mode) -> Self {
        let shared = Shared::of(mode);
        let number = shared.sites.fetch_add(1, Ordering::Relaxed);
        // Short: Unix sockets will stand in it.
        let dir = tempfile::Builder::new().prefix("tg-").tempdir().unwrap();
        Self { gateway: &shared.gateway, api: &shared.api, number, dir }
    }

    /// `127.0.0.1:port` of the gateway, which is what clients call the registry.
    pub(crate) fn host(&self) -> String {
        self.gateway.host()
    }

    /// This test's own repository for `name`: `team/app` is `team/3/app`.
    pub(crate) fn name(&self, name: &str) -> String {
        let (first, rest) = name.split_once('/').unwrap();
        format!("{first}/s{}/{rest}", self.number)
    }

    /// `127.0.0.1:port/repository` for [`Site::name`].
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{}", self.host(), self.name(name))
    }

    /// A new directory of that name for a client or an image.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// An image of two layers that no other test has.
    pub(crate) fn image(&self, name: &str) -> Image {
        Image::make(&self.dir(name), 2, 64)
    }

    /// What has reached Pulp of requests about the repository for `name`.
    pub(crate) fn accesses(&self, name: &str) -> Vec<Access> {
        self.api.accesses_of(&self.name(name))
    }

    /// Asserts that no request about the repository for `name` has reached Pulp.
    #[track_caller]
    pub(crate) fn assert_unseen(&self, name: &str) {
        let accesses = self.accesses(name);
        assert!(accesses.is_empty(), "nothing about {name} should have reached Pulp: {accesses:#?}");
    }

    /// Asserts that no request but reading ones about the repository for `name` has reached Pulp.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, name: &str) {
        let accesses = self.accesses(name);
        let reading = |access: &Access| matches!(access.method.as_str(), "GET" | "HEAD");
        assert!(accesses.iter().all(reading), "only reading requests should have come: {accesses:#?}");
    }

    /// Asserts that `target` got `mounts` blobs from `source` by mounting them.
    #[track_caller]
    pub(crate) fn assert_mounted(&self, source: &str, target: &str, mounts: usize) {
        let accesses = self.accesses(target);
        let source = self.name(source);
        let from = [format!("from={source}"), format!("from={}", source.replace('/', "%2F"))];
        let mounted = accesses.iter().filter(|access| {
            access.method == "POST" && access.status == 201 && from.iter().any(|from| access.target.contains(from))
        });
        assert_eq!(mounted.count(), mounts, "layers mounted from {source}: {accesses:#?}");
    }
}

impl Drop for Site {
    #[expect(clippy::print_stderr, reason = "the logs of servers are what explains a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (name, log) in [("the gateway", self.gateway.log()), ("Pulp", self.api.log())] {
                // Other tests are busy too.
                let ours = format!("/s{}/", self.number);
                let about = log.lines().filter(|line| line.contains(&ours) || line.contains("ERROR"));
                let lines: Vec<String> = about.map(|line| line.chars().take(600).collect()).collect();
                let tail = &lines[lines.len().saturating_sub(30)..];
                eprintln!("--- the end of what {name} logged of this test\n{}\n---", tail.join("\n"));
            }
        }
    }
}

/// What a log holds, once it has this much of it: lines are written after the answer that they tell of.
pub(crate) fn settled<T>(count: usize, read: impl Fn() -> Vec<T>) -> Vec<T> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let found = read();
        if found.len() >= count || std::time::Instant::now() > deadline {
            return found;
        }
        crate::support::pause(std::time::Duration::from_millis(20));
    }
}
