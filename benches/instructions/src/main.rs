//! Calls one of the functions so many times, for a tool that counts what it executes: `instructions NAME TIMES`.
//! Without arguments, as under `cargo test`, it calls each once.

#[path = "../../functions/mod.rs"]
mod functions;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let (names, times) = match arguments.as_slice() {
        [name, times] => (vec![name.as_str()], times.parse().unwrap_or(1)),
        _ => (functions::NAMES.to_vec(), 1),
    };
    for name in names {
        let Some(mut call) = functions::function(name) else { return ExitCode::FAILURE };
        // Once before it counts: caches are filled, and what is made at the first use is there.
        call();
        for _ in 0..times {
            counted(&mut call);
        }
    }
    ExitCode::SUCCESS
}

/// What is on the stack above this is counted: it keeps a symbol of its own.
#[inline(never)]
fn counted(call: &mut dyn FnMut()) {
    call();
}
