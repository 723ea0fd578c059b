//! What the demo waits for: answers of hooks, and signals to end. Every pause listens to both.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::DemoError;
use super::client::Answered;

/// The signals that ask a program to end, by the number that a shell adds to 128.
const TO_END: [(SignalKind, u8); 3] =
    [(SignalKind::interrupt(), 2), (SignalKind::terminate(), 15), (SignalKind::hangup(), 1)];

/// Something that was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A hook went on, at that moment.
    Answer(Answered, Instant),
    /// The pretend client has ended.
    ClientGone,
    /// A signal to end.
    End(u8),
}

/// Where everything is heard.
#[derive(Debug)]
pub(super) struct Ears {
    heard: Receiver<Heard>,
    mouth: Sender<Heard>,
    /// An answer that came during a pause.
    kept: Option<(Answered, Instant)>,
}

impl Ears {
    /// Listens for signals from now on; they end nothing by themselves any more.
    pub(super) fn open() -> Result<Self, DemoError> {
        let (mouth, heard) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DemoError::io("cannot listen for signals"))?;
        let mut signals = {
            let _here = runtime.enter();
            let listen = |(kind, number): (SignalKind, u8)| signal(kind).map(|signal| (signal, number));
            TO_END
                .into_iter()
                .map(listen)
                .collect::<Result<Vec<_>, _>>()
                .map_err(DemoError::io("cannot listen for signals"))?
        };
        let to = mouth.clone();
        std::thread::spawn(move || {
            runtime.block_on(async {
                // A second Ctrl-C is heard and changes nothing: tidying up has its own limits.
                while to.send(Heard::End(next(&mut signals).await)).is_ok() {}
            });
        });
        Ok(Self { heard, mouth, kept: None })
    }

    /// Where to say something that is to be heard here.
    pub(super) fn mouth(&self) -> Sender<Heard> {
        self.mouth.clone()
    }

    /// The answer of a hook, if one comes within `limit`.
    pub(super) fn answer(&mut self, limit: Duration) -> Result<Option<(Answered, Instant)>, DemoError> {
        if let Some(kept) = self.kept.take() {
            return Ok(Some(kept));
        }
        match self.heard.recv_timeout(limit) {
            Ok(Heard::Answer(answered, at)) => Ok(Some((answered, at))),
            Ok(Heard::End(signal)) => Err(DemoError::Interrupted(signal)),
            Ok(Heard::ClientGone) | Err(RecvTimeoutError::Disconnected) => {
                Err(DemoError::NoAnswer("the pretend client has ended".to_owned()))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
        }
    }

    /// Waits; an answer that comes meanwhile is kept, and ends the pause.
    pub(super) fn pause(&mut self, time: Duration) -> Result<(), DemoError> {
        if self.kept.is_none() {
            self.kept = self.answer(time)?;
        }
        Ok(())
    }
}

/// The number of the next signal.
async fn next(signals: &mut [(Signal, u8)]) -> u8 {
    std::future::poll_fn(|context| {
        let came =
            |(signal, number): &mut (Signal, u8)| signal.poll_recv(context).is_ready().then_some(*number);
        signals.iter_mut().find_map(came).map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
