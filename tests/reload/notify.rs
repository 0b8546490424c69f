//! What a service manager hears of the real process.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::change::signal;
use crate::support::gateway::{Ports, binary};
use crate::support::http::Request;
use crate::support::process::{Server, command};
use crate::support::wire::LIMIT;

fn heard(socket: &UnixDatagram, wanted: &str) -> String {
    let mut buffer = [0; 512];
    // The watchdog's messages come whenever they come.
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        let message = std::str::from_utf8(&buffer[..length]).unwrap();
        if message.starts_with(wanted) {
            return message.to_owned();
        }
        assert_eq!(message, "WATCHDOG=1", "waiting for {wanted}");
    }
}

#[test]
fn start_reload_and_end_are_told_and_the_watchdog_is_fed() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let config = dir.path().join("gateway.toml");
    let mut server = (0..20)
        .find_map(|_| {
            let Ports { main, admin } = Ports::free();
            let text = format!(
                "[server]\nlisten = \"127.0.0.1:{main}\"\npublic_url = \"http://127.0.0.1:{main}\"\ndrain_delay = \
                 \"60s\"\ndrain_timeout = \"9s\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n"
            );
            std::fs::write(&config, text).unwrap();
            let mut command = command(binary(), dir.path());
            command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "200000");
            command.arg("serve").arg("--config").arg(&config);
            let ready = || Request::new(admin, "GET", "/readyz").try_send().is_some_and(|reply| reply.status == 200);
            Server::start("tidegate", &mut command, &dir.path().join("log"), ready).ok()
        })
        .expect("no ports stayed free until the gateway bound them");
    heard(&manager, "READY=1\nSTATUS=serving");
    heard(&manager, "WATCHDOG=1");
    heard(&manager, "WATCHDOG=1");
    signal(server.id(), Signal::HUP);
    heard(&manager, "RELOADING=1\nMONOTONIC_USEC=");
    heard(&manager, "READY=1\nSTATUS=serving");
    std::fs::write(&config, "[server]\ncolour = 1\n").unwrap();
    signal(server.id(), Signal::HUP);
    heard(&manager, "RELOADING=1\n");
    let refused = heard(&manager, "READY=1\n");
    assert!(
        refused.contains("STATUS=serving; the configuration on disk was refused: ")
            && refused.contains("gateway.toml:1:1"),
        "{refused}"
    );
    signal(server.id(), Signal::TERM);
    assert_eq!(heard(&manager, "STOPPING=1\n"), "STOPPING=1\nEXTEND_TIMEOUT_USEC=79000000\nSTATUS=draining");
    assert_eq!(server.stop().code(), Some(1), "the second signal of this test cuts what waits");
}
