//! Real Pulp on loopback: a PostgreSQL of its own, the content app, a worker, and as many API apps as tests need, each
//! with settings of its own over the same database. What it starts from is made by `tests/pulp.sh`.
//!
//! One [`Pulp`] serves all tests of a process: to start an API app takes two seconds, to start everything five. Tests keep
//! apart by the names of their repositories and users.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::http::{Reply, Request, get};
use super::process::{Server, command, run};
use super::{port, until};

/// A superuser; Basic credentials for Pulp itself, where its settings have Basic authentication.
pub(crate) const ADMIN: (&str, &str) = ("admin", "admin-secret");
/// The superuser that an identity filter names for approved writes.
pub(crate) const WRITER: &str = "registry-writer";

/// Settings that make Pulp believe the identity header on all of its paths, and check no tokens.
pub(crate) const HEADER_MODE: &str = r#"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "django.contrib.auth.backends.RemoteUserBackend",
    "pulpcore.backends.ObjectRolePermissionBackend",
]
REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES = (
    "pulpcore.app.authentication.JSONHeaderRemoteAuthentication",
    "pulpcore.app.authentication.BasicAuthentication",
)
AUTHENTICATION_JSON_HEADER = "HTTP_X_AUTHENTICATION_SERVICE"
AUTHENTICATION_JSON_HEADER_JQ_FILTER = ".identity.user.username"
TOKEN_AUTH_DISABLED = True
"#;

/// A database, and what serves it. It lasts as long as the process.
pub(crate) struct Pulp {
    dir: PathBuf,
    _database: Server,
    content: OnceLock<App>,
    worker: OnceLock<Server>,
    apps: AtomicUsize,
    _sweeper: Child,
}

/// An app of Pulp that listens; it ends when this value is dropped.
pub(crate) struct App {
    server: Server,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    markers: AtomicUsize,
}

/// A request that an app has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// The request method.
    pub(crate) method: String,
    /// Path and query, as they arrived.
    pub(crate) target: String,
    /// The status that it answered.
    pub(crate) status: u16,
    /// What came as `X-Authentication-Service`, decoded where that can be.
    pub(crate) identity: Option<String>,
    /// What came as `Authorization`.
    pub(crate) authorization: Option<String>,
}

impl Pulp {
    /// The one of this process, started when first asked for.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Pulp> = OnceLock::new();
        SHARED.get_or_init(|| lasting(Self::start))
    }

    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("tg-pulp-").tempdir().unwrap().keep();
        let sweeper = sweeper(&dir);
        // The user postgres has to get through, and nobody needs to look.
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).unwrap();
        let site = target().join("pulp-site.tar");
        assert!(site.exists(), "{} is missing: tests/pulp.sh makes it", site.display());
        let tar = Command::new("tar").arg("xf").arg(&site).arg("-C").arg(&dir).status().unwrap();
        assert!(tar.success(), "{} cannot be unpacked", site.display());
        for name in ["home", "media", "socket", "tmp"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        let database = database(&dir);
        let (content, worker, apps) = (OnceLock::new(), OnceLock::new(), AtomicUsize::new(0));
        Self { dir, _database: database, content, worker, apps, _sweeper: sweeper }
    }

    /// A new directory that goes away with Pulp's own, for what lasts as long; its path is short.
    pub(crate) fn new_dir(&self) -> PathBuf {
        let dir = self.dir.join(format!("d{}", self.apps.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    /// What the database answers to `statement`: one line a row.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let mut command = command(&postgres().with_file_name("psql"), &self.dir.join("home"));
        command.arg("--host").arg(self.dir.join("socket")).args(["--username", "pulp", "--dbname", "pulp"]);
        command.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set",
            "ON_ERROR_STOP=1",
            "--command",
        ]);
        run(command.arg(statement), "").ok().stdout
    }

    /// The text of a settings.py: what every Pulp needs here, then `settings`.
    fn settings(&self, settings: &str) -> String {
        let dir = self.dir.display();
        format!(
            r#"SECRET_KEY = open("{dir}/etc/secret_key").read()
DB_ENCRYPTION_KEY = "{dir}/etc/fields.key"
DEPLOY_ROOT = "{dir}"
MEDIA_ROOT = "{dir}/media"
STATIC_ROOT = "{dir}/assets"
WORKING_DIRECTORY = FILE_UPLOAD_TEMP_DIR = "{dir}/tmp"
ANALYTICS = False
CONTENT_ORIGIN = None
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "HOST": "{dir}/socket", "NAME": "pulp",
             "USER": "pulp", "CONN_MAX_AGE": 60}}}}
{settings}
"#
        )
    }

    /// Starts an API app with `settings`, as text of a settings.py; it listens when this returns. It ends with the value
    /// and with the thread that asks for it: see [`lasting`].
    pub(crate) fn api(&self, settings: &str) -> App {
        on_free_port(|port| self.try_api(port, settings))
    }

    /// Like [`Pulp::api`], with so many seconds for a request instead of an hour.
    pub(crate) fn hasty_api(&self, settings: &str, seconds: u16) -> App {
        on_free_port(|port| self.api_on(port, settings, seconds))
    }

    /// Like [`Pulp::api`], on `port`; none when that has been taken meanwhile.
    pub(crate) fn try_api(&self, port: u16, settings: &str) -> Option<App> {
        self.api_on(port, settings, 3600)
    }

    fn api_on(&self, port: u16, settings: &str, timeout: u16) -> Option<App> {
        let options = ["--workers", "2", "--timeout", &timeout.to_string(), "--access-logformat", API_LOG];
        self.app("pulpcore-api", port, settings, &options, "/pulp/api/v3/status/")
    }

    /// Starts a content app with `settings`, as text of a settings.py, apart from the shared one.
    pub(crate) fn content_app(&self, settings: &str) -> App {
        let options = ["--workers", "1", "--access-logformat", CONTENT_LOG];
        on_free_port(|port| self.app("pulpcore-content", port, settings, &options, "/pulp/content/"))
    }

    /// The content app with the settings of [`HEADER_MODE`], started when first asked for.
    pub(crate) fn content(&'static self) -> &'static App {
        self.content.get_or_init(|| lasting(|| self.content_app(HEADER_MODE)))
    }

    /// Starts the worker, unless it has been: without one, nothing that Pulp does as a task gets done.
    pub(crate) fn worker(&'static self) {
        self.worker.get_or_init(|| {
            lasting(|| {
                let mut command = self.command("pulpcore-worker", "worker", HEADER_MODE);
                command.args(["--name-template", "worker.{pid}@{hostname}"]);
                let log = self.dir.join("worker.log");
                let ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Starting"));
                let Ok(server) = Server::start("pulpcore-worker", &mut command, &log, ready) else {
                    panic!("a worker listens nowhere")
                };
                server
            })
        });
    }

    fn app(&self, name: &'static str, port: u16, settings: &str, options: &[&str], probe: &str) -> Option<App> {
        let label = format!("{name}-{}", self.apps.fetch_add(1, Ordering::Relaxed));
        let mut command = self.command(name, &label, settings);
        command.args(["--bind", &format!("127.0.0.1:{port}"), "--no-control-socket", "--access-logfile", "-"]);
        // The process ids of two apps are the same, each in a namespace of its own, and Pulp tells them apart by name.
        command.args(["--name-template", &format!("{label}.{{pid}}@{{hostname}}")]).args(options);
        let log = self.dir.join(format!("{label}.log"));
        let ready = || {
            // Another process may have the port; gunicorn then tries for a while.
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Listening at"))
                && Request::new(port, "GET", probe).try_send().is_some_and(|reply| reply.status < 500)
        };
        let server = Server::start(name, &mut command, &log, ready).ok()?;
        Some(App { server, port, markers: AtomicUsize::new(0) })
    }

    /// A program of Pulp with `settings`; `label` names what is its own.
    fn command(&self, program: &str, label: &str, settings: &str) -> Command {
        let file = self.dir.join(format!("{label}.py"));
        std::fs::write(&file, self.settings(settings)).unwrap();
        let mut command = contained(&self.dir.join("home"));
        command.arg(self::program(program));
        command.env("PULP_SETTINGS", file).env("DJANGO_SETTINGS_MODULE", "pulpcore.app.settings");
        command
    }
}

impl App {
    /// Every request that it has answered so far, those of this harness left out.
    pub(crate) fn accesses(&self) -> Vec<Access> {
        // A line is written after its answer: a request of our own shows when the log has caught up.
        let marker = format!("{MARKER}{}/", self.markers.fetch_add(1, Ordering::Relaxed));
        get(self.port, &marker, None);
        let log = until("Pulp logs a request", Duration::from_secs(10), || {
            let log = self.server.log();
            log.contains(&marker).then_some(log)
        });
        let probe = |access: &Access| access.target.contains(MARKER) || access.target == "/pulp/api/v3/status/";
        log.lines().filter_map(parse).filter(|access| !probe(access)).collect()
    }

    /// The requests about `repository`.
    pub(crate) fn accesses_of(&self, repository: &str) -> Vec<Access> {
        let prefixes = [format!("/v2/{repository}/"), format!("/extensions/v2/{repository}/")];
        let about = |access: &Access| prefixes.iter().any(|prefix| access.target.starts_with(prefix));
        self.accesses().into_iter().filter(about).collect()
    }

    /// All that it has written.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// `method target` below `/pulp/api/v3/` as [`ADMIN`], around any gateway.
    pub(crate) fn rest(&self, method: &str, target: &str, body: Option<&serde_json::Value>) -> Reply {
        let request = Request::new(self.port, method, &format!("/pulp/api/v3/{target}")).basic(ADMIN.0, ADMIN.1);
        match body {
            Some(body) => request.header("Content-Type", "application/json").body(body.to_string().as_bytes()).send(),
            None => request.send(),
        }
    }

    /// The names of the users that Pulp has.
    pub(crate) fn users(&self) -> Vec<String> {
        let users = self.rest("GET", "users/?limit=1000", None).expect(200).json();
        let name = |user: &serde_json::Value| user["username"].as_str().unwrap().to_owned();
        users["results"].as_array().unwrap().iter().map(name).collect()
    }
}

fn on_free_port(start: impl Fn(u16) -> Option<App>) -> App {
    (0..20).find_map(|_| start(port::free())).expect("no port stayed free until Pulp bound it")
}

/// Runs `start` on a thread that lasts as long as the process, so that what it starts does so too: the kernel ends a
/// server with the thread that started it, and the threads of tests end with their tests.
pub(crate) fn lasting<T: Send + 'static>(start: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(start());
        loop {
            std::thread::park();
        }
    });
    receiver.recv().expect("what should have lasted did not start: the reason stands above")
}

/// What the requests of this harness begin with.
const MARKER: &str = "/v2/marker-";
const API_LOG: &str = "access\t%(s)s\t%(r)s\t%({x-authentication-service}i)s\t%({authorization}i)s";
const CONTENT_LOG: &str = "access\t%s\t%r\t%{X-Authentication-Service}i\t%{Authorization}i";

/// A line of the formats above.
fn parse(line: &str) -> Option<Access> {
    let (_, line) = line.split_once("access\t")?;
    let [status, request, identity, authorization] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
    let mut parts = request.split(' ');
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let header = |value: &str| (value != "-").then(|| value.to_owned());
    let decoded = |value: String| {
        let bytes = STANDARD.decode(&value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        bytes.unwrap_or(value)
    };
    let identity = header(identity).map(decoded);
    Some(Access { method, target, status: status.parse().ok()?, identity, authorization: header(authorization) })
}

/// A process that removes `dir` once this process has ended, however that comes about: nothing else is left to do it.
fn sweeper(dir: &Path) -> Child {
    // Its input ends with us. What still writes there is about to be killed.
    let script = r#"read -r _; n=0; until rm -rf -- "$0" || [ "$n" -eq 100 ]; do n=$((n + 1)); sleep 0.1; done"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(dir).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
    // Standard error stays: whoever waits for the end of our output waits for it too.
    command.spawn().unwrap()
}

/// `unshare`, for a program in namespaces of its own: when one of its processes is killed, all are, and no shared memory
/// stays.
fn contained(home: &Path) -> Command {
    let mut command = command(Path::new("unshare"), home);
    command.args(["--pid", "--fork", "--kill-child", "--ipc", "--"]);
    command
}

fn database(dir: &Path) -> Server {
    let mut command = contained(&dir.join("home"));
    // The shell stays what the kernel kills: a change of the user takes that away from PostgreSQL itself.
    command.args(["sh", "-c", "\"$@\"; exit $?", "postgres"]);
    command.args(["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]);
    command.arg(postgres()).arg("-D").arg(dir.join("postgres"));
    command.arg("-c").arg(format!("unix_socket_directories={}", dir.join("socket").display()));
    let owner = std::fs::metadata(dir.join("postgres")).unwrap();
    std::os::unix::fs::chown(dir.join("socket"), Some(owner.uid()), Some(owner.gid())).unwrap();
    let log = dir.join("postgres.log");
    let ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("ready to accept connections"));
    let Ok(server) = Server::start("postgres", &mut command, &log, ready) else { panic!("postgres has a socket only") };
    server
}

/// Debian's PostgreSQL, the newest if there are several.
fn postgres() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let binaries = versions.map(|version| version.path().join("bin/postgres")).filter(|binary| binary.exists());
    binaries.max().expect("PostgreSQL is not installed: apt-get install postgresql (tests/pulp.sh installs it)")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

/// A program of Pulp's, or pulp-cli (`pulp`).
pub(crate) fn program(name: &str) -> PathBuf {
    target().join("pulp-venv/bin").join(name)
}
