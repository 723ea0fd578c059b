//! The daemon that keeps the purse of coding agents, and its commands.
//!
//! **Architecture invariants.** Everything that happens goes through [`host::Host::submit`]. Only [`clock`] reads
//! clocks of the system, only [`ipc::convert`] knows both the wire and the rules, and commands reach the daemon
//! through its socket, never past it.

pub mod app;
pub mod bus;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod detach;
pub mod discovery;
pub mod folder;
pub mod gate;
pub mod guard;
pub mod guardrails;
pub mod handover;
pub mod host;
pub mod http;
pub mod ipc;
pub mod journal;
pub mod keeper;
pub mod ledger;
pub mod manager;
pub mod markers;
pub mod near;
pub mod otlp;
pub mod passphrase;
pub mod past;
pub mod payload;
pub mod peer;
pub mod prices;
pub mod process;
pub mod project;
pub mod replay;
pub mod serve;
pub mod spool;
pub mod statuses;
pub mod store;
pub mod tailer;
pub mod telemetry;
pub mod terminal;
pub mod transcript;
pub mod unlock;
pub mod view;
pub mod views;
