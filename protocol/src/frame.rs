//! The frame: `BSR`, a version byte, the length as u32 in little endian, then the message.

use crate::{MAX_FRAME_BYTES, MIN_VERSION, ProtocolError, VERSION};

/// The length of a frame's header, in bytes.
pub const HEADER_BYTES: usize = 8;

const MAGIC: [u8; 3] = *b"BSR";

/// A header that has been checked: the version is spoken here and the length is within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version in which the message is written.
    pub version: u8,
    /// The message's length in bytes, at most [`MAX_FRAME_BYTES`].
    pub length: u32,
}

impl Header {
    /// Writes a header of `version` for a message of `length` bytes.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`] when the message does not fit a frame.
    pub fn encode(version: u8, length: usize) -> Result<[u8; HEADER_BYTES], ProtocolError> {
        let checked = u32::try_from(length).ok().filter(|l| *l <= MAX_FRAME_BYTES);
        let Some(length) = checked else {
            return Err(ProtocolError::TooLong { length: length as u64, limit: MAX_FRAME_BYTES });
        };
        let l = length.to_le_bytes();
        Ok([MAGIC[0], MAGIC[1], MAGIC[2], version, l[0], l[1], l[2], l[3]])
    }

    /// Reads and checks a header, before anything is allocated for its message.
    ///
    /// # Errors
    /// [`ProtocolError::Magic`], [`ProtocolError::TooLong`] or [`ProtocolError::Version`], in this order.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, ProtocolError> {
        let [a, b, c, version, l0, l1, l2, l3] = bytes;
        if [a, b, c] != MAGIC {
            return Err(ProtocolError::Magic { found: [a, b, c] });
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length > MAX_FRAME_BYTES {
            return Err(ProtocolError::TooLong { length: u64::from(length), limit: MAX_FRAME_BYTES });
        }
        if !(MIN_VERSION..=VERSION).contains(&version) {
            return Err(ProtocolError::Version { found: version, min: MIN_VERSION, max: VERSION });
        }
        Ok(Self { version, length })
    }
}
