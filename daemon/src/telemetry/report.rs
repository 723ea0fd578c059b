//! From telemetry's requests to what the rules count.

use bursar_engine::reported::Report;
use bursar_engine::row::Part;
use bursar_engine::time::Timestamp;

use crate::otlp::ApiRequest;
use crate::prices::{Cost, Prices, Terms};

/// What can be counted of requests that came at `now`.
pub fn reports(prices: &Prices, now: Timestamp, requests: Vec<ApiRequest>) -> Vec<Report> {
    requests.into_iter().filter_map(|request| report(prices, now, request)).collect()
}

fn report(prices: &Prices, now: Timestamp, request: ApiRequest) -> Option<Report> {
    let writes_lines = request.is_of_a_transcript();
    let at = request.at.min(now);
    let request_id = match (request.request_id, request.sequence) {
        (Some(id), _) => id,
        // Its line has none either, and counts by its message's id.
        _ if writes_lines => return None,
        (None, Some(sequence)) => format!("event:{}:{}:{sequence}", request.session_id, request.at.0),
        (None, None) => format!("event:{}:{}", request.session_id, request.at.0),
    };
    // The client's own figure, where it has one and the operator has not said otherwise.
    let is_own = prices.own_cost(&request.model, request.usage, at).is_some();
    let cost = request.cost_usd_micros.filter(|_| !is_own);
    let cost = cost.map(|micro_usd| Cost { micro_usd, estimated: false });
    let cost = cost.unwrap_or_else(|| prices.cost(&request.model, request.usage, Terms::default(), at));
    Some(Report {
        request_id,
        session: request.session_id,
        agent: request.agent_id,
        at,
        part: Part {
            model: request.model,
            usage: request.usage,
            micro_usd: cost.micro_usd,
            estimated: cost.estimated,
        },
        writes_lines,
    })
}

#[cfg(test)]
mod tests {
    use super::{Prices, Timestamp, reports};
    use crate::otlp::ApiRequest;
    use bursar_engine::ids::{AgentKey, SessionId};
    use bursar_engine::usage::Usage;

    fn request() -> ApiRequest {
        ApiRequest {
            session_id: SessionId::new("s").expect("a name"),
            request_id: Some("req_1".to_owned()),
            prompt_id: None,
            sequence: Some(4),
            model: "claude-opus-5-5".to_owned(),
            usage: Usage { input: 1_000, ..Usage::default() },
            cost_usd_micros: Some(4_000),
            query_source: Some("sdk".to_owned()),
            agent_id: AgentKey::Main,
            parent_agent_id: None,
            at: Timestamp(5_000),
        }
    }

    #[test]
    fn what_has_no_id_counts_only_if_no_line_tells_of_it() {
        let prices = Prices::built_in();
        let of = |request: ApiRequest| reports(&prices, Timestamp(4_000), vec![request]).pop();
        let whole = of(request()).expect("a report");
        assert_eq!(
            (whole.request_id.as_str(), whole.writes_lines, whole.at),
            ("req_1", true, Timestamp(4_000))
        );
        assert_eq!((whole.part.micro_usd, whole.part.estimated), (4_000, false));
        assert_eq!(of(ApiRequest { request_id: None, ..request() }), None);
        let title =
            || ApiRequest { request_id: None, query_source: None, cost_usd_micros: None, ..request() };
        let (once, twice) = (of(title()).expect("a report"), of(title()).expect("a report"));
        assert_eq!((once.request_id == twice.request_id, once.writes_lines), (true, false));
        assert_eq!((once.part.micro_usd, once.part.estimated), (4_000, false), "by the table");
        assert_ne!(
            of(ApiRequest { sequence: Some(5), ..title() }).expect("a report").request_id,
            once.request_id
        );
    }
}
