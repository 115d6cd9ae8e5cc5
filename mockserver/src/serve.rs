//! What a whole request gets: the endpoints.

use crate::answer::{Answer, Given, applies};
use crate::api::{self, Api, ApiError, Ask};
use crate::conn::{Job, Stamps, State};
use crate::fault::{self, Fault, FaultKind};
use crate::frames;
use crate::gate::Ticket;
use crate::http::Request;
use crate::log::lock;
use crate::metrics;
use crate::random::{Purpose, generator};
use crate::worker::Worker;
use rand::RngExt;

use crate::answer::After;

const JSON: &str = "application/json";

impl Worker {
    pub(crate) fn serve(&mut self, slot: usize, request: Request, received_ns: u64) {
        let config = &self.shared.config;
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/chat/completions") => {
                self.generate(slot, Api::Chat, request, received_ns);
            }
            ("POST", "/v1/completions") => {
                self.generate(slot, Api::Completions, request, received_ns);
            }
            ("POST", "/tokenize") => match api::tokenize(config, &request.body) {
                Ok(body) => self.respond(slot, 200, JSON, &[], &body),
                Err(error) => self.respond(slot, error.status, JSON, &[], &error.body()),
            },
            ("GET", "/v1/models") => {
                let body = api::models(config, self.shared.unix_s(received_ns));
                self.respond(slot, 200, JSON, &[], &body);
            }
            ("GET", "/health") => self.respond(slot, 200, JSON, &[], b""),
            ("GET", "/version") => {
                let body = format!(r#"{{"version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
                self.respond(slot, 200, JSON, &[], body.as_bytes());
            }
            ("GET", "/metrics") => {
                let page =
                    metrics::page(&self.shared.stats(), &config.model, config.kv_cache_tokens);
                let text = "text/plain; version=0.0.4; charset=utf-8";
                self.respond(slot, 200, text, &[], page.as_bytes());
            }
            (
                _,
                "/v1/chat/completions"
                | "/v1/completions"
                | "/tokenize"
                | "/v1/models"
                | "/health"
                | "/version"
                | "/metrics",
            ) => self.refuse(slot, 405, "Method Not Allowed"),
            _ => self.refuse(slot, 404, "Not Found"),
        }
    }

    /// An error without a request to generate behind it.
    pub(crate) fn refuse(&mut self, slot: usize, status: u16, reason: &str) {
        let kind = if status == 404 { "NotFoundError" } else { "BadRequestError" };
        let body = ApiError::of(status, kind, reason).body();
        self.respond(slot, status, JSON, &[], &body);
    }

    fn respond(
        &mut self,
        slot: usize,
        status: u16,
        content_type: &str,
        more: &[(&str, String)],
        body: &[u8],
    ) {
        let Some(conn) = self.conns.get(slot) else { return };
        self.scratch.clear();
        frames::head(&mut self.scratch, status, content_type, body.len(), more, conn.keep_alive);
        self.scratch.extend_from_slice(body);
        self.deliver(slot, Some(After::Done));
    }

    fn generate(&mut self, slot: usize, api: Api, request: Request, received_ns: u64) {
        self.count.requests.add(1);
        let number = self.shared.next_request();
        let config = &self.shared.config;
        let ask = match api::ask(config, api, &request.body) {
            Ok(ask) => ask,
            Err(error) => {
                self.count.rejected.add(1);
                self.respond(slot, error.status, JSON, &[], &error.body());
                return;
            }
        };
        let planned = match ask.overrides.fault() {
            Some(own) => own,
            None => fault::for_request(&config.faults, config.seed, number),
        };
        let fault = planned.filter(|fault| applies(fault.kind, &ask));
        if let Some(fault) = fault {
            self.count.planted[fault.kind.position()].add(1);
            if let Some(status) = status_of(fault.kind) {
                self.count.faulted.add(1);
                self.fail(slot, status, fault);
                return;
            }
        }
        self.take(slot, &ask, request.request_id, number, fault, received_ns);
    }

    /// Answers with a planted status.
    fn fail(&mut self, slot: usize, status: u16, fault: Fault) {
        if status == 502 {
            let page = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>";
            self.respond(slot, status, "text/html", &[], page);
            return;
        }
        let kind = match status {
            429 => "RateLimitError",
            503 => "ServiceUnavailableError",
            _ => "InternalServerError",
        };
        let body = ApiError::of(status, kind, "planted error").body();
        let retry = [("retry-after", fault.numbers.retry_after_s.to_string())];
        let more: &[_] = if status == 429 { &retry } else { &[] };
        self.respond(slot, status, JSON, more, &body);
    }

    /// Takes a request in: its head leaves, and its service begins or waits.
    fn take(
        &mut self,
        slot: usize,
        ask: &Ask,
        x_request_id: Option<String>,
        number: u64,
        fault: Option<Fault>,
        received_ns: u64,
    ) {
        let shared = &self.shared;
        let seed = shared.config.seed;
        let cached_tokens =
            shared.prefixes.as_ref().map_or(0, |prefixes| lock(prefixes).look_up(&ask.words));
        let queried_tokens = if shared.prefixes.is_some() { ask.prompt_tokens } else { 0 };
        let Some(conn) = self.conns.get_mut(slot) else { return };
        let given = Given {
            id: id(ask.api, x_request_id.as_deref(), seed, number),
            created: shared.unix_s(received_ns),
            seed,
            number,
            cached_tokens,
            fault,
            keep_alive: conn.keep_alive,
        };
        let stamps = shared.log.is_wanted().then(|| {
            let most = usize::try_from(ask.output.tokens).unwrap_or(0).min(1 << 16);
            Stamps {
                due_ns: Vec::with_capacity(most),
                sent_ns: Vec::with_capacity(most),
                events: Vec::with_capacity(most),
            }
        });
        let answer = Answer::new(ask, given);
        self.scratch.clear();
        answer.head(&mut self.scratch);
        conn.set_drip(fault, &self.scratch);
        conn.job = Some(Box::new(Job {
            answer,
            number,
            x_request_id,
            stream: ask.stream,
            prompt_tokens: ask.prompt_tokens,
            cached_tokens,
            queried_tokens,
            fault,
            received_ns,
            started_ns: None,
            excused_until_ns: 0,
            writes: 0,
            stamps,
        }));
        let ticket = Ticket { worker: self.me, slot, generation: conn.generation };
        let admitted = shared.gate.as_ref().is_none_or(|gate| lock(gate).enter(ticket));
        let after = if admitted {
            self.begin(slot, received_ns);
            self.conns.get_mut(slot).and_then(|conn| conn.after.take())
        } else {
            conn.state = State::Waiting;
            self.count.waiting.add(1);
            None
        };
        self.deliver(slot, after);
    }
}

const fn status_of(kind: FaultKind) -> Option<u16> {
    match kind {
        FaultKind::Status429 => Some(429),
        FaultKind::Status500 => Some(500),
        FaultKind::Status502 => Some(502),
        FaultKind::Status503 => Some(503),
        _ => None,
    }
}

/// As vLLM names answers: by the request's own id, else by 16 hexadecimal digits.
fn id(api: Api, own: Option<&str>, seed: u64, number: u64) -> String {
    let prefix = match api {
        Api::Chat => "chatcmpl",
        Api::Completions => "cmpl",
    };
    match own {
        Some(own) => format!("{prefix}-{own}"),
        None => {
            let digits: u64 = generator(seed, number, Purpose::Identity).random();
            format!("{prefix}-{digits:016x}")
        }
    }
}
