//! A server in front of a node that refuses methods, limits how often it is asked, or takes
//! one call at a time, as public nodes do.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

/// How a server answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manners {
    /// Methods that it does not have.
    pub(crate) absent: Vec<&'static str>,
    /// Methods that it answers with an error, and the message.
    pub(crate) failing: Vec<(&'static str, String)>,
    /// Requests that are one too many, before it answers.
    pub(crate) limited: usize,
    /// Whether a request of several calls is an error.
    pub(crate) one_at_a_time: bool,
}

/// A server on a port of its own, until the process ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start(node: &str, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let limited = Arc::new(AtomicUsize::new(manners.limited));
        let (node, methods) = (node.to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (node, manners) = (node.clone(), manners.clone());
                let (methods, limited) = (Arc::clone(&methods), Arc::clone(&limited));
                thread::spawn(move || serve(&stream, &node, &manners, &methods, &limited));
            }
        });
        Self { url, asked }
    }

    /// How often a method was asked for.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == method).count()
    }
}

/// Answers the requests of one connection.
fn serve(
    stream: &TcpStream,
    node: &str,
    manners: &Manners,
    asked: &Mutex<Vec<String>>,
    limited: &AtomicUsize,
) {
    let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader) {
        let take_one = |left: usize| left.checked_sub(1);
        if limited.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_ok() {
            respond(stream, "429 Too Many Requests\r\nretry-after: 0", "slow down");
            continue;
        }
        let value: Value = serde_json::from_str(&body).unwrap();
        let calls = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        if value.is_array() && manners.one_at_a_time {
            let error = json!({ "code": -32600, "message": "batches are not served" });
            respond(stream, "200 OK", &json!({ "id": null, "error": error }).to_string());
            continue;
        }
        let answers: Vec<Value> = calls
            .iter()
            .map(|call| {
                let method = call["method"].as_str().unwrap();
                asked.lock().unwrap().push(method.to_owned());
                if manners.absent.contains(&method) {
                    let error = json!({ "code": -32601, "message": "Method not found" });
                    return json!({ "jsonrpc": "2.0", "id": call["id"], "error": error });
                }
                if let Some((_, message)) = manners.failing.iter().find(|(it, _)| *it == method) {
                    let error = json!({ "code": -32000, "message": message });
                    return json!({ "jsonrpc": "2.0", "id": call["id"], "error": error });
                }
                let sent = agent.post(node).header("content-type", "application/json");
                let mut response = sent.send(call.to_string()).unwrap();
                serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
            })
            .collect();
        let text = if value.is_array() { json!(answers) } else { answers[0].clone() };
        respond(stream, "200 OK", &text.to_string());
    }
}

/// The body of the next request; nothing at the end of the connection.
fn request(reader: &mut impl BufRead) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

fn respond(mut stream: &TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    drop(stream.write_all(format!("{head}{body}").as_bytes()));
}
