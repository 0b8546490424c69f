//! How long the functions take that a request meets. What is measured stands in `functions`.

#[path = "functions/mod.rs"]
mod functions;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for name in functions::NAMES {
        if let Some(mut call) = functions::function(name) {
            criterion.bench_function(name, |bencher| bencher.iter(&mut call));
        }
    }
    criterion.final_summary();
}
