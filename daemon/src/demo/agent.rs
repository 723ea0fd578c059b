//! The demo's end of the pretend client.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::DemoError;
use super::client::Ask;
use super::ears::Heard;
use super::house::House;

/// How long the client may take to end its hook and itself.
const END: Duration = Duration::from_secs(2);

/// The running pretend client; ended, with its hook, when dropped.
#[derive(Debug)]
pub(super) struct Agent {
    client: Child,
    asks: Option<ChildStdin>,
}

impl Agent {
    /// Starts it; what its hooks say is heard by `ears`.
    pub(super) fn start(house: &House, ears: Sender<Heard>) -> Result<Self, DemoError> {
        let mut client = house
            .bursar(&["demo", "--play-client"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(DemoError::io("cannot start the pretend client"))?;
        if let Some(out) = client.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines() {
                    let at = Instant::now();
                    let answered = line.ok().and_then(|line| serde_json::from_str(&line).ok());
                    let Some(answered) = answered else { break };
                    if ears.send(Heard::Answer(answered, at)).is_err() {
                        return;
                    }
                }
                // Nobody may listen any more.
                let _ = ears.send(Heard::ClientGone);
            });
        }
        let asks = client.stdin.take();
        Ok(Self { client, asks })
    }

    /// Has it run a hook.
    pub(super) fn ask(&mut self, ask: &Ask) -> Result<(), DemoError> {
        let what = "cannot reach the pretend client";
        let line = serde_json::to_string(ask).map_err(|e| DemoError::io(what)(e.into()))?;
        let asks = self.asks.as_mut().ok_or_else(|| DemoError::NoAnswer(what.to_owned()))?;
        writeln!(asks, "{line}").map_err(DemoError::io(what))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        self.asks = None;
        let until = Instant::now() + END;
        while matches!(self.client.try_wait(), Ok(None)) {
            if Instant::now() > until {
                let _ = self.client.kill();
                let _ = self.client.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
