//! The manifests of deploy/kubernetes, as `kubectl apply -k` would send them.

use toml::Table;

use crate::manifests::{ALL_AROUND, Manifests};
use crate::tools::{call, deploy, directory, tool};

/// What kubectl makes of a folder, valid and sound.
#[track_caller]
fn kustomized(name: &str) -> Manifests {
    let dir = directory();
    let folder = deploy(&format!("kubernetes/{name}"));
    let rendered = call(&tool("kubectl"), dir.path(), &["kustomize", &folder]).ok();
    let manifests = Manifests::sound(dir.path(), &rendered.stdout);
    let image = manifests.tidegate()["image"].as_str().unwrap();
    assert!(image.ends_with(concat!("/tidegate:", env!("CARGO_PKG_VERSION"))), "{image}");
    manifests
}

#[test]
fn stands_alone_in_replicas_with_everything_around_them() {
    let manifests = kustomized("standalone");
    assert_eq!(manifests.kinds(), ALL_AROUND);
    assert_eq!(manifests.containers().count(), 1);
    // The registry of the configuration is the one that the policies are about.
    let port = "5050";
    assert!(manifests.gateway_toml().contains(&format!("url = \"http://registry:{port}\"")));
    for policy in manifests.of("NetworkPolicy") {
        assert!(policy.to_string().contains(&format!("\"port\":{port}")), "{policy}");
    }
}

#[test]
fn ends_tls_by_itself() {
    let manifests = kustomized("standalone-tls");
    let config: Table = manifests.gateway_toml().parse().unwrap();
    assert_eq!(config["server"].get("trusted_proxies"), None, "nobody stands in front");
    let mounted = manifests.tidegate()["volumeMounts"].as_array().unwrap().iter().any(|mount| {
        config["server"]["tls"]["cert"].as_str() == Some(&format!("{}/tls.crt", mount["mountPath"].as_str().unwrap()))
    });
    assert!(mounted, "the certificate is there");
    assert_eq!(
        manifests.one("Service")["spec"]["ports"].to_string(),
        r#"[{"name":"https","port":443,"targetPort":"http"}]"#
    );
}

#[test]
fn is_the_only_way_to_a_registry_in_its_pod() {
    let manifests = kustomized("sidecar-registry");
    assert_only_way(&manifests, 1);
    // One volume: two pods at once would both write to it.
    assert_eq!(manifests.one("Deployment")["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(manifests.one("PersistentVolumeClaim")["metadata"]["name"], "registry");
}

#[test]
fn is_the_only_way_to_pulp_in_its_pod() {
    let manifests = kustomized("sidecar-pulp");
    assert_only_way(&manifests, 2);
    // As many requests at once as Pulp has workers.
    let config: Table = manifests.gateway_toml().parse().unwrap();
    let workers = config["upstream"][0]["max_concurrent"].as_integer().unwrap().to_string();
    let api = manifests.containers().find(|container| container["name"] == "pulp-api").unwrap();
    let command: Vec<&str> = api["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert!(command.windows(2).any(|words| words == ["--workers", &workers]), "{command:?}");
}

/// Upstreams are containers of the pod, on loopback, that begin before Tidegate and end after it.
#[track_caller]
fn assert_only_way(manifests: &Manifests, upstreams: usize) {
    let beside = manifests.pod()["initContainers"].as_array().unwrap();
    assert_eq!(beside.len(), upstreams);
    let config: Table = manifests.gateway_toml().parse().unwrap();
    for upstream in config["upstream"].as_array().unwrap() {
        let address = upstream["url"].as_str().unwrap().strip_prefix("http://").unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        assert!(beside.iter().any(|container| container.to_string().contains(&format!("\"{address}\""))), "{address}");
    }
    for container in beside {
        assert_eq!(container["restartPolicy"], "Always", "{container}");
    }
    assert_eq!(manifests.one("Service")["spec"]["ports"].as_array().unwrap().len(), 1);
}
