//! What the hook client, the commands and the daemon must agree on: frames, messages, wording of answers,
//! paths and markers.
//!
//! **Architecture invariants.** This crate knows no other crate of the workspace. It has no async runtime.
//! Only [`codec`] names the wire's codec crate. Nothing here reads the environment but [`paths`].

pub mod answer;
pub mod codec;
pub mod cut;
pub mod endpoint;
pub mod error;
pub mod frame;
pub mod hook_input;
mod json;
pub mod marker;
pub mod message;
pub mod paths;
pub mod secret;
pub mod status_line;

pub use error::ProtocolError;

/// The version of the protocol that this build speaks first.
pub const VERSION: u8 = 1;

/// The oldest version that this build still speaks. Always `VERSION - 1`, once there has been one.
pub const MIN_VERSION: u8 = 1;

/// The greatest length of a frame's message, in bytes, checked before anything is allocated.
pub const MAX_FRAME_BYTES: u32 = 256 * 1024;
