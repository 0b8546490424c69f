//! What all commands have in common.

use std::process::{Command, Stdio};

use crate::support::{ALICE, Place};

#[test]
fn the_version_is_that_of_the_package() {
    let place = Place::new("");
    let version = format!("tidegate {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(place.run(&["version"]).out(0), version);
    assert_eq!(place.run(&["--version"]).out(0), version);
}

#[test]
fn every_help_says_the_exit_codes() {
    let place = Place::new("");
    for command in [
        "",
        "serve",
        "dev",
        "check",
        "explain",
        "hash-password",
        "api-key",
        "keys",
        "keys generate",
        "keys list",
        "keys export",
        "token",
        "token mint",
        "token inspect",
        "filter",
        "export",
        "export distribution",
        "version",
    ] {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = place.run(&args);
        assert!(help.out(0).contains("Exit codes: 0"), "{command}: {help:#?}");
    }
}

#[test]
fn wrong_arguments_are_a_matter_of_their_own() {
    let place = Place::new("");
    for args in [&[][..], &["fly"], &["explain"], &["keys"], &["token", "mint", "--group", "g"], &["dev"]] {
        let ran = place.run(args);
        assert!(ran.err(2).contains("Usage: tidegate"), "{args:?}: {ran:#?}");
    }
}

#[test]
fn a_broken_configuration_is_shown_as_check_shows_it() {
    let place = Place::new("colour = 1\n");
    let checked = place.run(&["check"]);
    let report = checked.err(1).split("\n\nwarning").next().unwrap().trim_end();
    for args in [
        &["explain", "pull", "a"][..],
        &["keys", "list"],
        &["keys", "export", "--format", "jwks"],
        &["token", "mint"],
        &["token", "inspect"],
        &["filter"],
        &["export", "distribution"],
    ] {
        let ran = place.run(args);
        let err = ran.err(2);
        assert!(err.contains("unknown key `colour`") && err.contains("gateway.toml:4:1"), "{args:?}: {err}");
        assert!(report.contains(err.trim_end().lines().next().unwrap()), "{args:?}: {err}");
    }
    let missing = place.run(&["keys", "list", "--config", "none.toml"]);
    assert!(missing.err(2).contains("the configuration cannot be read"), "{missing:#?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error_to_be_told() {
    let place = Place::new(ALICE);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("tidegate"))
        .args(["keys", "generate"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The other end is closed before anything can be written to it, or right after: both must be quiet.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 141)), "{:?} {err}", output.status);
    assert!(!err.contains("error"), "{err}");
    drop(place);
}

#[test]
fn a_password_goes_in_and_only_its_hash_comes_out() {
    let place = Place::new("");
    let ran = place.run_with(&["hash-password"], "correct horse\n");
    assert!(ran.out(0).starts_with("$argon2id$v=19$") && ran.out.lines().count() == 1, "{ran:#?}");
    assert!(!ran.out.contains("horse") && !ran.err.contains("horse"), "{ran:#?}");
    assert!(place.run_with(&["hash-password"], "").err(1).contains("the password is empty"));
}
