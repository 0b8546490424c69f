//! The site that most tests use: a registry, a gateway in front of it, four people and what they may do.

use std::path::PathBuf;

use tempfile::TempDir;

pub(crate) use crate::support::client::denied;
use crate::support::gateway::{Gateway, Settings};
use crate::support::image::Image;
pub(crate) use crate::support::people::{ALICE, BOB, CAROL};
use crate::support::people::{RULES, USERS};
use crate::support::registry::{Access, Registry};

/// The site's settings, with the registry at `upstream_port`.
pub(crate) fn settings(upstream_port: u16) -> Settings {
    Settings {
        hosts: vec!["127.0.0.1"],
        server: String::new(),
        token: String::new(),
        upstream_port,
        upstream: "credentials = \"identity\"".into(),
        users: USERS.to_vec(),
        rest: RULES.into(),
    }
}

/// A registry with a gateway in front of it. Fields are dropped in their order, the directory last.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) registry: Registry,
    dir: TempDir,
}

impl Site {
    /// With the usual settings.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// With settings that `change` has changed.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = directory();
        let registry = Registry::start(dir.path());
        let mut settings = settings(registry.port);
        change(&mut settings);
        let gateway = Gateway::start(dir.path(), &settings);
        Self { gateway, registry, dir }
    }

    /// The parts put together by a test.
    pub(crate) fn of(gateway: Gateway, registry: Registry, dir: TempDir) -> Self {
        Self { gateway, registry, dir }
    }

    /// `127.0.0.1:port` of the gateway, which is what clients call the registry.
    pub(crate) fn host(&self) -> String {
        self.gateway.host()
    }

    /// `127.0.0.1:port/repository`.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
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

    /// Asserts that `target` got `blobs` from `source` by mounting them, and not by uploading them once more.
    #[track_caller]
    pub(crate) fn assert_mounted(&self, source: &str, target: &str, mounts: usize) {
        let accesses = self.registry.accesses_of(target);
        let from = [format!("from={source}"), format!("from={}", source.replace('/', "%2F"))];
        let mounted = accesses.iter().filter(|access| {
            access.method == "POST" && access.status == 201 && from.iter().any(|from| access.target.contains(from))
        });
        assert_eq!(mounted.count(), mounts, "layers mounted from {source}: {accesses:#?}");
    }

    /// Asserts that alice's client knew the layers of `team/app` to be in private/app, that it asked for them there, and
    /// that it uploaded all of them, with the configuration, because they were not given.
    #[track_caller]
    pub(crate) fn assert_not_mounted_from_private(&self, layers: usize) {
        let log = self.gateway.log();
        let asks = |line: &str| {
            ["\"event\":\"token\"", "\"subject\":\"alice\"", "repository:private/app:pull"]
                .iter()
                .all(|part| line.contains(part))
        };
        assert!(log.lines().any(asks), "a token is asked for that reaches private/app");
        let accesses = self.registry.accesses_of("team/app");
        let mounts =
            accesses.iter().filter(|access| access.target.contains("from=") || access.target.contains("mount="));
        assert_eq!(mounts.count(), 0, "no mount is forwarded: {accesses:#?}");
        assert_eq!(self.uploads("team/app"), layers + 1, "{accesses:#?}");
        assert!(self.registry.has_manifest("team/app", "v1"));
    }

    /// How many blobs were uploaded to `repository` from their first to their last byte.
    pub(crate) fn uploads(&self, repository: &str) -> usize {
        let done = |access: &&Access| {
            access.method == "PUT" && access.status == 201 && access.target.contains("/blobs/uploads/")
        };
        self.registry.accesses_of(repository).iter().filter(done).count()
    }

    /// Asserts that nothing was changed in `repository`: no request but reading ones has reached the registry.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, repository: &str) {
        let accesses = self.registry.accesses_of(repository);
        let reading = |access: &Access| matches!(access.method.as_str(), "GET" | "HEAD");
        assert!(accesses.iter().all(reading), "only reading requests should have come: {accesses:#?}");
    }
}

/// A directory with a short path: Unix sockets will stand in it.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("tg-").tempdir().unwrap()
}
