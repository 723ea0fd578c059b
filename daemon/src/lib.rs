//! The daemon that keeps the purse of coding agents, and its commands.

pub mod view;
