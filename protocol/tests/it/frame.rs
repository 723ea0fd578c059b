//! The header and the codec's limits (HOOK 4).

use bursar_protocol::frame::{HEADER_BYTES, Header};
use bursar_protocol::message::{FromDaemon, HookFrame, ToDaemon};
use bursar_protocol::{MAX_FRAME_BYTES, MIN_VERSION, ProtocolError, VERSION, codec};
use proptest::prelude::*;

fn header(magic: [u8; 3], version: u8, length: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..3].copy_from_slice(&magic);
    bytes[3] = version;
    bytes[4..].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// What is wrong with a header, in one word.
fn verdict(bytes: [u8; HEADER_BYTES]) -> &'static str {
    match Header::decode(bytes) {
        Ok(_) => "ok",
        Err(ProtocolError::Magic { .. }) => "magic",
        Err(ProtocolError::TooLong { .. }) => "too long",
        Err(ProtocolError::Version { .. }) => "version",
        Err(ProtocolError::Malformed(_) | ProtocolError::Io(_)) => "something else",
    }
}

#[test]
fn a_header_is_checked_for_magic_then_length_then_version() {
    let newer = VERSION + 1;
    for (magic, version, length, wanted) in [
        (b"BSR", VERSION, 0, "ok"),
        (b"BSR", MIN_VERSION, 1, "ok"),
        (b"BSR", VERSION, MAX_FRAME_BYTES, "ok"),
        (b"BSR", VERSION, MAX_FRAME_BYTES + 1, "too long"),
        (b"BSR", VERSION, u32::MAX, "too long"),
        (b"BSR", newer, MAX_FRAME_BYTES, "version"),
        (b"BSR", newer, MAX_FRAME_BYTES + 1, "too long"),
        (b"BSR", MIN_VERSION - 1, 0, "version"),
        (b"BSR", u8::MAX, 0, "version"),
        (b"bsr", VERSION, 0, "magic"),
        (b"HTT", newer, u32::MAX, "magic"),
        (b"RSB", VERSION, u32::MAX, "magic"),
    ] {
        assert_eq!(verdict(header(*magic, version, length)), wanted, "{magic:?} {version} {length}");
    }
}

#[test]
fn the_length_is_little_endian() {
    let read = Header::decode([b'B', b'S', b'R', VERSION, 0x01, 0x02, 0x03, 0x00]).unwrap();
    assert_eq!(read, Header { version: VERSION, length: 0x0003_0201 });
    assert_eq!(Header::encode(VERSION, 0x0003_0201).unwrap(), header(*b"BSR", VERSION, 0x0003_0201));
}

#[test]
fn a_header_of_too_much_is_not_written() {
    let limit = MAX_FRAME_BYTES as usize;
    assert!(Header::encode(VERSION, limit).is_ok());
    for length in [limit + 1, u32::MAX as usize, u32::MAX as usize + 9, usize::MAX] {
        let error = Header::encode(VERSION, length).unwrap_err();
        assert!(matches!(error, ProtocolError::TooLong { length: l, .. } if l == length as u64), "{error}");
    }
}

/// A hook whose message has this many bytes in all.
fn message_of(length: usize) -> ToDaemon {
    let empty = codec::frame(&ToDaemon::Hook(HookFrame::default())).unwrap().len() - HEADER_BYTES;
    ToDaemon::Hook(HookFrame { payload: vec![0xA5; length - empty], ..HookFrame::default() })
}

#[test]
fn a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let limit = MAX_FRAME_BYTES as usize;
    let whole = message_of(limit);
    let frame = codec::frame(&whole).unwrap();
    assert_eq!(frame.len(), HEADER_BYTES + limit);
    assert_eq!(codec::message::<ToDaemon>(&frame[HEADER_BYTES..]).unwrap(), whole);
    let error = codec::frame(&message_of(limit + 1)).unwrap_err();
    assert!(matches!(error, ProtocolError::TooLong { .. } | ProtocolError::Malformed(_)), "{error}");
}

#[test]
fn a_length_inside_a_message_is_not_believed() {
    // An answer whose standard output, or a hook whose payload, claims to be longer than memory.
    let mut hook = codec::frame(&ToDaemon::Hook(HookFrame::default())).unwrap().split_off(HEADER_BYTES);
    let payload_length = hook.len() - 8;
    hook[payload_length..].fill(0xFF);
    assert!(codec::message::<ToDaemon>(&hook).is_err());
    let mut answer = vec![0; 5];
    answer.extend([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert!(codec::message::<FromDaemon>(&answer).is_err());
}

#[test]
fn text_that_is_no_text_is_refused() {
    let answer = FromDaemon::Answer { exit: 0, stdout: "x".to_owned(), stderr: String::new() };
    let mut body = codec::frame(&answer).unwrap().split_off(HEADER_BYTES);
    let x = body.iter().position(|b| *b == b'x').unwrap();
    body[x] = 0xFF;
    assert!(matches!(codec::message::<FromDaemon>(&body), Err(ProtocolError::Malformed(_))));
}

#[test]
fn an_older_version_says_so_and_is_else_the_same() {
    let message = ToDaemon::Resume { hold_id: 9 };
    let (newest, older) = (codec::frame(&message).unwrap(), codec::frame_as(VERSION + 7, &message).unwrap());
    assert_eq!((newest[3], older[3]), (VERSION, VERSION + 7));
    assert_eq!((&newest[..3], &newest[4..]), (&older[..3], &older[4..]));
}

proptest! {
    #[test]
    fn no_bytes_make_a_message_that_reads_differently_when_written_again(
        bytes in prop::collection::vec(any::<u8>(), 0..200), index in 0u32..5,
    ) {
        let body = [&index.to_le_bytes(), bytes.as_slice()].concat();
        if let Ok(message) = codec::message::<ToDaemon>(&body) {
            prop_assert_eq!(&codec::frame(&message).unwrap()[HEADER_BYTES..], body.as_slice());
        }
        if let Ok(message) = codec::message::<FromDaemon>(&body) {
            prop_assert_eq!(&codec::frame(&message).unwrap()[HEADER_BYTES..], body.as_slice());
        }
    }

    #[test]
    fn every_header_that_passes_is_within_its_limits(bytes in any::<[u8; HEADER_BYTES]>(), fixed in any::<bool>()) {
        let mut bytes = bytes;
        if fixed {
            bytes[..4].copy_from_slice(&[b'B', b'S', b'R', VERSION]);
        }
        if let Ok(header) = Header::decode(bytes) {
            prop_assert!(header.length <= MAX_FRAME_BYTES);
            prop_assert!((MIN_VERSION..=VERSION).contains(&header.version));
            prop_assert_eq!(Header::encode(header.version, header.length as usize).unwrap(), bytes);
        }
    }
}
