//! The one file that names the codec of the wire: bincode 2 in its legacy configuration (little endian, fixed-width
//! integers), with the frame's limit. The golden bytes in `tests/golden.rs` hold it still.

use serde::{Serialize, de::DeserializeOwned};

use crate::frame::{HEADER_BYTES, Header};
use crate::{MAX_FRAME_BYTES, ProtocolError, VERSION};

const LIMIT: usize = MAX_FRAME_BYTES as usize;

fn config() -> impl bincode::config::Config {
    bincode::config::legacy().with_limit::<LIMIT>()
}

/// Encodes a message into a whole frame of the current version.
///
/// # Errors
/// [`ProtocolError::TooLong`] when it does not fit, [`ProtocolError::Malformed`] when it has no encoding.
pub fn frame<M: Serialize>(message: &M) -> Result<Vec<u8>, ProtocolError> {
    frame_as(VERSION, message)
}

/// Encodes a message into a whole frame that claims `version`: for an answer to an older caller.
///
/// # Errors
/// As [`frame`].
pub fn frame_as<M: Serialize>(version: u8, message: &M) -> Result<Vec<u8>, ProtocolError> {
    let mut bytes = vec![0; HEADER_BYTES];
    bincode::serde::encode_into_std_write(message, &mut bytes, config())
        .map_err(|e| ProtocolError::Malformed(e.to_string()))?;
    let header = Header::encode(version, bytes.len() - HEADER_BYTES)?;
    bytes[..HEADER_BYTES].copy_from_slice(&header);
    Ok(bytes)
}

/// Decodes the message of a frame; every byte must be used.
///
/// # Errors
/// [`ProtocolError::Malformed`] for anything that is not exactly one message.
pub fn message<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, ProtocolError> {
    let (message, used) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|e| ProtocolError::Malformed(e.to_string()))?;
    if used != bytes.len() {
        return Err(ProtocolError::Malformed(format!("{} bytes left over", bytes.len() - used)));
    }
    Ok(message)
}
