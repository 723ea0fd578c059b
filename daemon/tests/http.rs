//! The HTTP server over a socket, as hostile and as broken callers meet it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::http::token::Token;
use bursar::http::{BODY_WAIT, Ingest, MAX_BODY_BYTES, MAX_UNPACKED_BYTES, app, server};
use bursar::telemetry::Telemetry;
use bursar_engine::time::Timestamp;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

type Done = Result<(), Box<dyn std::error::Error>>;

/// One request, in JSON, with room for a sequence.
const REQUEST: &str = r#"{"body":{"stringValue":"claude_code.api_request"},"attributes":[{"key":"session.id","value":{"stringValue":"s1"}},{"key":"input_tokens","value":{"intValue":3}}]}"#;

struct Served {
    port: u16,
    token: String,
    telemetry: Arc<Telemetry>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    _state: tempfile::TempDir,
}

impl Served {
    fn start(most: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let state = tempfile::tempdir()?;
        let token = Token::open(state.path())?;
        let listener = server::bind(0)?;
        let port = listener.local_addr()?.port();
        let telemetry = Arc::new(Telemetry::default());
        let ingest = Ingest::new(token.clone(), Arc::clone(&telemetry), Clock::start(Timestamp(0)));
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        tokio::spawn(server::serve(listener, app(port, ingest), most, tasks.clone(), cancel.clone()));
        Ok(Self { port, token: token.reveal().to_owned(), telemetry, tasks, cancel, _state: state })
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port)).await
    }

    /// Sends bytes and reads all that comes back until the server closes, or for a while.
    async fn raw(&self, bytes: &[u8]) -> Result<String, Box<dyn std::error::Error>> {
        let mut stream = self.connect().await?;
        // A server that has refused a body may close before all of it was sent.
        let _ = stream.write_all(bytes).await;
        Ok(rest(&mut stream).await)
    }

    /// A batch with the usual headers and more.
    async fn post(
        &self,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<String, Box<dyn std::error::Error>> {
        let (port, token, length) = (self.port, &self.token, body.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn batch(records: usize) -> String {
    let records = vec![REQUEST; records].join(",");
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#)
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn a_batch_is_taken_in_each_framing_packing_and_encoding() -> Done {
    let served = Served::start(8)?;
    let body = batch(2);
    let plain = served.post("/v1/logs", JSON, body.as_bytes()).await?;
    assert_eq!(status(&plain), "200", "{plain}");
    assert!(plain.ends_with("\r\n\r\n{}") && plain.contains("connection: close"), "{plain}");
    let packed = gzip(body.as_bytes())?;
    let headers = format!("{JSON}Content-Encoding: gzip\r\n");
    assert_eq!(status(&served.post("/v1/logs", &headers, &packed).await?), "200");
    let twice = [gzip(&body.as_bytes()[..9])?, gzip(&body.as_bytes()[9..])?].concat();
    assert_eq!(status(&served.post("/v1/logs", &headers, &twice).await?), "200");
    let (port, token) = (served.port, &served.token);
    let (one, two) = body.split_at(body.len() / 3);
    let chunked = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: bearer {token}\r\ncontent-type: application/json; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    assert_eq!(status(&served.raw(chunked.as_bytes()).await?), "200");
    let protobuf = served.post("/v1/logs", "Content-Type: application/x-protobuf\r\n", b"").await?;
    assert!(status(&protobuf) == "200" && protobuf.contains("application/x-protobuf"), "{protobuf}");
    assert_eq!(status(&served.post("/v1/metrics", JSON, b"{}").await?), "200");
    let view = served.telemetry.view(None);
    assert_eq!((view.requests, view.metrics, view.refused), (8, 1, 0));
    assert_eq!(served.telemetry.drain().len(), 8);
    Ok(())
}

#[tokio::test]
async fn the_gate_stands_before_every_route_and_the_token_before_those_of_telemetry() -> Done {
    let served = Served::start(8)?;
    let (port, token) = (served.port, &served.token);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let mine = format!("Host: 127.0.0.1:{port}\r\n");
    for path in
        ["/", "/api", "/api/budgets", "/metrics", "/v1/logs", "/v1/metrics", "/v1/traces", "/events", "/x?y"]
    {
        for method in ["GET", "POST", "OPTIONS", "DELETE", "HEAD"] {
            for headers in [
                String::new(),
                "Host: evil.test\r\n".to_owned(),
                format!("Host: localhost.evil.test:{port}\r\n"),
                format!("{mine}Origin: http://evil.test\r\n"),
                format!("{mine}Sec-Fetch-Site: cross-site\r\n"),
            ] {
                let request =
                    format!("{method} {path} HTTP/1.1\r\n{bearer}{headers}Connection: close\r\n\r\n");
                let answer = served.raw(request.as_bytes()).await?;
                assert_eq!(status(&answer), "403", "{request}{answer}");
                assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
                if method != "HEAD" {
                    let body: serde_json::Value =
                        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap_or_default())?;
                    assert!(body["error"] == "forbidden" && body["details"]["header"].is_string(), "{body}");
                    assert!(!answer.contains("evil"), "nothing of the caller's comes back: {answer}");
                }
            }
        }
    }
    let ask = async |line: &str, headers: &str| {
        let request = format!("{line} HTTP/1.1\r\n{mine}{headers}Connection: close\r\n\r\n");
        served.raw(request.as_bytes()).await.map(|answer| status(&answer).to_owned())
    };
    assert_eq!(ask(&format!("POST http://evil.test:{port}/v1/logs"), &bearer).await?, "403");
    assert_eq!(ask("POST /v1/logs", "").await?, "401");
    assert_eq!(ask("POST /v1/metrics", "Authorization: Bearer x\r\n").await?, "401");
    assert_eq!(ask("GET /v1/logs", &bearer).await?, "405");
    assert_eq!(ask("POST /v1/traces", &bearer).await?, "404");
    assert_eq!(ask("GET /", "").await?, "404");
    assert_eq!(ask("POST /v1/logs", &bearer).await?, "415");
    let refused = served.post("/v1/logs", &format!("{JSON}Content-Encoding: br\r\n"), b"{}").await?;
    assert_eq!(status(&refused), "415");
    assert_eq!(served.telemetry.view(None).events, 0);
    Ok(())
}

#[tokio::test]
async fn bodies_that_are_too_large_or_broken_are_refused() -> Done {
    let served = Served::start(8)?;
    let headers = format!("{JSON}Content-Encoding: gzip\r\n");
    let bomb = gzip(&vec![b' '; 8 * MAX_UNPACKED_BYTES])?;
    assert!(bomb.len() < MAX_BODY_BYTES / 8);
    assert_eq!(status(&served.post("/v1/logs", &headers, &bomb).await?), "413");
    let large = vec![b' '; MAX_BODY_BYTES + 1];
    assert_eq!(status(&served.post("/v1/logs", JSON, &large[..100_000]).await?), "400", "no JSON");
    let (port, token) = (served.port, &served.token);
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n{JSON}"
    );
    let said = format!("{head}Content-Length: {}\r\n\r\n", large.len());
    assert_eq!(status(&served.raw(said.as_bytes()).await?), "413", "without reading it");
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", large.len()).into_bytes();
    chunked.extend(&large);
    let mut stream = served.connect().await?;
    let (mut from, mut to) = stream.split();
    let mut answer = vec![0; 12];
    let (_, read) = tokio::join!(to.write_all(&chunked), from.read_exact(&mut answer));
    read?;
    assert_eq!(answer, b"HTTP/1.1 413");
    for body in [&gzip(b"{}")?[..9], b"no gzip"] {
        assert_eq!(status(&served.post("/v1/logs", &headers, body).await?), "400");
    }
    assert_eq!(status(&served.post("/v1/logs", JSON, b"{").await?), "400");
    assert_eq!(status(&served.post("/v1/logs", JSON, batch(20_001).as_bytes()).await?), "413");
    let both = format!("{head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
    assert!(
        matches!(status(&served.raw(both.as_bytes()).await?), "200" | "400"),
        "one of the two, never both"
    );
    assert_eq!(served.telemetry.view(None).requests, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_dawdle_are_closed_and_keep_nobody_waiting() -> Done {
    let served = Served::start(512)?;
    let began = Instant::now();
    let mut idle = Vec::new();
    for n in 0..200 {
        let mut stream = served.connect().await?;
        // Some say nothing, some half a line, some head without end.
        let said: &[u8] = [&b""[..], b"POST /v1", b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nA: "][n % 3];
        stream.write_all(said).await?;
        idle.push(stream);
    }
    let at = Instant::now();
    assert_eq!(status(&served.post("/v1/logs", JSON, batch(1).as_bytes()).await?), "200");
    assert!(at.elapsed() < Duration::from_secs(1), "{:?}", at.elapsed());
    // One that goes on with a byte now and then has no more time than the others.
    let mut drip = idle.pop().ok_or("a connection")?;
    let dripping = async {
        while began.elapsed() < server::HEAD_WAIT + Duration::from_secs(3) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if drip.write_all(b"a").await.is_err() {
                return true;
            }
        }
        false
    };
    let (port, token) = (served.port, &served.token);
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n{JSON}Content-Length: 50\r\n\r\n{{"
    );
    let (gave_up, slow_body) = tokio::join!(dripping, served.raw(head.as_bytes()));
    assert!(gave_up, "the one that drips is closed");
    assert_eq!(status(&slow_body?), "408", "a body that never ends");
    for stream in &mut idle {
        rest(stream).await;
    }
    let took = began.elapsed();
    assert!(took < server::HEAD_WAIT.max(BODY_WAIT) + Duration::from_secs(5), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn more_connections_than_there_are_places_wait() -> Done {
    let served = Served::start(2)?;
    let one = served.connect().await?;
    let _two = served.connect().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let body = batch(1);
    let third = served.post("/v1/logs", JSON, body.as_bytes());
    let mut third = std::pin::pin!(third);
    assert!(tokio::time::timeout(Duration::from_millis(300), third.as_mut()).await.is_err(), "it waits");
    drop(one);
    assert_eq!(status(&third.await?), "200");
    Ok(())
}

#[tokio::test]
async fn an_ending_server_answers_what_it_has_and_takes_nothing_it_cannot_keep() -> Done {
    let served = Served::start(8)?;
    let mut under_way = served.connect().await?;
    let (port, token, body) = (served.port, &served.token, batch(1));
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n{JSON}Content-Length: {}\r\n\r\n",
        body.len()
    );
    under_way.write_all(head.as_bytes()).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.telemetry.end();
    served.cancel.cancel();
    under_way.write_all(body.as_bytes()).await?;
    let answer = rest(&mut under_way).await;
    assert!(status(&answer) == "503" && answer.contains("retry-after"), "{answer}");
    served.tasks.close();
    tokio::time::timeout(Duration::from_secs(5), served.tasks.wait()).await?;
    assert!(served.connect().await.is_err(), "nobody listens any more");
    Ok(())
}
