//! The profiles of `examples/` as they stand, but for ports and passwords, in front of a Pulp that is told what
//! `tidegate export pulp` prints.

use std::path::Path;

use crate::stand::{self, write_secret};
use crate::support::gateway::{Gateway, Ports, cli};
use crate::support::pulp::{App, Pulp, WRITER};

/// In the profiles one of the developers, and one of the administrators.
pub(crate) const ALICE: (&str, &str) = ("alice", "alice-secret");
pub(crate) const BOB: (&str, &str) = ("bob", "bob-secret");

/// The password of [`WRITER`], which is a superuser of Pulp.
pub(crate) const WRITER_PASSWORD: &str = "registry-writer-secret";

/// Starts `examples/pulp-{name}.toml`, and a Pulp with what `change` makes of the settings that belong to it.
pub(crate) fn start(name: &str, change: &dyn Fn(String) -> String) -> (Gateway, App) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("pulp-{name}.toml"));
    let profile = std::fs::read_to_string(file).unwrap();
    let settings = |config: &Path, _| {
        // One profile has an account of its own at Pulp.
        write_secret(&config.with_file_name(format!("{WRITER}-password")), WRITER_PASSWORD);
        let settings = cli(config, &["export", "pulp", "--config", "{config}"]).ok().stdout;
        cli(config, &["check", "--deny-warnings", "--config", "{config}"]).ok();
        change(settings)
    };
    stand::start(&|ports, api| fill(&profile, ports, api), &settings)
}

/// The profile with the ports that there are and passwords that are known.
fn fill(profile: &str, ports: Ports, api: u16) -> String {
    let mut text = profile.to_owned();
    let local = |port: u16| format!("127.0.0.1:{port}");
    let content = Pulp::shared().content().port;
    for (written, port) in [(5000, ports.main), (5001, ports.admin), (24817, api), (24816, content)] {
        assert!(text.contains(&local(written)), "the profiles name port {written}");
        text = text.replace(&local(written), &local(port));
    }
    let mut lines = Vec::new();
    let mut user = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("[users.").and_then(|rest| rest.strip_suffix(']')) {
            user = name;
        }
        if line.starts_with("password_hash = ") {
            lines.push(format!("password_hash = \"{}\"", bcrypt::hash(format!("{user}-secret"), 4).unwrap()));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}
