//! Whole-system tests. Each drives the real Claude Code client against a scripted Messages API.

mod activated;
mod away;
mod circuits;
mod commands;
mod common;
mod counting;
mod demo;
mod fail_closed;
mod harness;
mod harness_terminal;
mod holds;
mod install;
mod limits;
mod modes;
mod operator;
mod others;
mod prompts;
mod restart;
mod seed;
mod service;
mod subagents;
mod tasks;
mod terminal;
mod unbroken;
mod upgrade;
mod writes;
