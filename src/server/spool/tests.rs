use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt as _;
use proptest::prelude::*;

use super::{Kept, SpoolError, SpoolSettings, keep, storage};
use crate::server::body::{Framing, RequestBody};

const IDLE: Duration = Duration::from_secs(60);

fn settings(directory: &Path, memory: usize, limit: Option<u64>) -> SpoolSettings {
    SpoolSettings { memory, directory: directory.to_owned(), limit }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

/// A body that comes in pieces.
async fn body(directory: &Path, bytes: &[u8]) -> RequestBody {
    let first = RequestBody::kept(Kept::in_memory(bytes.to_vec().into()), Framing::AsItCame);
    keep(first, &settings(directory, 0, None), IDLE).await.unwrap()
}

async fn read(body: RequestBody) -> Vec<u8> {
    body.collect().await.unwrap().to_bytes().to_vec()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// What is kept is what came, wherever it was kept, and its length is known before it is read.
    #[test]
    fn what_is_kept_comes_out_as_it_went_in(length in 0usize..600_000, memory in 0usize..400_000) {
        let dir = tempfile::tempdir().unwrap();
        let bytes = bytes(length);
        let kept = block_on(async {
            let kept = keep(body(dir.path(), &bytes).await, &settings(dir.path(), memory, None), IDLE).await.unwrap();
            assert_eq!(http_body::Body::size_hint(&kept).exact(), Some(length as u64));
            assert_eq!(http_body::Body::is_end_stream(&kept), length == 0);
            read(kept).await
        });
        prop_assert!(kept == bytes);
        prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the files have no names");
    }

    #[test]
    fn no_more_is_kept_than_may_be(length in 1usize..300_000, limit in 0u64..300_000, memory in 0usize..300_000) {
        let dir = tempfile::tempdir().unwrap();
        let kept = block_on(async {
            keep(body(dir.path(), &bytes(length)).await, &settings(dir.path(), memory, Some(limit)), IDLE).await
        });
        match kept {
            Ok(_) => prop_assert!(length as u64 <= limit),
            Err(SpoolError::TooLong { limit: told }) => prop_assert!(told == limit && length as u64 > limit),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    let settings = settings(Path::new("/spool"), 0, None);
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge] {
        assert!(matches!(storage(&settings, kind.into()), SpoolError::Full { .. }), "{kind}");
    }
    assert!(matches!(storage(&settings, io::ErrorKind::PermissionDenied.into()), SpoolError::Storage { .. }));
}

#[test]
fn a_directory_that_is_gone_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let gone = settings(&dir.path().join("gone"), 10, None);
    let kept = block_on(async { keep(body(dir.path(), &bytes(100)).await, &gone, IDLE).await });
    assert!(matches!(kept, Err(SpoolError::Storage { .. })), "{kept:?}");
    let short = block_on(async { keep(body(dir.path(), &bytes(10)).await, &gone, IDLE).await });
    assert!(short.is_ok(), "what fits into memory needs no file");
}

#[cfg(unix)]
#[test]
fn the_directory_is_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir.path().join("state/spool"), 0, None);
    settings.prepare().unwrap();
    settings.prepare().unwrap();
    assert_eq!(std::fs::metadata(&settings.directory).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::write(dir.path().join("file"), "").unwrap();
    let wrong = SpoolSettings { directory: dir.path().join("file"), ..settings };
    assert!(wrong.prepare().is_err());
}
