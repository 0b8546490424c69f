//! Commands with a deadline, and servers that end with the test that started them.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, setrlimit};

use super::{pause, until};

/// Where the program `name` is; fails the test with the Debian package to install when it is missing.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    std::env::split_paths(&path())
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not installed: apt-get install {package} (tests/run installs it)"))
}

/// `PATH`, with the places where Debian keeps daemons: they are not in every user's.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// A command whose process the kernel kills when the thread that started it ends, with nothing of the environment but
/// `PATH`, and `home` as home, temporary and working directory.
pub(crate) fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command.env_clear().env("PATH", path()).env("LANG", "C.UTF-8");
    command.env("HOME", home).env("TMPDIR", home).env("XDG_RUNTIME_DIR", home).current_dir(home);
    command.stdin(Stdio::null());
    command.process_group(0);
    command
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Lets this process, and those that it starts from now on, open as many descriptors as the system allows; at least `least`.
pub(crate) fn allow_descriptors(least: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    assert!(limit.maximum.is_none_or(|most| most >= least), "at most {:?} descriptors are allowed here", limit.maximum);
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The command line, for messages.
    pub(crate) line: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Finished {
    /// Itself, if the command succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.success(), "should have succeeded: {self}");
        self
    }

    /// Itself, if the command failed with exit code `code`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "should have failed: {self}");
        self
    }

    /// Asserts that standard error holds `text`.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "standard error should hold {text:?}: {self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, status, stdout, stderr } = self;
        write!(f, "{line}\n{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Runs `command` with `input` on standard input; kills it and fails the test when it takes longer than a minute.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: &str) -> Finished {
    run_within(command, input, Duration::from_secs(60))
}

/// Like [`run`], with a deadline.
#[track_caller]
pub(crate) fn run_within(command: &mut Command, input: &str, deadline: Duration) -> Finished {
    // Files, not pipes: a grandchild that keeps a pipe open would hang the test.
    let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    command.stdin(Stdio::piped()).stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap());
    let line = format!("{command:?}");
    let mut child = Running::spawn(command);
    // A program that ends before it has read its input is judged by its exit code.
    let _ = child.0.stdin.take().unwrap().write_all(input.as_bytes());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > deadline {
            break None;
        }
        pause(Duration::from_millis(5));
    };
    let status = status.unwrap_or_else(|| child.kill());
    let read = |file: &Path| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
    let finished = Finished { line, status, stdout: read(out.path()), stderr: read(err.path()) };
    assert!(start.elapsed() <= deadline, "not done after {deadline:?}: {finished}");
    finished
}

/// A child process and its process group, killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts `command`, which must be one of [`command`].
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills the group and waits for its leader.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.0.wait().unwrap()
    }

    /// Sends `signal` to the group, as long as its leader has not been waited for.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Ok(None) = self.0.try_wait() {
            let group = Pid::from_child(&self.0);
            // It may have ended meanwhile; its id is its own until it is waited for.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server process that logs into a file; ended by SIGTERM, or by SIGKILL when that takes too long.
pub(crate) struct Server {
    running: Running,
    name: &'static str,
    log: PathBuf,
}

/// Why a server did not come up.
pub(crate) enum Unready {
    /// One of its addresses was taken meanwhile: try others.
    AddressInUse,
}

impl Server {
    /// Starts `command`, with its output in `log`, and waits until `ready`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
        ready: impl Fn() -> bool,
    ) -> Result<Self, Unready> {
        let file = File::create(log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let mut server = Self { running: Running::spawn(command), name, log: log.to_owned() };
        // Generous: some have a lot to load, and a machine may be busy with other things.
        until(&format!("{name} gets ready"), Duration::from_secs(180), || {
            if let Some(status) = server.running.0.try_wait().unwrap() {
                let log = server.log();
                let in_use = ["ddress already in use", "Connection in use"];
                assert!(in_use.iter().any(|text| log.contains(text)), "{name} ended with {status}:\n{log}");
                return Some(Err(Unready::AddressInUse));
            }
            ready().then_some(Ok(()))
        })?;
        Ok(server)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// All that it has written so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Ends it with SIGTERM, and gives back how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.stop_within(Duration::from_secs(10))
    }

    /// Like [`Server::stop`], with another time after which it is killed.
    pub(crate) fn stop_within(&mut self, limit: Duration) -> ExitStatus {
        self.running.signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.running.0.try_wait().unwrap() {
                return status;
            }
            pause(Duration::from_millis(5));
        }
        self.running.kill()
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "the log of a server is what explains a failed test")]
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<String> = log.lines().rev().take(30).map(|line| line.chars().take(600).collect()).collect();
            let tail: Vec<String> = tail.into_iter().rev().collect();
            eprintln!("--- the end of {}'s log\n{}\n---", self.name, tail.join("\n"));
        }
    }
}
