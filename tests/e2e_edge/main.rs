//! TLS, client certificates and HTTP/2 as clients meet them that were not written for this: curl, openssl and skopeo.
//!
//! A missing program fails its tests with the name of the package to install; `tests/run` installs them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;

use tempfile::TempDir;

use support::client::docker::Docker;
use support::client::skopeo::{Skopeo, to};
use support::digest;
use support::gateway::{Gateway, Ports};
use support::image::Image;
use support::pki::{Authority, Wanted};
use support::process::{Finished, command, program, run};
use support::registry::Registry;

/// May pull from `shown/`, and nothing else.
const BOB: (&str, &str) = ("bob", "bob-secret");

/// A gateway with TLS in front of a real registry, a certificate of alice's, and one of nobody's.
struct Site {
    gateway: Gateway,
    registry: Registry,
    authority: Authority,
    dir: TempDir,
}

impl Site {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("Test authority");
        let server = authority.serve("server", &["localhost"]).display().to_string();
        for (folder, name) in [("alice", "alice"), ("stranger", "mallory")] {
            authority.issue(&Wanted { common_name: name, ..Wanted::default() }).write(&authority.dir().join(folder));
        }
        let registry = Registry::start(dir.path());
        let (ca, upstream) = (authority.file().display().to_string(), registry.port);
        let hash = bcrypt::hash(BOB.1, 4).unwrap();
        let plain = dir.path().join("plain.sock").display().to_string();
        let render = |Ports { main, admin }: Ports| {
            format!(
                "[server]\nlisten = [\"127.0.0.1:{main}\", \"unix:{plain}\"]\npublic_url = \"https://localhost:{main}\"\n\
                 tls = {{ cert = \"{server}/tls.crt\", key = \"{server}/tls.key\", client_ca = \"{ca}\" }}\n\
                 [admin]\nlisten = \"127.0.0.1:{admin}\"\n\
                 [[upstream]]\nname = \"registry\"\nurl = \"http://127.0.0.1:{upstream}\"\n\
                 [[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n\
                 [users.bob]\npassword_hash = \"{hash}\"\n\
                 [[authn]]\nkind = \"client-certificate\"\n[[authn]]\nkind = \"users\"\n\
                 [[access]]\nwho = [\"user:alice\"]\nrepositories = [\"team/**\"]\nactions = [\"*\"]\n\
                 [[access]]\nwho = [\"user:alice\", \"user:bob\"]\nrepositories = [\"shown/**\"]\nactions = [\"pull\"]\n"
            )
        };
        let gateway = (0..20)
            .find_map(|_| Gateway::try_start(dir.path(), Ports::free(), &render))
            .expect("no ports stayed free until the gateway bound them");
        Self { gateway, registry, authority, dir }
    }

    fn file(&self, name: &str) -> String {
        self.authority.dir().join(name).display().to_string()
    }

    /// curl of `/v2/`, with its status, protocol and client errors.
    fn curl(&self, args: &[&str]) -> Finished {
        let mut curl = command(&program("curl", "curl"), self.dir.path());
        curl.args([
            "-sS",
            "-m",
            "30",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version} %{http_code}",
            "--cacert",
            &self.file("ca.crt"),
        ]);
        curl.args(args).arg(format!("https://localhost:{}/v2/", self.gateway.port));
        run(&mut curl, "")
    }

    fn certificate(&self, name: &str) -> [String; 4] {
        ["--cert".into(), self.file(&format!("{name}/tls.crt")), "--key".into(), self.file(&format!("{name}/tls.key"))]
    }
}

#[test]
fn curl_speaks_what_it_is_told_to() {
    let site = Site::start();
    let alice = site.certificate("alice");
    for (args, expected) in [(&["--http2"][..], "2 401"), (&["--http1.1"], "1.1 401"), (&["--tls-max", "1.2"], "2 401")]
    {
        assert_eq!(site.curl(args).ok().stdout, expected, "{args:?}");
        let with: Vec<&str> = args.iter().copied().chain(alice.iter().map(String::as_str)).collect();
        assert_eq!(site.curl(&with).ok().stdout, expected.replace("401", "200"), "{args:?}");
    }
    let stranger = site.certificate("stranger");
    let stranger: Vec<&str> = stranger.iter().map(String::as_str).collect();
    assert_eq!(site.curl(&stranger).ok().stdout, "2 200", "known, and with no rights at all");
}

#[test]
fn a_refused_upload_hears_why_over_http_2_too() {
    let site = Site::start();
    let layer = site.dir.path().join("layer");
    std::fs::write(&layer, vec![7; 8 << 20]).unwrap();
    let (layer, plain) = (layer.display().to_string(), site.dir.path().join("plain.sock").display().to_string());
    let (ca, alice) = (site.file("ca.crt"), site.certificate("alice"));
    let secured = ["--http2", "--cacert", &ca];
    let known = [&secured[..], &alice.each_ref().map(String::as_str)].concat();
    for (scheme, args, status, code) in [
        ("http", &["--http2-prior-knowledge", "--unix-socket", &plain][..], 401, "UNAUTHORIZED"),
        ("https", &secured, 401, "UNAUTHORIZED"),
        ("https", &known, 403, "DENIED"),
    ] {
        for run in 0..10 {
            let mut curl = command(&program("curl", "curl"), site.dir.path());
            curl.args(["-sS", "-m", "30", "-w", "\n%{http_version} %{http_code}", "-X", "PATCH", "-T", &layer])
                .args(args);
            curl.arg(format!("{scheme}://localhost:{}/v2/other/app/blobs/uploads/1", site.gateway.port));
            let answer = crate::run(&mut curl, "").ok().stdout;
            assert!(
                answer.contains(code) && answer.ends_with(&format!("\n2 {status}")),
                "{scheme}, run {run}: {answer}"
            );
        }
    }
}

#[test]
fn openssl_sees_a_chain_and_resumes() {
    let site = Site::start();
    let session = site.dir.path().join("session").display().to_string();
    let connect = format!("localhost:{}", site.gateway.port);
    let client = |more: &[&str]| {
        let mut openssl = command(&program("openssl", "openssl"), site.dir.path());
        openssl.args(["s_client", "-connect", &connect, "-servername", "localhost", "-alpn", "http/1.1", "-ign_eof"]);
        openssl.args(["-CAfile", &site.file("ca.crt"), "-verify_return_error"]).args(more);
        run(&mut openssl, "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()
    };
    let first = client(&["-sess_out", &session]);
    assert!(first.stdout.contains("Verify return code: 0 (ok)") && first.stdout.contains("HTTP/1.1 401"), "{first}");
    assert!(first.stdout.contains("ALPN protocol: http/1.1"), "{first}");
    let second = client(&["-sess_in", &session]);
    assert!(second.stdout.contains("Reused, TLSv1.3"), "{second}");
    // Names of whom certificates are wanted from.
    assert!(first.stdout.contains("CN = Test authority"), "{first}");
}

#[test]
fn skopeo_pushes_and_pulls_with_a_certificate() {
    let site = Site::start();
    let home: PathBuf = site.dir.path().join("skopeo");
    std::fs::create_dir_all(&home).unwrap();
    let skopeo = Skopeo::new(home);
    let image = Image::make(site.dir.path(), 2, 256);
    // What the directory must hold, by the names that containers/image looks for.
    let certs = site.dir.path().join("certs");
    std::fs::create_dir_all(&certs).unwrap();
    std::fs::copy(site.file("ca.crt"), certs.join("ca.crt")).unwrap();
    std::fs::copy(site.file("alice/tls.crt"), certs.join("client.cert")).unwrap();
    std::fs::copy(site.file("alice/tls.key"), certs.join("client.key")).unwrap();
    let certs = certs.display().to_string();
    let app = format!("localhost:{}/team/app", site.gateway.port);
    let source = format!("oci:{}:v1", image.oci.display());
    skopeo.run(&["copy", "--dest-cert-dir", &certs, &source, &to(&app, ":v1")]).ok();
    assert!(site.registry.has_manifest("team/app", &image.manifest));
    let out = format!("dir:{}", skopeo.home.at("out"));
    skopeo.run(&["copy", "--src-cert-dir", &certs, &to(&app, ":v1"), &out]).ok();
    for layer in &image.layers {
        assert_eq!(digest(&skopeo.pulled("out", layer)), *layer);
    }
    for name in ["other/app", "shown/app"] {
        let other = format!("localhost:{}/{name}", site.gateway.port);
        let refused = skopeo.run(&["copy", "--dest-cert-dir", &certs, &source, &to(&other, ":v1")]).failed(1);
        assert!(refused.stderr.contains("403 (Forbidden)") || refused.stderr.contains("denied: "), "{refused}");
    }
    let log = site.gateway.log();
    assert!(log.contains("\"authn\":\"client-certificate\""), "{log}");
}

#[test]
fn docker_hears_why_it_may_not_push() {
    let site = Site::start();
    let home = site.dir.path().join("d");
    std::fs::create_dir_all(&home).unwrap();
    let docker = Docker::start(home);
    docker.load(&Image::make(site.dir.path(), 2, 8 << 10));
    // dockerd asks localhost for no certificate that it knows.
    let host = format!("localhost:{}", site.gateway.port);
    docker.login(&host, BOB).ok();
    let refused = docker.push(BOB.0, &format!("{host}/shown/app:v1")).failed(1);
    assert!(refused.stderr.contains("denied: "), "{refused}");
}
