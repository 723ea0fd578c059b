//! Who may talk HTTP to the daemon at all: pages of other origins may not, whatever name a browser was made to believe
//! loopback has. Checked before any route is looked for, so that none can be without it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, HeaderName, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::Refusal;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A name under which the daemon answers, and the origin of its own pages there.
#[derive(Debug, Clone)]
struct Place {
    host: String,
    origin: String,
}

/// The names under which the daemon answers.
#[derive(Debug, Clone)]
pub struct Gate(Vec<Place>);

/// A request that is refused, by the header that gave it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHere {
    /// Its name for us is none of ours.
    #[error("this server answers by its own names on loopback only, port included")]
    Host,
    /// A page of another origin asks.
    #[error("pages of other origins may not ask here")]
    Origin,
    /// A browser says that another site asks.
    #[error("other sites may not ask here")]
    FetchSite,
}

impl NotHere {
    fn header(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::FetchSite => "sec-fetch-site",
        }
    }
}

impl Gate {
    /// Loopback's names at a port.
    pub fn of_loopback(port: u16) -> Self {
        let place =
            |name: &str| Place { host: format!("{name}:{port}"), origin: format!("http://{name}:{port}") };
        Self(["127.0.0.1", "localhost", "[::1]"].map(place).into())
    }

    /// Puts the gate before all routes, the missing ones included. Nothing may be added to the router after it.
    pub fn before(self, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(Arc::new(self), pass))
    }

    /// Judges a request by its target and its headers.
    ///
    /// # Errors
    /// [`NotHere`].
    pub fn judge(&self, target: &Uri, headers: &HeaderMap) -> Result<(), NotHere> {
        let named = only(headers, &HOST).ok().flatten().ok_or(NotHere::Host)?;
        let place = self.0.iter().find(|place| place.host == named).ok_or(NotHere::Host)?;
        // An absolute target names a host of its own, which is the one that counts elsewhere.
        if target.authority().is_some_and(|authority| authority.as_str() != place.host)
            || target.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP)
        {
            return Err(NotHere::Host);
        }
        match only(headers, &ORIGIN) {
            Ok(None) => {}
            Ok(Some(origin)) if origin == place.origin => {}
            Ok(Some(_)) | Err(()) => return Err(NotHere::Origin),
        }
        match only(headers, &SEC_FETCH_SITE) {
            Ok(None | Some("same-origin" | "none")) => Ok(()),
            Ok(Some(_)) | Err(()) => Err(NotHere::FetchSite),
        }
    }
}

/// The value of a header that may stand there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.judge(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            let details = json!({ "header": refused.header() });
            Refusal::new(403, "forbidden", &refused.to_string()).with(details).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, NotHere};
    use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

    type Case = (&'static str, &'static [(&'static str, &'static str)], Result<(), NotHere>);

    const FINE: Result<(), NotHere> = Ok(());
    const HOST: Result<(), NotHere> = Err(NotHere::Host);
    const ORIGIN: Result<(), NotHere> = Err(NotHere::Origin);
    const SITE: Result<(), NotHere> = Err(NotHere::FetchSite);

    #[test]
    fn only_its_own_names_and_its_own_pages_get_through() {
        let table: [Case; 48] = [
            // By name.
            ("/", &[("host", "127.0.0.1:7000")], FINE),
            ("/", &[("host", "localhost:7000")], FINE),
            ("/", &[("host", "[::1]:7000")], FINE),
            ("*", &[("host", "localhost:7000")], FINE),
            ("/", &[], HOST),
            ("/", &[("host", "")], HOST),
            ("/", &[("host", "127.0.0.1")], HOST),
            ("/", &[("host", "localhost")], HOST),
            ("/", &[("host", "127.0.0.1:7001")], HOST),
            ("/", &[("host", "127.0.0.1:07000")], HOST),
            ("/", &[("host", "127.0.0.1:7000 ")], HOST),
            ("/", &[("host", "127.0.0.1.:7000")], HOST),
            ("/", &[("host", "127.1:7000")], HOST),
            ("/", &[("host", "2130706433:7000")], HOST),
            ("/", &[("host", "0.0.0.0:7000")], HOST),
            ("/", &[("host", "[::]:7000")], HOST),
            ("/", &[("host", "::1:7000")], HOST),
            ("/", &[("host", "[::ffff:127.0.0.1]:7000")], HOST),
            ("/", &[("host", "localhost.:7000")], HOST),
            ("/", &[("host", "LOCALHOST:7000")], HOST),
            ("/", &[("host", "evil.test")], HOST),
            ("/", &[("host", "evil.test:7000")], HOST),
            ("/", &[("host", "localhost.evil.test:7000")], HOST),
            ("/", &[("host", "127.0.0.1:7000@evil.test")], HOST),
            ("/", &[("host", "user@127.0.0.1:7000")], HOST),
            ("/", &[("host", "localhost:7000, evil.test")], HOST),
            ("/", &[("host", "localhost:7000"), ("host", "evil.test")], HOST),
            ("/", &[("host", "localhost:7000"), ("host", "localhost:7000")], HOST),
            ("/", &[("x-forwarded-host", "localhost:7000")], HOST),
            // By an absolute target.
            ("http://localhost:7000/", &[("host", "localhost:7000")], FINE),
            ("http://evil.test/", &[("host", "localhost:7000")], HOST),
            ("http://127.0.0.1:7000/", &[("host", "localhost:7000")], HOST),
            ("http://localhost:7000/", &[("host", "evil.test")], HOST),
            ("http://localhost:7000/", &[], HOST),
            ("http://me@localhost:7000/", &[("host", "localhost:7000")], HOST),
            ("https://localhost:7000/", &[("host", "localhost:7000")], HOST),
            // By origin.
            ("/", &[("host", "localhost:7000"), ("origin", "http://localhost:7000")], FINE),
            ("/", &[("host", "[::1]:7000"), ("origin", "http://[::1]:7000")], FINE),
            ("/", &[("host", "localhost:7000"), ("origin", "http://127.0.0.1:7000")], ORIGIN),
            ("/", &[("host", "localhost:7000"), ("origin", "https://localhost:7000")], ORIGIN),
            ("/", &[("host", "localhost:7000"), ("origin", "http://localhost:3000")], ORIGIN),
            ("/", &[("host", "localhost:7000"), ("origin", "null")], ORIGIN),
            ("/", &[("host", "localhost:7000"), ("origin", "")], ORIGIN),
            // By what a browser says of the site.
            ("/", &[("host", "localhost:7000"), ("sec-fetch-site", "same-origin")], FINE),
            ("/", &[("host", "localhost:7000"), ("sec-fetch-site", "none")], FINE),
            ("/", &[("host", "localhost:7000"), ("sec-fetch-site", "same-site")], SITE),
            ("/", &[("host", "localhost:7000"), ("sec-fetch-site", "cross-site")], SITE),
            ("/", &[("host", "evil.test"), ("origin", "http://evil.test"), ("sec-fetch-site", "none")], HOST),
        ];
        let gate = Gate::of_loopback(7000);
        for (target, headers, verdict) in table {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name: HeaderName = name.parse().expect("a header's name");
                map.append(name, HeaderValue::from_static(value));
            }
            let target: Uri = target.parse().expect("a target");
            assert_eq!(gate.judge(&target, &map), verdict, "{target} {headers:?}");
        }
        let twice = |name: &'static str, value: &'static str| {
            let mut map = HeaderMap::new();
            map.append("host", HeaderValue::from_static("localhost:7000"));
            map.append(name, HeaderValue::from_static(value));
            map.append(name, HeaderValue::from_static(value));
            gate.judge(&Uri::from_static("/"), &map)
        };
        assert_eq!(twice("origin", "http://localhost:7000"), ORIGIN);
        assert_eq!(twice("sec-fetch-site", "none"), SITE);
    }
}
