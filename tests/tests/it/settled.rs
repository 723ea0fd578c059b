//! What no line of a transcript shows is counted by the client's own word: over compactions, resumes, forks and
//! `/clear`; and where that word is missing the total says that it is a lower bound.

use bursar_tests::api::{Gate, Kind, Script, ScriptedApi, Turn, Usage};
use bursar_tests::client::{Headless, Outcome, binary};
use bursar_tests::daemon::Bursar;
use bursar_tests::reply::{SessionShow, Tokens};
use bursar_tests::terminal::Terminal;
use bursar_tests::wait;
use rustix::process::Signal;

use crate::common::{SOON, bare, thousand, tokens, usage};

/// What the client itself says of a session, over all its models.
fn by_the_client(outcome: &Outcome) -> Tokens {
    let models = outcome.result.model_usage.values();
    models.fold(Tokens::default(), |sum, usage| sum + Tokens::from(*usage))
}

/// The client's own figure in micro-dollars.
fn cost(outcome: &Outcome) -> u64 {
    format!("{:.0}", outcome.result.total_cost_usd * 1e6).parse().expect("an amount")
}

/// A session once its client's word has been read.
#[track_caller]
fn settled(bursar: &Bursar<'_>, id: &str) -> SessionShow {
    wait::until("the session's settlement", SOON, || {
        let shown = bursar.session(id);
        shown.runs.iter().all(|run| run.settled).then_some(shown)
    })
}

#[track_caller]
fn assert_exact(shown: &SessionShow, expected: Tokens) {
    assert_eq!(shown.usage, expected, "{shown:?}");
    assert_eq!((shown.lower_bound, shown.coverage), (false, Some(1.0)));
    assert_eq!(shown.sources.transcript + shown.sources.settlement, shown.usage);
}

#[test]
fn compaction_resume_and_fork_come_to_the_clients_own_totals() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let compact = Usage::plain(907, 93);
    let api = ScriptedApi::start(
        Script::main([
            Turn::bash("echo one", usage(1)),
            Turn::says("First.", usage(2)),
            Turn::says("The fork's.", usage(3)),
            Turn::says("The parent's again.", usage(4)),
        ])
        .compact_usage(compact),
    );
    let first = Headless::new(&world, &api, "do it").run();
    let id = first.result.session_id.clone();
    let compacted = Headless::new(&world, &api, "/compact").resume(&id).run();
    let shown = settled(&bursar, &id);
    assert_exact(&shown, by_the_client(&compacted));
    assert_eq!((shown.cost_micro_usd, shown.cost_estimated), (cost(&compacted), false));
    assert_eq!(shown.sources.settlement, Tokens::from(compact));
    assert_eq!(bursar.budget(&format!("session:{id}")).expect("it").tokens_used, api.log().usage().weighed());

    let fork = Headless::new(&world, &api, "and a copy").resume(&id).arg("--fork-session").run();
    let copy = settled(&bursar, &fork.result.session_id);
    assert_exact(&copy, usage(3).into());
    assert_eq!(copy.cost_micro_usd, cost(&fork) - cost(&compacted));
    assert_eq!(copy.draws_on.as_deref(), Some(id.as_str()));

    let again = Headless::new(&world, &api, "and on").resume(&id).run();
    let shown = settled(&bursar, &id);
    assert_exact(&shown, by_the_client(&again));
    assert_eq!(shown.cost_micro_usd, cost(&again));
    // One budget for both, and all that was sent is in it.
    assert_eq!(bursar.budget(&format!("session:{id}")).expect("it").tokens_used, api.log().usage().weighed());
    assert_eq!(
        shown.runs.iter().map(|run| run.begins.as_str()).collect::<Vec<_>>(),
        ["startup", "resume", "resume"]
    );
}

#[test]
fn in_a_terminal_a_fork_of_the_running_session_compaction_and_clear_are_each_charged_once() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let api = ScriptedApi::start(Script::main([
        Turn::says("The first answer.", usage(1)),
        Turn::says("The copy's answer.", usage(2)),
        Turn::says("The second answer.", usage(3)),
        Turn::says("The answer after it.", usage(4)),
    ]));
    let terminal = Terminal::start(&world, &api, &[]);
    terminal.type_line("go on");
    terminal.wait_for("The first answer.", SOON);
    let parent = bursar.sessions(false).first().expect("the session").session_id.clone();
    let fork = Headless::new(&world, &api, "a copy").resume(&parent).arg("--fork-session").run();
    // Its client begins at zero, since the parent's had said nothing yet.
    assert_exact(&settled(&bursar, &fork.result.session_id), by_the_client(&fork));
    terminal.type_line("/compact");
    terminal.wait_for("ompacted", SOON);
    terminal.type_line("and more");
    terminal.wait_for("The second answer.", SOON);
    terminal.type_line("/clear");
    wait::until_true("the cleared session", SOON, || bursar.sessions(true).len() == 3);
    terminal.type_line("once more");
    terminal.wait_for("The answer after it.", SOON);
    // A client that is closed while an answer is under way has not counted it itself.
    wait::until_true("the last answer's line", SOON, || {
        bursar.sessions(false).iter().any(|session| session.usage == Tokens::from(usage(4)))
    });
    terminal.close();
    let all: Vec<SessionShow> =
        bursar.sessions(true).iter().map(|session| settled(&bursar, &session.session_id)).collect();
    let sum = all.iter().fold(Tokens::default(), |sum, session| sum + session.usage);
    assert_eq!(sum, Tokens::from(api.log().usage()), "{all:?}");
    let cleared = all.iter().find(|session| session.follows.is_some()).expect("the cleared session");
    assert_eq!((cleared.follows.as_ref(), cleared.draws_on.as_ref()), (Some(&parent), None));
    assert_exact(cleared, usage(4).into());
    assert!(all.iter().all(|session| !session.lower_bound && session.coverage == Some(1.0)), "{all:?}");
}

#[test]
fn a_killed_client_leaves_a_total_that_says_it_is_a_lower_bound() {
    let world = bare();
    let bursar = Bursar::up(&world, &[]);
    let never = Gate::new();
    let api = ScriptedApi::start(Script::main([
        Turn::bash("echo one", usage(1)),
        Turn::says("Never said.", usage(2)).behind(&never),
        Turn::says("Done.", usage(3)),
    ]));
    let run = Headless::new(&world, &api, "do it").start();
    api.log().wait_for(&Kind::Main, 2, SOON);
    let id = bursar.sessions(false).first().expect("the session").session_id.clone();
    assert!(!bursar.session(&id).lower_bound);
    run.process().signal(Signal::KILL);
    wait::until_true("the lower bound", 2 * SOON, || bursar.session(&id).lower_bound);
    assert_eq!(bursar.session(&id).usage, Tokens::from(usage(1)));
    let table = bursar.done(&["sessions", "--all"]).stdout;
    assert!(table.contains('≥'), "{table}");
    let budgets = bursar.done(&["budget", "list"]).stdout;
    assert!(budgets.contains("≥ "), "{budgets}");
    never.open();
    // It stays one when the session goes on.
    let again = Headless::new(&world, &api, "go on").resume(&id).run();
    wait::until_true("the second run's settlement", SOON, || {
        bursar.session(&id).runs.last().is_some_and(|run| run.settled)
    });
    let shown = bursar.session(&id);
    assert!(shown.lower_bound);
    assert_eq!(shown.usage, Tokens::from(usage(1)) + by_the_client(&again));
}

#[test]
fn a_child_session_draws_on_its_parents_budget() {
    let world = bare();
    let bursar = Bursar::up(&world, &[("TOKEN_BUDGET_SESSION_DEFAULT", "1900")]);
    let child = format!(
        "{} -p 'the child works' --settings {} --output-format json",
        binary().display(),
        world.settings().display()
    );
    // Two clients at once write late on a busy machine: a crossing may be seen some calls later.
    let more = (0..20).map(|turn| Turn::bash(&format!("echo {turn}"), tokens(10)));
    let works = [Turn::bash("echo one", thousand())].into_iter().chain(more);
    let api = ScriptedApi::start(
        Script::main([Turn::bash(&child, thousand()), Turn::says("Done.", thousand())])
            .session("the child works", works.chain([Turn::says("Mine too.", tokens(600))])),
    );
    let run = Headless::new(&world, &api, "have it done").start();
    // The second thousand is over the limit; the child is held, and its parent with it: it waits for its call.
    let hold = bursar.wait_for_hold();
    let sessions = bursar.sessions(false);
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    let child = sessions.iter().find(|session| session.draws_on.is_some()).expect("the child");
    let parent = sessions.iter().find(|session| session.draws_on.is_none()).expect("the parent");
    assert_eq!(child.draws_on.as_ref(), Some(&parent.session_id));
    assert_eq!(hold.session_id, child.session_id);
    let budget = format!("session:{}", parent.session_id);
    assert_eq!(hold.budget_id, budget);
    bursar.extend(&budget, 10_000);
    let outcome = run.outcome();
    assert_eq!(outcome.reason(), "completed");
    assert_eq!(bursar.budget(&budget).expect("it").tokens_used, api.log().usage().weighed());
}
