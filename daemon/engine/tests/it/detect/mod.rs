//! The evidence detectors (DETECTION), a file each: what trips, when it warns, and what must not.

mod cycle;
mod denied;
mod empty;
mod failing;
mod family;
mod half_open;
mod hatches;
mod iterations;
mod novelty;
mod past;
mod properties;
mod rapid_fire;
mod repeated;
mod rereading;
mod same_error;
mod still;
mod todo;
mod waiting;
