//! The container image: what is in it, and that it serves as it is meant to be run.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dns::Dns;
use crate::support::client::podman::Podman;
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::{Ports, Settings};
use crate::support::http::{Request, get};
use crate::support::image::Image;
use crate::support::process::{Server, program, run};
use crate::support::registry::Registry;
use crate::support::until;
use crate::tools::{call, deploy, directory, root, static_binary, tool};

/// What [`build`] calls it.
pub(crate) const NAME: &str = "localhost/tidegate:test";
/// Whom the image says to run as.
pub(crate) const USER: u32 = 65532;

/// Builds the image of deploy/Dockerfile, around the static gateway, into podman's storage.
pub(crate) fn build(podman: &Podman) {
    // The files that the build may see are named in .dockerignore, so that the program is put where that expects it.
    let context = podman.home.path.join("context");
    for name in ["deploy/image/etc", "deploy/image/state", "target/image"] {
        std::fs::create_dir_all(context.join(name)).unwrap();
    }
    for name in ["passwd", "group", "nsswitch.conf"] {
        let name = format!("deploy/image/etc/{name}");
        std::fs::copy(root().join(&name), context.join(&name)).unwrap();
    }
    for name in ["deploy/image/state/.keep", ".dockerignore"] {
        std::fs::copy(root().join(name), context.join(name)).unwrap();
    }
    std::fs::copy(static_binary(), context.join("target/image/tidegate")).unwrap();
    let mut buildah = podman.home.command(&program("buildah", "buildah"));
    buildah.arg("--root").arg(podman.home.path.join("root")).arg("--runroot").arg(podman.home.path.join("run"));
    buildah.args(["--storage-driver", "vfs", "build", "--isolation", "chroot", "--target", "prebuilt", "--tag", NAME]);
    run(buildah.args(["--file", &deploy("Dockerfile")]).arg(&context), "").ok();
}

#[test]
fn the_dockerfile_has_nothing_that_hadolint_objects_to() {
    let dir = directory();
    call(&tool("hadolint"), dir.path(), &["--failure-threshold", "style", &deploy("Dockerfile")]).ok();
}

#[test]
fn holds_one_static_program_and_runs_it_as_nobody() {
    let dir = directory();
    let podman = Podman::new(dir.path().to_owned());
    build(&podman);

    let inspected = podman.run(&["image", "inspect", NAME]).ok();
    let image: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    let config = &image[0]["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/bin/tidegate"]));
    assert_eq!(config["Cmd"], serde_json::json!(["serve", "--config", "/etc/tidegate/gateway.toml"]));
    // A debug build; what users build is a fourth of it.
    let size = image[0]["Size"].as_u64().unwrap();
    assert!(size < 60_000_000, "{size} bytes");

    // All of its files: no shell, no linker, no library.
    let container = podman.run(&["create", NAME]).ok();
    let tar = dir.path().join("files.tar");
    podman.run(&["export", "--output", tar.to_str().unwrap(), container.stdout.trim()]).ok();
    let listed = call(&program("tar", "tar"), dir.path(), &["--numeric-owner", "-tvf", tar.to_str().unwrap()]).ok();
    let mut files: Vec<(String, String, String)> = listed.stdout.lines().map(entry).collect();
    // Where a runtime mounts something.
    files.retain(|(name, ..)| !["dev", "proc", "sys", "run"].iter().any(|dir| name.starts_with(&format!("{dir}/"))));
    let files: Vec<[&str; 3]> = files.iter().map(|(name, mode, owner)| [name.as_str(), mode, owner]).collect();
    let root = "0/0";
    let expected = [
        ["etc/", "drwxr-xr-x", root],
        ["etc/group", "-rw-r--r--", root],
        ["etc/nsswitch.conf", "-rw-r--r--", root],
        ["etc/passwd", "-rw-r--r--", root],
        ["usr/", "drwxr-xr-x", root],
        ["usr/bin/", "drwxr-xr-x", root],
        ["usr/bin/tidegate", "-rwxr-xr-x", root],
        ["var/", "drwxr-xr-x", root],
        ["var/lib/", "drwxr-xr-x", root],
        ["var/lib/tidegate/", "drwxr-xr-x", "65532/65532"],
        ["var/lib/tidegate/.keep", "-rw-r--r--", "65532/65532"],
    ];
    assert_eq!(files, expected);
}

/// Name, mode and owner of a line of `tar -tv`.
fn entry(line: &str) -> (String, String, String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    (words[5].to_owned(), words[0].to_owned(), words[1].to_owned())
}

const REST: &str = r#"
# Of the two names one is known to DNS alone, the other to /etc/hosts alone.
[[upstream]]
name = "other"
url = "http://hosts.test:{registry}"

[[route]]
prefix = "/v2/other/"
upstream = "other"
auth = "registry"

[[authn]]
kind = "users"

[[access]]
who = ["user:alice"]
repositories = ["**"]
actions = ["pull", "push"]
"#;

const ALICE: (&str, &str) = ("alice", "alice-secret");

#[test]
fn serves_read_only_without_rights_and_finds_hosts_by_name() {
    let dir = directory();
    let podman = Podman::new(dir.path().join("podman"));
    build(&podman);
    let registry = Registry::start(dir.path());
    let dns = Dns::start();
    let settings = Settings {
        hosts: vec!["127.0.0.1"],
        server: String::new(),
        token: String::new(),
        upstream_port: registry.port,
        upstream: "credentials = \"none\"".into(),
        users: vec![(ALICE.0, ALICE.1, &[])],
        rest: REST.replace("{registry}", &registry.port.to_string()),
    };
    let (mut container, ports) = start(dir.path(), &podman, &settings, &dns);

    until("both upstreams answer", Duration::from_secs(30), || {
        (get(ports.admin, "/readyz", None).text().trim() == "ready").then_some(())
    });
    let skopeo = Skopeo::new(subdirectory(dir.path(), "skopeo"));
    let image = Image::make(&subdirectory(dir.path(), "image"), 2, 64);
    let host = format!("127.0.0.1:{}", ports.main);
    skopeo.login(&host, ALICE).ok();
    skopeo.push(ALICE, &image, &format!("{host}/team/app")).ok();
    skopeo.pull(Some(ALICE), &format!("{host}/team/app:v1"), "pulled").ok();
    skopeo.pull(None, &format!("{host}/team/app:v1"), "refused").failed(1);
    skopeo.push(ALICE, &image, &format!("{host}/other/app")).ok();
    assert!(registry.has_manifest("other/app", "v1"));

    let pid = podman.run(&["inspect", "--format", "{{.State.Pid}}", "tidegate"]).ok();
    let process = Path::new("/proc").join(pid.stdout.trim());
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(field("Uid:"), [USER.to_string().as_str(); 4].join("\t"));
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("CapEff:").trim_start_matches('0'), "");
    assert_eq!(field("CapBnd:").trim_start_matches('0'), "");
    assert_eq!(field("Seccomp:"), "2", "the runtime's filter is in force");
    let mounts = std::fs::read_to_string(process.join("mountinfo")).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    assert!(root.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro"), "{root}");
    let shell = podman.run(&["exec", "tidegate", "/bin/sh", "-c", "true"]);
    assert!(!shell.status.success() && shell.stderr.contains("no such file or directory"), "{shell}");

    // podman passes the signal on, and ends as the gateway does.
    assert_eq!(container.stop().code(), Some(0), "drained");
    assert!(container.log().contains("\"event\":\"token\""), "its lines come out of the container");
}

/// Runs the image as docs/deployment.md does, on ports that are free, and waits until it is ready.
fn start(dir: &Path, podman: &Podman, settings: &Settings, dns: &Dns) -> (Server, Ports) {
    let state = subdirectory(dir, "state");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    chown(&state, Some(USER), Some(USER)).unwrap();
    let config = dir.join("gateway.toml");
    let try_start = || {
        let ports = Ports::free();
        let text = settings.render(ports).replace(
            &format!("url = \"http://127.0.0.1:{}\"", settings.upstream_port),
            &format!("url = \"http://dns.test:{}\"", settings.upstream_port),
        );
        std::fs::write(&config, text.replace("state_dir = \"state\"", "state_dir = \"/var/lib/tidegate\"")).unwrap();
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&config, Some(USER), Some(USER)).unwrap();
        let mut command = podman.command();
        command.args(["--runtime", program("runc", "runc").to_str().unwrap(), "run", "--rm", "--replace"]);
        command.args(["--name", "tidegate", "--network", "host", "--read-only", "--read-only-tmpfs=false"]);
        command.args(["--cap-drop", "all", "--security-opt", "no-new-privileges"]);
        // What podman asks for by itself may be more than this machine lets it have.
        command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]);
        command.args(["--dns", &dns.address.to_string(), "--add-host", "hosts.test:127.0.0.1"]);
        command.args(["--volume", &format!("{}:/etc/tidegate/gateway.toml:ro", config.display())]);
        command.args(["--volume", &format!("{}:/var/lib/tidegate", state.display()), NAME]);
        let ready = || Request::new(ports.admin, "GET", "/readyz").try_send().is_some_and(|reply| reply.status == 200);
        Server::start("tidegate", &mut command, &dir.join("container.log"), ready).ok().map(|server| (server, ports))
    };
    (0..20).find_map(|_| try_start()).expect("no ports stayed free until the gateway bound them")
}

fn subdirectory(dir: &Path, name: &str) -> PathBuf {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
