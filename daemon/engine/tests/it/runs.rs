//! Runs: what a client says of itself when it ends settles what its lines did not show (DESIGN 3, sensor 2), and whose
//! budget copies and children draw on (4.11).

use bursar_engine::command::{Command, Hook, Usage as UsageRead};
use bursar_engine::ids::SessionId;
use bursar_engine::policy::Policy;
use bursar_engine::row::{FileProgress, Sighting};
use bursar_engine::run::{Begins, ByModel, Spent};
use bursar_engine::table::{Cell, HookEvent};
use bursar_engine::usage::Usage;

use crate::support::{MODEL, S, World, bid, hook, key, row, sid, tokens_only};

/// How far a session's own file was read.
pub(crate) fn file(session: &str) -> FileProgress {
    FileProgress {
        session: sid(session),
        agent: key(None),
        path: format!("/t/{session}.jsonl"),
        offset: 1,
        inode: 1,
        device: 1,
        tail_hash: 1,
        read_at: crate::support::START,
        bad_lines: 0,
        in_long_line: false,
    }
}

/// A client's own totals on one model: so many input tokens.
pub(crate) fn says(tokens: u64) -> ByModel {
    ByModel::from([(
        MODEL.to_owned(),
        Spent { usage: Usage { input: tokens, ..Usage::default() }, micro_usd: tokens * 4 },
    )])
}

pub(crate) fn begins(session: &str, begins: Begins, client: u32) -> Hook {
    Hook {
        session: sid(session),
        begins: Some(begins),
        client_pid: Some(client),
        ..hook(HookEvent::SessionStart)
    }
}

pub(crate) fn ends(session: &str) -> Hook {
    Hook { session: sid(session), ..hook(HookEvent::SessionEnd) }
}

impl World {
    /// Reads lines, and the client's own totals, in a session's file.
    pub(crate) fn reads(&mut self, session: &str, rows: &[(&str, &str, u64)], claim: Option<u64>) {
        let now = self.now;
        let seen = |(owner, id, tokens): &(&str, &str, u64)| Sighting {
            session: sid(owner),
            at: now,
            ..row(id, *tokens)
        };
        self.send(&Command::Usage(UsageRead {
            file: Some(file(session)),
            rows: rows.iter().map(seen).collect(),
            known: Vec::new(),
            claim: claim.map(says),
        }));
    }

    pub(crate) fn begin(&mut self, session: &str, how: Begins, client: u32) {
        self.wait_ms(10);
        self.hook(begins(session, how, client));
        self.wait_ms(10);
    }

    pub(crate) fn end(&mut self, session: &str) {
        self.wait_ms(10);
        self.hook(ends(session));
    }

    /// Input tokens of a session in all.
    pub(crate) fn spent(&self, session: &str) -> u64 {
        self.state.totals_of(&sid(session)).map(|(_, _, t)| t.usage.input).sum()
    }

    pub(crate) fn is_lower_bound(&self, session: &str) -> bool {
        self.state.runs.get(&sid(session)).is_none_or(bursar_engine::runs::Runs::is_lower_bound)
    }

    pub(crate) fn coverage(&self, session: &str) -> Option<(u64, u64)> {
        self.state.runs[&sid(session)].coverage()
    }
}

fn world() -> World {
    World::new(Policy { session: tokens_only(10_000), ..Policy::default() })
}

#[test]
fn what_no_line_showed_is_counted_when_the_client_ends() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], None);
    assert_eq!((world.spent(S), world.coverage(S)), (100, None));
    world.end(S);
    assert!(world.is_lower_bound(S), "it has not said anything yet");
    world.reads(S, &[], Some(700));
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (700, false));
    assert_eq!(world.coverage(S), Some((700, 700)));
    assert_eq!(world.stands(&format!("session:{S}")).0, 700);
    let (_, _, totals) = world.state.totals_of(&sid(S)).next().unwrap();
    assert_eq!(totals.requests, 1, "how many requests it was nobody knows");
    // The same line again, as at a resume's end without a request.
    world.reads(S, &[], Some(700));
    assert_eq!(world.spent(S), 700);
}

#[test]
fn a_line_that_comes_late_is_taken_out_of_what_no_line_showed() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], None);
    world.reads(S, &[], Some(700));
    world.reads(S, &[(S, "m2", 250)], None);
    assert_eq!(world.spent(S), 700);
    world.reads(S, &[(S, "m3", 500)], None);
    assert_eq!(world.spent(S), 850, "what lines prove is never taken back");
    assert_eq!(world.stands(&format!("session:{S}")).0, 850);
}

#[test]
fn a_resume_goes_on_from_what_was_said_before() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], Some(400));
    world.end(S);
    world.begin(S, Begins::Resume, 8);
    world.reads(S, &[(S, "m2", 50)], None);
    world.end(S);
    world.reads(S, &[], Some(470));
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (470, false));
}

#[test]
fn a_killed_client_leaves_a_lower_bound_also_when_the_session_goes_on() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], None);
    assert!(!world.is_lower_bound(S), "it runs, and nothing is known to be missing");
    world.send(&Command::ClientGone(sid(S)));
    assert!(world.is_lower_bound(S));
    // What it spent is missing from what the next one says.
    world.begin(S, Begins::Resume, 8);
    world.reads(S, &[(S, "m2", 30)], None);
    world.end(S);
    world.reads(S, &[], Some(80));
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (180, true));
    assert_eq!(world.coverage(S), Some((80, 80)));
}

#[test]
fn two_clients_on_one_session_add_nothing_by_their_word() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.begin(S, Begins::Resume, 8);
    world.reads(S, &[(S, "m1", 100)], Some(5_000));
    world.end(S);
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (100, true));
}

#[test]
fn what_is_said_without_a_beginning_that_was_seen_adds_nothing() {
    let mut world = world();
    world.hook(hook(HookEvent::PreToolUse));
    world.reads(S, &[(S, "m1", 100)], Some(900));
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (100, true));
    // Nor where the transcript could not be read in time for the next beginning.
    world.wait_ms(10);
    world.hook(Hook { caught_up: false, ..begins(S, Begins::Resume, 8) });
    world.reads(S, &[], Some(1_900));
    world.end(S);
    assert_eq!((world.spent(S), world.is_lower_bound(S)), (100, true));
}

#[test]
fn a_fork_is_charged_for_its_own_spending_and_draws_on_its_parents_budget() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], Some(400));
    world.end(S);
    world.begin("fork", Begins::Fork, 8);
    world.reads("fork", &[(S, "m1", 100), ("fork", "m2", 60)], None);
    world.end("fork");
    world.reads("fork", &[], Some(490));
    assert_eq!((world.spent(S), world.spent("fork"), world.is_lower_bound("fork")), (400, 90, false));
    assert_eq!((world.stands("session:s1").0, world.stands("session:fork").0), (490, 0));
}

#[test]
fn a_fork_of_a_running_parent_begins_with_the_parents_last_line() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.reads(S, &[(S, "m1", 100)], None);
    world.begin("fork", Begins::Fork, 8);
    world.reads("fork", &[(S, "m1", 100), ("fork", "m2", 60)], None);
    // The parent's client says what it spent while the fork runs; that is not the fork's beginning.
    world.reads(S, &[(S, "m3", 20)], Some(150));
    world.end(S);
    world.reads("fork", &[], Some(65));
    world.end("fork");
    assert_eq!((world.spent(S), world.spent("fork")), (150, 65));
    assert!(!world.is_lower_bound(S) && !world.is_lower_bound("fork"));
}

#[test]
fn a_fork_of_a_parent_that_was_never_seen_is_a_lower_bound() {
    let mut world = world();
    world.begin("fork", Begins::Fork, 8);
    world.reads("fork", &[("elsewhere", "m1", 100), ("fork", "m2", 60)], Some(9_000));
    world.end("fork");
    assert_eq!((world.spent("fork"), world.is_lower_bound("fork")), (60, true));
    assert_eq!(world.stands("session:fork").0, 60);
}

#[test]
fn clear_begins_a_new_session_that_is_linked_to_the_old_one() {
    let mut world = world();
    world.begin(S, Begins::Startup, 7);
    world.end(S);
    world.reads(S, &[(S, "m1", 100)], Some(130));
    world.begin("cleared", Begins::Clear, 7);
    world.reads("cleared", &[("cleared", "m2", 40)], Some(40));
    world.end("cleared");
    assert_eq!((world.spent(S), world.spent("cleared")), (130, 40));
    assert_eq!(world.state.sessions[&sid("cleared")].follows, Some(sid(S)));
    assert_eq!(world.stands("session:cleared").0, 40, "a budget of its own");
}

#[test]
fn a_child_draws_on_its_parents_budget_from_its_first_hook() {
    let mut world = World::with_session(1_000);
    let child = |event| Hook { session: sid("child"), parent: Some(sid(S)), ..hook(event) };
    world.hook(child(HookEvent::SessionStart));
    assert!(!world.state.budgets.contains_key(&bid("session:child")));
    world.spend_in("child", None, 1_200);
    assert_eq!(world.stands("session:s1").0, 1_200);
    assert_eq!(world.hook(child(HookEvent::PreToolUse)).cell, Cell::Hold);
    assert_eq!(world.cell(HookEvent::PreToolUse), Cell::Hold, "both stand still");
    // A grandchild, and one that is met only where its parent is paused already.
    let below = |id: &str, parent: &str| Hook {
        session: sid(id),
        parent: Some(sid(parent)),
        ..hook(HookEvent::HumanPrompt)
    };
    assert_ne!(world.hook(below("grandchild", "child")).cell, Cell::Allow);
    assert_eq!(world.state.purse(&sid("grandchild")), &sid(S));
    let under: Vec<SessionId> = world.state.sessions_under(&bid("session:s1"));
    assert_eq!(under, [sid("child"), sid("grandchild"), sid(S)]);
    // One whose parent nobody knows stands for itself.
    world.hook(below("orphan", "unknown"));
    assert_eq!(world.stands("session:orphan").0, 0);
}

#[test]
fn a_purse_is_not_forgotten_while_one_draws_on_it() {
    let mut world = World::with_session(1_000);
    world.wait_ms(1_000_000);
    world.hook(Hook { session: sid("child"), parent: Some(sid(S)), ..hook(HookEvent::SessionStart) });
    let before = world.now;
    world.send(&Command::Forget { before });
    assert!(world.state.sessions.contains_key(&sid(S)));
}
