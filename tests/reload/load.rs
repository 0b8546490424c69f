//! A hundred reloads while clients ask as fast as they can: no request fails, and nothing is left open.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::change::Change as _;
use crate::support::http::Request;
use crate::support::site::{BOB, SETUP, Setup, Site, blob};
use crate::support::until;
use crate::support::upstream::ok;
use crate::support::wire::Wire;

const RELOADS: usize = 100;
/// Clients that keep their connection, and clients that open one for each request.
const CLIENTS: usize = 3;

fn descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

#[test]
fn a_hundred_reloads_under_load_fail_no_request_and_leak_nothing() {
    let setup = Setup {
        server: "workers = 2\nwatch = false",
        upstream: "credentials = \"identity\"\npool_idle_timeout = \"1s\"",
        ..SETUP
    };
    let site = Site::with(&setup, ok);
    let token = site.gateway.token(Some(BOB), &["repository:team/app:pull"]);
    let id = site.gateway.id();
    let quiet = descriptors(id);
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let head =
        format!("GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n", blob(), site.gateway.host());
    std::thread::scope(|clients| {
        for _ in 0..CLIENTS {
            clients.spawn(|| {
                let mut kept = Wire::connect(site.gateway.port);
                while !done.load(Ordering::Relaxed) {
                    kept.send(&head);
                    let (head, body) = kept.reply();
                    assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
            clients.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    Request::new(site.gateway.port, "GET", &blob()).bearer(&token).send().expect(200);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Should a reload fail, the clients end too.
        let _ends = Ends(&done);
        for reload in 0..RELOADS {
            // Every other time the upstream is a new one as well.
            let timeout = format!("connect_timeout = \"{}s\"\n", 10 + reload / 2);
            site.change(|text| {
                let text =
                    text.lines().filter(|line| !line.starts_with("connect_timeout")).collect::<Vec<_>>().join("\n");
                text.replace("credentials = \"identity\"\n", &format!("credentials = \"identity\"\n{timeout}"))
            });
        }
    });
    assert!(asked.load(Ordering::Relaxed) > RELOADS, "{asked:?}");
    assert_eq!(site.reloads(), RELOADS);
    until("what was opened is closed", Duration::from_secs(30), || (descriptors(id) <= quiet).then_some(()));
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
