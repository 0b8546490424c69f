//! Full disks: for bodies that are kept, for logs, and for state.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::site::{ask, directory, settings, upload};
use crate::support::gateway::{Gateway, Settings, binary};
use crate::support::http::{Request, connect, read_reply};
use crate::support::people::ALICE;
use crate::support::process::{command, descriptors, program, run};
use crate::support::registry::Registry;
use crate::support::{digest, random, until};

const KIB: usize = 1024;
const SOON: Duration = Duration::from_secs(20);

/// A disk that only the gateway sees, and this process through it.
struct Disk(PathBuf);

impl Disk {
    fn of(gateway: &Gateway, place: &str) -> Self {
        let dir = gateway.config.parent().unwrap().strip_prefix("/").unwrap();
        Self(Path::new("/proc").join(gateway.id().to_string()).join("root").join(dir).join(place))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.0.join("filler")).unwrap();
        for size in [4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives it back.
    fn clear(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

fn start(settings: &Settings, dir: &Path) -> (Gateway, Disk) {
    let gateway = Gateway::start_with_disk(dir, settings, "disk", 256 * KIB);
    let disk = Disk::of(&gateway, "disk");
    (gateway, disk)
}

/// Settings with these lines of `[log]`.
fn logging(upstream_port: u16, lines: &str) -> Settings {
    let mut settings = settings(upstream_port);
    let _ = write!(settings.rest, "\n[log]\n{lines}\n");
    settings.server.push_str("\nworkers = 2\ndrain_timeout = \"1s\"");
    settings
}

/// A request of alice's that nobody has answered yet.
fn asked(gateway: &Gateway) -> std::net::TcpStream {
    let mut stream = connect(gateway.port);
    let request = format!("GET /token?service={0} HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", gateway.host());
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[test]
fn audit_lines_that_have_no_room_hold_requests_up_and_none_is_lost() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let (gateway, disk) =
        start(&logging(registry.port, "audit = { file = \"disk/audit.log\" }\nrequests = \"off\""), dir.path());
    gateway.ask_token(None, &[]).expect(200);
    until("the first line is written", SOON, || disk.read("audit.log").ends_with('\n').then_some(()));
    disk.fill();
    // Until it knows that there is no room, it takes what comes; the one that it learns by waits already.
    let (mut sent, mut waiting) = (1, Vec::new());
    until("the log says that there is no room", SOON, || {
        if gateway.log().contains("cannot write audit lines") {
            return Some(());
        }
        let mut stream = asked(&gateway);
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        match read_reply(&mut stream, false) {
            Some(reply) => {
                assert_eq!(reply.status, 200);
                sent += 1;
            }
            None => waiting.push(stream),
        }
        None
    });
    assert!(gateway.log().contains("requests wait until this is mended"), "{}", gateway.log());
    waiting.extend((0..4).map(|_| asked(&gateway)));
    for stream in &mut waiting {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(read_reply(stream, false).is_none(), "nothing is done that would not be recorded");
        stream.set_read_timeout(Some(SOON)).unwrap();
    }
    assert_eq!(Request::new(gateway.admin, "GET", "/healthz").send().status, 200, "it is alive all the same");

    disk.clear();
    for stream in &mut waiting {
        assert_eq!(read_reply(stream, false).unwrap().status, 200);
    }
    let lines = sent + waiting.len();
    let ids = until("all lines are there", SOON, || {
        let mut ids = std::collections::BTreeSet::new();
        // What a full disk has cut of a line stands on one of its own, and the last may be under way.
        for line in disk.read("audit.log").lines() {
            if let Ok(line) = serde_json::from_str::<serde_json::Value>(line) {
                assert!(ids.insert(line["request_id"].as_str().unwrap().to_owned()), "twice: {line}");
            }
        }
        (ids.len() >= lines).then_some(ids)
    });
    assert_eq!(ids.len(), lines);
    assert!(gateway.log().contains("audit lines are written again"));
}

#[test]
fn a_gateway_that_waits_for_room_can_be_ended() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let (mut gateway, disk) = start(&logging(registry.port, "audit = { file = \"disk/audit.log\" }"), dir.path());
    disk.fill();
    until("the log says that there is no room", SOON, || {
        let _ = asked(&gateway);
        gateway.log().contains("cannot write audit lines").then_some(())
    });
    let _waiting: Vec<_> = (0..4).map(|_| asked(&gateway)).collect();
    let status = gateway.stop();
    assert_eq!(status.code(), Some(1), "it ended by itself, and says that requests were cut");
}

#[test]
fn request_lines_that_have_no_room_are_lost_and_requests_go_on() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let (gateway, disk) =
        start(&logging(registry.port, "requests = { file = \"disk/requests.log\" }\naudit = \"off\""), dir.path());
    disk.fill();
    let mut sent = 0;
    until("the log says that there is no room", SOON, || {
        gateway.ask_token(None, &[]).expect(200);
        sent += 1;
        gateway.log().contains("cannot write request lines").then_some(())
    });
    for _ in 0..50 {
        gateway.ask_token(None, &[]).expect(200);
    }
    disk.clear();
    until("lines are written again", SOON, || {
        gateway.ask_token(None, &[]).expect(200);
        gateway.log().contains("request lines are written again").then_some(())
    });
    assert!(disk.read("requests.log").ends_with("}\n"));
}

#[test]
fn bodies_for_which_there_is_no_room_are_refused_and_leave_none() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let mut settings = settings(registry.port);
    settings.upstream.push_str("\nspool = { memory = \"4KiB\", directory = \"disk/spool\" }");
    let (gateway, _disk) = start(&settings, dir.path());
    let before = descriptors(gateway.id());
    // One has room, all of them have not.
    let blobs: Vec<_> = (0..8).map(|_| random(150 * KIB)).collect();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = blobs.iter().map(|blob| scope.spawn(|| upload(&gateway, blob).status)).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    for (blob, status) in blobs.iter().zip(&statuses) {
        assert!(matches!(status, 201 | 507), "{statuses:?}");
        assert_eq!(registry.has_blob("team/app", &digest(blob)), *status == 201);
    }
    for blob in &blobs {
        upload(&gateway, blob).expect(201);
    }
    until("descriptors are closed", SOON, || (descriptors(gateway.id()) <= before).then_some(()));
}

#[test]
fn a_key_that_has_no_room_is_not_left_half_written() {
    let dir = directory();
    std::fs::write(dir.path().join("gateway.toml"), logging(9, "").render(crate::support::gateway::Ports::free()))
        .unwrap();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    let script = "mount -t tmpfs -o size=16k none state; dd if=/dev/zero of=state/filler bs=4096 status=none; \
                  \"$0\" serve --config gateway.toml; echo \"exit $?\"; ls -A state; rm state/filler; \
                  \"$0\" keys export --config gateway.toml --format pem; ls -A state";
    let mut command = command(&program("unshare", "util-linux"), dir.path());
    let ran = run(command.args(["-m", "sh", "-c", script]).arg(binary()), "").ok();
    let (full, after) = ran.stdout.split_once("-----BEGIN PUBLIC KEY-----").unwrap_or_else(|| panic!("{ran}"));
    assert!(full.starts_with("exit 1\n") && ran.stderr.contains("No space left on device"), "{ran}");
    assert!(!full.contains("signing-key.pem") && after.ends_with("signing-key.pem\n"), "no key, or a whole one: {ran}");
}

#[test]
fn a_full_state_directory_does_not_keep_a_running_gateway_from_its_work() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let gateway = Gateway::start_with_disk(dir.path(), &settings(registry.port), "state", 64 * KIB);
    let state = Disk::of(&gateway, "state");
    state.fill();
    let token = gateway.token(Some(ALICE), &["repository:team/app:pull,push"]);
    let uploads = Request::new(gateway.port, "POST", "/v2/team/app/blobs/uploads/").bearer(&token);
    uploads.send().expect(202);
    ask(&gateway, "GET", "/v2/").send().expect(200);
}

#[test]
fn a_gateway_that_is_killed_leaves_a_state_to_start_from() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let settings = settings(registry.port);
    let mut gateway = Gateway::start(dir.path(), &settings);
    let token = gateway.token(Some(ALICE), &["repository:team/app:pull,push"]);
    let (port, admin) = (gateway.port, gateway.admin);
    gateway.signal(Signal::KILL);
    drop(gateway);
    let ports = crate::support::gateway::Ports { main: port, admin };
    let gateway = Gateway::try_start(dir.path(), ports, &|ports| settings.render(ports)).expect("its ports are free");
    // What it has signed it still knows.
    let uploads = Request::new(gateway.port, "POST", "/v2/team/app/blobs/uploads/").bearer(&token);
    uploads.send().expect(202);
}
