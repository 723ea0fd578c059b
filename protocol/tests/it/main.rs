//! The wire and its words, seen from outside.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod frame;
mod answers;
mod marker;
mod paths;
