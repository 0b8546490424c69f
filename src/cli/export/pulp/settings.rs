//! The text of the settings: Python that Pulp reads as it is.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Key, Needs, Registry, Scheme};
use crate::cli::console::Failure;
use crate::config::Config;

const MODEL: &str = "django.contrib.auth.backends.ModelBackend";
const REMOTE: &str = "django.contrib.auth.backends.RemoteUserBackend";
const ROLES: &str = "pulpcore.backends.ObjectRolePermissionBackend";
const HEADER_CLASS: &str = "pulpcore.app.authentication.JSONHeaderRemoteAuthentication";
const BASIC_CLASS: &str = "pulpcore.app.authentication.BasicAuthentication";
const WEB_SERVER_CLASS: &str = "pulpcore.app.authentication.PulpRemoteUserAuthentication";

/// The settings that a configuration needs.
pub(super) fn text(config: &Config, needs: &Needs<'_>, scheme: Scheme, key: Option<&Key>) -> Result<String, Failure> {
    let mut out = Text::default();
    out.says("Made by `tidegate export pulp`. It goes to the end of Pulp's settings.py: what stands later counts.");
    paths(&mut out, config, needs);
    match needs.registry {
        Registry::Tokens => tokens(&mut out, config, key)?,
        Registry::Closed => {}
        _ => {
            out.says(
                "Pulp asks for no tokens on /v2/: the gateway does. Pulp then serves pulls to whoever reaches it, private\n\
                 repositories too, and takes pushes from superusers only.",
            );
            out.set("TOKEN_AUTH_DISABLED", &json!(true));
        }
    }
    if needs.header() {
        let described = Described::of(needs, scheme);
        users(&mut out, config, described);
        header(&mut out, config, described);
    }
    Ok(out.0)
}

/// Where Pulp is, as clients see it.
fn paths(out: &mut Text, config: &Config, needs: &Needs<'_>) {
    out.says("As the gateway's [[upstream]] says.");
    out.set("API_ROOT", &json!(needs.pulp.api_root));
    out.set("DOMAIN_ENABLED", &json!(needs.pulp.domains));
    let urls = &config.server.public_urls;
    match urls.as_slice() {
        _ if !needs.content => {}
        [url] => {
            out.says("Pulp redirects to its content app, and this leads through the gateway again.");
            out.set("CONTENT_ORIGIN", &json!(format!("{}://{}", url.scheme, url.authority)));
        }
        _ => {
            out.says(
                "Pulp redirects to its content app. The gateway has several names: a redirect without a host stays with the\n\
                 one that the client used.",
            );
            out.set("CONTENT_ORIGIN", &Value::Null);
        }
    }
    out.says("The gateway passes on the Host that clients sent; nothing else says by which name Pulp is called.");
    out.set("USE_X_FORWARDED_HOST", &json!(false));
    if urls.iter().any(|url| url.scheme == http::uri::Scheme::HTTPS) {
        out.says("The gateway sets this header itself, whatever clients send, so that links of Pulp are https.");
        out.line("SECURE_PROXY_SSL_HEADER", "(\"HTTP_X_FORWARDED_PROTO\", \"https\")");
    }
}

/// The gateway is Pulp's token server.
fn tokens(out: &mut Text, config: &Config, key: Option<&Key>) -> Result<(), Failure> {
    let Some(key) = key else { return Ok(()) };
    let path = key.path.to_str().ok_or_else(|| {
        Failure::usage(format!("{} is not UTF-8, and settings.py is", key.path.display()))
            .hint("choose another --out-dir")
    })?;
    out.says(
        "Pulp verifies the gateway's tokens on /v2/. TOKEN_SERVER is compared with their issuer letter by letter.\n\
         There is one key, the one that signs; Pulp reads the file anew for each request.",
    );
    out.set("TOKEN_AUTH_DISABLED", &json!(false));
    out.set("TOKEN_SERVER", &json!(config.token.issuer));
    out.set("TOKEN_SIGNATURE_ALGORITHM", &json!(key.algorithm));
    out.set("PUBLIC_KEY_PATH", &json!(path));
    out.says(
        "There is no PRIVATE_KEY_PATH: with one, Pulp's own /token/ would hand out tokens too, by its own permissions, and\n\
         Pulp would accept them. This takes back what may stand above.",
    );
    out.set("PRIVATE_KEY_PATH", &Value::Null);
    Ok(())
}

/// How `docs/api.json` says that one can log in. Each class of authentication describes one way there.
#[derive(Clone, Copy)]
struct Described {
    /// What the class that reads the header describes.
    header: Scheme,
    /// Pulp's own passwords count too, and their class describes user and password.
    account: bool,
    /// User and password are described beside that, by a class that takes nothing from clients.
    beside: bool,
}

impl Described {
    fn of(needs: &Needs<'_>, scheme: Scheme) -> Self {
        let account = needs.account();
        // Where two classes describe user and password, pulp-cli fails to choose between them.
        let header = if account && scheme == Scheme::Basic { Scheme::ApiKey } else { scheme };
        Self { header, account, beside: scheme == Scheme::ApiKey && !account }
    }
}

/// Whom Pulp takes a caller for, and by what.
fn users(out: &mut Text, config: &Config, described: Described) {
    let header = config.identity.header.as_str();
    out.says("RemoteUserBackend makes a user of each name in the header that Pulp does not know yet.");
    out.set("AUTHENTICATION_BACKENDS", &json!([MODEL, REMOTE, ROLES]));
    let (classes, why) = if described.account {
        (json!([HEADER_CLASS, BASIC_CLASS]), "Only the header and the gateway's account count: no sessions.")
    } else if described.beside {
        let why = "Only the header counts: no passwords and no sessions of Pulp's own. The second class reads what a web server\n\
                   may say, which no client can; it is there for what it adds to docs/api.json, see below.";
        (json!([HEADER_CLASS, WEB_SERVER_CLASS]), why)
    } else {
        (json!([HEADER_CLASS]), "Only the header counts: no passwords and no sessions of Pulp's own.")
    };
    out.says(why);
    out.set("REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES", &classes);
    out.says(&format!("{header} as Django spells it, and where the name stands in it."));
    out.set("AUTHENTICATION_JSON_HEADER", &json!(django(header)));
    out.set("AUTHENTICATION_JSON_HEADER_JQ_FILTER", &json!(config.identity.username));
}

/// What `docs/api.json` tells clients. None of them sends the identity header itself.
fn header(out: &mut Text, config: &Config, described: Described) {
    let basic = json!({"type": "http", "scheme": "basic"});
    let scheme = match described.header {
        Scheme::Basic => basic.clone(),
        Scheme::ApiKey => json!({"type": "apiKey", "in": "header", "name": config.api.key_header.as_str()}),
        Scheme::Oauth2 => {
            let origin = config.server.public_urls.first().map(|url| format!("{}://{}", url.scheme, url.authority));
            let scopes = json!({"api:read": "Read by the REST API", "api:write": "Change by the REST API"});
            let flow = json!({"tokenUrl": origin.unwrap_or_default() + &config.token.path, "scopes": scopes});
            json!({"type": "oauth2", "flows": {"clientCredentials": flow}})
        }
    };
    out.says("How pulp-cli and its like log in to the gateway, as docs/api.json says it.");
    out.set("AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME", &scheme);
    if described.beside {
        out.says(
            "pulp-cli knows no API keys. It sends one as the password of the user that is the key's name, where the document\n\
             says that user and password will do.",
        );
        out.set("REMOTE_USER_ENVIRON_NAME", &json!("REMOTE_USER"));
        out.set("REMOTE_USER_OPENAPI_SECURITY_SCHEME", &basic);
    }
}

/// A header's name as a key of WSGI's environment.
fn django(header: &str) -> String {
    format!("HTTP_{}", header.to_ascii_uppercase().replace('-', "_"))
}

/// Lines of Python.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A comment, set off from what stands before.
    fn says(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        for line in text.lines() {
            self.0.push_str("# ");
            self.0.push_str(line);
            self.0.push('\n');
        }
    }

    fn set(&mut self, name: &str, value: &Value) {
        let value = python(value);
        self.line(name, &value);
    }

    fn line(&mut self, name: &str, value: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{name} = {value}");
    }
}

/// A value as a Python literal. JSON strings and numbers are Python's, but for what is not ASCII: that is escaped, so that
/// the text is the same in whatever encoding it is kept.
fn python(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(python).collect())),
        Value::Object(members) => {
            format!(
                "{{{}}}",
                joined(members.iter().map(|(name, value)| format!("{}: {}", quoted(name), python(value))).collect())
            )
        }
    }
}

fn quoted(text: &str) -> String {
    let mut literal = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => literal.extend(['\\', char]),
            ' '..='~' => literal.push(char),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(literal, "\\U{:08x}", u32::from(char));
            }
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{django, python};

    #[test]
    fn values_are_python() {
        assert_eq!(python(&json!(null)), "None");
        assert_eq!(python(&json!([true, false, 1])), "[True, False, 1]");
        assert_eq!(python(&json!({"a": {"b": "c"}})), r#"{"a": {"b": "c"}}"#);
        assert_eq!(python(&json!("\"\\\n'é\u{1f600}")), r#""\"\\\U0000000a'\U000000e9\U0001f600""#);
    }

    #[test]
    fn headers_are_spelled_as_django_does() {
        assert_eq!(django("x-authentication-service"), "HTTP_X_AUTHENTICATION_SERVICE");
    }
}
