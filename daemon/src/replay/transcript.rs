//! What happened in a session, read from its transcript.

use bursar_engine::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Happening, Made, What};
