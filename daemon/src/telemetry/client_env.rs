//! The variables that make a client send its telemetry here, for the `env` object of Claude Code's settings.

use crate::http::token::Token;

/// How often a client sends what it has, in milliseconds; unset it is 5 s, and the ledger would trail that long.
const EXPORT_EVERY_MS: &str = "500";

/// The encoding on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `http/protobuf`, which `install` chooses: a third of the bytes.
    Protobuf,
    /// `http/json`.
    Json,
}

/// The variables' names, for those who look for them or take them out again.
pub const NAMES: [&str; 6] = [
    "CLAUDE_CODE_ENABLE_TELEMETRY",
    "OTEL_LOGS_EXPORTER",
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    "OTEL_LOGS_EXPORT_INTERVAL",
];

/// The variables and their values. They hold the token: they belong into a file of this user's alone, and into no output.
pub fn entries(port: u16, token: &Token, wire: Wire) -> [(&'static str, String); 6] {
    let protocol = match wire {
        Wire::Protobuf => "http/protobuf",
        Wire::Json => "http/json",
    };
    let values = [
        "1".to_owned(),
        "otlp".to_owned(),
        protocol.to_owned(),
        format!("http://127.0.0.1:{port}/v1/logs"),
        format!("authorization=Bearer {}", token.reveal()),
        EXPORT_EVERY_MS.to_owned(),
    ];
    let mut values = values.into_iter();
    NAMES.map(|name| (name, values.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::{NAMES, Wire, entries};
    use crate::http::token::Token;

    #[test]
    fn a_client_is_told_where_how_and_with_what() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let token = Token::open(dir.path())?;
        let env = entries(28_772, &token, Wire::Protobuf);
        assert_eq!(env.each_ref().map(|(name, _)| *name), NAMES);
        let bearer = format!("authorization=Bearer {}", token.reveal());
        let values = env.each_ref().map(|(_, value)| value.as_str());
        let endpoint = "http://127.0.0.1:28772/v1/logs";
        assert_eq!(values, ["1", "otlp", "http/protobuf", endpoint, &bearer, "500"]);
        assert_eq!(entries(1, &token, Wire::Json)[2].1, "http/json");
        Ok(())
    }
}
