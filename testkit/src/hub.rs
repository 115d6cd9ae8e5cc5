//! A server with the HuggingFace hub's routes: listing, resolve, and a second address for large files, as
//! the hub's storage has. It records what it was asked, and can be told to misbehave.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

/// The commit of every repository that does not say otherwise.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One file of a repository.
#[derive(Debug, Clone)]
struct HubFile {
    bytes: Vec<u8>,
    /// Large files are sent by the storage address and named by their SHA-256.
    large: bool,
}

/// One repository.
#[derive(Debug, Clone, Default)]
pub struct HubRepo {
    files: BTreeMap<String, HubFile>,
    /// An error for every request: status and extra headers.
    refusal: Option<(u16, Vec<(String, String)>)>,
    /// The new id, where it was renamed.
    moved_to: Option<String>,
    /// The token without which the repository is hidden.
    token: Option<String>,
}

impl HubRepo {
    /// An empty repository.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a small file, which the hub itself sends.
    #[must_use]
    pub fn small(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.to_owned(), HubFile { bytes: bytes.into(), large: false });
        self
    }

    /// With a large file, which the storage sends.
    #[must_use]
    pub fn large(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.to_owned(), HubFile { bytes: bytes.into(), large: true });
        self
    }

    /// Refuses every request.
    #[must_use]
    pub fn refuse(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        let owned = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.refusal = Some((status, owned));
        self
    }

    /// Redirects to another id, as after a renaming.
    #[must_use]
    pub fn moved_to(mut self, id: &str) -> Self {
        self.moved_to = Some(id.to_owned());
        self
    }

    /// Answers 401 to everyone without this token.
    #[must_use]
    pub fn private(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }
}

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRequest {
    /// `hub` or `storage`.
    pub to: &'static str,
    /// `GET`, `HEAD`.
    pub method: String,
    /// Path with query, still encoded.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// How the storage misbehaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Close the connection after this many bytes of a body.
    pub cut_after: Option<usize>,
    /// How many answers are cut.
    pub cuts: usize,
    /// Send the whole file whatever range is asked for.
    pub ignore_range: bool,
    /// Change the first byte of every body.
    pub corrupt: bool,
}

struct State {
    repos: BTreeMap<String, HubRepo>,
    requests: Mutex<Vec<HubRequest>>,
    faults: Mutex<Faults>,
    storage: String,
    stop: AtomicBool,
}

/// The running server; it stops when dropped.
pub struct HubServer {
    state: Arc<State>,
    url: String,
    threads: Vec<JoinHandle<()>>,
}

impl HubServer {
    /// Starts with repositories by `datasets/<id>` or `models/<id>`.
    ///
    /// # Panics
    /// When no local port can be opened.
    #[must_use]
    pub fn start(repos: &[(&str, HubRepo)]) -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").expect("a local port");
        let storage = TcpListener::bind("127.0.0.1:0").expect("a local port");
        let state = Arc::new(State {
            repos: repos.iter().map(|(id, repo)| ((*id).to_owned(), repo.clone())).collect(),
            requests: Mutex::default(),
            faults: Mutex::default(),
            storage: address(&storage),
            stop: AtomicBool::new(false),
        });
        let url = address(&hub);
        let threads = vec![serve(hub, "hub", &state), serve(storage, "storage", &state)];
        Self { state, url, threads }
    }

    /// The hub's address, for `HF_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes the storage misbehave from now on.
    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.state.faults) = faults;
    }

    /// What was asked so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<HubRequest> {
        lock(&self.state.requests).clone()
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        for url in [&self.url, &self.state.storage] {
            let _ = TcpStream::connect(url.trim_start_matches("http://"));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn address(listener: &TcpListener) -> String {
    let address = listener.local_addr().expect("a bound listener has an address");
    format!("http://{address}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "a test server needs a thread of its own")]
fn serve(listener: TcpListener, to: &'static str, state: &Arc<State>) -> JoinHandle<()> {
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if state.stop.load(Ordering::SeqCst) {
                return;
            }
            if let Ok(stream) = stream {
                // A client that hangs up in the middle is its own affair.
                let _ = answer(stream, to, &state);
            }
        }
    })
}

/// One request a connection.
fn answer(mut stream: TcpStream, to: &'static str, state: &State) -> io::Result<()> {
    let Some(request) = read_request(&stream, to)? else { return Ok(()) };
    lock(&state.requests).push(request.clone());
    let reply = match to {
        "hub" => hub(&request, state),
        _ => storage(&request, state),
    };
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(head, "content-length: {}\r\n\r\n", reply.length.unwrap_or(reply.body.len()));
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body)?;
    }
    stream.flush()
}

fn read_request(stream: &TcpStream, to: &'static str) -> io::Result<Option<HubRequest>> {
    let mut lines = BufReader::new(stream.take(1 << 16)).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut words = first.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    Ok(Some(HubRequest { to, method, path, headers }))
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Announced length, where it is not the body's.
    length: Option<usize>,
}

impl Reply {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), length: None }
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// `/api/<kinds>/<id>/revision/<revision>`, `/datasets/<id>/resolve/<commit>/<file>`, `/<id>/resolve/...`.
fn hub(request: &HubRequest, state: &State) -> Reply {
    let path = request.path.trim_start_matches('/');
    if let Some((id, revision)) =
        path.strip_prefix("api/").and_then(|rest| rest.split_once("/revision/"))
    {
        return gate(id, request, state, &|repo| listing(repo, revision), "/revision/", revision);
    }
    let Some((page, rest)) = path.split_once("/resolve/") else { return Reply::new(404, "") };
    let id = if page.starts_with("datasets/") { page.to_owned() } else { format!("models/{page}") };
    gate(&id, request, state, &|repo| resolve(&id, repo, rest, state), "/resolve/", rest)
}

/// What stands before every answer about a repository.
fn gate(
    id: &str,
    request: &HubRequest,
    state: &State,
    open: &dyn Fn(&HubRepo) -> Reply,
    route: &str,
    rest: &str,
) -> Reply {
    let Some(repo) = state.repos.get(id) else {
        return Reply::new(401, "").header("x-error-code", "RepoNotFound");
    };
    if let Some(new) = &repo.moved_to {
        let start = if route == "/revision/" { "/api/" } else { "/" };
        return Reply::new(307, "").header("location", format!("{start}{new}{route}{rest}"));
    }
    if let Some((status, headers)) = &repo.refusal {
        let reply = Reply::new(*status, "refused");
        return headers
            .iter()
            .fold(reply, |reply, (name, value)| reply.header(name, value.clone()));
    }
    let given = request.headers.get("authorization").map(String::as_str);
    match &repo.token {
        Some(token) if given != Some(&format!("Bearer {token}")) => Reply::new(401, "Invalid"),
        _ => open(repo),
    }
}

fn listing(repo: &HubRepo, revision: &str) -> Reply {
    if !["main", COMMIT, "v1", "refs%2Fconvert%2Fparquet"].contains(&revision) {
        return Reply::new(404, "").header("x-error-code", "RevisionNotFound");
    }
    let files: Vec<String> =
        repo.files.keys().map(|name| format!("{{\"rfilename\":\"{name}\"}}")).collect();
    Reply::new(200, format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{}]}}", files.join(",")))
}

fn resolve(id: &str, repo: &HubRepo, rest: &str, state: &State) -> Reply {
    let name = rest.split_once('/').map_or("", |(_, name)| name).replace("%20", " ");
    let Some(file) = repo.files.get(&name) else {
        return Reply::new(404, "").header("x-error-code", "EntryNotFound");
    };
    if file.large {
        return Reply::new(302, "")
            .header("location", format!("{}/{id}?file={name}&X-Signature=secret", state.storage))
            .header("x-repo-commit", COMMIT)
            .header("x-linked-etag", format!("\"{}\"", sha256(&file.bytes)))
            .header("x-linked-size", file.bytes.len().to_string());
    }
    Reply::new(200, file.bytes.clone())
        .header("x-repo-commit", COMMIT)
        .header("etag", format!("W/\"{}\"", &sha256(&file.bytes)[..40]))
}

fn storage(request: &HubRequest, state: &State) -> Reply {
    let path = request.path.trim_start_matches('/');
    let found = path
        .split_once("?file=")
        .and_then(|(id, rest)| state.repos.get(id)?.files.get(rest.split('&').next()?).cloned());
    let Some(file) = found else { return Reply::new(404, "") };
    let mut faults = lock(&state.faults);
    let start: Option<usize> = request
        .headers
        .get("range")
        .filter(|_| !faults.ignore_range)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let total = file.bytes.len();
    if start.is_some_and(|start| start >= total) {
        return Reply::new(416, "");
    }
    let mut body = file.bytes[start.unwrap_or(0)..].to_vec();
    let length = body.len();
    if let (Some(cut), true) = (faults.cut_after, faults.cuts > 0) {
        body.truncate(cut);
        faults.cuts -= usize::from(request.method == "GET");
    }
    if let (true, Some(first)) = (faults.corrupt, body.first_mut()) {
        *first ^= 1;
    }
    let mut reply = match start {
        Some(start) => Reply::new(206, body)
            .header("content-range", format!("bytes {start}-{}/{total}", total - 1)),
        None => Reply::new(200, body),
    };
    reply.length = Some(length);
    reply
}

/// SHA-256 in hexadecimal, as the hub names large files.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
