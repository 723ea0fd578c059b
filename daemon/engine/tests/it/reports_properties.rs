//! Any order and any loss of lines, clients' own totals and telemetry ends at the same totals, and nothing that any of
//! them tells takes away what another has shown.

use bursar_engine::command::{Command, Hook, Reports, Usage as UsageRead};
use bursar_engine::policy::Policy;
use bursar_engine::reported::Report;
use bursar_engine::row::{Part, Sighting};
use bursar_engine::run::{Begins, ByModel, Spent};
use bursar_engine::table::HookEvent;
use bursar_engine::usage::{Totals, Usage};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::runs::{begins, file};
use crate::support::{MODEL, World, hook, row, sid};

const SESSIONS: [&str; 2] = ["s1", "s2"];

/// A request: what its last line and telemetry say of it. Of either there may be none.
#[derive(Debug, Clone)]
struct Request {
    session: usize,
    line: Option<Usage>,
    reported: Option<Usage>,
    writes_lines: bool,
}

/// One thing that comes.
#[derive(Debug, Clone)]
enum Comes {
    /// A line; the first of a request has a part of its output.
    Line {
        request: usize,
        whole: bool,
    },
    Report(usize),
    Claim(usize),
    End(usize),
    /// So long that what is awaited counts.
    Long,
}

fn usage() -> impl Strategy<Value = Usage> {
    (1..90_u64, 2..90_u64, 0..9_u64).prop_map(|(input, output, cache_read)| Usage {
        input,
        output,
        cache_read,
        ..Usage::default()
    })
}

fn request() -> impl Strategy<Value = Request> {
    (0..2_usize, option::of(usage()), option::of(usage()), any::<bool>(), any::<bool>()).prop_map(
        |(session, line, reported, same, writes_lines)| Request {
            session,
            // Mostly both say the same.
            reported: if same { reported.and(line).or(reported) } else { reported },
            writes_lines: writes_lines || line.is_some(),
            line,
        },
    )
}

type Story = (Vec<Request>, [Usage; 2], Vec<Comes>);

fn story() -> impl Strategy<Value = (Story, Vec<Comes>)> {
    (vec(request(), 1..7), [usage(), usage()], vec(any::<bool>(), 7)).prop_flat_map(
        |(requests, claims, twice)| {
            let claims =
                claims.map(|usage| Usage { input: usage.input * 3, output: usage.output * 3, ..usage });
            let mut comes = vec![Comes::Claim(0), Comes::Claim(1), Comes::End(0), Comes::End(1), Comes::Long];
            for (n, request) in requests.iter().enumerate() {
                comes.extend(request.line.iter().flat_map(|_| {
                    [Comes::Line { request: n, whole: false }, Comes::Line { request: n, whole: true }]
                }));
                comes.extend(request.reported.iter().map(|_| Comes::Report(n)));
                comes.extend(request.reported.iter().filter(|_| twice[n]).map(|_| Comes::Report(n)));
            }
            (Just((requests, claims, comes.clone())), Just(comes).prop_shuffle())
        },
    )
}

/// The file's own order: a message's first line comes first.
fn in_the_files_order(mut comes: Vec<Comes>) -> Vec<Comes> {
    for n in 0..comes.len() {
        if let Comes::Line { request, whole: true } = comes[n] {
            let first = comes[n..]
                .iter()
                .position(|c| matches!(c, Comes::Line { request: r, whole: false } if *r == request));
            if let Some(after) = first {
                comes.swap(n, n + after);
            }
        }
    }
    comes
}

fn part(usage: Usage) -> Part {
    Part { model: MODEL.to_owned(), usage, micro_usd: cost(usage), estimated: false }
}

fn cost(usage: Usage) -> u64 {
    usage.input * 4 + usage.output * 20
}

fn tell(requests: &[Request], claims: &[Usage; 2], comes: &[Comes]) -> [Totals; 2] {
    let mut world = World::new(Policy::default());
    for (client, session) in (7..).zip(SESSIONS) {
        world.hook(begins(session, Begins::Startup, client));
    }
    world.wait_ms(100);
    let at = world.now;
    let mut before = [Usage::default(); 2];
    for one in comes.iter().chain([&Comes::Long]) {
        match one {
            Comes::Line { request: n, whole } => {
                let Request { session, line, .. } = &requests[*n];
                let whole_usage = line.unwrap();
                let usage = if *whole { whole_usage } else { Usage { output: 1, ..whole_usage } };
                let seen = Sighting {
                    session: sid(SESSIONS[*session]),
                    request_id: Some(format!("r{n}")),
                    usage,
                    micro_usd: cost(usage),
                    at,
                    ..row(&format!("m{n}"), 0)
                };
                read(&mut world, *session, vec![seen], None);
            }
            Comes::Report(n) => {
                let Request { session, reported, writes_lines, .. } = &requests[*n];
                let report = Report {
                    request_id: format!("r{n}"),
                    session: sid(SESSIONS[*session]),
                    agent: bursar_engine::ids::AgentKey::Main,
                    at,
                    part: part(reported.unwrap()),
                    writes_lines: *writes_lines,
                };
                world.send(&Command::Reports(Reports { reports: vec![report], known: Vec::new() }));
            }
            Comes::Claim(session) => {
                let usage = claims[*session];
                let said = Spent { usage, micro_usd: cost(usage) };
                read(&mut world, *session, Vec::new(), Some(ByModel::from([(MODEL.to_owned(), said)])));
            }
            Comes::End(session) => {
                world.hook(Hook { session: sid(SESSIONS[*session]), ..hook(HookEvent::SessionEnd) });
            }
            Comes::Long => {
                world.wait_ms(30_001);
                world.tick();
            }
        }
        let now = totals(&world).map(|t| t.usage);
        for (before, now) in before.iter().zip(now) {
            assert_eq!(before.minus(now), Usage::default(), "{one:?} took something away");
        }
        before = now;
    }
    let totals = totals(&world);
    for (session, totals) in SESSIONS.iter().zip(&totals) {
        let budget = world.budget(&format!("session:{session}"));
        let weighed = totals.usage.input + totals.usage.output;
        assert_eq!((budget.tokens_used(), budget.used.micro_usd), (weighed, totals.micro_usd));
        let sensed = world.state.runs[&sid(session)].sensed;
        let requests = sensed.lines.rows + sensed.reported_only.rows;
        assert_eq!(requests, totals.requests, "each request is told of by one sensor at least");
    }
    assert!(world.state.awaited.is_empty());
    totals
}

fn read(world: &mut World, session: usize, rows: Vec<Sighting>, claim: Option<ByModel>) {
    let file = Some(file(SESSIONS[session]));
    world.send(&Command::Usage(UsageRead { file, rows, known: Vec::new(), claim }));
}

fn totals(world: &World) -> [Totals; 2] {
    SESSIONS.map(|s| world.state.totals_of(&sid(s)).fold(Totals::default(), |sum, (_, _, t)| sum.plus(*t)))
}

/// The sum over requests of the greater of each kind, and what the client says beyond that.
fn expected(requests: &[Request], claims: &[Usage; 2]) -> [Usage; 2] {
    [0, 1].map(|session| {
        let of = requests.iter().filter(|r| r.session == session);
        let sum = of.fold(Usage::default(), |sum, r| {
            let line = r.line.unwrap_or_default();
            sum.plus(line.greatest(r.reported.unwrap_or_default()))
        });
        sum.greatest(claims[session])
    })
}

proptest! {
    #[test]
    fn any_order_and_any_loss_come_to_the_same(((requests, claims, straight), shuffled) in story()) {
        let told = tell(&requests, &claims, &straight);
        prop_assert_eq!(told, tell(&requests, &claims, &in_the_files_order(shuffled)));
        prop_assert_eq!(told.map(|t| t.usage), expected(&requests, &claims));
    }
}
