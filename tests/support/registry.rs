//! Debian's docker-registry on loopback, with its access log read back.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use super::http::{Reply, Request, get};
use super::process::{Server, command, program};
use super::{port, until};

/// A running registry with a storage of its own.
pub(crate) struct Registry {
    server: Server,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    storage: PathBuf,
    markers: AtomicUsize,
}

/// One line of its access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// The request method.
    pub(crate) method: String,
    /// Path and query, as they arrived.
    pub(crate) target: String,
    /// The status that it answered.
    pub(crate) status: u16,
}

impl Registry {
    /// Starts one without any authentication.
    pub(crate) fn start(dir: &Path) -> Self {
        (0..20)
            .find_map(|_| Self::try_start(dir, port::free(), ""))
            .expect("no port stayed free until docker-registry bound it")
    }

    /// Starts one on `port`, with `auth` (an `auth:` section in YAML) in its configuration as it is; none when the port
    /// has been taken meanwhile.
    pub(crate) fn try_start(dir: &Path, port: u16, auth: &str) -> Option<Self> {
        let home = dir.join("registry");
        let storage = home.join("storage");
        std::fs::create_dir_all(&storage).unwrap();
        let mut config = format!(
            "version: 0.1\n\
             log: {{level: warn, accesslog: {{disabled: false}}}}\n\
             storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n  \
             maintenance: {{uploadpurging: {{enabled: false}}}}\n\
             http: {{addr: '127.0.0.1:{port}', secret: e2e}}\n",
            storage.display()
        );
        writeln!(config, "{auth}").unwrap();
        let file = home.join("config.yml");
        std::fs::write(&file, config).unwrap();
        let program = program("docker-registry", "docker-registry");
        let mut command = command(&program, &home);
        command.arg("serve").arg(&file);
        let ready = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let server = Server::start("docker-registry", &mut command, &home.join("log"), ready).ok()?;
        Some(Self { server, port, storage, markers: AtomicUsize::new(0) })
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Every request that it has answered so far, those of [`Registry::accesses`] itself left out.
    pub(crate) fn accesses(&self) -> Vec<Access> {
        // A line is written after its answer: a request of our own shows when the log has caught up.
        let marker = format!("/v2/marker-{}/", self.markers.fetch_add(1, Ordering::Relaxed));
        get(self.port, &marker, None);
        let log = until("the registry logs a request", Duration::from_secs(10), || {
            let log = self.server.log();
            log.contains(&marker).then_some(log)
        });
        log.lines().filter_map(parse).filter(|access| !access.target.starts_with("/v2/marker-")).collect()
    }

    /// The requests below `/v2/repository/`.
    pub(crate) fn accesses_of(&self, repository: &str) -> Vec<Access> {
        let prefix = format!("/v2/{repository}/");
        self.accesses().into_iter().filter(|access| access.target.starts_with(&prefix)).collect()
    }

    /// Whether `repository` has the blob, asked directly.
    pub(crate) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        self.head(&format!("/v2/{repository}/blobs/{digest}")).status == 200
    }

    /// Whether `repository` has the manifest, asked directly.
    pub(crate) fn has_manifest(&self, repository: &str, reference: &str) -> bool {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
        Request::new(self.port, "GET", &target).header("Accept", accept).send().status == 200
    }

    /// Whether the storage holds a blob in any repository.
    pub(crate) fn stores(&self, digest: &str) -> bool {
        let hex = &digest["sha256:".len()..];
        self.storage.join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data").exists()
    }

    /// Every blob of the storage, by the digest that it is stored under.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let list = |dir: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
        };
        let blobs: Vec<_> =
            list(&self.storage.join("docker/registry/v2/blobs/sha256")).iter().flat_map(|dir| list(dir)).collect();
        blobs.into_iter().filter_map(|blob| {
            let name = format!("sha256:{}", blob.file_name().unwrap().to_str().unwrap());
            Some((name, std::fs::read(blob.join("data")).ok()?))
        })
    }

    fn head(&self, target: &str) -> Reply {
        Request::new(self.port, "HEAD", target).send()
    }
}

/// Apache's combined format: `peer - user [time] "METHOD target HTTP/1.1" status bytes "referer" "agent"`.
fn parse(line: &str) -> Option<Access> {
    let (_, rest) = line.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut parts = request.split(' ');
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    Some(Access { method, target, status: rest.split(' ').next()?.parse().ok()? })
}
