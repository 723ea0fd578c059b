//! The rules, seen from outside: commands go in, replies and facts come out.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod above;
mod acts_extend;
mod acts_other;
mod alerts;
mod circuits;
mod circuits_open;
mod circuits_properties;
mod costs;
mod counting;
mod data_errors;
mod data_ids;
mod data_policy;
mod data_records;
mod detect;
mod first_life;
mod found;
mod holds_begin;
mod holds_end;
mod prints;
mod prints_properties;
mod prints_sorts;
mod properties_facts;
mod properties_rules;
mod protection;
mod reports;
mod reports_properties;
mod runs;
mod runs_attacked;
mod runs_properties;
mod second_life;
mod sessions;
mod support;
mod table;
mod tasks;
mod thresholds;
