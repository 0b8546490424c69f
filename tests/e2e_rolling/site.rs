//! A registry, two replicas in front of it, and nginx in front of those, as docs/reload.md has it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::gateway::{Gateway, Ports, Settings, cli};
use crate::support::image::Image;
use crate::support::people::{RULES, USERS};
use crate::support::process::{Server, command, program};
use crate::support::registry::Registry;
use crate::support::{digest, port, until};

/// Fields are dropped in their order, the directory last.
pub(crate) struct Site {
    _nginx: Server,
    /// Port of nginx, which is what clients call the registry.
    pub(crate) port: u16,
    replicas: [Option<Gateway>; 2],
    ports: [Ports; 2],
    settings: Settings,
    registry: Registry,
    dir: TempDir,
}

impl Site {
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("tg-").tempdir().unwrap();
        let registry = Registry::start(dir.path());
        let key = dir.path().join("key.pem");
        cli(&dir.path().join("gateway.toml"), &["keys", "generate", "--out", key.to_str().unwrap()]).ok();
        let settings = Settings {
            hosts: vec!["127.0.0.1"],
            server: "trusted_proxies = [\"127.0.0.1\"]\ndrain_timeout = \"60s\"".into(),
            token: format!("keys = [\"{}\"]", key.display()),
            upstream_port: registry.port,
            upstream: "credentials = \"identity\"".into(),
            users: USERS.to_vec(),
            rest: RULES.into(),
        };
        let (mut nginx, mut port, mut ports) = (None, 0, [Ports::free(), Ports::free()]);
        for _ in 0..20 {
            (port, ports) = (port::free(), [Ports::free(), Ports::free()]);
            nginx = start_nginx(dir.path(), port, ports.map(|ports| ports.main));
            if nginx.is_some() {
                break;
            }
        }
        let nginx = nginx.expect("no port stayed free until nginx bound it");
        let mut site = Self { _nginx: nginx, port, replicas: [None, None], ports, settings, registry, dir };
        site.begin(0);
        site.begin(1);
        site
    }

    /// A new directory for a client or an image.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Starts a replica and waits until it is ready.
    pub(crate) fn begin(&mut self, replica: usize) {
        let (ports, settings) = (self.ports[replica], &self.settings);
        let home = self.dir(&format!("replica-{replica}"));
        let render = |ports: Ports| {
            // Both are called by the name of what is in front of them.
            let own = format!("public_url = [\"http://127.0.0.1:{}\"]", ports.main);
            let text = settings.render(ports);
            assert!(text.contains(&own));
            text.replace(&own, &format!("public_url = [\"http://127.0.0.1:{}\"]", self.port))
        };
        let begun = until("the port of the replica is free again", Duration::from_secs(30), || {
            Gateway::try_start(&home, ports, &render)
        });
        self.replicas[replica] = Some(begun);
    }

    /// Ends a replica as an orchestrator does.
    pub(crate) fn stop(&mut self, replica: usize) -> ExitStatus {
        self.replicas[replica].take().unwrap().stop_within(Duration::from_secs(60))
    }

    /// Ends a replica as a power cut does.
    pub(crate) fn kill(&mut self, replica: usize) {
        self.replicas[replica].take().unwrap().signal(Signal::KILL);
    }

    /// Asserts that every blob that is stored is what its digest says, and that these images are there, whole.
    pub(crate) fn assert_sound(&self, images: &[(String, Image)]) {
        for (name, text) in self.registry.blobs() {
            assert_eq!(digest(&text), name, "a blob is not what it is called");
        }
        for (repository, image) in images {
            assert!(self.registry.has_manifest(repository, "v1"), "{repository}");
            // docker makes a manifest and layers of its own.
            if repository.starts_with("team/skopeo") {
                for blob in image.layers.iter().chain([&image.config]) {
                    assert!(self.registry.has_blob(repository, blob), "{repository} {blob}");
                }
            }
        }
    }
}

fn start_nginx(dir: &Path, port: u16, gateways: [u16; 2]) -> Option<Server> {
    let home = dir.join("nginx");
    std::fs::create_dir_all(&home).unwrap();
    let [first, second] = gateways;
    let at = home.display();
    let text = format!(
        r"daemon off;
user root;
worker_processes 1;
pid {at}/pid;
error_log {at}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log {at}/access.log;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;

    upstream gateways {{
        server 127.0.0.1:{first} max_fails=0;
        server 127.0.0.1:{second} max_fails=0;
    }}

    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            proxy_pass http://gateways;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_next_upstream error timeout;
            proxy_connect_timeout 2s;
            proxy_read_timeout 300s;
        }}
    }}
}}
"
    );
    let config = home.join("nginx.conf");
    std::fs::write(&config, text).unwrap();
    let mut nginx = command(&program("nginx", "nginx-light"), &home);
    nginx.arg("-c").arg(&config).arg("-p").arg(&home).args(["-e", "stderr"]);
    Server::start("nginx", &mut nginx, &home.join("log"), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        .ok()
}
