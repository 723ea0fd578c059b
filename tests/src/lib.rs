//! Whole-system tests of Bursar: what they stand on.
//!
//! A test here drives the real Claude Code client against a Messages API of our own ([`api`]), inside throw-away
//! folders ([`world`]), headless ([`client`]) or in a terminal ([`terminal`]), with or without a real daemon
//! ([`daemon`]). Only loopback is used, and every process that is started is ended by its own id.
//!
//! This is test code in a library's clothes: what goes wrong outside ends the test with one plain sentence, so
//! most functions panic instead of returning an error.

pub mod api;
pub mod client;
pub mod daemon;
pub mod process;
pub mod recorder;
pub mod reply;
pub mod settings;
pub mod terminal;
pub mod wait;
pub mod world;
