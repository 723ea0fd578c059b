//! A Messages API of our own: scripted answers with exact usage, and a log of every request.

mod answer;
mod http;
mod log;
mod script;

use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub use log::{Entry, Kind, RequestLog};
pub use script::{Block, Gate, Pacing, Script, Turn, Usage};

use answer::Answer;
use http::{EventStream, Request};
use script::Role;

/// How a compaction's request is known: the client's own instruction in its last message.
const COMPACT_MARK: &str = "create a detailed summary of";

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    log: RequestLog,
    stopping: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    /// Ids must never repeat, not even over restarts: time of start, then a count.
    run: u128,
    count: AtomicU64,
}

/// The running API; stops when dropped.
#[derive(Debug)]
pub struct ScriptedApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl ScriptedApi {
    /// Starts an API on a free loopback port.
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let address = listener.local_addr().expect("the address of a bound socket");
        let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            log: RequestLog::default(),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
            run,
            count: AtomicU64::new(0),
        });
        let acceptor = Some(thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        }));
        Self { address, shared, acceptor }
    }

    /// What the client's `ANTHROPIC_BASE_URL` must say.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The log of its requests.
    pub fn log(&self) -> &RequestLog {
        &self.shared.log
    }

    /// The turns that nobody has asked for yet, of all agents together.
    pub fn turns_left(&self) -> usize {
        let script = self.shared.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.parts.iter().map(|part| part.turns.len()).sum()
    }
}

impl Drop for ScriptedApi {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // The acceptor sleeps until somebody connects.
        drop(TcpStream::connect(self.address));
        for connection in self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Already closed is just as well.
            let _ = connection.shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(copy) = stream.try_clone() {
            shared.connections.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A client that hangs up in the middle is no fault of the API: its entry stays unfinished.
            let _ = serve(stream, &shared);
        });
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = http::read_request(&mut reader)? {
        match (request.method.as_str(), request.path.as_str()) {
            ("HEAD" | "GET", "/") => http::write_empty(&mut stream, "200 OK")?,
            ("POST", "/v1/messages") => shared.answer_message(&mut stream, request)?,
            ("POST", "/v1/messages/count_tokens") => {
                let (_, request_id) = shared.next_ids();
                http::write_json(&mut stream, "200 OK", &request_id, &json!({ "input_tokens": 1000 }))?;
            }
            (method, path) => {
                shared.log.add_stranger(format!("{method} {path}"));
                let (_, request_id) = shared.next_ids();
                let error = json!({ "type": "not_found_error", "message": "no such route" });
                let body = json!({ "type": "error", "error": error });
                http::write_json(&mut stream, "404 Not Found", &request_id, &body)?;
            }
        }
    }
    Ok(())
}

impl Shared {
    fn answer_message(&self, stream: &mut TcpStream, request: Request) -> io::Result<()> {
        let body: Value = serde_json::from_slice(&request.body)?;
        let streamed = body["stream"].as_bool().unwrap_or(false);
        let pacing = self.script.lock().unwrap_or_else(PoisonError::into_inner).pacing;
        let (kind, turn) = self.choose(&body);
        let (message_id, request_id) = self.next_ids();
        let model = body["model"].as_str().unwrap_or("unknown").to_owned();
        let (off_script, turn) = match turn {
            Some(turn) => (false, turn),
            None => (true, Turn::says("The script has nothing more to say.", Usage::plain(1, 1))),
        };
        let index = self.log.add(Entry {
            at: Instant::now(),
            finished: None,
            kind,
            model: model.clone(),
            tools: has_tools(&body),
            streamed,
            usage: turn.usage,
            off_script,
            request_id: request_id.clone(),
            headers: request.headers,
            body,
        });
        let answer = Answer { turn: &turn, message_id, model };
        if streamed {
            answer.stream(EventStream::start(stream, &request_id)?, pacing)?;
        } else {
            answer.wait_at_gate();
            http::write_json(stream, "200 OK", &request_id, &answer.whole())?;
        }
        self.log.finish(index);
        Ok(())
    }

    /// Who asks, and what the script has for them.
    fn choose(&self, body: &Value) -> (Kind, Option<Turn>) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        if is_compaction(body) {
            let summary = "<summary>All went well so far.</summary>";
            return (Kind::Compact, Some(Turn::says(summary, script.compact)));
        }
        if !has_tools(body) {
            return (Kind::Background, Some(Turn::says("{\"title\": \"A title\"}", script.background)));
        }
        match script.part_for(&opening(body)) {
            Some(part) => {
                let kind = match part.role {
                    Role::Main => Kind::Main,
                    Role::Subagent => Kind::Subagent(part.marker.clone()),
                };
                (kind, part.turns.pop_front())
            }
            None => (Kind::Main, None),
        }
    }

    /// A message id and a request id that were never used before.
    fn next_ids(&self) -> (String, String) {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        (format!("msg_{:x}{count:04}", self.run), format!("req_{:x}{count:04}", self.run))
    }
}

fn has_tools(body: &Value) -> bool {
    body["tools"].as_array().is_some_and(|tools| !tools.is_empty())
}

fn is_compaction(body: &Value) -> bool {
    let last = body["messages"].as_array().and_then(|messages| messages.last());
    last.is_some_and(|message| message["role"] == "user" && text_of(message).contains(COMPACT_MARK))
}

/// All that the agent was told before it first spoke.
fn opening(body: &Value) -> String {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = messages.iter().take_while(|message| message["role"] != "assistant");
    told.map(text_of).collect::<Vec<_>>().join("\n")
}

fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
