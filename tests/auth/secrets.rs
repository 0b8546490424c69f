//! Secrets planted on every path, and nothing of them in any log at trace level, in any answer that is not theirs, or in what the
//! admin listener tells.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use tidegate::authn::KeyHash;
use tidegate::secret::Secret;

use crate::jwt::{claims, encoded, part, signed, state_key};
use crate::planted::Planted;
use crate::setup::{DIGEST, Site, escaped};
use crate::support::http::{Reply, Request, connect, get, read_reply};
use crate::support::wire::LIMIT;
use crate::support::{port, until};
use crate::upstream::Answer;

const RIGHT: &str = "right-PW-2f6b09c1";
const WRONG: &str = "wrong-PW-7d41aa83";
const ACCOUNT: &str = "upstream-PW-0be2c65f";
const COOKIE: &str = "cookie-5af3b0d977";
const STATE: &str = "upload-state-c24e9b7f11";
const QUERY: &str = "presigned-91d0e3f2aa";
const FORGED: &str = "Zm9yZ2VkLWlkZW50aXR5LTAxMjM0NTY3";
const KEY: &str = "tgk_the-ci-5be1f0c4";
const OVER: &str = "tgk_expired-0d77e2";
const CLIENT: &str = "tgk_a client/b3%41";
const LIBRARIAN: &str = "librarian-PW-63c9";

fn config(main: u16, admin: u16, upstream: u16, dead: u16, hash: &str) -> String {
    let route = |prefix: &str, credentials: &str, upstream: &str| {
        format!(
            "[[route]]\nprefix = \"/v2/{prefix}\"\nupstream = \"{upstream}\"\nauth = \"registry\"\ncredentials = {credentials}\n"
        )
    };
    let basic = format!("{{ basic = {{ username = \"gateway\", password = \"{ACCOUNT}\" }} }}");
    let routes = [
        route("", "\"identity\"", "registry"),
        route("basic/", &basic, "registry"),
        route("forward/", "\"forward-token\"", "registry"),
        route("mint/", "\"mint-token\"", "registry"),
        route("dead/", &basic, "dead"),
        route("dead/forward/", "\"forward-token\"", "dead"),
    ];
    format!(
        "[server]\nlisten = [\"127.0.0.1:{main}\"]\npublic_url = \"http://127.0.0.1:{main}\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
         [[upstream]]\nname = \"registry\"\nurl = \"http://127.0.0.1:{upstream}\"\n\
         [[upstream]]\nname = \"dead\"\nurl = \"http://127.0.0.1:{dead}\"\n{}\
         [[route]]\nprefix = \"/api/\"\nupstream = \"registry\"\nauth = \"api\"\n\
         [[route]]\nprefix = \"/public/\"\nupstream = \"registry\"\nauth = \"public\"\n\
         [users.alice]\npassword_hash = '{hash}'\n\
         [api_keys.ci]\nhash = \"{}\"\n[api_keys.over]\nhash = \"{}\"\nexpires = 2020-01-01T00:00:00Z\n\
         [clients.robot]\nsecret_hash = \"{}\"\n\
         [[authn]]\nkind = \"users\"\n[[authn]]\nkind = \"htpasswd\"\nfile = \"htpasswd\"\n\
         [[access]]\nwho = [\"authenticated\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n\
         [[access]]\nwho = [\"authenticated\"]\npaths = [\"/api/**\"]\nmethods = [\"*\"]\n\
         [log]\nlevel = \"trace\"\nrequests = {{ file = \"requests.log\" }}\naudit = {{ file = \"audit.log\" }}\n\
         [identity]\nfilter = '{{identity: {{user: {{username: (if .request.reference == \"odd\" then .subject - 1 else .subject end)}}}}}}'\n",
        routes.concat(),
        key_hash(KEY),
        key_hash(OVER),
        key_hash(CLIENT)
    )
}

fn key_hash(key: &str) -> String {
    KeyHash::of(&Secret::new(key)).to_text()
}

/// With everything about it that should be nobody's business.
fn loaded(request: Request) -> Request {
    request
        .header("Cookie", &format!("session={COOKIE}"))
        .header("Proxy-Authorization", &format!("Basic {}", STANDARD.encode(format!("proxy:{RIGHT}"))))
        .header("X-Authentication-Service", FORGED)
        .header("X-Forwarded-User", FORGED)
}

/// Requests of every kind, each with these credentials, and their answers.
fn everywhere(site: &Site, with: &dyn Fn(Request) -> Request) -> Vec<Reply> {
    let mut targets = vec![
        ("GET", "/v2/".to_owned()),
        ("GET", "/v2/_catalog".into()),
        ("GET", "/v2/x/manifests/odd".into()),
        ("GET", format!("/v2/x/blobs/{DIGEST}?X-Amz-Signature={QUERY}&token={QUERY}")),
        ("GET", format!("/v2/x/tags/list?n={QUERY}")),
        ("GET", format!("/v2/UPPER/tags/list?token={QUERY}")),
        ("GET", format!("/nowhere?token={QUERY}")),
        ("GET", format!("/v2/x/manifests/v1?%zz={QUERY}")),
        ("POST", format!("/v2/x/blobs/uploads/?mount={DIGEST}&mount={DIGEST}&x={QUERY}")),
        ("TRACE", format!("/v2/?x={QUERY}")),
        ("POST", format!("/token?x={QUERY}")),
        ("PUT", format!("/token?password={QUERY}")),
        ("GET", format!("/token?account=alice&password={QUERY}&service={QUERY}")),
        ("GET", format!("/api/things?token={QUERY}")),
        ("GET", format!("/public/things?token={QUERY}")),
    ];
    for route in ["x", "basic", "forward", "mint", "dead", "dead/forward"] {
        targets.push(("GET", format!("/v2/{route}/app/manifests/v1")));
        targets.push(("PATCH", format!("/v2/{route}/app/blobs/uploads/b3f5c9d2?_state={STATE}")));
        targets.push(("PUT", format!("/v2/{route}/app/blobs/uploads/b3f5c9d2?_state={STATE}&digest={DIGEST}")));
    }
    targets.iter().map(|(method, target)| with(loaded(site.request(method, target))).send()).collect()
}

/// Everything is answered with this: an upload session with a state in it, and a cookie.
const SESSION: Answer = Answer {
    status: "202 Accepted",
    headers: "Location: /v2/x/blobs/uploads/b3f5c9d2?_state=upload-state-c24e9b7f11\r\nSet-Cookie: session=cookie-5af3b0d977\r\n",
    body: "{}",
};

/// The upstream is not content with anybody.
const CHALLENGE: Answer = Answer {
    status: "401 Unauthorized",
    headers: "WWW-Authenticate: Bearer realm=\"http://evil.test/?q=presigned-91d0e3f2aa\",service=\"x\"\r\n\
              Set-Cookie: session=cookie-5af3b0d977\r\n",
    body: "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"cookie-5af3b0d977\"}]}",
};

/// A gateway with everything in it that the configuration and its files can hold, and all of that planted.
fn plant(answer: Answer) -> (Site, Planted) {
    let (hash, file_hash) = (bcrypt::hash(RIGHT, 4).unwrap(), bcrypt::hash(LIBRARIAN, 4).unwrap());
    let dead = port::free();
    let files = |dir: &std::path::Path| {
        std::fs::write(dir.join("htpasswd"), format!("librarian:{file_hash}\n")).unwrap();
    };
    let site = Site::rendered(answer, files, &|ports, upstream| config(ports.main, ports.admin, upstream, dead, &hash));
    let mut planted = Planted::new();
    for (user, password) in [
        ("alice", RIGHT),
        ("alice", WRONG),
        ("nobody", WRONG),
        ("librarian", LIBRARIAN),
        ("gateway", ACCOUNT),
        ("proxy", RIGHT),
        ("robot", CLIENT),
        ("robot", &escaped(CLIENT)),
        ("ci", KEY),
        ("over", OVER),
    ] {
        planted.plant_password(user, password);
    }
    for (what, text) in [
        ("a hash", &*hash),
        ("a hash", &*file_hash),
        ("a key's hash", &key_hash(KEY)["sha256:".len()..]),
        ("a key's hash", &key_hash(OVER)["sha256:".len()..]),
        ("a client's hash", &key_hash(CLIENT)["sha256:".len()..]),
        ("a cookie", COOKIE),
        ("an upload's state", STATE),
        ("a query", QUERY),
        ("a forged header", FORGED),
    ] {
        planted.plant(what, text);
    }
    let pem = std::fs::read_to_string(site.dir.path().join("state/signing-key.pem")).unwrap();
    for line in pem.lines().filter(|line| !line.starts_with("-----")) {
        planted.plant("the signing key's file", line);
    }
    (site, planted)
}

const SCOPE: &str = "repository:x/app:pull,push+repository:x:*+repository:basic/app:*+repository:forward/app:*\
                     +repository:mint/app:*+repository:dead/app:*+repository:dead/forward/app:*";

/// A good token, one that is over, one of somebody else's making, a broken one, an idle one, an anonymous one.
fn tokens(site: &Site) -> Vec<(&'static str, String)> {
    let good = site.token(Some(("alice", RIGHT)), &[SCOPE]);
    let (header, body) = (part(&good, 0).to_string(), claims(&good));
    let mut over = body.clone();
    over["exp"] = json!(1_000_000_000);
    let over = signed(&state_key(site.dir.path()), &header, &over.to_string());
    let foreign = tidegate::keys::SigningKey::generate(tidegate::keys::Algorithm::Es256).unwrap();
    let foreign = signed(&foreign, &header, &body.to_string());
    let (none, nothing) = (encoded("{\"alg\":\"none\"}"), encoded("not-json-but-secret-4be1"));
    let bent = format!("{none}.{nothing}.{}", encoded("signature-77aa01"));
    let idle = site.token(Some(("librarian", LIBRARIAN)), &[]);
    let api = site.token(Some(("alice", RIGHT)), &["api:write"]);
    let anonymous = site.token(None, &[]);
    vec![
        ("good", good),
        ("over", over),
        ("foreign", foreign),
        ("bent", bent),
        ("idle", idle),
        ("api", api),
        ("anonymous", anonymous),
    ]
}

/// Posts forms that are right, and wrong in every way. Tokens from them are planted, other answers given back.
fn forms(site: &Site, planted: &mut Planted, name: &str, password: &str) -> Vec<Reply> {
    let right = format!("grant_type=password&username={name}&password={}&scope={SCOPE}", escaped(password));
    let answer = site.form(&right);
    let mut replies = Vec::new();
    match answer.json_token() {
        Some(token) => planted.plant_token("from a form", &token),
        None => replies.push(answer),
    }
    for form in [
        format!("grant_type=refresh_token&refresh_token={QUERY}&password={password}"),
        format!("grant_type=client_credentials&client_id={name}&client_secret={QUERY}"),
        format!("grant_type=password&username={name}&password={password}&password={password}"),
        format!("grant_type=password&username={name}&password={password}%zz"),
        format!("grant_type=password&username={name}&password={password}&service={QUERY}.test"),
        format!("username={password}&password={password}{}", "x".repeat(70_000)),
    ] {
        replies.push(site.form(&form));
    }
    replies
}

/// Fetches tokens as a client in every way, right and wrong. Tokens are planted, other answers given back.
fn client_forms(site: &Site, planted: &mut Planted) -> Vec<Reply> {
    const GRANT: &str = "grant_type=client_credentials";
    let form = |credentials: Option<(&str, &str)>, more: &str| {
        let request = site.request("POST", "/token").header("Content-Type", "application/x-www-form-urlencoded");
        let request = credentials.into_iter().fold(request, |request, (id, secret)| request.basic(id, secret));
        request.body(format!("{GRANT}{more}").as_bytes()).send()
    };
    let in_body = format!("&client_id=robot&client_secret={}", escaped(CLIENT));
    let mut replies = Vec::new();
    for answer in [
        form(Some(("robot", CLIENT)), ""),
        form(Some(("robot", &escaped(CLIENT))), "&scopes=api:read"),
        form(None, &in_body),
        form(Some(("robot", CLIENT)), &in_body),
        form(Some(("robot", WRONG)), ""),
        form(Some((CLIENT, CLIENT)), &format!("&scope={QUERY}")),
        form(Some(("robot", CLIENT)), &format!("&scope={QUERY}")),
        form(Some(("robot", CLIENT)), &format!("&client_id={QUERY}")),
        form(None, &format!("&client_id=robot&client_secret={QUERY}&client_secret={QUERY}")),
    ] {
        match answer.json_token() {
            Some(token) => planted.plant_token("a client's", &token),
            None => replies.push(answer),
        }
    }
    replies
}

/// Sends what does not even get through the framing, and an upload that breaks off.
fn broken(site: &Site, token: &str) -> Vec<Reply> {
    let mut replies = Vec::new();
    for request in [
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: Bearer {token}\r\n\r\n"),
        format!("GET /v2/?x={QUERY} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nCookie: {COOKIE}\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {token}\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: {token}{}\r\n\r\n", COOKIE.repeat(10_000)),
        format!("Authorization: Bearer {token}\r\n\r\n"),
        format!("GET http://alice:{RIGHT}@a/v2/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("CONNECT alice:{RIGHT}@a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let mut stream = connect(site.gateway.port);
        // What is refused early may not be read to its end.
        let _ = stream.write_all(request.as_bytes());
        replies.extend(read_reply(&mut stream, false));
    }
    let mut stream = connect(site.gateway.port);
    let head = format!("PATCH /v2/x/app/blobs/uploads/b3f5c9d2?_state={STATE} HTTP/1.1\r\nHost: a\r\n");
    let credentials = format!("Authorization: Bearer {token}\r\n");
    stream.write_all(format!("{head}{credentials}Content-Length: 1000\r\n\r\nabc").as_bytes()).unwrap();
    replies
}

/// Puts these lines behind the configuration, asks for a reload, and waits until it is told that it failed.
fn reload_in_vain(site: &mut Site, lines: &str) {
    const REFUSED: &str = "is not put in force, and the one before stays";
    let file = site.gateway.config.clone();
    let before = std::fs::read_to_string(&file).unwrap();
    let refused = site.gateway.log().matches(REFUSED).count();
    std::fs::write(&file, format!("{before}{lines}")).unwrap();
    site.gateway.signal(rustix::process::Signal::HUP);
    until("the reload has failed", LIMIT, || (site.gateway.log().matches(REFUSED).count() > refused).then_some(()));
    std::fs::write(&file, before).unwrap();
    let told = get(site.gateway.admin, "/readyz", None).text();
    assert!(told.contains("is invalid since"), "{told}");
}

/// Sends everything there is to send, and looks for what was planted in everything that is told.
fn scan(answer: Answer) {
    let (mut site, mut planted) = plant(answer);
    let tokens = tokens(&site);
    let mut replies = everywhere(&site, &|request| request);
    for (what, token) in &tokens {
        planted.plant_token(what, token);
        replies.extend(everywhere(&site, &|request| request.bearer(token)));
    }
    for (name, password) in [("alice", RIGHT), ("alice", WRONG), ("nobody", WRONG)] {
        replies.extend(everywhere(&site, &|request| request.basic(name, password)));
        replies.extend(forms(&site, &mut planted, name, password));
    }
    for key in [KEY, OVER, WRONG, QUERY] {
        replies.extend(everywhere(&site, &|request| request.header("X-Api-Key", key)));
        replies.extend(everywhere(&site, &|request| request.header("X-Api-Key", key).basic("alice", RIGHT)));
        replies.extend(everywhere(&site, &|request| request.header("X_API_Key", key)));
    }
    replies.extend(client_forms(&site, &mut planted));
    replies.extend(broken(&site, &tokens[0].1));

    for broken in
        [format!("\"{WRONG}\""), format!("\"{WRONG}"), format!("{{ file = \"no-such-file\", colour = \"{RIGHT}\" }}")]
    {
        reload_in_vain(&mut site, &format!("[users.eve]\npassword_hash = {broken}\n"));
        for target in ["/readyz", "/healthz", "/metrics", "/"] {
            let reply = get(site.gateway.admin, target, None);
            planted.absent("the admin listener's answer", &format!("{:?} {}", reply.headers, reply.text()));
        }
    }
    for reply in replies.iter().filter(|reply| reply.is_our_own()) {
        planted.absent("an answer", &format!("{:?} {}", reply.headers, reply.text()));
    }
    site.gateway.stop();
    let read = |name: &str| std::fs::read_to_string(site.dir.path().join(name)).unwrap();
    let (events, requests, audit) = (site.gateway.log(), read("requests.log"), read("audit.log"));
    // That there is something to scan: every kind of line, every kind of end, and the lowest level.
    assert!(events.contains("\"TRACE\"") || events.contains("\"DEBUG\""), "not at trace level: {events}");
    assert!(requests.lines().count() > 300 && audit.lines().count() > 150);
    assert!(requests.contains("/v2/forward/app/manifests/v1") && audit.contains("alice"));
    let never = if answer.status.starts_with("202") { [200, 403] } else { [202, 403] };
    for status in [200, 202, 400, 401, 403, 404, 405, 413, 500, 502] {
        let line = format!("\"status\":{status},");
        assert!(never.contains(&status) || requests.contains(&line), "no answer had status {status}");
    }
    for (place, text) in [("the events", &events), ("the request log", &requests), ("the audit log", &audit)] {
        planted.absent(place, text);
    }
}

/// What the scan asks of an answer.
trait Told {
    fn json_token(&self) -> Option<String>;
    fn is_our_own(&self) -> bool;
}

impl Told for Reply {
    fn json_token(&self) -> Option<String> {
        let json: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        json.get("token").and_then(|token| token.as_str()).map(str::to_owned)
    }

    /// Not passed on from the upstream, which may tell a client what it likes, and no token.
    fn is_our_own(&self) -> bool {
        self.status != 202 && self.json_token().is_none() && self.header("docker-distribution-api-version").is_some()
    }
}

#[test]
fn nothing_secret_is_told_where_all_goes_well() {
    scan(SESSION);
}

#[test]
fn nothing_secret_is_told_where_the_upstream_refuses() {
    scan(CHALLENGE);
}

/// The scan itself: a planted text that is there is found.
#[test]
#[should_panic(expected = "a cookie in a log: two secret-cookie")]
fn the_scan_finds_what_is_there() {
    let mut planted = Planted::new();
    planted.plant("a cookie", "secret-cookie");
    planted.absent("a log", "one\ntwo secret-cookie\nthree");
}

/// A key that cannot be read, and a configuration that is wrong, keep what they hold to themselves.
#[test]
fn nothing_secret_is_told_by_a_start_that_fails() {
    use crate::support::process::{command, run};
    let dir = tempfile::tempdir().unwrap();
    let key = tidegate::keys::SigningKey::generate(tidegate::keys::Algorithm::Es256).unwrap();
    let pem = key.to_pem().unwrap().expose().to_owned();
    let mut planted = Planted::new();
    let mut lines: Vec<&str> = pem.lines().collect();
    planted.plant("a key", lines[1]);
    lines.remove(2);
    std::fs::write(dir.path().join("broken.pem"), lines.join("\n")).unwrap();
    planted.plant("a hash", "$argon2id$v=19$secret-hash-0193");
    planted.plant("a password", ACCOUNT);
    planted.plant("a key", KEY);
    planted.plant("a key's hash", "0193secret-hash");
    let start = |more: &str| {
        let config = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\npublic_url = \"http://a.test\"\n[log]\nlevel = \"trace\"\n\
             [[upstream]]\nname = \"r\"\nurl = \"http://127.0.0.1:1\"\ncredentials = {{ basic = {{ username = \"g\", password = \"{ACCOUNT}\" }} }}\n\
             [[route]]\nprefix = \"/v2/\"\nupstream = \"r\"\nauth = \"registry\"\n{more}"
        );
        std::fs::write(dir.path().join("gateway.toml"), config).unwrap();
        let mut command = command(crate::support::gateway::binary(), dir.path());
        let finished = run(command.args(["serve", "--config", "gateway.toml"]), "");
        assert!(!finished.status.success(), "{finished}");
        assert!(!finished.stderr.is_empty());
        planted.absent("what a failed start says", &finished.to_string());
    };
    start("[token]\nkeys = [\"broken.pem\"]\n[[authn]]\nkind = \"users\"\n[users]\n");
    start("[users.a]\npassword_hash = \"$argon2id$v=19$secret-hash-0193\"\n[[authn]]\nkind = \"users\"\n");
    start("[users.a]\npassword_hash = \"$argon2id$v=19$secret-hash-0193\n[[authn]]\nkind = \"users\"\n");
    start(&format!("[api_keys.a]\nhash = \"{KEY}\"\n[clients.b]\nsecret_hash = \"{KEY}\"\n"));
    start("[api_keys.a]\nhash = \"sha256:0193secret-hash\"\n[clients.b]\nsecret_hash = \"sha256:0193secret-hash\"\n");
    start(&format!("[extra]\npassword = \"{ACCOUNT}\"\n"));
}
