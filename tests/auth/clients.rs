//! OAuth2 clients at the token endpoint (RFC 6749, section 4.4), and what API tokens are good for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::authn::KeyHash;
use tidegate::secret::Secret;

use crate::api::ROUTES;
use crate::jwt::{access, claims};
use crate::setup::{ALICE, BOB, CAROL, Site, challenged, code, escaped, parameters, the_challenge};
use crate::support::http::Reply;

const FORM: &str = "application/x-www-form-urlencoded";
const GRANT: &str = "grant_type=client_credentials";
const USERS: &str = "/pulp/api/v3/users/";

/// One with a fast hash, one with a slow one, one whose secret has every character that encodings disagree on.
const FAST: (&str, &str) = ("pulp-cli", "tgk_fast-5be1f0c4");
const SLOW: (&str, &str) = ("nightly", "slow and salted 8");
const ODD: (&str, &str) = ("odd one", "100% + a/b&c=d:e");

fn clients() -> String {
    let fast = |secret: &str| KeyHash::of(&Secret::new(secret)).to_text();
    let slow = bcrypt::hash(SLOW.1, 4).unwrap();
    format!(
        "[clients.{}]\nsecret_hash = \"{}\"\ngroups = [\"ops\"]\n[clients.{}]\nsecret_hash = \"{slow}\"\n\
         [clients.\"{}\"]\nsecret_hash = \"{}\"\n[groups]\ndev = [\"user:{}\"]\n",
        FAST.0,
        fast(FAST.1),
        SLOW.0,
        ODD.0,
        fast(ODD.1),
        SLOW.0
    )
}

fn site() -> Site {
    Site::with(|settings, _| settings.rest.push_str(&[ROUTES, &clients()].concat()))
}

/// As a client with Basic credentials.
fn ask(site: &Site, client: (&str, &str), form: &str) -> Reply {
    let request = site.request("POST", "/token").header("Content-Type", FORM).basic(client.0, client.1);
    request.body(form.as_bytes()).send()
}

fn token(reply: &Reply) -> String {
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

fn error(reply: &Reply) -> String {
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.json()["error"].as_str().unwrap().to_owned()
}

/// The request that pulp-cli 0.41 makes, header for header.
#[test]
fn pulp_cli_gets_its_token() {
    let site = site();
    let form = format!("{GRANT}&scopes=api%3Aread+api%3Awrite+pulp%3Aeverything");
    let request = site.request("POST", "/token").header("User-Agent", "Pulp-CLI openapi parser (0.41.1)");
    let request = request.header("Accept-Encoding", "gzip, deflate").header("Accept", "*/*");
    let credentials = STANDARD.encode(format!("{}:{}", FAST.0, FAST.1));
    let request = request.header("Authorization", &format!("Basic {credentials}")).header("Content-Type", FORM);
    let reply = request.body(form.as_bytes()).send().expect(200);
    let answer = reply.json();
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(answer["access_token"], answer["token"]);
    assert_eq!((answer["expires_in"].as_u64(), answer["token_type"].as_str()), (Some(300), Some("Bearer")));
    assert_eq!((answer["scope"].as_str(), answer.get("refresh_token")), (Some("api:read api:write"), None));
    let token = token(&reply);
    let claims = claims(&token);
    assert_eq!((claims["sub"].as_str(), access(&token).len()), (Some(FAST.0), 0));
    assert_eq!(claims["aud"], site.gateway.host());
    let private =
        serde_json::json!({"kind": "api", "scope": "api:read api:write", "groups": ["ops"], "authn": "clients"});
    assert_eq!(claims["tidegate"], private);

    let reply = site.request("POST", USERS).bearer(&token).body(b"{}").send().expect(200);
    assert_eq!(reply.status, 200);
    let seen = site.the_forwarded();
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.identity(), Some(format!("{{\"identity\":{{\"user\":{{\"username\":\"{}\"}}}}}}", FAST.0)));
}

#[test]
fn a_client_says_in_one_way_who_it_is() {
    let site = site();
    let in_body =
        |id: &str, secret: &str| format!("{GRANT}&client_id={}&client_secret={}", escaped(id), escaped(secret));
    for client in [FAST, SLOW, ODD] {
        // Plain, as pulp-cli and curl have it; form-encoded, as the RFC has it; in the form.
        ask(&site, client, GRANT).expect(200);
        ask(&site, (&escaped(client.0), &escaped(client.1)), GRANT).expect(200);
        site.form(&in_body(client.0, client.1)).expect(200);
        // Saying the name twice is no second way.
        ask(&site, client, &format!("{GRANT}&client_id={}", escaped(client.0))).expect(200);
    }
    let plus = |text: &str| escaped(text).replace("%20", "+");
    ask(&site, (&plus(ODD.0), &plus(ODD.1)), GRANT).expect(200);
    for form in [in_body(FAST.0, FAST.1), format!("{GRANT}&client_secret=x"), format!("{GRANT}&client_id=other")] {
        let reply = ask(&site, FAST, &form).expect(400);
        assert_eq!(error(&reply), "invalid_request", "{form}");
        assert_eq!(reply.json().get("token"), None);
    }
    for parameter in ["grant_type", "client_id", "client_secret", "scope", "scopes", "service"] {
        let twice = format!("{}&{parameter}=x&{parameter}=x", in_body(FAST.0, FAST.1));
        assert_eq!(error(&site.form(&twice).expect(400)), "invalid_request", "{parameter}");
    }
    // Parameters of the query do not count (RFC 6749, section 2.3.1).
    let target = format!("/token?client_id={}&client_secret={}&{GRANT}", FAST.0, FAST.1);
    let reply = site.request("POST", &target).header("Content-Type", FORM).body(GRANT.as_bytes()).send();
    assert_eq!(error(&reply.expect(401)), "invalid_client");
}

#[test]
fn who_is_no_client_is_told_so_and_no_more() {
    let site = site();
    let seen = |reply: Reply| {
        assert_eq!(
            (reply.status, error(&reply).as_str(), code(&reply).as_str()),
            (401, "invalid_client", "UNAUTHORIZED")
        );
        assert!(parameters("Basic", the_challenge(&reply)).iter().any(|(name, _)| *name == "realm"));
        reply.text()
    };
    let known = seen(ask(&site, (FAST.0, "wrong"), GRANT));
    for client in [
        (SLOW.0, "wrong"),
        (SLOW.0, ""),
        ("nobody", "x"),
        ("admin", "x"),
        ("PULP-CLI", FAST.1),
        ALICE,
        (FAST.0, "a%2Fb"),
    ] {
        assert_eq!(seen(ask(&site, client, GRANT)), known, "{}", client.0);
    }
    for more in ["", "&client_id=pulp-cli", "&client_id=pulp-cli&client_secret=", "&client_id=&client_secret=x"] {
        assert_eq!(seen(site.form(&format!("{GRANT}{more}"))), known, "{more}");
    }
    for value in ["Bearer x", "Basic !", "Digest x"] {
        let request = site.request("POST", "/token").header("Content-Type", FORM).header("Authorization", value);
        assert_eq!(seen(request.body(GRANT.as_bytes()).send()), known, "{value}");
    }
    // A client is no user, on no route.
    site.get(USERS).basic(FAST.0, FAST.1).send().expect(401);
    site.get("/v2/").basic(FAST.0, FAST.1).send().expect(401);
    site.get("/token").basic(FAST.0, FAST.1).send().expect(401);
    site.form(&format!("grant_type=password&username={}&password={}", FAST.0, FAST.1)).expect(401);
}

#[test]
fn scopes_are_those_of_the_api() {
    let site = site();
    for (form, scope) in [
        ("", "api:read api:write"),
        ("&scope=", "api:read api:write"),
        ("&scope=api:read", "api:read"),
        ("&scope=api:write+api:read+unknown", "api:read api:write"),
        ("&scopes=api:write", "api:write"),
        ("&scopes=api:read%2Bapi:write", "api:read api:write"),
        ("&scope=api:read&scopes=openid", "api:read"),
    ] {
        let reply = ask(&site, FAST, &format!("{GRANT}{form}")).expect(200);
        assert_eq!(reply.json()["scope"], scope, "{form}");
        assert_eq!(claims(&token(&reply))["tidegate"]["scope"], scope, "{form}");
    }
    for form in [
        "&scope=unknown",
        "&scopes=a+b",
        "&scope=repository:x:pull",
        "&scope=api:read+repository:x:pull",
        "&scope=API:READ",
    ] {
        assert_eq!(error(&ask(&site, FAST, &format!("{GRANT}{form}")).expect(400)), "invalid_scope", "{form}");
    }
    let service = format!("{GRANT}&service={}", site.gateway.host());
    ask(&site, FAST, &service).expect(200);
    assert_eq!(error(&ask(&site, FAST, &format!("{GRANT}&service=evil.test")).expect(400)), "invalid_target");
}

#[test]
fn a_token_is_good_for_its_scopes_within_the_rules() {
    let site = site();
    let of = |client, scope: &str| token(&ask(&site, client, &format!("{GRANT}&scope={scope}")).expect(200));
    let (read, write, both) = (of(FAST, "api:read"), of(FAST, "api:write"), of(FAST, ""));
    let send = |method: &str, token: &str| site.request(method, USERS).bearer(token).body(b"").send();
    for (token, reads, writes) in [(&read, 200, 403), (&write, 403, 200), (&both, 200, 200)] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(send(method, token).status, reads, "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
            assert_eq!(send(method, token).status, writes, "{method}");
        }
    }
    assert_eq!(site.forwarded().len(), 3 + 5 + 8);
    let reply = send("POST", &read).expect(403);
    assert_eq!(
        (challenged(&reply, "error"), challenged(&reply, "scope")),
        (Some("insufficient_scope".into()), Some("api:write".into()))
    );
    assert_eq!((challenged(&reply, "realm"), code(&reply)), (Some(site.realm()), "DENIED".into()));
    assert!(reply.text().contains("the token does not carry the scope api:write"), "{}", reply.text());
    assert_eq!(challenged(&send("GET", &write).expect(403), "scope"), Some("api:read".into()));
    // What the rules refuse no other token mends.
    let dev = of(SLOW, "");
    send("GET", &dev).expect(200);
    let reply = send("POST", &dev).expect(403);
    assert_eq!((reply.header("www-authenticate"), code(&reply)), (None, "DENIED".into()));
    let odd = of(ODD, "");
    send("GET", &odd).expect(403);
    // And none is good on registry routes.
    for token in [&read, &both] {
        site.get("/v2/").bearer(token).send().expect(401);
        site.get("/v2/public/x/manifests/v1").bearer(token).send().expect(401);
    }
}

#[test]
fn users_get_tokens_for_the_api_too() {
    let site = site();
    let password = |more: &str| format!("grant_type=password&username=carol&password={}{more}", escaped(CAROL.1));
    site.form(&password("&scope=api:read&service=evil.test")).expect(400);
    let reply = site.form(&password("&scope=api:read")).expect(200);
    assert_eq!(
        (reply.json()["scope"].as_str(), reply.json()["token_type"].as_str()),
        (Some("api:read"), Some("Bearer"))
    );
    let from_form = token(&reply);
    let from_get = site.token(Some(CAROL), &["api:read+api:write"]);
    assert_eq!(claims(&from_get)["tidegate"]["authn"], "users");
    site.get(USERS).bearer(&from_form).send().expect(200);
    site.request("POST", USERS).bearer(&from_form).body(b"").send().expect(403);
    site.request("POST", USERS).bearer(&from_get).body(b"").send().expect(200);
    // Bob has the token, and no right.
    site.get(USERS).bearer(&site.token(Some(BOB), &["api:read"])).send().expect(403);
    for target in ["/token?scope=api:read+repository:shared/x:pull", "/token?scope=api:read&scope=registry:catalog:*"] {
        assert_eq!(error(&site.get(target).basic(CAROL.0, CAROL.1).send().expect(400)), "invalid_scope");
    }
    // Who is nobody needs no token for what nobody may.
    site.get("/token?scope=api:read").send().expect(401);
    site.form("grant_type=password&username=&password=&scope=api:read").expect(401);
}

#[test]
fn tokens_for_the_api_have_a_life_of_their_own() {
    let site = Site::with(|settings, _| {
        settings.rest.push_str(&[ROUTES, &clients(), "[api]\ntoken_ttl = \"2m\"\n"].concat());
    });
    assert_eq!(ask(&site, FAST, GRANT).expect(200).json()["expires_in"].as_u64(), Some(120));
    assert_eq!(site.gateway.ask_token(Some(ALICE), &["api:read"]).json()["expires_in"].as_u64(), Some(120));
    assert_eq!(site.gateway.ask_token(Some(ALICE), &[]).json()["expires_in"].as_u64(), Some(300));
}

#[test]
fn who_is_taken_out_is_out_at_once() {
    let mut site = site();
    let of = |client| token(&ask(&site, client, GRANT).expect(200));
    let (fast, slow) = (of(FAST), of(SLOW));
    let carol = site.token(Some(CAROL), &["api:read"]);
    let status = |site: &Site, token: &str| site.get(USERS).bearer(token).send().status;
    assert_eq!([&fast, &slow, &carol].map(|token| status(&site, token)), [200; 3]);
    site.restart(|config| {
        let config = config.replace("[clients.pulp-cli]", "[clients.other]").replace("[users.carol]", "[users.carla]");
        config.replace("dev = [\"user:nightly\"]", "")
    });
    assert_eq!([&fast, &slow, &carol].map(|token| status(&site, token)), [401, 403, 401]);
    // A key of the same name is somebody else.
    let key =
        format!("[api_keys.pulp-cli]\nhash = \"{}\"\ngroups = [\"ops\"]\n", KeyHash::of(&Secret::new("k")).to_text());
    site.restart(|config| format!("{config}{key}"));
    assert_eq!(status(&site, &fast), 401);
}

#[test]
fn the_audit_tells_of_each_token_and_each_refusal() {
    let mut site = site();
    let issued = token(&ask(&site, FAST, &format!("{GRANT}&scope=api:read")).expect(200));
    ask(&site, (FAST.0, "wrong"), GRANT).expect(401);
    site.request("POST", USERS).bearer(&issued).body(b"").send().expect(403);
    site.gateway.stop();
    let log = site.gateway.log();
    let lines: Vec<serde_json::Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let request = lines.iter().find(|line| line["kind"] == "request" && line["status"] == 403).unwrap();
    assert_eq!((&request["decision"], &request["subject"]), (&"denied".into(), &FAST.0.into()));
    let audit: Vec<_> = lines.iter().filter(|line| line["kind"] == "audit").collect();
    let [token, login, decision] = audit[..] else { panic!("{audit:?}") };
    for (line, expected) in [
        (
            token,
            serde_json::json!({
                "event": "token", "subject": FAST.0, "authn": "clients", "groups": ["ops"], "requested": "api:read",
                "granted": "api:read", "result": "allowed", "token_id": claims(&issued)["jti"],
            }),
        ),
        (
            login,
            serde_json::json!({
                "event": "login", "subject": null, "claimed": FAST.0, "result": "denied",
                "why": "client authentication failed",
            }),
        ),
        (
            decision,
            serde_json::json!({
                "event": "decision", "subject": FAST.0, "authn": "clients", "action": "api", "resource": USERS,
                "result": "denied", "why": "the token does not carry the scope api:write",
                "token_id": claims(&issued)["jti"],
            }),
        ),
    ] {
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(line.get(key).unwrap_or(&serde_json::Value::Null), value, "{key} of {line}");
        }
    }
    assert!(!log.contains(FAST.1));
}

#[test]
fn without_clients_the_grant_is_not_served() {
    let site = Site::start();
    assert_eq!(error(&ask(&site, FAST, GRANT).expect(400)), "unsupported_grant_type");
}

#[test]
fn filters_and_predicates_see_what_kind_of_caller_it_is() {
    let key = "tgk_for-a-predicate-1";
    let mut site = Site::with(|settings, _| {
        let hash = KeyHash::of(&Secret::new(key)).to_text();
        let rule = "[[access]]\nwho = [\"authenticated\"]\npaths = [\"/pulp/api/v3/x\"]\nmethods = [\"*\"]\nwhen = '.authn == \"KIND\"'\n";
        let filter = "[identity]\nfilter = '{identity: {user: {username: (.authn + \"/\" + .subject)}}}'\n";
        let keys = format!("[api_keys.ci]\nhash = \"{hash}\"\n");
        settings.rest.push_str(&[ROUTES, &clients(), &keys, rule, filter].concat());
    });
    for (kind, statuses) in
        [("clients", [200, 403, 403]), ("api-keys", [403, 200, 403]), ("users", [403, 403, 200]), ("no", [403; 3])]
    {
        site.restart(|config| {
            let (before, after) = config.split_once("when = '.authn == \"").unwrap();
            format!("{before}when = '.authn == \"{kind}\"'\n{}", after.split_once('\n').unwrap().1)
        });
        let get = || site.get("/pulp/api/v3/x");
        let token = token(&ask(&site, ODD, GRANT).expect(200));
        let replies =
            [get().bearer(&token).send(), get().header("X-Api-Key", key).send(), get().basic(BOB.0, BOB.1).send()];
        assert_eq!(replies.map(|reply| reply.status), statuses, "{kind}");
        let names = [format!("clients/{}", ODD.0), "api-keys/ci".into(), "users/bob".into()];
        let expected = statuses.iter().zip(names).filter(|(status, _)| **status == 200).map(|(_, name)| name);
        let seen: Vec<_> = site.forwarded().iter().filter_map(|seen| seen.identity()).collect();
        let expected: Vec<_> =
            expected.map(|name| format!("{{\"identity\":{{\"user\":{{\"username\":\"{name}\"}}}}}}")).collect();
        assert_eq!(seen, expected, "{kind}");
    }
}
