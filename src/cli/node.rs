//! Calls of a node's methods over HTTP: JSON-RPC requests to results.
//!
//! What may succeed later is repeated, after longer and longer pauses or after what the node
//! asks for; how many requests are under way is bounded. What of the URL may be secret is
//! in no message.

mod answers;
mod url;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use forewave::{
    Printable,
    fetch::{Call, Node, Refusal},
};
use serde_json::{json, value::RawValue};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
};

use self::answers::{Fault, answers};
pub(super) use self::url::NodeUrl;

/// How often a call is tried.
const ATTEMPTS_MAX: u32 = 7;

/// The pause after the first attempt; each one after it is twice as long.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest pause that a node can ask for.
const PAUSE_MAX: Duration = Duration::from_mins(2);

/// The longest time until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// The longest time that a request may take: tracing a block may take minutes.
const REQUEST_MAX: Duration = Duration::from_mins(10);

/// The most bytes of an answer; a trace of a block is the longest.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// The most calls in one request.
const BATCH_CALLS_MAX: usize = 48;

/// A node behind a URL.
#[derive(Debug)]
pub(super) struct HttpNode {
    agent: Agent,
    url: NodeUrl,
    /// Requests that may still begin.
    free: Mutex<usize>,
    freed: Condvar,
    /// Requests that the node has answered.
    answered: Arc<AtomicUsize>,
    /// Whether the node takes several calls in one request, as far as is known.
    takes_batches: AtomicBool,
}

impl HttpNode {
    /// A node that is asked by at most so many requests at once.
    pub(super) fn new(url: NodeUrl, connections: usize) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(REQUEST_MAX))
            .max_idle_connections_per_host(connections)
            .max_redirects(0)
            .user_agent(concat!("forewave/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            url,
            free: Mutex::new(connections.max(1)),
            freed: Condvar::new(),
            answered: Arc::default(),
            takes_batches: AtomicBool::new(true),
        }
    }

    /// How many requests the node has answered, as it goes on.
    pub(super) fn answered(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.answered)
    }

    /// One request; the calls' results by their position, of those that it answers.
    fn request(&self, calls: &[(usize, &Call)]) -> Result<Answered, Fault> {
        let object = |&(id, call): &(usize, &Call)| json!({ "jsonrpc": "2.0", "id": id, "method": call.method, "params": call.params });
        let body = match calls {
            [one] => object(one),
            several => several.iter().map(object).collect(),
        };
        let _under_way = self.begin();
        let sent = self
            .agent
            .post(self.url.whole())
            .header("content-type", "application/json")
            .send(body.to_string());
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        self.answered.fetch_add(1, Ordering::Relaxed);
        let (status, after) = (response.status(), pause_asked_for(&response));
        let reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let bytes = reader.read_to_vec().map_err(|error| self.unreachable(&error))?;
        self.understand(status, after, &bytes, calls)
    }

    /// What a response says.
    fn understand(
        &self,
        status: StatusCode,
        after: Option<Duration>,
        bytes: &[u8],
        calls: &[(usize, &Call)],
    ) -> Result<Answered, Fault> {
        let said = |what: &str| format!("{} {what}", self.url);
        if status == StatusCode::TOO_MANY_REQUESTS {
            let message = said("limits how often it is asked (HTTP 429)");
            return Err(Fault::Passing { message, after });
        }
        let ids: Vec<usize> = calls.iter().map(|(id, _)| *id).collect();
        // Some nodes put an error of JSON-RPC into a response that is an error of HTTP.
        match answers(bytes, &ids) {
            Some(Ok(found)) => Ok(self.results(found)),
            Some(Err(fault)) => Err(self.without_secrets(fault)),
            None if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                let message = said(&format!("fails with HTTP {}", status.as_u16()));
                Err(Fault::Passing { message, after })
            }
            None if !status.is_success() => {
                let hint = match status.as_u16() {
                    401 | 403 => "; is the key in the URL right?",
                    404 => "; is the path of the URL right?",
                    300..=399 => "; give the URL that it leads to",
                    _ => "",
                };
                Err(Fault::Final(said(&format!("answers HTTP {}{hint}", status.as_u16()))))
            }
            None => {
                let text = String::from_utf8_lossy(bytes);
                let begin: String = text.chars().take(80).collect();
                let begin = self.url.without_secrets(&begin);
                Err(Fault::Final(said(&format!("does not answer in JSON-RPC, but `{begin}`"))))
            }
        }
    }

    /// Results, their messages without secrets: a node may repeat the key that it refuses.
    fn results(&self, found: Answered) -> Answered {
        let clean = |text: String| self.url.without_secrets(&text);
        let one = |refusal| match refusal {
            Refusal::Absent(text) => Refusal::Absent(clean(text)),
            Refusal::Error(text) => Refusal::Error(clean(text)),
            Refusal::Transport(text) => Refusal::Transport(clean(text)),
        };
        found.into_iter().map(|(at, result)| (at, result.map_err(one))).collect()
    }

    fn without_secrets(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Passing { message, after } => {
                Fault::Passing { message: self.url.without_secrets(&message), after }
            }
            Fault::Final(message) => Fault::Final(self.url.without_secrets(&message)),
            Fault::NoBatches => Fault::NoBatches,
        }
    }

    /// Why there is no response.
    fn unreachable(&self, error: &ureq::Error) -> Fault {
        use ureq::Error;
        let of_url = |why: &str| format!("{} {why}", self.url);
        let text = || self.url.without_secrets(&error.to_string());
        match error {
            Error::HostNotFound => Fault::Final(of_url("cannot be reached: its host is not found")),
            Error::BadUri(_) | Error::Http(_) => Fault::Final(of_url("is no URL of a node")),
            Error::BodyExceedsLimit(_) => {
                Fault::Final(of_url(&format!("answers more than {ANSWER_BYTES_MAX} bytes")))
            }
            Error::Rustls(_) | Error::Tls(_) => {
                Fault::Final(of_url(&format!("cannot be reached safely: {}", text())))
            }
            // A node that has answered before may be about to start again.
            Error::Io(io)
                if io.kind() == std::io::ErrorKind::ConnectionRefused
                    && self.answered.load(Ordering::Relaxed) == 0 =>
            {
                Fault::Final(of_url("cannot be reached: the connection is refused"))
            }
            _ => Fault::Passing {
                message: of_url(&format!("cannot be reached: {}", text())),
                after: None,
            },
        }
    }

    /// Waits until another request may begin.
    fn begin(&self) -> UnderWay<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        UnderWay(self)
    }
}

/// Results by the positions of their calls. A call that is to be repeated has none.
type Answered = BTreeMap<usize, Result<Box<RawValue>, Refusal>>;

impl Node for HttpNode {
    fn call(&self, calls: &[Call]) -> Vec<Result<Box<RawValue>, Refusal>> {
        let mut done = Answered::new();
        let mut last = "it limits how often it is asked".to_owned();
        for attempt in 0..ATTEMPTS_MAX {
            let open: Vec<_> =
                calls.iter().enumerate().filter(|(at, _)| !done.contains_key(at)).collect();
            let mut asked_for = None;
            let mut open = open.as_slice();
            while !open.is_empty() {
                let is_batch = self.takes_batches.load(Ordering::Relaxed);
                let size = if is_batch { BATCH_CALLS_MAX } else { 1 };
                let (now, later) = open.split_at(size.min(open.len()));
                match self.request(now) {
                    Ok(answered) => done.extend(answered),
                    Err(Fault::NoBatches) => {
                        self.takes_batches.store(false, Ordering::Relaxed);
                        continue;
                    }
                    Err(Fault::Final(message)) => {
                        let refusal = Refusal::Transport(Printable(message).to_string());
                        done.extend(now.iter().map(|(at, _)| (*at, Err(refusal.clone()))));
                    }
                    Err(Fault::Passing { message, after }) => {
                        (last, asked_for) = (message, after);
                        break;
                    }
                }
                open = later;
            }
            if done.len() == calls.len() {
                break;
            }
            if attempt + 1 < ATTEMPTS_MAX {
                sleep(asked_for.unwrap_or(PAUSE * 2_u32.pow(attempt)).min(PAUSE_MAX));
            }
        }
        let given_up = format!("{last}; given up after {ATTEMPTS_MAX} attempts");
        let given_up = Refusal::Transport(Printable(given_up).to_string());
        let result = |at| done.remove(&at).unwrap_or_else(|| Err(given_up.clone()));
        (0..calls.len()).map(result).collect()
    }
}

/// How long a node asks to be left alone, in seconds.
fn pause_asked_for(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A request that others may be waiting for.
#[derive(Debug)]
struct UnderWay<'n>(&'n HttpNode);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
