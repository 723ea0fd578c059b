//! Whole-system tests. Each drives the real Claude Code client against a scripted Messages API.

mod activated;
mod away;
mod commands;
mod common;
mod counting;
mod harness;
mod harness_terminal;
mod holds;
mod install;
mod limits;
mod modes;
mod others;
mod restart;
mod service;
mod subagents;
mod terminal;
mod unbroken;
mod upgrade;
mod writes;
