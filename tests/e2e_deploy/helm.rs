//! The Helm chart, by helm itself.

use std::path::Path;

use crate::manifests::{ALL_AROUND, Manifests};
use crate::support::process::Finished;
use crate::tools::{call, deploy, directory, tool};

/// Runs helm with `verb`, the chart and `values`, the text of a values file.
fn helm(dir: &Path, verb: &[&str], values: &str) -> Finished {
    let file = dir.join("values.yaml");
    std::fs::write(&file, values).unwrap();
    let chart = deploy("helm/tidegate");
    call(&tool("helm"), dir, &[verb, &[&chart, "--values", file.to_str().unwrap()]].concat())
}

/// The chart with `values`: without objection by lint, valid and sound.
#[track_caller]
fn rendered(values: &str) -> Manifests {
    let dir = directory();
    helm(dir.path(), &["lint", "--strict", "--quiet"], values).ok();
    let rendered = helm(dir.path(), &["template", "images"], values).ok();
    Manifests::sound(dir.path(), &rendered.stdout)
}

#[test]
fn stands_alone_with_everything_around_it() {
    let manifests = rendered("");
    assert_eq!(manifests.kinds(), ALL_AROUND);
    assert_eq!(manifests.tidegate()["image"], concat!("tidegate:", env!("CARGO_PKG_VERSION")));
    assert_eq!(manifests.one("Deployment")["metadata"]["name"], "images-tidegate");
}

/// Everything else than by default.
const ALL: &str = r#"
image: {repository: registry.example.org/tidegate, digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
publicUrl: ["https://registry.example.org", "https://registry.svc:8443"]
server: {workers: 4, trusted_proxies: []}
tls: {secret: certificate}
token: {ttl: "10m"}
config: |
  [[upstream]]
  name = "registry"
  url = "http://127.0.0.1:5050"
  credentials = "none"

  [[route]]
  prefix = "/v2/"
  upstream = "registry"
  auth = "registry"

  [users.alice]
  password_hash = { env = "ALICE" }

  [[authn]]
  kind = "users"

  [[access]]
  who = ["authenticated"]
  repositories = ["**"]
  actions = ["*"]
keys: {secret: keys, files: [new.pem, old.pem]}
htpasswd: {secret: ""}
env:
  - name: ALICE
    valueFrom: {secretKeyRef: {name: users, key: alice}}
volumes: [{name: images, persistentVolumeClaim: {claimName: images}}, {name: ca, configMap: {name: images-tidegate}}]
volumeMounts: [{name: ca, mountPath: /etc/ca}]
drain: {delay: 0, timeout: 60}
autoscaling: {enabled: false}
disruptionBudget: {enabled: false}
replicas: 1
service: {type: LoadBalancer, port: 443, annotations: {example.org/a: b}}
ingress: {enabled: true, className: nginx, tlsSecret: certificate, annotations: {example.org/a: b}}
networkPolicy: {clients: [{namespaceSelector: {}}], egress: [{to: [{podSelector: {}}]}]}
sidecars:
  - name: registry
    image: docker.io/library/registry:2.8.3
    env: [{name: REGISTRY_HTTP_ADDR, value: "127.0.0.1:5050"}]
    resources: {limits: {memory: 1Gi}}
    securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: images, mountPath: /var/lib/registry}]
podAnnotations: {example.org/a: b}
podLabels: {example.org/a: b}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
"#;

#[test]
fn follows_its_values() {
    let manifests = rendered(ALL);
    assert_eq!(manifests.kinds(), ["ConfigMap", "Deployment", "Ingress", "NetworkPolicy", "Service", "ServiceAccount"]);
    let image = manifests.tidegate()["image"].as_str().unwrap();
    assert!(image.starts_with("registry.example.org/tidegate@sha256:0000"), "{image}");
    assert_eq!(manifests.one("Deployment")["spec"]["replicas"], 1);
    assert_eq!(manifests.pod()["initContainers"][0]["restartPolicy"], "Always");
    let config: toml::Table = manifests.gateway_toml().parse().unwrap();
    assert_eq!(config["server"]["workers"].as_integer(), Some(4), "a whole number");
    assert_eq!(config["token"]["keys"].as_array().unwrap().len(), 2);
    let hosts: Vec<_> =
        manifests.one("Ingress")["spec"]["rules"].as_array().unwrap().iter().map(|it| &it["host"]).collect();
    assert_eq!(hosts, ["registry.example.org", "registry.svc"]);
    assert_eq!(manifests.one("Ingress")["spec"]["tls"][0]["hosts"].as_array().unwrap().len(), 2);
    let policy = manifests.one("NetworkPolicy");
    assert_eq!(policy["spec"]["egress"].as_array().unwrap().len(), 2, "DNS, and what was asked for");
}

#[test]
fn refuses_values_that_mean_nothing_or_too_much() {
    for (values, about) in [
        ("drain: {timout: 5}", "timout"),
        ("colour: red", "colour"),
        ("publicUrl: registry.example.org", "/publicUrl"),
        ("publicUrl: https://registry.example.org/v2", "/publicUrl"),
        // These would stand in gateway.toml twice.
        ("server: {listen: ['0.0.0.0:1']}", "listen"),
        ("server: {tls: {}}", "tls"),
        ("token: {keys: []}", "keys"),
        ("config: |\n  [server]\n  workers = 4\n", "/config"),
        ("image: {digest: 'sha256:0'}", "/image/digest"),
        ("keys: {files: []}", "/keys/files"),
        ("keys: {files: [../x]}", "/keys/files/0"),
    ] {
        let dir = directory();
        let refused = helm(dir.path(), &["template", "images"], values).failed(1);
        assert!(refused.stderr.contains("values don't meet the specifications of the schema"), "{refused}");
        refused.says(about);
    }
}

#[test]
fn says_what_to_do_next() {
    let dir = directory();
    let notes = helm(dir.path(), &["install", "images", "--dry-run=client"], ALL).ok().stdout;
    let notes = notes.split("NOTES:").nth(1).unwrap();
    assert!(notes.contains("https://registry.example.org, https://registry.svc:8443"), "{notes}");
    assert!(
        notes.contains("Secret keys with new.pem, old.pem\n  Secret certificate with tls.crt, tls.key\n\n"),
        "no htpasswd: {notes}"
    );
}
