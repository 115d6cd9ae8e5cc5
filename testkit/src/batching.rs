//! A server with continuous batching whose every joule is known.
//!
//! Steps follow one another while there is work. A step takes one token of each sequence that decodes, then chunks of prompts
//! within a budget of tokens, in the order in which they came; no more than so many sequences run, the rest wait. A step's
//! fixed cost is shared equally by the sequences in it; everything else belongs to the sequence that caused it.

use std::collections::VecDeque;

use ai_energy_benchmarks::record::{
    AskedTokens, FailureClass, Outcome, Phase, RequestRecord, SampleRecord, TokenCounts,
    TokenSource,
};
use ai_energy_benchmarks::units::Nanos;
use serde_json::json;

/// What a server does in a step, what that takes and what it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchingServer {
    /// Sequences that run at once.
    pub max_num_seqs: usize,
    /// Tokens of one step.
    pub max_batched_tokens: usize,
    /// Fixed time of a step, s.
    pub step_s: f64,
    /// Time of a prompt token, s.
    pub prefill_s: f64,
    /// Time of an output token, s.
    pub decode_s: f64,
    /// Fixed cost of a step, J.
    pub step_j: f64,
    /// Cost of a prompt token, J.
    pub prefill_j: f64,
    /// Cost of an output token, J.
    pub decode_j: f64,
    /// Added for each token of its context, J.
    pub context_j: f64,
    /// Power whatever happens, W.
    pub idle_w: f64,
}

impl BatchingServer {
    /// Roughly an 8 B model on a data-centre GPU.
    pub const LIKE_AN_H100: Self = Self {
        max_num_seqs: 16,
        max_batched_tokens: 512,
        step_s: 0.008,
        prefill_s: 0.000_03,
        decode_s: 0.000_2,
        step_j: 2.0,
        prefill_j: 0.014,
        decode_j: 0.03,
        context_j: 0.000_02,
        idle_w: 120.0,
    };
}

/// Its multiples are evenly spread without a random number.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// One prompt that will be sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prompt {
    /// When, in s; of a closed loop only the order counts.
    pub at_s: f64,
    /// Its tokens.
    pub prompt: usize,
    /// Of those, how many are in the server's cache.
    pub cached: usize,
    /// Tokens that will be generated; 1 or more.
    pub output: usize,
    /// The client gives up after so many seconds.
    pub deadline_s: Option<f64>,
}

/// What became of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// The prompt.
    pub prompt: Prompt,
    /// Sent, s.
    pub sent: f64,
    /// Its first step began; none when it never ran.
    pub scheduled: Option<f64>,
    /// When each token was there, s.
    pub tokens: Vec<f64>,
    /// Ended, s.
    pub end: f64,
    /// Whether the client gave up.
    pub failed: bool,
    /// True cost of its prefill, J.
    pub prefill_j: f64,
    /// True cost of its decoding, J.
    pub decode_j: f64,
}

/// A stretch of constant power beyond idling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Begin, s.
    pub from: f64,
    /// End, s.
    pub to: f64,
    /// Energy beyond idling, J.
    pub joules: f64,
}

/// A whole simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// In the order in which they were sent.
    pub served: Vec<Served>,
    /// In order.
    pub steps: Vec<Step>,
    idle_w: f64,
}

/// A sequence that runs.
struct Sequence {
    index: usize,
    /// Prompt tokens still to be computed.
    left: usize,
    produced: usize,
}

struct Engine<'s> {
    server: &'s BatchingServer,
    now: f64,
    waiting: VecDeque<usize>,
    running: Vec<Sequence>,
    served: Vec<Served>,
    steps: Vec<Step>,
}

impl BatchingServer {
    /// Prompts that are sent at their own times.
    #[must_use]
    pub fn open_loop(&self, prompts: &[Prompt]) -> Simulation {
        self.simulate(prompts, usize::MAX)
    }

    /// So many in flight: the next is sent when one ends.
    #[must_use]
    pub fn closed_loop(&self, prompts: &[Prompt], in_flight: usize) -> Simulation {
        self.simulate(prompts, in_flight)
    }

    fn simulate(&self, prompts: &[Prompt], in_flight: usize) -> Simulation {
        let mut engine = Engine {
            server: self,
            now: prompts.first().map_or(0.0, |first| first.at_s),
            waiting: VecDeque::new(),
            running: Vec::new(),
            served: Vec::new(),
            steps: Vec::new(),
        };
        let mut next = 0;
        loop {
            engine.give_up();
            let closed = in_flight != usize::MAX;
            while let Some(prompt) = prompts.get(next) {
                let busy = engine.waiting.len() + engine.running.len();
                let due = if closed { busy < in_flight } else { prompt.at_s <= engine.now };
                if !due {
                    break;
                }
                let at = if closed { engine.now } else { prompt.at_s };
                engine.send(*prompt, at);
                next += 1;
            }
            if engine.waiting.is_empty() && engine.running.is_empty() {
                match prompts.get(next) {
                    Some(prompt) => engine.now = engine.now.max(prompt.at_s),
                    None => break,
                }
                continue;
            }
            engine.step();
        }
        Simulation { served: engine.served, steps: engine.steps, idle_w: self.idle_w }
    }
}

impl Engine<'_> {
    fn send(&mut self, prompt: Prompt, at: f64) {
        self.waiting.push_back(self.served.len());
        self.served.push(Served {
            prompt,
            sent: at,
            scheduled: None,
            tokens: Vec::new(),
            end: at,
            failed: false,
            prefill_j: 0.0,
            decode_j: 0.0,
        });
    }

    /// Clients that have waited too long go away, and their sequences are dropped.
    fn give_up(&mut self) {
        let now = self.now;
        let served = &mut self.served;
        let mut stays = |index: usize| {
            let one = &mut served[index];
            let late = one.prompt.deadline_s.is_some_and(|deadline| now > one.sent + deadline);
            if late {
                one.failed = true;
                one.end = one.sent + one.prompt.deadline_s.unwrap_or(0.0);
                one.tokens.retain(|at| *at <= one.end);
            }
            !late
        };
        self.waiting.retain(|index| stays(*index));
        self.running.retain(|sequence| stays(sequence.index));
    }

    fn step(&mut self) {
        let server = self.server;
        let from = self.now;
        let mut budget = server.max_batched_tokens;
        // (sequence, prompt tokens or none for decoding)
        let mut batch: Vec<(usize, Option<usize>)> = Vec::new();
        for (position, sequence) in self.running.iter().enumerate() {
            if sequence.left == 0 && budget > 0 {
                batch.push((position, None));
                budget -= 1;
            }
        }
        for (position, sequence) in self.running.iter().enumerate() {
            if sequence.left > 0 && budget > 0 {
                let chunk = sequence.left.min(budget);
                batch.push((position, Some(chunk)));
                budget -= chunk;
            }
        }
        while budget > 0 && self.running.len() < server.max_num_seqs {
            let Some(index) = self.waiting.pop_front() else { break };
            let one = &mut self.served[index];
            one.scheduled = Some(from);
            let left = (one.prompt.prompt - one.prompt.cached).max(1);
            let chunk = left.min(budget);
            budget -= chunk;
            batch.push((self.running.len(), Some(chunk)));
            self.running.push(Sequence { index, left, produced: 0 });
        }
        self.run(from, &batch);
    }

    fn run(&mut self, from: f64, batch: &[(usize, Option<usize>)]) {
        let server = self.server;
        let fixed = server.step_j / batch.len() as f64;
        let (mut time, mut joules) = (server.step_s, 0.0);
        for (position, chunk) in batch {
            let sequence = &mut self.running[*position];
            let one = &mut self.served[sequence.index];
            match chunk {
                Some(chunk) => {
                    let cost = fixed + server.prefill_j * *chunk as f64;
                    time += server.prefill_s * *chunk as f64;
                    one.prefill_j += cost;
                    joules += cost;
                    sequence.left -= chunk;
                }
                None => {
                    let context = (one.prompt.prompt + sequence.produced) as f64;
                    let cost = fixed + server.decode_j + server.context_j * context;
                    time += server.decode_s;
                    one.decode_j += cost;
                    joules += cost;
                }
            }
        }
        let to = from + time;
        for (position, _) in batch {
            let sequence = &mut self.running[*position];
            if sequence.left == 0 {
                sequence.produced += 1;
                let one = &mut self.served[sequence.index];
                one.tokens.push(to);
                one.end = to;
            }
        }
        let served = &self.served;
        self.running.retain(|one| one.produced < served[one.index].prompt.output);
        self.steps.push(Step { from, to, joules });
        self.now = to;
    }
}

impl Simulation {
    /// Records of the requests as a client would write them, `begin` being the clock at 0 s.
    #[must_use]
    pub fn requests(&self, begin: Nanos, with_server_timings: bool) -> Vec<RequestRecord> {
        let records = self.served.iter().zip(0..);
        records.map(|(one, index)| one.record(index, begin, with_server_timings)).collect()
    }

    /// True energy beyond idling up to a moment, J.
    #[must_use]
    pub fn energy(&self, to: f64) -> f64 {
        let part = |step: &Step| {
            let share = ((to - step.from) / (step.to - step.from)).clamp(0.0, 1.0);
            step.joules * share
        };
        self.steps.iter().take_while(|step| step.from < to).map(part).sum()
    }

    /// Readings of an energy counter that is renewed every `update` seconds and read every `read`, from `from` to `to`.
    #[must_use]
    pub fn counter(
        &self,
        begin: Nanos,
        span: (f64, f64),
        update: f64,
        read: f64,
    ) -> Vec<SampleRecord> {
        self.counter_read_late(begin, span, update, (read, 0.0))
    }

    /// The same, where a busy machine's reads come late by up to a share of their period: they do not keep step with the
    /// renewals.
    #[must_use]
    pub fn counter_read_late(
        &self,
        begin: Nanos,
        (from, to): (f64, f64),
        update: f64,
        (read, late): (f64, f64),
    ) -> Vec<SampleRecord> {
        let mut samples = Vec::new();
        let (mut passed, mut sum) = (0, 0.0);
        let mut at = from;
        let mut reads = 0.0;
        while at <= to {
            let renewed = ((at - from) / update).floor() * update + from;
            while let Some(step) = self.steps.get(passed).filter(|step| step.to <= renewed) {
                sum += step.joules;
                passed += 1;
            }
            let partial = self.steps.get(passed).map_or(0.0, |step| {
                step.joules * ((renewed - step.from) / (step.to - step.from)).clamp(0.0, 1.0)
            });
            let joules = 5000.0 + self.idle_w * (renewed - from) + sum + partial;
            samples.push(SampleRecord {
                sensor: 0,
                before_ns: moment(begin, at),
                after_ns: moment(begin, at + 0.000_05),
                value: Some((joules * 1000.0).floor() / 1000.0),
                error: None,
            });
            reads += 1.0;
            at = from + read * (reads + late * (reads * GOLDEN).fract());
        }
        samples
    }
}

/// A stamp so many seconds after the begin.
#[must_use]
pub fn moment(begin: Nanos, seconds: f64) -> Nanos {
    begin.offset(ai_energy_benchmarks::units::Seconds(seconds))
}

impl Served {
    fn record(&self, index: u64, begin: Nanos, with_server_timings: bool) -> RequestRecord {
        let sent = moment(begin, self.sent);
        let stamps: Vec<Nanos> = self.tokens.iter().map(|at| moment(begin, *at)).collect();
        let milliseconds = |seconds: f64| seconds * 1000.0;
        let timings = || {
            let (scheduled, first) = (self.scheduled?, *self.tokens.first()?);
            Some(json!({"metrics": {
                "time_to_first_token_ms": milliseconds(first - scheduled),
                "generation_time_ms": milliseconds(self.tokens.last()? - first),
                "queue_time_ms": milliseconds(scheduled - self.sent),
            }}))
        };
        RequestRecord {
            index,
            phase: Phase::Measure,
            repetition: None,
            prompt_id: index.to_string(),
            scheduled_ns: sent,
            conversation: None,
            turn: None,
            released_ns: None,
            sent_ns: sent,
            first_byte_ns: stamps.first().copied(),
            first_token_ns: stamps.first().copied(),
            first_output_token_ns: stamps.first().copied(),
            last_token_ns: stamps.last().copied(),
            end_ns: moment(begin, self.end),
            event_offsets_ns: stamps.iter().map(|stamp| stamp.0 - sent.0).collect(),
            tokens: if self.failed {
                TokenCounts::MISSING
            } else {
                TokenCounts {
                    prompt: Some(self.prompt.prompt as u64),
                    cached_prompt: Some(self.prompt.cached as u64),
                    completion: Some(self.tokens.len() as u64),
                    reasoning: None,
                    source: TokenSource::Usage,
                }
            },
            asked: AskedTokens::default(),
            output_chars: 4 * self.tokens.len() as u64,
            output: None,
            retries: 0,
            outcome: if self.failed {
                Outcome::Failed {
                    class: FailureClass::Deadline,
                    http_status: None,
                    message: "too late".to_owned(),
                }
            } else {
                Outcome::Ok { finish_reason: Some("length".to_owned()) }
            },
            server_timings: timings().filter(|_| with_server_timings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_joule_of_the_steps_belongs_to_a_request() {
        let prompt = Prompt { at_s: 0.0, prompt: 700, cached: 0, output: 40, deadline_s: None };
        let found = BatchingServer::LIKE_AN_H100.closed_loop(&[prompt; 60], 24);
        let steps: f64 = found.steps.iter().map(|step| step.joules).sum();
        let requests: f64 = found.served.iter().map(|one| one.prefill_j + one.decode_j).sum();
        assert!((steps - requests).abs() < 1e-6 * steps);
        assert!(found.served.iter().all(|one| one.tokens.len() == 40));
        // 24 in flight at a server that runs 16: some wait.
        assert!(found.served.iter().any(|one| one.scheduled.unwrap() - one.sent > 0.1));
    }

    #[test]
    fn a_client_that_gives_up_leaves_its_slot() {
        let prompt =
            Prompt { at_s: 0.0, prompt: 64, cached: 0, output: 500, deadline_s: Some(1.0) };
        let found = BatchingServer::LIKE_AN_H100.closed_loop(&[prompt; 3], 1);
        assert!(found.served.iter().all(|one| one.failed && one.tokens.len() < 500));
        assert!(found.served.iter().all(|one| (one.end - one.sent - 1.0).abs() < 1e-9));
    }
}
