//! Whole-system tests. Each drives the real Claude Code client against a scripted Messages API.
#![allow(missing_docs, reason = "a test's name says what it shows")]

mod harness;
