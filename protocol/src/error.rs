//! What can be wrong with bytes from the other side.

use std::io;

/// A frame or message that cannot be used, or a connection that broke.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The first three bytes are not `BSR`: whoever speaks there is not Bursar.
    #[error("not a Bursar frame: it begins with {found:02x?}; check the socket path")]
    Magic {
        /// The bytes found instead.
        found: [u8; 3],
    },
    /// The other side speaks a version that this build does not.
    #[error(
        "protocol version {found} is not spoken here ({min} to {max}); install the same release on both sides"
    )]
    Version {
        /// The version of the frame.
        found: u8,
        /// The oldest version spoken here.
        min: u8,
        /// The newest version spoken here.
        max: u8,
    },
    /// The header announces more than a frame may hold.
    #[error("a frame of {length} bytes is over the limit of {limit} bytes")]
    TooLong {
        /// The length announced, in bytes.
        length: u64,
        /// The greatest length allowed, in bytes.
        limit: u32,
    },
    /// The message inside the frame does not decode, or bytes are left over.
    #[error("a frame that does not decode: {0}")]
    Malformed(String),
    /// The connection failed.
    #[error("the connection to the daemon failed: {0}")]
    Io(#[from] io::Error),
}
