//! One thread's event loop: sockets, timers, messages from other threads.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use ai_energy_benchmarks::clock;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::alarm::{Alarm, Timer, Timers};
use crate::answer::After;
use crate::conn::{Conn, Drip, Job, ReadEnd, State};
use crate::fault::{self, FaultKind};
use crate::gate::Ticket;
use crate::http::{self, Parsed};
use crate::link::Link;
use crate::log::{Outcome, RequestLog, lock};
use crate::shared::{Message, Shared};
use crate::stats::Counters;

const LISTENER: Token = Token(usize::MAX);
pub(crate) const WAKER: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX - 2);
/// Timers handled between two looks at the sockets.
const BATCH: usize = 64;
/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;
/// What a socket is sure to take at once where nothing else is pending.
const SMALL_BYTES: usize = 16 << 10;
/// How long a closed connection waits for its client to close too.
const DRAIN_NS: u64 = 5_000_000_000;
/// How long accepting pauses when the system has no more file descriptors.
const ACCEPT_PAUSE_NS: u64 = 20_000_000;
/// Slots of timers that are of the listener, not of a connection: accepting resumes, the socket closes, it opens.
const ACCEPT_SLOT: usize = usize::MAX;
const CLOSE_SLOT: usize = usize::MAX - 1;
const OPEN_SLOT: usize = usize::MAX - 2;

pub(crate) struct Worker {
    pub(crate) me: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) count: Arc<Counters>,
    poll: Poll,
    inbox: Receiver<Message>,
    listener: Option<TcpListener>,
    alarm: Alarm,
    pub(crate) conns: Slab<Conn>,
    timers: Timers,
    /// Connections that have more to send right away, in turn.
    ready: VecDeque<Timer>,
    /// Connections with input behind a request that just ended.
    unread: Vec<Timer>,
    next_generation: u64,
    connections: u64,
    /// What is being written: one buffer for all connections.
    pub(crate) scratch: Vec<u8>,
    stopping: bool,
}

impl Worker {
    pub(crate) fn new(
        me: usize,
        shared: Arc<Shared>,
        poll: Poll,
        inbox: Receiver<Message>,
    ) -> io::Result<Self> {
        let alarm = Alarm::new(&poll, ALARM, shared.config.spin_us)?;
        let count = Arc::clone(&shared.counters[me]);
        Ok(Self {
            me,
            shared,
            count,
            poll,
            inbox,
            listener: None,
            alarm,
            conns: Slab::new(),
            timers: Timers::default(),
            ready: VecDeque::new(),
            unread: Vec::new(),
            next_generation: 0,
            connections: 0,
            scratch: Vec::new(),
            stopping: false,
        })
    }

    /// Takes connections from here on.
    pub(crate) fn listen(&mut self, mut listener: TcpListener) -> io::Result<()> {
        self.poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BYTES];
        while !self.stopping {
            let deadline = if self.ready.is_empty() && self.unread.is_empty() {
                self.timers.next_ns()
            } else {
                Some(0)
            };
            match self.alarm.wait(&mut self.poll, &mut events, deadline) {
                Err(cause) if cause.kind() != ErrorKind::Interrupted => return Err(cause),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => self.read_messages(),
                    ALARM => {}
                    Token(slot) => {
                        if event.is_writable() {
                            self.on_writable(slot);
                        }
                        let closing = event.is_read_closed() || event.is_error();
                        if event.is_readable() || closing {
                            self.on_readable(slot, &mut buffer, closing);
                        }
                    }
                }
            }
            self.read_on();
            self.fire();
        }
        for slot in self.conns.iter().map(|(slot, _)| slot).collect::<Vec<_>>() {
            self.end_job(slot, Outcome::Stopped);
        }
        Ok(())
    }

    // --- timers ---------------------------------------------------------------------------------------------------

    fn fire(&mut self) {
        let now_ns = clock::now().0;
        for _ in 0..self.ready.len().min(BATCH) {
            if let Some(timer) = self.ready.pop_front() {
                self.on_timer(timer);
            }
        }
        for _ in 0..BATCH {
            let Some(timer) = self.timers.pop_due(now_ns) else { break };
            self.on_timer(timer);
        }
    }

    fn arm(&mut self, slot: usize, due_ns: u64) {
        let Some(conn) = self.conns.get(slot) else { return };
        let timer = Timer { due_ns, slot, generation: conn.generation };
        // What is due already takes turns with the others, else one answer without gaps would be served to its end first.
        if due_ns <= self.latest_ns() {
            self.ready.push_back(timer);
        } else {
            self.timers.push(timer);
        }
    }

    /// The present; arming happens right after a stamp was taken, so that one more costs little and is never stale.
    fn latest_ns(&self) -> u64 {
        clock::now().0
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer.slot {
            ACCEPT_SLOT => self.accept(),
            CLOSE_SLOT => self.listener = None,
            OPEN_SLOT => self.reopen(),
            _ => self.on_connection_timer(timer),
        }
    }

    fn on_connection_timer(&mut self, timer: Timer) {
        let Some(conn) = self.conns.get(timer.slot) else { return };
        if conn.generation != timer.generation {
            return;
        }
        if conn.state == State::Draining {
            self.conns.remove(timer.slot);
        } else if conn.drip.is_some() && !conn.is_drained() {
            self.drip(timer.slot);
        } else if conn.state == State::Running {
            self.pump(timer.slot);
        }
    }

    // --- connections ----------------------------------------------------------------------------------------------

    fn accept(&mut self) {
        loop {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, _)) => self.welcome(stream),
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    // Out of file descriptors, most likely: the listener tells nothing more until a look is taken again.
                    self.count.accept_errors.add(1);
                    let due_ns = clock::now().0 + ACCEPT_PAUSE_NS;
                    self.timers.push(Timer { due_ns, slot: ACCEPT_SLOT, generation: 0 });
                    return;
                }
            }
        }
    }

    /// Timers for the times at which the listening socket is closed.
    pub(crate) fn plan_closing(&mut self) {
        let start_ns = self.shared.anchor.mono_ns.0;
        for closed in &self.shared.config.closed {
            for (at_s, slot) in [(closed.from_s, CLOSE_SLOT), (closed.to_s, OPEN_SLOT)] {
                let after_ns = crate::schedule::whole(at_s * 1e9);
                let due_ns = start_ns.saturating_add(after_ns);
                self.timers.push(Timer { due_ns, slot, generation: 0 });
            }
        }
    }

    fn reopen(&mut self) {
        if self.listener.is_some() {
            return;
        }
        let opened =
            crate::server::bind(self.shared.address).and_then(|listener| self.listen(listener));
        if opened.is_err() {
            // Somebody else may have the port for a moment.
            self.count.accept_errors.add(1);
            let due_ns = clock::now().0 + ACCEPT_PAUSE_NS;
            self.timers.push(Timer { due_ns, slot: OPEN_SLOT, generation: 0 });
        }
    }

    fn welcome(&mut self, stream: TcpStream) {
        self.count.connections.add(1);
        let number = self.connections;
        self.connections += 1;
        if fault::refuses(&self.shared.config.faults, self.shared.config.seed, number) {
            self.count.planted[FaultKind::Refuse.position()].add(1);
            Link::Plain(stream).break_off();
            return;
        }
        let to = (number % self.shared.counters.len() as u64) as usize;
        if to == self.me {
            self.adopt(stream);
        } else {
            self.shared.tell(to, Message::Connection(stream));
        }
    }

    fn adopt(&mut self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let config = self.shared.tls.as_ref().and_then(|tls| tls.config.as_ref());
        let Ok(link) = Link::new(stream, config) else {
            self.count.accept_errors.add(1);
            return;
        };
        self.next_generation += 1;
        let entry = self.conns.vacant_entry();
        let token = Token(entry.key());
        let conn = entry.insert(Conn::new(link, self.next_generation));
        let both = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(conn.link.tcp(), token, both).is_err() {
            self.conns.remove(token.0);
        }
    }

    fn read_messages(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Connection(stream) => self.adopt(stream),
                Message::Admit(ticket, granted_ns) => self.admit(ticket, granted_ns),
                Message::Listen(listener, done) => {
                    self.listener = None;
                    if listener.is_some_and(|listener| self.listen(listener).is_err()) {
                        self.count.accept_errors.add(1);
                    }
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                Message::Stop => self.stopping = true,
            }
        }
    }

    fn on_readable(&mut self, slot: usize, buffer: &mut [u8], closing: bool) {
        if self.shared.tls.as_ref().is_some_and(|tls| tls.config.is_none()) {
            self.break_off(slot);
            return;
        }
        let Some(conn) = self.conns.get_mut(slot) else { return };
        if conn.read(buffer, closing) == ReadEnd::Closed {
            self.lose(slot);
        } else if conn.state == State::Idle {
            self.understand(slot);
        }
    }

    fn on_writable(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        if conn.is_drained() || conn.drip.is_some() {
            return;
        }
        match conn.flush() {
            Ok(true) => {
                if let Some(job) = &mut conn.job {
                    job.excused_until_ns = clock::now().0;
                }
                self.settle(slot);
            }
            Ok(false) => {}
            Err(_) => self.lose(slot),
        }
    }

    /// The client is gone.
    fn lose(&mut self, slot: usize) {
        self.end_job(slot, Outcome::Cancelled);
        self.conns.try_remove(slot);
    }

    /// Requests that came behind one that just ended.
    fn read_on(&mut self) {
        for timer in std::mem::take(&mut self.unread) {
            let known = self.conns.get(timer.slot).map(|conn| (conn.generation, conn.state));
            if known == Some((timer.generation, State::Idle)) {
                self.understand(timer.slot);
            }
        }
    }

    fn understand(&mut self, slot: usize) {
        let received_ns = clock::now().0;
        let Some(conn) = self.conns.get_mut(slot) else { return };
        if conn.input.is_empty() {
            return;
        }
        match http::parse(&conn.input) {
            Parsed::Whole(request, used) => {
                if used == conn.input.len() {
                    // Prompts are large and connections many: nothing is kept for the next one.
                    conn.input = Vec::new();
                } else {
                    conn.input.drain(..used);
                }
                conn.told_to_continue = false;
                conn.keep_alive = request.keep_alive;
                conn.state = State::Running;
                self.serve(slot, request, received_ns);
            }
            Parsed::Partial { expects_continue: true } if !conn.told_to_continue => {
                conn.told_to_continue = true;
                if conn.write(b"HTTP/1.1 100 Continue\r\n\r\n").is_err() {
                    self.lose(slot);
                }
            }
            Parsed::Partial { .. } => {}
            Parsed::Wrong(status, reason) => {
                conn.keep_alive = false;
                conn.state = State::Running;
                conn.input = Vec::new();
                self.refuse(slot, status, reason);
            }
        }
    }

    // --- answers --------------------------------------------------------------------------------------------------

    fn admit(&mut self, ticket: Ticket, granted_ns: u64) {
        let known = self.conns.get(ticket.slot).map(|conn| (conn.generation, conn.state));
        if known != Some((ticket.generation, State::Waiting)) {
            // It left while it waited: the place is the next one's.
            self.leave_gate();
            return;
        }
        self.count.waiting.sub(1);
        self.begin(ticket.slot, granted_ns);
        if self.conns.get(ticket.slot).is_some_and(Conn::is_drained) {
            self.settle(ticket.slot);
        }
    }

    /// Service begins: from `start_ns` on, the schedule runs.
    pub(crate) fn begin(&mut self, slot: usize, start_ns: u64) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.state = State::Running;
        let Some(job) = &mut conn.job else { return };
        job.started_ns = Some(start_ns);
        conn.after = Some(job.answer.start(start_ns));
        self.count.running.add(1);
        self.count.prompt_tokens.add(job.prompt_tokens);
        self.count.cached_tokens.add(job.cached_tokens);
        self.count.queried_tokens.add(job.queried_tokens);
        self.count.kv_tokens.add(job.prompt_tokens);
    }

    /// Sends what is due of an answer.
    fn pump(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        let Some(job) = &mut conn.job else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // The stamp is taken just before the bytes go to the system: nobody can have them earlier.
        let now_ns = clock::now().0;
        let (wrote, after) = job.answer.write(now_ns, &mut scratch);
        if let Some(due_ns) = wrote.due_ns {
            let free_running = job.writes > 0 && job.answer.schedule().is_unpaced();
            if !free_running && due_ns > job.excused_until_ns {
                self.count.lags.add(now_ns.saturating_sub(due_ns));
            }
            job.writes += 1;
            if let Some(stamps) = &mut job.stamps {
                stamps.due_ns.push(due_ns);
                stamps.sent_ns.push(now_ns);
                stamps.events.push(wrote.events);
            }
            self.count.writes.add(1);
            self.count.events.add(wrote.events);
            self.count.generation_tokens.add(wrote.tokens);
            self.count.kv_tokens.add(wrote.tokens);
        }
        let (fault, stream) = (job.fault, job.stream);
        if !stream {
            conn.set_drip(fault, &scratch);
        }
        self.scratch = scratch;
        self.deliver(slot, Some(after));
    }

    /// Hands the scratch buffer to the socket; `after` follows when it took all.
    pub(crate) fn deliver(&mut self, slot: usize, after: Option<After>) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.after = after;
        self.count.bytes.add(self.scratch.len() as u64);
        if conn.drip.is_some() && !self.scratch.is_empty() {
            conn.pending.clone_from(&self.scratch);
            self.drip(slot);
            return;
        }
        if let Some(outcome) = ending(after)
            && self.scratch.len() <= SMALL_BYTES
        {
            // Before the last bytes leave, so that a client that has them finds them counted.
            self.end_job(slot, outcome);
        }
        let Some(conn) = self.conns.get_mut(slot) else { return };
        match conn.write(&self.scratch) {
            Ok(true) => self.settle(slot),
            Ok(false) => self.count.blocked_writes.add(1),
            Err(_) => self.lose(slot),
        }
    }

    fn drip(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        let Some(Drip { gap_ns, left }) = conn.drip else { return };
        if conn.pending.len() - conn.pending_at == 1
            && let Some(outcome) = ending(conn.after)
        {
            self.end_job(slot, outcome);
        }
        let Some(conn) = self.conns.get_mut(slot) else { return };
        match conn.drip() {
            Ok(true) => {
                conn.drip = (left == usize::MAX).then_some(Drip { gap_ns, left });
                self.settle(slot);
            }
            Ok(false) if left == 1 => {
                conn.drip = None;
                self.on_writable(slot);
            }
            Ok(false) => {
                let left = if left == usize::MAX { left } else { left - 1 };
                conn.drip = Some(Drip { gap_ns, left });
                self.arm(slot, clock::now().0.saturating_add(gap_ns));
            }
            Err(_) => self.lose(slot),
        }
    }

    /// Does what follows a write that is out.
    fn settle(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        match conn.after.take() {
            // It waits for its place, or there was only a word in between (100 Continue).
            None => {}
            Some(After::At(due_ns)) => self.arm(slot, due_ns),
            Some(After::Hang) => conn.state = State::Hanging,
            Some(After::Done) => {
                self.end_job(slot, Outcome::Completed);
                self.next_request(slot);
            }
            Some(After::Close) => {
                self.end_job(slot, Outcome::Faulted);
                self.close(slot);
            }
            Some(After::Reset) => {
                self.end_job(slot, Outcome::Faulted);
                self.break_off(slot);
            }
        }
    }

    fn break_off(&mut self, slot: usize) {
        if let Some(mut conn) = self.conns.try_remove(slot) {
            conn.link.break_off();
        }
    }

    fn next_request(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.drip = None;
        if !conn.keep_alive {
            self.close(slot);
            return;
        }
        conn.state = State::Idle;
        if !conn.input.is_empty() {
            self.unread.push(Timer { due_ns: 0, slot, generation: conn.generation });
        }
    }

    /// Closes in order: a close with unread input would break the connection off and could take the answer with it.
    fn close(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.state = State::Draining;
        conn.drip = None;
        if conn.link.close().is_err() {
            self.conns.remove(slot);
            return;
        }
        self.arm(slot, clock::now().0 + DRAIN_NS);
    }

    /// The request in hand is over: counters, its place, the log.
    fn end_job(&mut self, slot: usize, outcome: Outcome) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        let was_waiting = conn.state == State::Waiting;
        let Some(job) = conn.job.take() else { return };
        // Before its place goes to another, whose service begins later.
        let ended_ns = clock::now().0;
        let outcome = verdict(outcome, &job);
        match outcome {
            Outcome::Completed if job.answer.finish() == "stop" => self.count.completed_stop.add(1),
            Outcome::Completed => self.count.completed_length.add(1),
            Outcome::Faulted => self.count.faulted.add(1),
            Outcome::Cancelled | Outcome::Stopped => self.count.cancelled.add(1),
        }
        if job.started_ns.is_some() {
            self.count.running.sub(1);
            self.count.kv_tokens.sub(job.prompt_tokens.wrapping_add(job.answer.written()));
            self.leave_gate();
        } else if was_waiting {
            self.count.waiting.sub(1);
        }
        self.write_log(*job, outcome, ended_ns);
    }

    fn leave_gate(&self) {
        let Some(gate) = &self.shared.gate else { return };
        let mut gate = lock(gate);
        if let Some(ticket) = gate.leave() {
            // Stamped and told while the gate is held, so that service begins in the order of the queue.
            self.shared.tell(ticket.worker, Message::Admit(ticket, clock::now().0));
        }
    }

    fn write_log(&self, job: Job, outcome: Outcome, ended_ns: u64) {
        let Some(stamps) = job.stamps else { return };
        self.shared.write_log(RequestLog {
            number: job.number,
            id: job.answer.id().to_owned(),
            x_request_id: job.x_request_id,
            stream: job.stream,
            prompt_tokens: job.prompt_tokens,
            output_tokens: job.answer.written(),
            fault: job.fault.map(|fault| fault.kind.name().to_owned()),
            outcome,
            received_ns: job.received_ns,
            started_ns: job.started_ns,
            due_ns: stamps.due_ns,
            sent_ns: stamps.sent_ns,
            events: stamps.events,
            ended_ns,
            lag_mean_us: None,
            lag_p50_us: None,
            lag_p99_us: None,
        });
    }
}

/// How a write ends its request, if it does.
const fn ending(after: Option<After>) -> Option<Outcome> {
    match after {
        Some(After::Done) => Some(Outcome::Completed),
        Some(After::Close | After::Reset) => Some(Outcome::Faulted),
        _ => None,
    }
}

/// A request whose fault is that it does not end is ended by the fault, whoever hangs up.
fn verdict(outcome: Outcome, job: &Job) -> Outcome {
    let Some(fault) = job.fault else { return outcome };
    match (outcome, fault.kind) {
        (Outcome::Cancelled, FaultKind::Stall | FaultKind::Endless)
        | (Outcome::Completed, FaultKind::ErrorEvent) => Outcome::Faulted,
        _ => outcome,
    }
}
