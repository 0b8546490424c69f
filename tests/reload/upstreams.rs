//! Upstreams over reloads: transfers under way, connections, turns, and probes.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::change::Change as _;
use crate::support::site::{SETUP, Setup, Site, UPLOAD, blob};
use crate::support::until;
use crate::support::upstream::{Upstream, ok};
use crate::support::wire::LIMIT;

#[test]
fn an_upload_finishes_on_the_state_that_it_began_with() {
    let site = Site::new(ok);
    let mut client = site.judged(|| {
        let mut client = site.connect();
        client.send(format!("{}Content-Length: 6\r\n\r\none", site.begin("PATCH", UPLOAD)));
        client
    });
    // Neither the rule nor the upstream is what it was.
    site.replace("user:alice", "user:nobody");
    site.replace("credentials = \"identity\"", "credentials = \"identity\"\nconnect_timeout = \"1s\"");
    client.send("two");
    let (head, body) = client.reply();
    assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
    assert_eq!(site.get().0.status(), 403, "what comes later is judged anew");
}

#[test]
fn connections_are_kept_where_the_upstream_is_the_same() {
    let site = Site::new(ok);
    assert_eq!(site.get().0.status(), 200);
    for _ in 0..3 {
        site.replace("user:bob", "user:bob");
        assert_eq!(site.get().0.status(), 200);
    }
    assert_eq!(site.upstream.connections(), 1);
    site.replace("credentials = \"identity\"", "credentials = \"identity\"\nconnect_timeout = \"1s\"");
    assert_eq!(site.get().0.status(), 200);
    assert_eq!(site.upstream.connections(), 2);
}

#[test]
fn turns_are_kept_too() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let setup = Setup { upstream: "credentials = \"identity\"\nmax_concurrent = 1\nqueue_timeout = \"50ms\"", ..SETUP };
    let site = Site::with(&setup, move |head, wire| {
        wait.lock().unwrap().recv_timeout(LIMIT).unwrap();
        ok(head, wire)
    });
    let mut first = site.connect();
    first.send(format!("{}\r\n", site.begin("GET", &blob())));
    until("the first has its turn", LIMIT, || (site.upstream.heads().len() == 1).then_some(()));
    site.replace("user:bob", "user:bob");
    let (head, _) = site.get();
    assert!(matches!(head.status(), 429 | 503), "{head:?}");
    go.send(()).unwrap();
    assert_eq!(first.reply().0.status(), 200);
    go.send(()).unwrap();
    assert_eq!(site.get().0.status(), 200);
}

#[test]
fn an_upstream_that_is_gone_is_not_asked_any_more() {
    let site = Site::new(ok);
    let other = Upstream::start(ok);
    let probes = format!(
        "[[upstream]]\nname = \"other\"\nurl = \"http://127.0.0.1:{}\"\ncredentials = \"none\"\n\n[[route]]\nprefix = \
         \"/v2/other/\"\nupstream = \"other\"\nauth = \"registry\"\n",
        other.port
    );
    other.fail_probes();
    site.change(|text| format!("{text}\n{probes}"));
    until("the new upstream is asked", LIMIT, || {
        let page = site.readyz();
        (page.contains("upstream other: ") && page.contains(" answers 500")).then_some(())
    });
    site.change(|text| text.replace(&probes, ""));
    assert_eq!(site.readyz(), "ready\n");
}
