//! The wire and its words, seen from outside.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod answers;
mod cutting;
mod frame;
mod input;
mod marker;
mod paths;
mod peers;
