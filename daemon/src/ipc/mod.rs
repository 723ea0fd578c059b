//! The socket: listener, connections, and the translation between the wire and the rules.

pub mod calls;
pub mod commands;
pub mod connection;
pub mod convert;
pub mod hooks;
pub mod listener;
pub mod protect;
pub mod said;
pub mod status_line;
