//! The commands as somebody at a shell meets them: arguments in; output, texts and exit codes out.

mod explain;
mod export;
mod filter;
mod keys;
mod root;
mod support;
mod token;
