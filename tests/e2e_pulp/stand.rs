//! A gateway in front of a Pulp whose settings follow from the gateway's configuration: both have to know each other's ports
//! before either is there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::gateway::{Gateway, Ports};
use crate::support::port;
use crate::support::pulp::{App, Pulp};

/// Starts both. `config` is the text of `gateway.toml` for the gateway's ports and Pulp's; `settings` makes Pulp's settings of
/// that file, which is there by then, and may put others beside it.
pub(crate) fn start(
    config: &dyn Fn(Ports, u16) -> String,
    settings: &dyn Fn(&Path, Ports) -> String,
) -> (Gateway, App) {
    let start = |_| {
        let pulp = Pulp::shared();
        let (dir, ports, api) = (pulp.new_dir(), Ports::free(), port::free());
        let file = dir.join("gateway.toml");
        write_secret(&file, &config(ports, api));
        let api = pulp.try_api(api, &settings(&file, ports))?;
        let gateway = Gateway::try_start(&dir, ports, &|ports| config(ports, api.port))?;
        Some((gateway, api))
    };
    (0..20).find_map(start).expect("no ports stayed free until they were bound")
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
