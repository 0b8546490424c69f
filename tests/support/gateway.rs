//! The gateway under test: its configuration rendered, its process started, its lines read back.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::http::{Reply, Request};
use super::port;
use super::process::{Finished, Server, command, program, run};

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tidegate"))
}

/// A configuration as a test writes it: the parts that differ between tests, as TOML.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Hosts by which clients know the gateway (without a port); the first is the default.
    pub(crate) hosts: Vec<&'static str>,
    /// Further lines of `[server]`.
    pub(crate) server: String,
    /// Lines of `[token]`; `{port}` stands for the port of the main listener.
    pub(crate) token: String,
    /// Port of the upstream on 127.0.0.1.
    pub(crate) upstream_port: u16,
    /// Further lines of `[[upstream]]`, among them its `credentials`.
    pub(crate) upstream: String,
    /// Users of the member `users`: name, password, groups.
    pub(crate) users: Vec<(&'static str, &'static str, &'static [&'static str])>,
    /// Everything else: `[[authn]]`, `[[access]]`, `[identity]`, …
    pub(crate) rest: String,
}

/// Ports of a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Of the main listener.
    pub(crate) main: u16,
    /// Of the admin listener.
    pub(crate) admin: u16,
}

impl Ports {
    /// Two that are free now.
    pub(crate) fn free() -> Self {
        Self { main: port::free(), admin: port::free() }
    }
}

impl Settings {
    /// The text of `gateway.toml`.
    pub(crate) fn render(&self, ports: Ports) -> String {
        let Ports { main, admin } = ports;
        let urls: Vec<String> = self.hosts.iter().map(|host| format!("\"http://{host}:{main}\"")).collect();
        let mut users = String::new();
        for (name, password, groups) in &self.users {
            let hash = bcrypt::hash(password, 4).unwrap();
            let _ = write!(users, "[users.{name}]\npassword_hash = \"{hash}\"\ngroups = {groups:?}\n\n");
        }
        format!(
            "[server]\nlisten = [\"127.0.0.1:{main}\"]\npublic_url = [{}]\nstate_dir = \"state\"\n{}\n\n\
             [admin]\nlisten = \"127.0.0.1:{admin}\"\n\n\
             [token]\n{}\n\n\
             [[upstream]]\nname = \"registry\"\nurl = \"http://127.0.0.1:{}\"\n{}\n\n\
             [[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n\n\
             {users}{}\n",
            urls.join(", "),
            self.server,
            self.token.replace("{port}", &main.to_string()),
            self.upstream_port,
            self.upstream,
            self.rest
        )
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    server: Server,
    /// Port of the main listener on 127.0.0.1.
    pub(crate) port: u16,
    /// Port of the admin listener.
    pub(crate) admin: u16,
    /// Its `gateway.toml`.
    pub(crate) config: PathBuf,
}

impl Gateway {
    /// Starts one in `dir`, on ports of its own.
    pub(crate) fn start(dir: &Path, settings: &Settings) -> Self {
        (0..20)
            .find_map(|_| Self::try_start(dir, Ports::free(), &|ports| settings.render(ports)))
            .expect("no ports stayed free until the gateway bound them")
    }

    /// Starts one on `ports`, with what `render` makes of them as `gateway.toml`; none when one has been taken meanwhile.
    pub(crate) fn try_start(dir: &Path, ports: Ports, render: &dyn Fn(Ports) -> String) -> Option<Self> {
        Self::try_run(command(binary(), dir), dir, ports, render)
    }

    /// Starts one in `dir` with `place` there, a file system of so many bytes that nobody else sees. It takes root.
    pub(crate) fn start_with_disk(dir: &Path, settings: &Settings, place: &str, bytes: usize) -> Self {
        Self::start_by(dir, settings, || with_disk(dir, place, bytes))
    }

    /// Starts one in `dir` by a command of the test's own, to which the arguments are added.
    pub(crate) fn start_by(dir: &Path, settings: &Settings, command: impl Fn() -> Command) -> Self {
        let run = |ports| Self::try_run(command(), dir, ports, &|ports| settings.render(ports));
        (0..20).find_map(|_| run(Ports::free())).expect("no ports stayed free until the gateway bound them")
    }

    /// Starts one that is passed on this listening socket by the name `web`, as systemd does it.
    pub(crate) fn try_activate(
        dir: &Path,
        socket: OwnedFd,
        ports: Ports,
        render: &dyn Fn(Ports) -> String,
    ) -> Option<Self> {
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec \"$0\" \"$@\"";
        let mut command = command(&program("sh", "dash"), dir);
        command.args(["-c", script]).arg(binary()).stdin(socket);
        Self::try_run(command, dir, ports, render)
    }

    fn try_run(mut command: Command, dir: &Path, ports: Ports, render: &dyn Fn(Ports) -> String) -> Option<Self> {
        let config = dir.join("gateway.toml");
        std::fs::write(&config, render(ports)).unwrap();
        command.arg("serve").arg("--config").arg(&config);
        // Another process on the port would answer too, but our own would have ended then.
        let ready = || is_ready(ports.admin);
        let server = Server::start("tidegate", &mut command, &dir.join("gateway.log"), ready).ok()?;
        Some(Self { server, port: ports.main, admin: ports.admin, config })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// All that it has written: events, request lines and audit lines.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.server.signal(signal);
    }

    /// What sends it signals, for others than its owner. Not to be used once it has ended.
    pub(crate) fn signals(&self) -> impl Fn(Signal) + Send + use<> {
        let id = Pid::from_raw(self.id().try_into().unwrap()).unwrap();
        move |signal| rustix::process::kill_process(id, signal).unwrap()
    }

    /// Ends it with SIGTERM.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.server.stop()
    }

    /// Like [`Gateway::stop`], with a time after which it is killed.
    pub(crate) fn stop_within(&mut self, limit: Duration) -> ExitStatus {
        self.server.stop_within(limit)
    }

    /// `127.0.0.1:port`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What `GET /token` answers to `user` (none: anonymous) asking for `scopes`.
    pub(crate) fn ask_token(&self, user: Option<(&str, &str)>, scopes: &[&str]) -> Reply {
        let mut target = format!("/token?service={}", self.host());
        for scope in scopes {
            let _ = write!(target, "&scope={scope}");
        }
        let request = Request::new(self.port, "GET", &target);
        match user {
            Some((name, password)) => request.basic(name, password).send(),
            None => request.send(),
        }
    }

    /// A token for `user` with what is granted of `scopes`.
    #[track_caller]
    pub(crate) fn token(&self, user: Option<(&str, &str)>, scopes: &[&str]) -> String {
        self.ask_token(user, scopes).expect(200).json()["token"].as_str().unwrap().to_owned()
    }

    /// Runs a command of the gateway's binary; `{config}` in an argument stands for the configuration file.
    pub(crate) fn cli(&self, args: &[&str]) -> Finished {
        cli(&self.config, args)
    }
}

/// `tidegate` in `dir` with `place` there, a file system of so many bytes that nobody else sees.
pub(crate) fn with_disk(dir: &Path, place: &str, bytes: usize) -> Command {
    std::fs::create_dir_all(dir.join(place)).unwrap();
    let script = format!("mount -t tmpfs -o size={bytes} none {place} && exec \"$0\" \"$@\"");
    let mut command = command(&program("unshare", "util-linux"), dir);
    command.args(["-m", "sh", "-c", &script]).arg(binary());
    command
}

/// Runs `tidegate args…` beside `config`; `{config}` in an argument stands for that file.
pub(crate) fn cli(config: &Path, args: &[&str]) -> Finished {
    let mut command = command(binary(), config.parent().unwrap());
    command.args(args.iter().map(|arg| arg.replace("{config}", config.to_str().unwrap())));
    run(&mut command, "")
}

fn is_ready(admin: u16) -> bool {
    Request::new(admin, "GET", "/readyz").try_send().is_some_and(|reply| reply.status == 200)
}
