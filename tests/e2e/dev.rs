//! `tidegate dev`: no file at all, one account, and a line to log in with.

use std::path::Path;

use crate::site::directory;
use crate::support::client::Home;
use crate::support::image::Image;
use crate::support::process::{Server, command, program, run};
use crate::support::registry::Registry;

/// What stands in `text` between two words.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    rest.find(after).map(|end| &rest[..end])
}

#[test]
fn prints_an_account_that_may_do_everything() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let log = dir.path().join("dev.log");
    let mut dev = command(Path::new(env!("CARGO_BIN_EXE_tidegate")), dir.path());
    dev.args(["dev", "--listen", "127.0.0.1:0", "--upstream", &format!("http://127.0.0.1:{}", registry.port)]);
    let told = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Ctrl-C ends it"));
    let Ok(mut server) = Server::start("tidegate", &mut dev, &log, told) else { panic!("it picked a port in use") };
    let text = server.log();
    let host = between(&text, "docker login ", " -u").unwrap();
    let account = (between(&text, "-u ", " -p").unwrap(), between(&text, "-p ", "\n").unwrap());
    assert_eq!(account.0, "dev");
    assert!(account.1.len() >= 20, "{text}");

    let home = Home::new(dir.path().to_owned());
    let skopeo = program("skopeo", "skopeo");
    let layout = dir.path().join("image");
    std::fs::create_dir(&layout).unwrap();
    let image = Image::make(&layout, 2, 64);
    let reference = format!("docker://{host}/any/thing:v1");
    let copy = |credentials: &str| {
        let mut copy = home.command(&skopeo);
        copy.arg("--tmpdir").arg(&home.path).args(["copy", "--dest-tls-verify=false", "--dest-creds", credentials]);
        run(copy.arg(format!("oci:{}:v1", image.oci.display())).arg(&reference), "")
    };
    copy("dev:guessed").failed(1).says("incorrect username or password");
    copy(&format!("{}:{}", account.0, account.1)).ok();
    assert!(registry.has_manifest("any/thing", "v1"));
    let delete = ["delete", "--tls-verify=false", "--creds", &format!("{}:{}", account.0, account.1), &reference];
    run(home.command(&skopeo).args(delete), "").ok();
    assert!(!registry.has_manifest("any/thing", "v1"));

    assert_eq!(server.stop().code(), Some(0));
    assert!(!dir.path().join("state").exists(), "the key is in memory only");
}
