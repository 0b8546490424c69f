//! The Debian package and the systemd units in it: made by cargo-deb, installed by dpkg, started by systemd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::gateway::binary;
use crate::support::process::{Finished, command, program, run_within};
use crate::tools::{call, directory, root, tool};

/// The package around the binary under test. It lies beside it, since all tests of this process share it.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let profile = binary().parent().unwrap();
        let file = profile.join("e2e_deploy-tidegate.deb");
        let name = profile.file_name().unwrap().to_str().unwrap().replace("debug", "dev");
        let mut deb = Command::new(tool("cargo-deb"));
        deb.current_dir(root()).args(["--no-build", "--locked", "--fast", "--strip", "--profile", &name, "--output"]);
        run_within(deb.arg(&file), "", Duration::from_secs(240)).ok();
        file
    })
}

#[test]
fn holds_what_docs_say_and_nothing_that_lintian_objects_to() {
    let dir = directory();
    let package = package().to_str().unwrap();
    let dpkg = program("dpkg-deb", "dpkg");
    let field = |name: &str| call(&dpkg, dir.path(), &["--field", package, name]).ok().stdout.trim().to_owned();
    assert_eq!(field("Package"), "tidegate");
    assert!(field("Version").starts_with(env!("CARGO_PKG_VERSION")));
    assert!(field("Depends").contains("libc6"), "what the program is linked against: {}", field("Depends"));

    call(&dpkg, dir.path(), &["--control", package, "control"]).ok();
    let conffiles = std::fs::read_to_string(dir.path().join("control/conffiles")).unwrap();
    let mut conffiles: Vec<&str> = conffiles.split_whitespace().collect();
    conffiles.sort_unstable();
    assert_eq!(conffiles, ["/etc/logrotate.d/tidegate", "/etc/tidegate/gateway.toml"]);
    let listed = call(&dpkg, dir.path(), &["--contents", package]).ok().stdout;
    for file in [
        "-rwxr-xr-x root/root ./usr/bin/tidegate",
        "-rw-r----- root/root ./etc/tidegate/gateway.toml",
        "-rw-r--r-- root/root ./usr/lib/systemd/system/tidegate.service",
        "-rw-r--r-- root/root ./usr/lib/systemd/system/tidegate.socket",
        "-rw-r--r-- root/root ./usr/lib/sysusers.d/tidegate.conf",
        "-rw-r--r-- root/root ./usr/share/doc/tidegate/README.md",
        "-rw-r--r-- root/root ./usr/share/doc/tidegate/docs/configuration.md",
        "-rw-r--r-- root/root ./usr/share/doc/tidegate/examples/gateway.toml",
        "-rw-r--r-- root/root ./usr/share/doc/tidegate/examples/pulp-header.toml",
    ] {
        let found = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut found = found.map(|words| format!("{} {} {}", words[0], words[1], words[5]));
        assert!(found.any(|line| line.replace("0/0", "root/root") == file), "{file} in\n{listed}");
    }

    // The configuration holds secrets, so that not everybody may read it; of a first version there is no bug to close.
    let suppressed = "non-standard-file-perm,initial-upload-closes-no-bugs,no-manual-page";
    let args = ["--fail-on", "error,warning", "--suppress-tags", suppressed, "--allow-root", package];
    // It looks at much, and on a busy machine for minutes.
    run_within(command(&program("lintian", "lintian"), dir.path()).args(args), "", Duration::from_secs(240)).ok();
}

#[test]
fn units_expose_little() {
    let dir = directory();
    let unit = crate::tools::deploy("systemd/tidegate.service");
    let analyze = program("systemd-analyze", "systemd");
    // 0 is nothing and 10 all; a service that says nothing of it has 9.6.
    call(&analyze, dir.path(), &["security", "--offline=true", "--threshold=15", "--no-pager", &unit]).ok();
}

/// Runs `script` as root on a copy of this machine where systemd runs and the package is at /mnt/tidegate.deb.
fn on_a_machine(script: &str) -> (tempfile::TempDir, Finished) {
    let dir = directory();
    std::fs::copy(package(), dir.path().join("tidegate.deb")).unwrap();
    std::fs::write(dir.path().join("script"), script).unwrap();
    let mut boot = command(&program("bash", "bash"), dir.path());
    boot.arg(root().join("tests/e2e_deploy/boot.sh")).arg(dir.path());
    let mut finished = run_within(&mut boot, "", Duration::from_secs(120));
    for name in ["output", "console"] {
        finished.stderr += &std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    }
    (dir, finished)
}

/// What runs as root once systemd is there.
const INSTALLED: &str = r#"
fails() {
    if "$@"; then
        echo "should have failed: $*"
        exit 1
    fi
}
dpkg --install /mnt/tidegate.deb
systemd-analyze verify --man=no tidegate.service tidegate.socket

# Nothing is started or enabled before it is configured.
test "$(systemctl is-enabled tidegate.service || true)" = disabled
test "$(systemctl is-enabled tidegate.socket || true)" = disabled
test "$(systemctl is-active tidegate.service || true)" = inactive

# The shipped configuration is right, and only the service's user can read it.
test "$(stat -c '%A %U:%G' /etc/tidegate/gateway.toml)" = '-rw-r----- root:tidegate'
runuser -u tidegate -- tidegate check --deny-warnings --config /etc/tidegate/gateway.toml
fails runuser -u nobody -- cat /etc/tidegate/gateway.toml
fails runuser -u tidegate -- sh -c 'echo >>/etc/tidegate/gateway.toml'

healthy() {
    curl --silent --fail --retry 50 --retry-delay 0 --retry-connrefused --retry-max-time 20 http://127.0.0.1:5001/healthz
}
main_pid() {
    systemctl show --property MainPID --value tidegate
}

systemctl start tidegate
healthy
status=/proc/$(main_pid)/status
test "$(awk '/^Uid:/ { print $2, $3 }' "$status")" = "$(id -u tidegate) $(id -u tidegate)"
grep -x 'CapBnd:.0*' "$status"
grep -x 'NoNewPrivs:.1' "$status"
grep -x 'Seccomp:.2' "$status"
test "$(stat -c '%A %U' /var/lib/tidegate)" = 'drwx------ tidegate'
test "$(stat -c '%A %U' /var/lib/tidegate/signing-key.pem)" = '-rw------- tidegate'

# What hashes passwords goes last, by SCHED_IDLE, which is 5: the filter of system calls lets it. Each try is from another address, so that none is put off.
policies() {
    for task in /proc/"$(main_pid)"/task/*; do
        if [ "$(cat "$task/comm")" = password ]; then
            sed 's/.*) //' "$task/stat" | cut --delimiter=' ' --fields=39
        fi
    done 2>/dev/null
}
tried=0
until policies | grep -x 5; do
    tried=$((tried + 1))
    test "$tried" -le 250
    curl --silent --output /dev/null --interface "127.0.1.$tried" --user alice:wrong \
        'http://127.0.0.1:5000/token?service=127.0.0.1:5000' &
done

# A change is taken over without an end; one with errors says so, and changes nothing.
realm() {
    curl --silent --head http://127.0.0.1:5000/v2/ | grep --ignore-case '^www-authenticate:'
}
before=$(main_pid)
sed -i 's|^public_url = "http://127.0.0.1:5000"|public_url = "http://localhost:5000"|' /etc/tidegate/gateway.toml
systemctl reload tidegate
until realm | grep 'realm="http://localhost:5000/token"'; do
    sleep 0.1
done
echo 'wrong = here' >>/etc/tidegate/gateway.toml
fails systemctl reload tidegate
realm | grep 'realm="http://localhost:5000/token"'
sed -i '$ d' /etc/tidegate/gateway.toml
test "$(main_pid)" = "$before"

# Logs in files are turned over, and what follows goes into new ones.
printf '[log]\nrequests = { file = "/var/log/tidegate/requests.log" }\n' >>/etc/tidegate/gateway.toml
systemctl restart tidegate
healthy
curl --silent --output /dev/null http://127.0.0.1:5000/v2/before
until grep --silent /v2/before /var/log/tidegate/requests.log; do
    sleep 0.1
done
logrotate --force /etc/logrotate.d/tidegate
until test -e /var/log/tidegate/requests.log; do
    sleep 0.1
done
curl --silent --output /dev/null http://127.0.0.1:5000/v2/after
until grep --silent /v2/after /var/log/tidegate/requests.log; do
    sleep 0.1
done
grep --silent /v2/before /var/log/tidegate/requests.log.1
fails grep --silent /v2/after /var/log/tidegate/requests.log.1

# An upgrade starts it anew where it runs, with the configuration that is there.
echo '# mine' >>/etc/tidegate/gateway.toml
before=$(main_pid)
dpkg --install /mnt/tidegate.deb
tail -n 1 /etc/tidegate/gateway.toml | grep -x '# mine'
test "$(main_pid)" != "$before"
healthy

systemctl stop tidegate
test "$(systemctl show --property Result --value tidegate)" = success

# By its socket, which the service itself could not take: the first client starts it, and clients wait while it starts anew.
sed -i 's/^listen = \["127.0.0.1:5000"\]/listen = ["systemd"]/' /etc/tidegate/gateway.toml
systemctl start tidegate.socket
test "$(systemctl is-active tidegate.service || true)" = inactive
answers() {
    test "$(curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' http://127.0.0.1:443/v2/)" = 401
}
answers
before=$(main_pid)
systemctl restart tidegate & restart=$!
while test "$(main_pid)" = "$before"; do
    answers
done
wait "$restart"
answers
systemctl stop tidegate.socket tidegate.service
sed -i 's/^listen = .*"systemd".*/listen = ["127.0.0.1:5000"]/' /etc/tidegate/gateway.toml

# Removing ends it and keeps what it made; purging takes all of it.
systemctl start tidegate
dpkg --remove tidegate
test "$(systemctl is-active tidegate.service || true)" = inactive
test -e /var/lib/tidegate/signing-key.pem
dpkg --purge tidegate
test ! -e /var/lib/tidegate
test ! -e /etc/tidegate
"#;

#[test]
fn is_installed_started_upgraded_and_purged() {
    let (_dir, finished) = on_a_machine(INSTALLED);
    finished.ok();
}
