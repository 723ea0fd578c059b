//! Whether a session is near a limit, by what its next answer can take at the most.

use std::collections::BTreeSet;

use bursar_engine::State;
use bursar_engine::ids::{AgentKey, SessionId};
use bursar_engine::time::Timestamp;
use bursar_engine::usage::{MICRO, Usage};

use crate::prices::Prices;

/// The greatest output that any model writes in one answer, in tokens (`maxOutputTokens` of the client's figures).
const GREATEST_OUTPUT_TOKENS: u64 = 128_000;

/// Whether the answer that comes next could reach a limit, of tokens or of dollars.
pub fn is_near(
    state: &State,
    prices: &Prices,
    session: &SessionId,
    agent: &AgentKey,
    now: Timestamp,
) -> bool {
    if !state.policy.enabled {
        return false;
    }
    let tokens_left = state.least_left(session, agent);
    let dollars_left = state.least_micro_usd_left(session, agent);
    let context = state.agents.get(&(session.clone(), agent.clone())).map_or(0, |a| a.context_tokens);
    if context == 0 {
        return tokens_left.is_some() || dollars_left.is_some();
    }
    let tokens = || {
        let largest = Usage { cache_write_5m: context, output: GREATEST_OUTPUT_TOKENS, ..Usage::default() };
        state.policy.weights.weigh(largest).div_ceil(MICRO)
    };
    // The dearest way to send the context again, on the dearest of the models that the session uses.
    let dollars = || {
        let largest = Usage { cache_write_1h: context, output: GREATEST_OUTPUT_TOKENS, ..Usage::default() };
        let models: BTreeSet<&str> = state.totals_of(session).map(|(_, model, _)| model).collect();
        prices.most(models.into_iter(), largest, now)
    };
    tokens_left.is_some_and(|left| left <= tokens()) || dollars_left.is_some_and(|left| left <= dollars())
}

#[cfg(test)]
mod tests {
    use super::is_near;
    use crate::prices::Prices;
    use bursar_engine::command::{Command, Usage as Read};
    use bursar_engine::ids::{AgentKey, BudgetId, SessionId};
    use bursar_engine::policy::{Limit, Policy};
    use bursar_engine::row::Sighting;
    use bursar_engine::session::Agent;
    use bursar_engine::time::Timestamp;
    use bursar_engine::usage::Usage;
    use bursar_engine::{State, budget::Budget, decide};

    /// Whether a session is near that has this limit and sent one request on a model.
    fn near(limit: Limit, model: &str) -> bool {
        let (session, agent) = (SessionId::new("s").unwrap(), AgentKey::Main);
        let mut state = State::new(Policy::default());
        let budget = BudgetId::Session(session.clone());
        let policy = state.policy.clone();
        let at = Timestamp(1);
        state.budgets.insert(budget.clone(), Budget::new(budget, limit, &policy, "main".to_owned(), at));
        let known = Agent {
            session: session.clone(),
            key: agent.clone(),
            agent_type: None,
            first_seen: at,
            context_tokens: 0,
            context_at: at,
            heard: std::collections::BTreeMap::new(),
        };
        state.agents.insert((session.clone(), agent.clone()), known);
        let asked = |state: &State| is_near(state, &Prices::built_in(), &session, &agent, at);
        assert_eq!(asked(&state), limit != Limit::default(), "nothing is known of its context");
        let seen = Sighting {
            message_id: Some("m".to_owned()),
            request_id: None,
            session: session.clone(),
            agent: agent.clone(),
            model: model.to_owned(),
            usage: Usage { input: 1_000, ..Usage::default() },
            micro_usd: 0,
            at,
            estimated: false,
            partial: false,
        };
        let read = Command::Usage(Read { file: None, rows: vec![seen], known: Vec::new(), claim: None });
        for event in decide(&state, &read, at).events {
            state.evolve(&event);
        }
        asked(&state)
    }

    #[test]
    fn the_largest_answer_decides_in_tokens_and_in_dollars() {
        let tokens = |tokens| Limit { tokens, micro_usd: 0 };
        let usd = |usd: u64| Limit { tokens: 0, micro_usd: usd * 1_000_000 };
        assert!(!near(Limit::default(), "claude-opus-5-5"));
        assert!(near(tokens(130_000), "claude-opus-5-5") && !near(tokens(140_000), "claude-opus-5-5"));
        // 128,000 tokens of output at $20 a million, fast and in the US.
        assert!(near(usd(5), "claude-opus-5-5") && !near(usd(6), "claude-opus-5-5"));
        assert!(!near(usd(1), "claude-haiku-5-5") && near(usd(60), "no-such-model"));
    }
}
