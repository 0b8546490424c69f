//! Certificates change while connections live.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::{Client, PATIENCE, get};
use crate::setup::{Secured, With};
use crate::support::pki::{Authority, Wanted};
use crate::support::until;

/// Which certificate a new connection is shown.
async fn shown(client: &Client) -> Vec<u8> {
    let stream = client.connect().await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Waits until new connections are shown another certificate.
async fn changed(client: &Client, before: &[u8]) -> Vec<u8> {
    let began = Instant::now();
    loop {
        let now = shown(client).await;
        if now != before {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "the old certificate is still shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const SERVER: Wanted<'_> = Wanted { common_name: "", dns: &["gw.example"], uri: None, email: None, expired: false };

#[tokio::test]
async fn a_new_certificate_disturbs_no_connection() {
    let secured = Secured::new(With::default());
    let client = secured.client();
    let before = shown(&client).await;
    let mut held = client.open().await.unwrap();
    assert_eq!(held.ask(get("/v2/")).await.unwrap().status(), 401);

    let next = secured.authority.issue(&SERVER);
    next.write(&secured.authority.dir().join("server"));
    assert_eq!(changed(&client, &before).await, next.certificate.to_vec());
    assert_eq!(held.ask(get("/v2/")).await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_broken_certificate_is_told_and_not_shown() {
    let secured = Secured::new(With::default());
    let client = secured.client();
    let before = shown(&client).await;
    let dir = secured.authority.dir().join("server");
    let good_key = fs::read(dir.join("tls.key")).unwrap();
    let expired = secured.authority.issue(&Wanted { expired: true, ..SERVER });
    let other = secured.authority.issue(&SERVER);
    let steps: [(&str, &dyn Fn()); 4] = [
        ("tls.crt: is no PEM text", &|| {
            fs::write(dir.join("tls.crt"), "-----BEGIN CERTIFICATE-----\nbroken").unwrap();
        }),
        ("has expired", &|| expired.write(&dir)),
        ("tls.key is not that of the certificate", &|| {
            // In this order there is no moment at which they fit.
            fs::write(dir.join("tls.key"), &good_key).unwrap();
            other.write_certificate(&dir);
        }),
        ("tls.crt: cannot be read", &|| fs::remove_file(dir.join("tls.crt")).unwrap()),
    ];
    for (said, step) in steps {
        step();
        // A reload of the whole configuration, should there be one, says it in its own words.
        until(said, PATIENCE, || {
            let log = secured.site.gateway.log();
            log.lines().any(|line| line.contains(said) && line.contains("stay in use")).then_some(())
        });
        assert_eq!(shown(&client).await, before, "{said}");
    }
    other.write(&dir);
    assert_eq!(changed(&client, &before).await, other.certificate.to_vec());
}

/// Lets the links that Kubernetes makes of a secret point to another version of it, in one step.
fn swap(dir: &Path, version: &str) {
    symlink(version, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
}

#[tokio::test]
async fn links_are_followed_as_kubernetes_swaps_them() {
    let authority = Authority::new("Test authority");
    let dir = authority.dir().join("server");
    let first = authority.issue(&SERVER);
    first.write(&dir.join("..1"));
    swap(&dir, "..1");
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), dir.join(name)).unwrap();
    }
    let secured = Secured::start(authority, With::default());
    let client = secured.client();
    assert_eq!(shown(&client).await, first.certificate.to_vec());
    let second = secured.authority.issue(&SERVER);
    second.write(&dir.join("..2"));
    swap(&dir, "..2");
    fs::remove_dir_all(dir.join("..1")).unwrap();
    assert_eq!(changed(&client, &first.certificate).await, second.certificate.to_vec());
}

#[tokio::test]
async fn authorities_of_clients_change_too() {
    let with = With {
        tls: ", client_ca = \"{ca}\", client_auth = \"required\"",
        rest: "[[authn]]\nkind = \"client-certificate\"\n",
        ..With::default()
    };
    let secured = Secured::new(with);
    let (old, new) = (secured.authority.client("alice"), Authority::new("Next authority"));
    let fresh = new.client("alice");
    let (old, fresh) = (secured.client_with(&old), secured.client_with(&fresh));
    let mut held = old.open().await.unwrap();
    assert_eq!(held.ask(get("/v2/")).await.unwrap().status(), 200);
    assert!(fresh.ask(get("/v2/")).await.is_err());

    fs::write(secured.authority.file(), new.pem()).unwrap();
    let began = Instant::now();
    while fresh.ask(get("/v2/")).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "the new authority is not believed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Not even by a session of before, which needs no certificate.
    assert!(old.ask(get("/v2/")).await.is_err());
    assert_eq!(held.ask(get("/v2/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_reload_takes_other_files_or_none() {
    let secured = Secured::new(With::default());
    let client = secured.client();
    let before = shown(&client).await;
    let mut held = client.open().await.unwrap();
    assert_eq!(held.ask(get("/v2/")).await.unwrap().status(), 401);

    secured.authority.serve("next", &["gw.example"]);
    let config = &secured.site.gateway.config;
    let text = fs::read_to_string(config).unwrap();
    fs::write(config, text.replace("/server/tls.", "/next/tls.")).unwrap();
    let next = changed(&client, &before).await;
    assert_eq!(held.ask(get("/v2/")).await.unwrap().status(), 401);

    // What cannot be read changes nothing, of the whole configuration.
    fs::write(config, text.replace("/server/tls.", "/missing/tls.")).unwrap();
    let log = secured.site.wait_for_log("not put in force");
    assert!(log.contains("missing/tls.crt"), "{log}");
    assert_eq!(shown(&client).await, next);
}
