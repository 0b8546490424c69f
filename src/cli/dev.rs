//! `tidegate dev`: a gateway without a file, for trying things out on one's own machine.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::serve;
use crate::authn::PasswordHash;
use crate::config::Config;
use crate::keys::{Algorithm, KeyIdFormat, KeyRing, SigningKey};
use crate::secret::Secret;
use crate::server::listener::Bound;
use crate::{app, telemetry};

/// Run a gateway without any file: on loopback, a key in memory, and one account that may do everything
///
/// The account's password is random and printed once, with the `docker login` line to use it. Anonymous callers may do nothing.
/// Everything is forgotten at the end. Use `tidegate serve` for anything that others can reach.
///
/// Exit codes: 0 ended by a signal; 1 it could not start; 2 the arguments are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the registry behind the gateway is: `http://HOST:PORT`
    #[arg(short, long, value_name = "URL")]
    pub upstream: String,
    /// Where to listen; loopback only. Port 0 picks a free one, which the printed line names
    #[arg(short, long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,
    /// The account's name
    #[arg(long, value_name = "NAME", default_value = "dev")]
    pub user: String,
    /// The log level, such as info, or debug
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
}

/// Serves until the end.
pub fn run(args: &Args) -> ExitCode {
    match prepare(args) {
        Ok((config, ring, password)) => serve::serve(config, ring, None, |gateway| {
            tell(args, gateway.addresses.first().and_then(Bound::tcp), &password);
        }),
        Err(why) => {
            // With standard error closed, only the exit code is left to tell.
            let _ = writeln!(std::io::stderr(), "tidegate: {why}");
            ExitCode::from(1)
        }
    }
}

type Prepared = (Config, KeyRing, Secret);

fn prepare(args: &Args) -> Result<Prepared, String> {
    if !args.listen.ip().is_loopback() {
        return Err(format!(
            "{} is no loopback address, and the password would cross the network in the clear\nhint: listen on 127.0.0.1, or write a configuration for `tidegate serve`",
            args.listen.ip()
        ));
    }
    let listen = free_port(args.listen)?;
    let mut random = Zeroizing::new([0; 18]);
    aws_lc_rs::rand::fill(&mut *random).map_err(|_| "the system has no randomness".to_owned())?;
    let password = Secret::new(URL_SAFE_NO_PAD.encode(*random));
    let hash = PasswordHash::new_argon2id(&password).map_err(|error| error.to_string())?;
    let text = configuration(args, listen, &hash);
    let config =
        Config::parse(&text, "the arguments", Path::new("."), &|_| None).map_err(|report| report.to_string())?;
    telemetry::init(&args.log, app::log_format(&config.log)).map_err(|error| error.to_string())?;
    let key = SigningKey::generate(Algorithm::Es256).map_err(|error| error.to_string())?;
    let ring = KeyRing::new(vec![key], KeyIdFormat::Rfc7638, false).map_err(|error| error.to_string())?;
    Ok((config, ring, password))
}

/// The realm names the port, so port 0 has to be settled before anything listens.
fn free_port(wanted: SocketAddr) -> Result<SocketAddr, String> {
    if wanted.port() != 0 {
        return Ok(wanted);
    }
    std::net::TcpListener::bind(wanted)
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port on {}: {error}", wanted.ip()))
}

fn configuration(args: &Args, listen: SocketAddr, hash: &str) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let user = quoted(&args.user);
    let (url, upstream, hash) = (quoted(&format!("http://{listen}")), quoted(&args.upstream), quoted(hash));
    let (who, listen) = (quoted(&format!("user:{}", args.user)), quoted(&listen.to_string()));
    format!(
        r#"
[server]
listen = [{listen}]
public_url = {url}

[log]
audit = "off"

[[upstream]]
name = "registry"
url = {upstream}
credentials = "identity"

[[route]]
prefix = "/v2/"
upstream = "registry"
auth = "registry"

[[route]]
prefix = "/extensions/v2/"
upstream = "registry"
auth = "registry"

[users.{user}]
password_hash = {hash}

[[authn]]
kind = "users"

[[access]]
who = [{who}]
repositories = ["**"]
actions = ["*"]

[[access]]
who = [{who}]
registry = ["catalog"]
actions = ["*"]
"#
    )
}

fn tell(args: &Args, address: Option<SocketAddr>, password: &Secret) {
    let address = address.unwrap_or(args.listen);
    let (user, upstream, password) = (&args.user, &args.upstream, password.expose());
    // Whoever closed standard error does not want to read it.
    let _ = writeln!(
        std::io::stderr(),
        "Tidegate stands in front of {upstream}. Log in with:\n\n    docker login {address} -u {user} -p {password}\n\nand push to {address}/NAME:TAG. Ctrl-C ends it."
    );
}

#[cfg(test)]
mod tests {
    use super::{Args, prepare};

    fn args(listen: &str, user: &str, upstream: &str) -> Args {
        Args { upstream: upstream.into(), listen: listen.parse().unwrap(), user: user.into(), log: "warn".into() }
    }

    #[test]
    fn only_loopback_is_listened_on() {
        let error = prepare(&args("0.0.0.0:0", "dev", "http://127.0.0.1:1")).unwrap_err();
        assert!(error.contains("0.0.0.0 is no loopback address"), "{error}");
    }

    #[test]
    fn arguments_cannot_smuggle_configuration() {
        let error = prepare(&args("127.0.0.1:0", "dev]\n[limits", "http://127.0.0.1:1")).unwrap_err();
        assert!(error.contains("user"), "{error}");
        let error = prepare(&args("127.0.0.1:0", "dev", "http://h\"\n[limits]\nscopes = \"1")).unwrap_err();
        assert!(error.contains("url"), "{error}");
    }
}
