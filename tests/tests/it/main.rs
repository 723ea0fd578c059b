//! Whole-system tests. Each drives the real Claude Code client against a scripted Messages API.

mod away;
mod commands;
mod common;
mod counting;
mod fail_closed;
mod harness;
mod harness_terminal;
mod holds;
mod install;
mod limits;
mod modes;
mod operator;
mod others;
mod restart;
mod subagents;
mod terminal;
mod upgrade;
mod writes;
