//! Replays the corpora of the fuzz targets: whatever a fuzzer once found worth keeping still holds.
//!
//! The checks are those of the targets; `fuzz/checks/mod.rs` says how a target is added. `tests/run` runs the fuzzers themselves.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[expect(unreachable_pub, reason = "the fuzz targets are crates of their own")]
#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// A corpus is for more than one case, and for less than what a clone wants to carry.
const FILES: std::ops::RangeInclusive<usize> = 10..=400;
const BYTES: usize = 400 * 1024;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &str) {
    let (_, check) = checks::ALL.iter().find(|(name, _)| *name == target).unwrap();
    let files = files(&fuzz().join("corpus").join(target));
    assert!(FILES.contains(&files.len()), "{} files", files.len());
    let inputs: Vec<(PathBuf, Vec<u8>)> =
        files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(inputs.iter().map(|(_, input)| input.len()).sum::<usize>() <= BYTES);
    let fails = |(path, input): &&(PathBuf, Vec<u8>)| catch_unwind(|| check(input)).is_err().then_some(path).is_some();
    let failed: Vec<_> = inputs.iter().filter(fails).map(|(path, _)| path).collect();
    assert!(failed.is_empty(), "the reasons stand above: {failed:?}");
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*

        #[test]
        fn every_target_is_replayed_and_has_its_files() {
            let replayed: BTreeSet<_> = [$(stringify!($target)),*].map(str::to_owned).into();
            let stems = |folder: &str| -> BTreeSet<String> {
                let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
                files(&fuzz().join(folder)).into_iter().map(stem).collect()
            };
            assert_eq!(checks::ALL.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), replayed);
            assert_eq!(stems("corpus"), replayed);
            assert_eq!(stems("fuzz_targets"), replayed);
            let mut modules = stems("checks");
            modules.remove("mod");
            assert_eq!(modules, replayed);
        }
    };
}

replays! { authorization config identity path proxy_protocol response scope token }
