//! The compose file.

use serde_json::Value;

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
