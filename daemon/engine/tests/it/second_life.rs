//! HOOK.md section 5, the second life, row by row: profile strict, 5 identical, cool-down 0, mode hold.

use bursar_engine::alert::AlertType::CircuitTripped;
use bursar_engine::command::Act;
use bursar_engine::detect::Detector;
use bursar_engine::hold::HoldEnd;
use bursar_engine::records::BreakerState::{Closed, HalfOpen, Open};
use bursar_engine::table::{Cell, HookEvent};

use crate::support::calls::{Circuits, strict};
use crate::support::{S, bid, hook, sid};

#[test]
fn a_circuit_lives_as_the_page_says() {
    let mut life = Circuits::new(strict(0));

    // A, A, A, A: closed.
    for _ in 0..4 {
        assert_eq!(life.call("A").0, Cell::Allow);
        assert_eq!(life.state(), Closed);
    }

    // The 5th is let through and opens it; its batch holds. One alert, one trip.
    let (cell, batch) = life.call("A");
    assert_eq!((cell, life.state()), (Cell::Allow, Open));
    let batch = batch.expect("the batch is held");
    assert_eq!(life.world.alerts_of("session:s1"), [CircuitTripped]);
    assert_eq!(life.circuit().trips, 1);
    assert!(life.world.state.shut_in(&sid(S)).1.contains("main"), "its marker names the main agent");

    // Acknowledged: released, half-open.
    let done = life.acknowledge();
    assert_eq!((done.released, life.world.end_of(batch)), (1, Some(HoldEnd::Acknowledged)));
    assert_eq!(life.state(), HalfOpen);
    assert!(life.world.state.shut_in(&sid(S)).1.is_empty());

    // B, good, with a new outcome: closed, and the run of duplicates is cleared.
    assert_eq!(life.call("B").0, Cell::Allow);
    assert_eq!((life.state(), life.circuit().window.run), (Closed, 1));

    // A five times: open as above.
    for n in 1..=5 {
        assert_eq!(life.call("A").0, Cell::Allow);
        assert_eq!(life.state() == Open, n == 5, "{n}");
    }

    // Acknowledged, then A: open at once, with its own reason; this call is held before it runs.
    life.acknowledge();
    let (cell, _) = life.call("A");
    assert_eq!((cell, life.state()), (Cell::Hold, Open));
    let trip = life.circuit().trip.clone().unwrap();
    assert_eq!(trip.detector, Detector::SameCallAgain);
    assert!(trip.to_string().contains("the same call of Bash again"), "{trip}");

    // The call that was waiting when it was acknowledged passes uncounted, and its late outcome changes nothing.
    let counted = life.circuit().window.iterations;
    life.acknowledge();
    life.finish("A", true, "as ever");
    assert_eq!((life.state(), life.circuit().window.iterations), (HalfOpen, counted));

    // Reset: closed.
    life.call("A");
    assert_eq!(life.state(), Open);
    life.world.act(Act::ResetCircuit("session:s1".parse().unwrap())).unwrap();
    assert_eq!((life.state(), life.circuit().window.iterations), (Closed, 0));
    assert_eq!(life.world.hook(hook(HookEvent::HumanPrompt)).cell, Cell::Allow);
    assert!(life.world.state.budgets.contains_key(&bid("session:s1")));
}
