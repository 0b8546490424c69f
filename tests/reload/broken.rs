//! A configuration that is wrong changes nothing, and is told where operators look.

use crate::change::Change as _;
use crate::support::site::{SETUP, Setup, Site, blob};
use crate::support::until;
use crate::support::upstream::ok;
use crate::support::wire::LIMIT;

#[test]
fn a_wrong_configuration_changes_nothing_and_is_told_with_its_place() {
    let site = Site::new(ok);
    site.write(|text| {
        text.replace("[server]\n", "[server]\ncolour = \"#ff0000\"\n").replace("user:alice", "user:nobody")
    });
    let log = site.reload_in_vain();
    // In a log of JSON lines, line ends are escaped.
    let shown = "error: unknown key `colour` in [server]\\n --> ";
    let caret = ":2:1\\n  |\\n2 | colour = \\\"#ff0000\\\"\\n  | ^^^^^^\\n";
    assert!(log.contains(shown) && log.contains(caret), "{log}");
    assert_eq!(site.get().0.status(), 200, "alice's rule is as it was");
    let ready = site.readyz();
    let line = ready.lines().find(|line| line.starts_with("configuration: ")).unwrap_or_else(|| panic!("{ready}"));
    assert!(ready.starts_with("ready\n"), "{ready}");
    assert!(line.contains("invalid since 20") && line.contains("Z, and the one before stays in force: "), "{line}");
    assert!(line.ends_with("gateway.toml:2:1: unknown key `colour` in [server]"), "{line}");

    // Since when it is wrong does not change with another mistake.
    let since = |ready: &str| ready.split_once("since ").unwrap().1.split_once(',').unwrap().0.to_owned();
    site.write(|text| text.replace("colour", "color"));
    site.reload_in_vain();
    let again = site.readyz();
    assert!(again.contains("`color`") && since(&again) == since(&ready), "{again}");

    site.replace("color = \"#ff0000\"\n", "");
    assert_eq!(site.readyz(), "ready\n");
    assert_eq!(site.get().0.status(), 403, "alice's rule is gone");
}

#[test]
fn what_cannot_be_started_is_not_put_in_force_either() {
    let site = Site::new(ok);
    let limits = "[limits]\nheader_bytes = \"8KiB\"\n";
    site.write(|text| {
        format!("{text}\n[[authn]]\nkind = \"htpasswd\"\nfile = \"users\"\n{limits}").replace("user:alice", "user:x")
    });
    site.reload_in_vain();
    assert!(site.readyz().contains("in force: cannot read "), "{}", site.readyz());
    // Neither what requests are judged by nor what connections are given has changed.
    let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
    assert_eq!(site.ask("GET", &blob(), &long).0.status(), 200);
    // No signal: the file that was missing is looked for.
    let before = site.reloads();
    std::fs::write(site.dir.path().join("users"), "").unwrap();
    site.reloaded_since(before);
    assert_eq!(site.readyz(), "ready\n");
    assert_eq!(site.get().0.status(), 403);
}

#[test]
fn a_file_that_is_gone_is_told_and_found_again() {
    let setup = Setup { rest: "[users.carol]\npassword_hash = { file = \"hash\" }\n", ..SETUP };
    let site = Site::with_files(&setup, &[("hash", &bcrypt::hash("carol-secret", 4).unwrap())], ok);
    let file = site.dir.path().join("hash");
    let text = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    until("the missing file is told", LIMIT, || site.readyz().contains("hash cannot be read").then_some(()));
    std::fs::write(&file, text).unwrap();
    until("the file is found", LIMIT, || (site.readyz() == "ready\n").then_some(()));
}

#[test]
fn the_level_of_the_log_changes() {
    const TOLD: &str = "connection ended early";
    let site = Site::with(&Setup { rest: "[log]\nlevel = \"info\"\n", ..SETUP }, ok);
    // A request that breaks off, and behind it, on the same worker, one that does not.
    let provoke = || {
        let mut client = site.connect();
        client.send("GET");
        drop(client);
        assert_eq!(site.get().0.status(), 200);
    };
    provoke();
    assert!(!site.gateway.log().contains(TOLD));
    site.replace("level = \"info\"", "level = \"info,tidegate=debug\"");
    assert_eq!(site.readyz(), "ready\n", "it waits for no restart");
    provoke();
    site.wait_for_log(TOLD);
    site.replace("level = \"info,tidegate=debug\"", "level = \"info\"");
    let before = site.gateway.log().matches(TOLD).count();
    provoke();
    assert_eq!(site.gateway.log().matches(TOLD).count(), before);
}

#[test]
fn keys_that_need_a_restart_are_named_and_the_others_act() {
    let site = Site::new(ok);
    site.write(|text| {
        text.replace("workers = 1", "workers = 2")
            .replace("listen = [\"", "listen = [\"127.0.0.1:0\", \"")
            .replace("user:alice", "user:x")
    });
    site.reload();
    assert_eq!(site.readyz(), "ready\nconfiguration: waiting for a restart: server.listen, server.workers\n");
    site.wait_for_log("which take a restart");
    assert_eq!(site.get().0.status(), 403, "the new rules act");
    site.replace("workers = 2", "workers = 1");
    assert_eq!(site.readyz(), "ready\nconfiguration: waiting for a restart: server.listen\n");
}
