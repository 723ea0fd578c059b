//! `bursar demo`: a pretend agent, and everything else real, before one's eyes. The daemon, the hook client and the
//! operator's commands are those that ship; only the model and its tools are made up.
//!
//! **Architecture invariants.** All of it happens in one throw-away folder, under an environment made from scratch: no
//! settings, no history and no daemon of this user's is touched. Whatever ends the demo, its daemon ends and its folder
//! goes. Every wait has a limit.

mod agent;
mod client;
mod ears;
mod house;
mod script;
mod session;
mod story;
mod told;
mod voice;

use std::path::PathBuf;

pub use client::play as play_client;

use ears::Ears;
use house::House;
use voice::Voice;

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no hook client to call.
    #[error("the hook client is not built: there is no {0}")]
    NoHookClient(PathBuf),
    /// The folder that all of it happens in.
    #[error("cannot make a folder for the demo in {folder}: {source}")]
    NoFolder {
        /// Where it was tried last.
        folder: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The daemon ended, or did not serve in time.
    #[error("the demo's daemon did not start; its last words: {0}")]
    DidNotStart(String),
    /// A setting of the whole machine stands above those of the demo.
    #[error("{file} sets {setting}={value} for the whole machine, and the demo needs another value")]
    SetElsewhere {
        /// The setting.
        setting: String,
        /// Its value there.
        value: String,
        /// The file.
        file: String,
    },
    /// A step did not come in time.
    #[error("{0} did not come in time")]
    TooLate(&'static str),
    /// Nobody typed the command.
    #[error("nobody answered for {0} minutes")]
    NobodyAnswered(u64),
    /// The daemon did not answer as it should.
    #[error("the demo's daemon does not answer: {0}")]
    NoAnswer(String),
    /// Ctrl-C, or another signal to end, by its number.
    #[error("ended before its time")]
    Interrupted(u8),
    /// Anything else.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What happened.
        source: std::io::Error,
    },
}

impl DemoError {
    fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// How the demo is shown.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether it answers itself, rather than wait for a person.
    pub auto: bool,
    /// Whether colour is used.
    pub colour: bool,
}

/// Shows the demo from its beginning to its end, and leaves nothing behind.
///
/// # Errors
/// [`DemoError`]; the daemon has ended and the folder is gone then, too.
pub fn run(options: Options) -> Result<(), DemoError> {
    let voice = Voice::new(options.colour);
    // First: from here on no signal ends this process before it has tidied up.
    let mut ears = Ears::open()?;
    let mut house = House::build()?;
    let told = story::tell(&mut house, &mut ears, &voice, options.auto);
    let left = house.clear();
    match (&told, left) {
        (_, Some(folder)) => voice
            .say(&format!("The folder {} could not be removed whole: remove it yourself.", folder.display())),
        (Ok(()) | Err(DemoError::Interrupted(_)), None) => {
            voice.gap();
            voice.say(&format!(
                "Nothing is left of it: the demo's daemon has ended, and {} is gone.",
                house.root().display()
            ));
        }
        (Err(_), None) => {}
    }
    told
}
