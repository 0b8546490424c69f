//! A corpus of requests that two servers could read in two ways, sent byte by byte through the gateway's binary to an upstream that
//! records: what reaches it is well-formed, authorized, and exactly one request for each that was accepted.
//!
//! The cases stand in tables, one file for each place where readings differ; `case` says what a case is, `run` what is held of all.
//! What belongs to one connection in ordinary use (keep-alive, time-outs, hop-by-hop headers) is tested in `proxy`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod case;
mod run;

mod behind;
mod chunks;
mod codings;
mod h2;
mod h2_cases;
mod hops;
mod hosts;
mod lengths;
mod lines;
mod sizes;
mod targets;
mod versions;

use std::collections::BTreeSet;

use case::Case;

/// Every table of the corpus.
const TABLES: [&[Case]; 9] = [
    chunks::CASES,
    codings::CASES,
    hops::CASES,
    hosts::CASES,
    lengths::CASES,
    lines::CASES,
    sizes::CASES,
    targets::CASES,
    versions::CASES,
];

#[test]
fn the_corpus_is_whole_and_its_names_are_its_own() {
    let names: Vec<&str> = TABLES.iter().flat_map(|table| table.iter().map(|case| case.name)).collect();
    assert!(names.len() >= 100, "only {} cases", names.len());
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(distinct.len(), names.len(), "two cases have one name");
}
