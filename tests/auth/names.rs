//! One gateway by several names.

use crate::jwt::claims;
use crate::setup::{ALICE, Site, challenged};

fn site(server: &str) -> Site {
    Site::with(|settings, _| {
        settings.hosts = vec!["127.0.0.1", "registry.test"];
        settings.server = server.into();
    })
}

#[test]
fn the_host_chooses_the_realm_and_nothing_else_does() {
    let site = site("");
    let port = site.gateway.port;
    let first = format!("http://127.0.0.1:{port}/token");
    let second = format!("http://registry.test:{port}/token");
    let realm = |host: &str| challenged(&site.get("/v2/").host(host).send().expect(401), "realm").unwrap();
    assert_eq!(realm(&format!("127.0.0.1:{port}")), first);
    assert_eq!(realm(&format!("registry.test:{port}")), second);
    assert_eq!(realm(&format!("REGISTRY.test:{port}")), second);
    for foreign in ["evil.test", "registry.test:1", "registry.test", "localhost"] {
        assert_eq!(realm(foreign), first, "{foreign}");
    }
    // Nobody vouches for what this client says of its way here.
    let host = format!("registry.test:{port}");
    let reply = site.get("/v2/").header("X-Forwarded-Host", &host).header("X-Forwarded-Proto", "https").send();
    assert_eq!(challenged(&reply, "realm"), Some(first));
    let token = site.token(Some(ALICE), &["repository:alice/a:pull"]);
    assert_eq!(claims(&token)["iss"], format!("http://127.0.0.1:{port}/token"));
}

#[test]
fn a_trusted_proxy_says_by_which_name_the_client_came() {
    let site = site("trusted_proxies = [\"127.0.0.1\"]");
    let host = format!("registry.test:{}", site.gateway.port);
    let reply = site.get("/v2/").header("X-Forwarded-Host", &host).send().expect(401);
    assert_eq!(challenged(&reply, "realm"), Some(format!("http://{host}/token")));
    let reply = site.get("/v2/").header("X-Forwarded-Host", "evil.test").send().expect(401);
    assert_eq!(challenged(&reply, "realm"), Some(site.realm()));
}

#[test]
fn a_token_from_one_name_serves_at_every_other() {
    let site = site("");
    let host = format!("registry.test:{}", site.gateway.port);
    let target = "/token?scope=repository:alice/a:pull";
    let reply = site.get(target).host(&host).basic(ALICE.0, ALICE.1).send().expect(200);
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    // The default service is the same by whatever name it was asked for.
    assert_eq!(claims(&token)["aud"], site.gateway.host());
    assert_eq!(claims(&token)["iss"], site.realm());
    for host in [host, site.gateway.host()] {
        site.get("/v2/alice/a/manifests/v1").host(&host).bearer(&token).send().expect(200);
        assert_eq!(site.the_forwarded().header("host"), Some(host.as_str()));
    }
}

#[test]
fn a_challenge_names_the_service_of_the_host() {
    let site = Site::with(|settings, _| settings.token = "service = [\"one.test\", \"two.test\"]".into());
    let service = |host: &str| challenged(&site.get("/v2/").host(host).send().expect(401), "service").unwrap();
    assert_eq!(service("one.test"), "one.test");
    assert_eq!(service("two.test"), "two.test");
    assert_eq!(service("evil.test"), "one.test");
    assert_eq!(service(&site.gateway.host()), "one.test");
}

#[test]
fn a_name_behind_tls_has_a_realm_behind_tls() {
    let site = Site::rendered(crate::upstream::OK, |_| {}, &|ports, upstream| {
        format!(
            "[server]\nlisten = [\"127.0.0.1:{0}\"]\npublic_url = [\"https://registry.test\", \"http://127.0.0.1:{0}\"]\n\
             [admin]\nlisten = \"127.0.0.1:{1}\"\n[token]\npath = \"/auth/token\"\n\
             [[upstream]]\nname = \"r\"\nurl = \"http://127.0.0.1:{upstream}\"\n\
             [[route]]\nprefix = \"/v2/\"\nupstream = \"r\"\nauth = \"registry\"\n\
             [[access]]\nwho = [\"anyone\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\n",
            ports.main, ports.admin
        )
    });
    let host = site.gateway.host();
    for (name, realm) in [
        ("registry.test", "https://registry.test/auth/token".to_owned()),
        ("registry.test:443", "https://registry.test/auth/token".to_owned()),
        (&*host, format!("http://{host}/auth/token")),
    ] {
        let reply = site.get("/v2/").host(name).send().expect(401);
        assert_eq!(challenged(&reply, "realm"), Some(realm), "{name}");
        assert_eq!(challenged(&reply, "service").as_deref(), Some("registry.test"), "{name}");
    }
    let token =
        site.get("/auth/token?service=registry.test&scope=repository:x:pull").send().expect(200).json()["token"]
            .as_str()
            .unwrap()
            .to_owned();
    assert_eq!(claims(&token)["iss"], "https://registry.test/auth/token");
    for (name, scheme) in [("registry.test", "https"), (&*host, "http")] {
        site.get("/v2/x/manifests/v1").host(name).bearer(&token).send().expect(200);
        assert_eq!(site.the_forwarded().header("x-forwarded-proto"), Some(scheme), "{name}");
    }
    site.get("/token").send().expect(404);
}
