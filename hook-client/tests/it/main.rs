//! The hook client as it is built, against daemons that are scripted.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod answered;
mod away;
mod deadlines;
mod environment;
mod held;
mod input;
mod marked;
mod scripted;
mod spool;
mod world;
