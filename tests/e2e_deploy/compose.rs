//! The compose file: what it says, and what docker makes of it.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::time::Duration;

use serde_json::Value;

use crate::image::{NAME, USER, build};
use crate::support::client::podman::Podman;
use crate::support::image::Image;
use crate::support::process::{command, program, run_within};

use crate::tools::{call, deploy, directory, root, tool, warnings};

#[test]
fn publishes_the_gateway_alone() {
    let dir = directory();
    let file = deploy("compose/compose.yaml");
    let rendered = call(&tool("docker-compose"), dir.path(), &["--file", &file, "config", "--format", "json"]).ok();
    assert_eq!(rendered.stderr, "", "docker-compose has something to say");
    let compose: Value = serde_json::from_str(&rendered.stdout).unwrap();

    let (tidegate, registry) = (&compose["services"]["tidegate"], &compose["services"]["registry"]);
    assert_eq!(registry["ports"], Value::Null);
    assert_eq!(compose["networks"]["registry"]["internal"], true);
    assert_eq!(registry["networks"].as_object().unwrap().keys().collect::<Vec<_>>(), ["registry"]);
    let ports = tidegate["ports"].as_array().unwrap();
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0]["host_ip"], "127.0.0.1");
    for service in [tidegate, registry] {
        assert_eq!(service["read_only"], true);
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]));
    }
    let build = &tidegate["build"];
    let context = std::path::Path::new(build["context"].as_str().unwrap());
    assert_eq!(context, root());
    assert!(context.join(build["dockerfile"].as_str().unwrap()).exists());
    let config = tidegate["volumes"].as_array().unwrap().iter().find_map(|volume| volume["source"].as_str());
    assert_eq!(config.unwrap(), deploy("compose/gateway.toml"));
}

#[test]
fn comes_with_a_configuration_for_what_it_starts() {
    let dir = directory();
    let text = std::fs::read_to_string(deploy("compose/gateway.toml")).unwrap();
    let copy = dir.path().join("gateway.toml");
    std::fs::write(&copy, &text).unwrap();
    // Inside its container the listener is open to the other one.
    assert_eq!(warnings(&copy, &[]), ["open-listener"]);
    let config: toml::Table = text.parse().unwrap();
    assert_eq!(config["upstream"][0]["url"].as_str(), Some("http://registry:5050"), "the service's name");
}

#[test]
fn starts_pushes_pulls_and_stops() {
    let dir = directory();
    let podman = Podman::new(dir.path().join("podman"));
    build(&podman);
    let at = |name: &str| dir.path().join(name);
    podman.run(&["save", "--quiet", "--output", at("tidegate.tar").to_str().unwrap(), NAME]).ok();
    std::fs::create_dir(at("images")).unwrap();
    std::fs::rename(Image::make(&at("images"), 2, 64).oci, at("app")).unwrap();
    std::fs::copy(deploy("compose/compose.yaml"), at("compose.yaml")).unwrap();
    // As the documentation says: with a hash of one's own, and readable for the image's user alone.
    let text = std::fs::read_to_string(deploy("compose/gateway.toml")).unwrap();
    let (before, rest) = text.split_once("password_hash = \"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let hash = bcrypt::hash("alice-secret", 4).unwrap();
    std::fs::write(at("password"), "alice-secret").unwrap();
    std::fs::write(at("gateway.toml"), format!("{before}password_hash = \"{hash}\"{after}")).unwrap();
    std::fs::set_permissions(at("gateway.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    chown(at("gateway.toml"), Some(USER), Some(USER)).unwrap();

    let mut script = command(&program("bash", "bash"), dir.path());
    script.arg(root().join("tests/e2e_deploy/compose.sh")).arg(dir.path()).arg(tool("docker-compose"));
    let mut finished = run_within(&mut script, "", Duration::from_secs(120));
    finished.stderr += &std::fs::read_to_string(at("dockerd.log")).unwrap_or_default();
    finished.ok();
}
