//! The rules of Bursar.
//!
//! **Architecture invariants.** No input or output, no clock, no randomness, no globals, no async. Time is a
//! parameter. [`decide`] branches and changes nothing; [`State::evolve`] applies a fact and cannot fail. The same
//! commands with the same times give the same verdicts; applying the events again gives the same state.

pub mod acts;
pub mod alert;
pub mod budget;
mod canon;
pub mod circuit;
pub mod command;
pub mod decide;
pub mod detect;
pub mod error;
pub mod event;
mod evolve;
pub mod hold;
pub mod ids;
pub mod last;
mod level;
mod mask;
pub mod policy;
pub mod print;
pub mod protection;
pub mod ratio;
pub mod records;
pub mod reported;
pub mod row;
pub mod run;
pub mod runs;
pub mod sensed;
pub mod session;
pub mod shut;
pub mod state;
pub mod table;
pub mod time;
pub mod trip;
pub mod usage;
pub mod verdict;
pub mod watch;

pub use decide::{Decision, decide};
pub use event::Event;
pub use state::State;
