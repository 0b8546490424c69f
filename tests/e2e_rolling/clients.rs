//! skopeo and docker, each pushing an image that nobody has and pulling it back, over and over.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::site::Site;
use crate::support::client::docker::Docker;
use crate::support::client::skopeo::Skopeo;
use crate::support::image::Image;
use crate::support::pause;
use crate::support::people::ALICE;
use crate::support::process::Finished;

/// How often one thing is tried where replicas are killed.
const TRIES: usize = 20;

/// The clients, ready to begin.
pub(crate) struct Clients {
    host: String,
    dir: std::path::PathBuf,
    skopeo: Skopeo,
    docker: Docker,
    made: AtomicUsize,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) pushes: usize,
    pub(crate) pulls: usize,
    /// What did not end well at once.
    pub(crate) failed: usize,
    /// What was pushed, and to which repository.
    pub(crate) images: Vec<(String, Image)>,
}

impl Tally {
    pub(crate) fn done(&self) -> usize {
        self.pushes + self.pulls
    }
}

impl Clients {
    pub(crate) fn new(site: &Site) -> Self {
        let (host, dir) = (format!("127.0.0.1:{}", site.port), site.dir("images"));
        let (skopeo, docker) = (Skopeo::new(site.dir("skopeo")), Docker::start(site.dir("docker")));
        docker.login(&host, ALICE).ok();
        Self { host, dir, skopeo, docker, made: AtomicUsize::new(0) }
    }

    /// Goes on until it is over. With `once_more` what fails is repeated, as somebody at a keyboard would.
    pub(crate) fn run(&self, over: &AtomicBool, once_more: bool) -> Tally {
        let tally = Mutex::new(Tally::default());
        let attempt = |what: &dyn Fn() -> Finished| {
            for _ in 1..TRIES {
                let finished = what();
                if finished.status.success() {
                    return;
                }
                tally.lock().unwrap().failed += 1;
                assert!(once_more, "should have succeeded: {finished}");
                pause(Duration::from_millis(500));
            }
            what().ok();
        };
        std::thread::scope(|clients| {
            clients.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (name, image) = self.image("skopeo");
                    let repository = format!("{}/{name}", self.host);
                    attempt(&|| self.skopeo.push(ALICE, &image, &repository));
                    tally.lock().unwrap().pushes += 1;
                    attempt(&|| {
                        let _ = std::fs::remove_dir_all(self.skopeo.home.path.join("out"));
                        self.skopeo.pull(Some(ALICE), &format!("{repository}:v1"), "out")
                    });
                    let mut tally = tally.lock().unwrap();
                    tally.pulls += 1;
                    tally.images.push((name, image));
                }
            });
            clients.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (name, image) = self.image("docker");
                    let reference = format!("{}/{name}:v1", self.host);
                    self.docker.load(&image);
                    attempt(&|| self.docker.push("alice", &reference));
                    tally.lock().unwrap().pushes += 1;
                    self.docker.forget();
                    attempt(&|| self.docker.run("alice", &["pull", "-q", &reference]));
                    self.docker.forget();
                    let mut tally = tally.lock().unwrap();
                    tally.pulls += 1;
                    tally.images.push((name, image));
                }
            });
        });
        tally.into_inner().unwrap()
    }

    /// An image like no other, and a repository for it.
    fn image(&self, client: &str) -> (String, Image) {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join(number.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        (format!("team/{client}-{number}"), Image::make(&dir, 2, 512))
    }
}
