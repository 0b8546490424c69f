//! What holds for every manifest, whoever rendered it: Kubernetes' schemas, and that its parts fit together and are locked down.

use std::path::Path;

use serde_json::Value;
use toml::Table;

use crate::support::gateway::binary;
use crate::support::process::{command, run};
use crate::tools::{call, venv, warnings};

/// The oldest and the newest version of Kubernetes that they are held against: from 1.29 on there are sidecars.
const VERSIONS: [&str; 2] = ["1.29", "1.37"];

/// What stands for the hash of a password.
const HASH: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/// The kinds of objects of a gateway that stands alone, with everything around it.
pub(crate) const ALL_AROUND: [&str; 7] = [
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
];

/// Objects that are applied together.
pub(crate) struct Manifests {
    objects: Vec<Value>,
}

impl Manifests {
    /// Reads a stream of YAML documents that Kubernetes would accept; `dir` is for files.
    #[track_caller]
    fn valid(dir: &Path, yaml: &str) -> Self {
        let file = dir.join("manifests.yaml");
        std::fs::write(&file, yaml).unwrap();
        for version in VERSIONS {
            let args = ["--strict", "--quiet", "--kubernetes-version", version, file.to_str().unwrap()];
            call(&venv("kubernetes-validate"), dir, &args).ok();
        }
        let script = "import json, sys, yaml\nprint(json.dumps([it for it in yaml.safe_load_all(sys.stdin) if it]))";
        let json = run(command(&venv("python"), dir).args(["-c", script]), yaml).ok();
        Self { objects: serde_json::from_str(&json.stdout).unwrap() }
    }

    /// The same, whose parts fit together and are locked down.
    #[track_caller]
    pub(crate) fn sound(dir: &Path, yaml: &str) -> Self {
        let manifests = Self::valid(dir, yaml);
        manifests.assert_sound(dir);
        manifests
    }

    /// The objects of a kind.
    pub(crate) fn of(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The one object of a kind.
    #[track_caller]
    pub(crate) fn one(&self, kind: &'static str) -> &Value {
        let found: Vec<_> = self.of(kind).collect();
        assert_eq!(found.len(), 1, "{kind}");
        found[0]
    }

    /// The kinds that occur, in order.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<_> = self.objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The specification of the one kind of pod.
    pub(crate) fn pod(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]["spec"]
    }

    /// All containers of the pod.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Value> {
        ["initContainers", "containers"].into_iter().flat_map(|key| self.pod()[key].as_array().into_iter().flatten())
    }

    /// The container that is Tidegate.
    #[track_caller]
    pub(crate) fn tidegate(&self) -> &Value {
        self.containers().find(|container| container["name"] == "tidegate").unwrap()
    }

    /// Its configuration.
    #[track_caller]
    pub(crate) fn gateway_toml(&self) -> &str {
        self.of("ConfigMap").find_map(|map| map["data"]["gateway.toml"].as_str()).expect("a ConfigMap has gateway.toml")
    }

    /// Asserts what holds for all of them.
    #[track_caller]
    fn assert_sound(&self, dir: &Path) {
        self.assert_locked_down();
        self.assert_it_hangs_together();
        let config = self.gateway_toml();
        self.assert_drains(&config.parse().unwrap());
        self.assert_checked(dir, config);
    }

    fn assert_locked_down(&self) {
        let pod = self.pod();
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        for container in self.containers() {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{container}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{container}");
            assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]), "{container}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
            let image = container["image"].as_str().unwrap();
            assert!(image.rsplit('/').next().unwrap().contains(':'), "a tag: {image}");
        }
        // What Tidegate stands in front of names no port, and listens nowhere but on loopback.
        for container in self.containers().filter(|container| container["name"] != "tidegate") {
            assert_eq!(container["ports"], Value::Null, "{container}");
            assert!(container.to_string().contains("127.0.0.1:"), "{container}");
        }
    }

    fn assert_it_hangs_together(&self) {
        let deployment = self.one("Deployment");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert_selects(&deployment["spec"]["selector"]["matchLabels"], labels);
        let ports: Vec<&Value> =
            self.tidegate()["ports"].as_array().unwrap().iter().map(|port| &port["name"]).collect();
        // Metrics are asked for where the admin pages are.
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        let admin = self.tidegate()["ports"].as_array().unwrap().iter().find(|port| port["name"] == "admin").unwrap();
        assert_eq!(annotations["prometheus.io/scrape"], "true");
        assert_eq!(annotations["prometheus.io/port"], admin["containerPort"].to_string());
        let config: Table = self.gateway_toml().parse().unwrap();
        assert!(config["admin"]["listen"].as_str().unwrap().ends_with(&format!(":{}", admin["containerPort"])));
        for service in self.of("Service") {
            assert_selects(&service["spec"]["selector"], labels);
            for port in service["spec"]["ports"].as_array().unwrap() {
                assert!(ports.contains(&&port["targetPort"]), "{port}");
                assert_ne!(port["targetPort"], "admin", "the admin pages ask for no credentials");
            }
        }
        for budget in self.of("PodDisruptionBudget") {
            assert_selects(&budget["spec"]["selector"]["matchLabels"], labels);
        }
        for scaler in self.of("HorizontalPodAutoscaler") {
            assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
            assert_eq!(deployment["spec"]["replicas"], Value::Null, "the autoscaler's");
        }
        for (probe, path) in
            [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz"), ("startupProbe", "/healthz")]
        {
            let get = &self.tidegate()[probe]["httpGet"];
            assert_eq!(get["path"], path, "{probe}");
            assert_eq!(get["port"], "admin", "{probe}");
        }
        let volumes: Vec<&Value> = self.pod()["volumes"].as_array().unwrap().iter().collect();
        for mount in self.containers().flat_map(|container| container["volumeMounts"].as_array().unwrap()) {
            assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "no volume for {mount}");
        }
        for volume in volumes {
            let used = |mount: &Value| mount["name"] == volume["name"];
            let mut mounts = self.containers().flat_map(|container| container["volumeMounts"].as_array().unwrap());
            assert!(mounts.any(used), "nobody mounts {volume}");
            if let Some(name) = volume["configMap"]["name"].as_str() {
                assert!(self.of("ConfigMap").any(|map| map["metadata"]["name"] == name), "no ConfigMap {name}");
            }
        }
    }

    /// Kubernetes waits for longer than Tidegate takes.
    fn assert_drains(&self, config: &Table) {
        let seconds = |key: &str, default: u64| {
            let Some(text) = config["server"].get(key).map(|value| value.as_str().unwrap()) else { return default };
            text.strip_suffix('s').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{key} = {text}"))
        };
        let drain = seconds("drain_delay", 0) + seconds("drain_timeout", 30);
        let grace = self.pod()["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(grace >= drain + 5, "{grace} s for {drain} s");
    }

    /// The gateway takes the configuration, with what it has from Secrets, and warns of nothing but of what a pod's probes need.
    fn assert_checked(&self, dir: &Path, config: &str) {
        let mut text = config.to_owned();
        for mount in self.tidegate()["volumeMounts"].as_array().unwrap() {
            let path = mount["mountPath"].as_str().unwrap();
            let own = format!("{}{path}", dir.display());
            std::fs::create_dir_all(&own).unwrap();
            if !path.ends_with("/tidegate") {
                text = text.replace(&format!("\"{path}/"), &format!("\"{own}/"));
            }
        }
        for (name, value) in strings(&text.parse().unwrap()) {
            if name == "keys" && !Path::new(&value).exists() {
                call(binary(), dir, &["keys", "generate", "--out", &value]).ok();
            }
            if name == "cert" {
                let made = rcgen::generate_simple_self_signed(vec!["registry.example.org".to_owned()]).unwrap();
                std::fs::write(&value, made.cert.pem()).unwrap();
                std::fs::write(value.replace(".crt", ".key"), made.signing_key.serialize_pem()).unwrap();
            }
            if name == "file" {
                std::fs::write(&value, format!("alice:{HASH}\n")).unwrap();
            }
        }
        let file = dir.join("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let variables = self.tidegate()["env"].as_array().into_iter().flatten();
        let environment: Vec<(&str, &str)> = variables.map(|it| (it["name"].as_str().unwrap(), HASH)).collect();
        assert_eq!(warnings(&file, &environment), ["public-admin"], "{config}");
    }
}

/// All strings of a table, with the key that each stands under.
fn strings(table: &Table) -> Vec<(String, String)> {
    fn walk(key: &str, value: &toml::Value, found: &mut Vec<(String, String)>) {
        match value {
            toml::Value::String(text) => found.push((key.to_owned(), text.clone())),
            toml::Value::Array(items) => items.iter().for_each(|item| walk(key, item, found)),
            toml::Value::Table(table) => table.iter().for_each(|(key, value)| walk(key, value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    table.iter().for_each(|(key, value)| walk(key, value, &mut found));
    found
}

#[track_caller]
fn assert_selects(selector: &Value, labels: &Value) {
    let selector = selector.as_object().unwrap();
    assert!(!selector.is_empty());
    for (key, value) in selector {
        assert_eq!(&labels[key], value, "{key}");
    }
}
