//! What Python makes of the settings that `tidegate export pulp` prints for the profiles.

use std::path::Path;

use serde_json::{Value, json};

use crate::pyjwt::python;
use crate::site::directory;
use crate::support::gateway::cli;
use crate::support::process::{command, run};

/// The settings of a profile, by name.
fn settings(profile: &str, scheme: &str) -> Value {
    let dir = directory();
    // Every character that means something in a string.
    let out = dir.path().join("o'u\"t\\ é");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(profile)).unwrap();
    let config = dir.path().join("gateway.toml");
    std::fs::write(&config, text).unwrap();
    std::fs::write(dir.path().join("registry-writer-password"), "secret").unwrap();
    let out = out.to_str().unwrap();
    let args = ["export", "pulp", "--config", "{config}", "--scheme", scheme, "--out-dir", out];
    let printed = cli(&config, &args).ok().stdout;
    std::fs::write(dir.path().join("settings.py"), printed).unwrap();
    let script = "import json, settings; print(json.dumps({k: v for k, v in vars(settings).items() if k.isupper()}))";
    let read = run(command(&python(), dir.path()).env("PYTHONPATH", ".").args(["-W", "error", "-c", script]), "").ok();
    let settings: Value = serde_json::from_str(&read.stdout).unwrap();
    if let Some(key) = settings["PUBLIC_KEY_PATH"].as_str() {
        assert!(std::fs::read_to_string(key).unwrap().starts_with("-----BEGIN PUBLIC KEY-----"), "{key}");
    }
    settings
}

#[test]
fn settings_for_pulp_are_python() {
    let header = settings("pulp-header.toml", "basic");
    assert_eq!(header["TOKEN_AUTH_DISABLED"], true);
    assert_eq!(header["CONTENT_ORIGIN"], "http://127.0.0.1:5000");
    assert_eq!(header["AUTHENTICATION_JSON_HEADER"], "HTTP_X_AUTHENTICATION_SERVICE");
    assert_eq!(header["AUTHENTICATION_JSON_HEADER_JQ_FILTER"], ".identity.user.username");
    assert_eq!(
        header["AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME"],
        json!({"type": "http", "scheme": "basic"})
    );
    assert_eq!(
        header["REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES"],
        json!(["pulpcore.app.authentication.JSONHeaderRemoteAuthentication"])
    );

    let token = settings("pulp-token.toml", "basic");
    assert_eq!(token["TOKEN_AUTH_DISABLED"], false);
    assert_eq!(token["TOKEN_SERVER"], "http://127.0.0.1:5000/token");
    assert_eq!(token["TOKEN_SIGNATURE_ALGORITHM"], "ES256");
    assert_eq!(token.get("PRIVATE_KEY_PATH"), Some(&Value::Null));
    assert_eq!(token.get("AUTHENTICATION_JSON_HEADER"), None);

    let hybrid = settings("pulp-hybrid.toml", "oauth2");
    assert_eq!(hybrid["TOKEN_AUTH_DISABLED"], false);
    assert_eq!(hybrid["AUTHENTICATION_JSON_HEADER"], "HTTP_X_AUTHENTICATION_SERVICE");
    let flow = &hybrid["AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME"]["flows"]["clientCredentials"];
    assert_eq!(flow["tokenUrl"], "http://127.0.0.1:5000/token");
    assert_eq!(flow["scopes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["api:read", "api:write"]);
}
