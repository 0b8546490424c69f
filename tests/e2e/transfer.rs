//! Big transfers and broken ones.

use std::io::{BufWriter, Read, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use crate::site::{ALICE, Site, directory, settings};
use crate::support::client::Home;
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::Gateway;
use crate::support::http::{Request, connect, read_head, read_reply};
use crate::support::image::Image;
use crate::support::process::{Running, command, program};
use crate::support::registry::Registry;
use crate::support::relay::{Gate, Relay, Treatment};
use crate::support::{digest, hex, random, until};

const MIB: usize = 1 << 20;
/// A blob of 2 GiB, in blocks of one MiB.
const BLOCKS: usize = 2048;
/// By how much the gateway may grow while a blob passes.
const GROWTH_KIB: u64 = 16 * 1024;

/// A figure of `/proc/PID/status` in KiB.
fn memory(id: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Makes the peak of the resident memory begin anew, and gives back the resident memory of now.
fn begin_peak(id: u32) -> u64 {
    std::fs::write(format!("/proc/{id}/clear_refs"), "5").unwrap();
    memory(id, "VmRSS")
}

/// Begins an upload and gives back its location, ready for a parameter.
fn begin_upload(site: &Site, token: &str, repository: &str) -> String {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let started = Request::new(site.gateway.port, "POST", &target).bearer(token).send().expect(202);
    let location = started.header("location").unwrap();
    format!("{location}{}", if location.contains('?') { '&' } else { '?' })
}

#[test]
fn two_gib_pass_in_both_directions_in_little_memory() {
    let site = Site::start();
    let id = site.gateway.id();
    let token = site.gateway.token(Some(ALICE), &["repository:team/big:pull,push"]);
    // What is set up once for all transfers is not growth.
    let small = random(MIB);
    let location = begin_upload(&site, &token, "team/big");
    let put = Request::new(site.gateway.port, "PUT", &format!("{location}digest={}", digest(&small)));
    put.bearer(&token).body(&small).send().expect(201);

    // As docker sends it: one PATCH in chunks, then a PUT without a body.
    let before = begin_peak(id);
    let location = begin_upload(&site, &token, "team/big");
    let stream = connect(site.gateway.port);
    let mut writer = BufWriter::with_capacity(2 * MIB, stream.try_clone().unwrap());
    write!(
        writer,
        "PATCH {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n",
        location.trim_end_matches(['?', '&']),
        site.host()
    )
    .unwrap();
    let mut block = random(MIB);
    let mut sent = Context::new(&SHA256);
    for n in 0..BLOCKS {
        block[..8].copy_from_slice(&(n as u64).to_le_bytes());
        sent.update(&block);
        write!(writer, "{MIB:x}\r\n").unwrap();
        writer.write_all(&block).unwrap();
        writer.write_all(b"\r\n").unwrap();
    }
    writer.write_all(b"0\r\n\r\n").unwrap();
    writer.flush().unwrap();
    let patched = read_reply(&mut &stream, false).expect("an answer to the PATCH").expect(202);
    let digest = format!("sha256:{}", hex(sent.finish().as_ref()));
    let location = patched.header("location").unwrap();
    let separator = if location.contains('?') { '&' } else { '?' };
    let put = Request::new(site.gateway.port, "PUT", &format!("{location}{separator}digest={digest}"));
    put.bearer(&token).send().expect(201);
    let grown = memory(id, "VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_KIB, "grown by {grown} KiB during the push, from {before} KiB");

    let before = begin_peak(id);
    let mut stream = connect(site.gateway.port);
    write!(
        stream,
        "GET /v2/team/big/blobs/{digest} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n",
        site.host()
    )
    .unwrap();
    let (status, headers, first) = read_head(&mut stream).unwrap();
    assert_eq!(status, 200, "{headers:?}");
    let mut received = Context::new(&SHA256);
    received.update(&first);
    let mut length = first.len();
    loop {
        let n = stream.read(&mut block).unwrap();
        if n == 0 {
            break;
        }
        received.update(&block[..n]);
        length += n;
    }
    assert_eq!(length, BLOCKS * MIB);
    assert_eq!(format!("sha256:{}", hex(received.finish().as_ref())), digest);
    let grown = memory(id, "VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_KIB, "grown by {grown} KiB during the pull, from {before} KiB");
}

/// A site whose registry takes in `bytes` of the first body of a `method`, and no more until the gate opens.
fn stalled(method: &'static str, bytes: usize) -> (Site, Relay, Arc<Gate>) {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let gate = Arc::new(Gate::default());
    let relay_gate = Arc::clone(&gate);
    let relay = Relay::start(registry.port, move |head| {
        if head.starts_with(method) && head.contains("/blobs/uploads/") {
            Treatment::Stall(bytes, Arc::clone(&relay_gate))
        } else {
            Treatment::Pass
        }
    });
    let mut settings = settings(relay.port);
    settings.upstream.push_str("\npool = false");
    let gateway = Gateway::start(dir.path(), &settings);
    (Site::of(gateway, registry, dir), relay, gate)
}

/// Waits until the registry is done with a `method` on an upload of `repository`, and gives back its status.
fn done(site: &Site, repository: &str, method: &str) -> u16 {
    until(&format!("the registry ends the {method}"), Duration::from_secs(20), || {
        let accesses = site.registry.accesses_of(repository);
        let found = accesses.iter().find(|access| access.method == method && access.target.contains("/blobs/uploads/"));
        found.map(|access| access.status)
    })
}

#[test]
fn a_client_killed_in_mid_upload_leaves_no_blob() {
    // What has been sent up to the kill is just what the digest is of: were the broken body presented as whole, the
    // registry would take the blob.
    let content = random(MIB);
    let digest = digest(&content);
    let (site, _relay, gate) = stalled("PUT ", MIB);
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull,push"]);
    let location = begin_upload(&site, &token, "team/app");
    let home = Home::new(site.dir("curl"));
    let mut curl = command(&program("curl", "curl"), &home.path);
    curl.args(["-sS", "-m", "60", "-H", &format!("Authorization: Bearer {token}"), "-T", "-"]);
    curl.arg(format!("http://{}{location}digest={digest}", site.host()));
    curl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut curl = Running::spawn(&mut curl);
    let mut input = curl.0.stdin.take().unwrap();
    input.write_all(&content).unwrap();
    assert!(gate.reached(Duration::from_secs(20)), "the content arrives at the registry");
    curl.kill();
    gate.open();

    let status = done(&site, "team/app", "PUT");
    assert_ne!(status, 201, "a broken upload must not be completed");
    assert!(!site.registry.stores(&digest));
    let head = Request::new(site.gateway.port, "HEAD", &format!("/v2/team/app/blobs/{digest}")).bearer(&token).send();
    head.expect(404);
}

#[test]
fn a_killed_push_leaves_no_blob_and_can_be_repeated() {
    let (site, _relay, gate) = stalled("PATCH ", MIB);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = Image::make(&site.dir("image"), 1, 16 * 1024);
    let mut push = Running::spawn(&mut skopeo.push_command(ALICE, &image, &site.repository("team/app")));
    assert!(gate.reached(Duration::from_secs(20)), "the layer is on its way");
    push.kill();
    gate.open();

    done(&site, "team/app", "PATCH");
    assert!(!site.registry.stores(&image.layers[0]));
    assert_eq!(site.uploads("team/app"), 0, "nothing is completed");
    skopeo.push(ALICE, &image, &site.repository("team/app")).ok();
    assert!(site.registry.has_manifest("team/app", &image.manifest));
}
