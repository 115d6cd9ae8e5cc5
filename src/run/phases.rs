//! Goes through the phases of a plan after loading.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::client;
use super::dispatch::{Batch, Sent};
use super::driver::Driver;
use super::journal::Line;
use super::metering::Metering;
use super::processor::Processors;
use super::ticker::Ticker;
use super::{COUNTER_LEAD, COUNTER_SETTLE, Judge, event_at};
use crate::clock;
use crate::config::component::load::LoadConfig;
use crate::config::component::protocol::{AdaptiveRepetitions, Repetitions, SteadyLimits};
use crate::load::{self, Draw, Load, Loads};
use crate::plan::steady::{Glance, judge};
use crate::plan::{Plan, PlannedPhase, Work};
use crate::record::{Event, Phase, Warning};
use crate::units::{Nanos, Seconds};

/// Between two glances at power, throughput and temperature.
const GLANCE_PERIOD: Seconds = Seconds(0.5);

/// What going through the phases needs.
pub(super) struct Phases<'a> {
    pub driver: Arc<Driver>,
    pub loads: Loads,
    pub load: LoadConfig,
    pub metering: &'a Metering,
    pub ticker: &'a Ticker,
    pub processors: Processors,
    pub judge: Option<&'a dyn Judge>,
    pub folder: &'a Path,
}

impl Phases<'_> {
    /// All phases in order; of adaptive repetitions as many as it takes.
    pub(super) async fn go_through_all(&self, plan: &Plan) {
        let mut wanted = plan.repetitions.most();
        for planned in &plan.phases {
            // After a stop nothing new begins, a baseline neither.
            if self.driver.control.reason().is_some() {
                return;
            }
            if let (Some(number), Repetitions::Adaptive(adaptive)) =
                (planned.repetition, plan.repetitions)
                && number == adaptive.min
            {
                wanted = self.decide(&adaptive).await;
            }
            if planned.repetition.is_some_and(|number| number >= wanted) {
                continue;
            }
            self.go_through(planned, plan.repetitions.most()).await;
        }
    }

    async fn go_through(&self, planned: &PlannedPhase, most: u32) {
        let driver = &self.driver;
        let PlannedPhase { phase, repetition, .. } = *planned;
        self.ticker.phase(phase);
        if let Some(number) = repetition.filter(|_| most > 1) {
            self.ticker.repetition(number + 1, most);
        }
        self.tell_processors();
        if planned.shift > Seconds::ZERO && driver.control.sleep(planned.shift).await.is_err() {
            return;
        }
        self.metering.edge();
        driver.counters.begin(requests(planned.work));
        driver.journal.event(Event::PhaseBegin { phase, repetition });
        match planned.work {
            Work::Idle(time) => {
                let lead = Seconds(COUNTER_LEAD.0.min(time.0 / 2.0));
                if driver.control.sleep(time - lead).await.is_ok() {
                    self.metering.edge_ahead();
                    let _ = driver.control.sleep(lead).await;
                }
            }
            Work::Requests(requests) => {
                let held = Arc::new(AtomicBool::new(requests.until_steady.is_some()));
                let draw = draw_of(phase, repetition);
                let batch = Batch { phase, repetition, requests, draw, held: Arc::clone(&held) };
                let mut load = self.load_of(phase, repetition);
                let sending = driver.send(batch, load.as_mut());
                let mut sent = Sent::default();
                let cost = client::watched(async {
                    sent = match requests.until_steady {
                        None => sending.await,
                        Some(limits) => {
                            tokio::join!(sending, self.hold_until_steady(&limits, &held)).0
                        }
                    };
                });
                let cost = cost.await;
                driver.journal.event(Event::Client { phase, repetition, cost });
                self.tell_of(phase, &sent);
                if driver.conversations.is_some() && phase == Phase::Measure {
                    let tally = sent.conversations;
                    driver.journal.event(Event::Conversations { phase, repetition, tally });
                }
            }
        }
        self.metering.edge();
        driver.journal.event(Event::PhaseEnd { phase, repetition });
        self.tell_processors();
    }

    /// The load of a phase, at its begin.
    fn load_of(&self, phase: Phase, repetition: Option<u32>) -> Box<dyn Load> {
        let warmup = load::for_warmup(&self.load);
        let config = if phase == Phase::Warmup { &warmup } else { &self.load };
        let draw = draw_of(phase, repetition);
        self.loads.open(config, draw).unwrap_or_else(|| Box::new(load::Nothing))
    }

    /// A limit that held arrivals back makes an open loop a closed one: that is said.
    fn tell_of(&self, phase: Phase, sent: &Sent) {
        let Some(limit) = self.load.max_concurrency().filter(|_| self.load.is_open()) else {
            return;
        };
        if phase == Phase::Measure && sent.held_back > 0 {
            let Sent { count, held_back, longest_hold, .. } = sent;
            self.warn(Warning::new(
                "arrivals_held_back",
                format!(
                    "{held_back} of {count} arrivals waited, up to {:.3} s, for one of {limit} requests in flight to end \
                     (scenario.load.max_concurrency): the load was not an open loop then",
                    longest_hold.0
                ),
            ));
        }
    }

    fn tell_processors(&self) {
        if let Some(event) = self.processors.look() {
            self.driver.journal.event(event);
        }
    }

    /// Lets requests go on until what is seen is steady, the time is up, or the run is stopped.
    async fn hold_until_steady(&self, limits: &SteadyLimits, held: &AtomicBool) {
        let driver = &self.driver;
        let began = clock::now();
        let before = driver.counters.tokens_so_far();
        let mut glances: Vec<Glance> = Vec::new();
        while driver.control.sleep(GLANCE_PERIOD).await.is_ok() {
            let at = clock::now().since(began);
            let live = self.metering.gauge().live();
            glances.push(Glance {
                at,
                power: live.power,
                tokens: driver.counters.tokens_so_far() - before,
                temperature: live.temperature,
            });
            let verdict = judge(&glances, limits);
            if !verdict.steady && at.0 < limits.cap_s {
                continue;
            }
            let (steady, what) = (verdict.steady, verdict.what);
            if !steady {
                let message =
                    format!("after {:.0} s of warm-up not everything was steady: {what}", at.0);
                self.warn(Warning::new("warmup_not_steady", message));
            }
            driver.journal.event(Event::WarmedUp { steady, after_s: at, what });
            break;
        }
        held.store(false, Ordering::Relaxed);
    }

    /// How many repetitions it takes in all, as the records of the first stage tell. Where they do not, it is those.
    async fn decide(&self, adaptive: &AdaptiveRepetitions) -> u32 {
        let driver = &self.driver;
        // A counter may still owe its last step.
        let _ = driver.control.sleep(COUNTER_SETTLE).await;
        driver.journal.barrier().await;
        let told = match self.judge {
            Some(judge) => judge.needed(self.folder, adaptive),
            None => Err("whoever started the run lent nobody to decide it".to_owned()),
        };
        let (needed, why) = match told {
            Ok(needed) if needed > adaptive.max => {
                let message = format!(
                    "an interval of plus or minus {} % takes {needed} repetitions, and {} were allowed: it will be wider",
                    100.0 * adaptive.target_relative_ci,
                    adaptive.max
                );
                self.warn(Warning::new("repetitions_capped", message.clone()));
                (adaptive.max, message)
            }
            Ok(needed) => (needed, "the spread of the first stage asks for so many".to_owned()),
            Err(reason) => {
                let message = format!(
                    "how many repetitions it takes could not be told: {reason}; {} were made",
                    adaptive.min
                );
                self.warn(Warning::new("repetitions_not_adapted", message.clone()));
                (adaptive.min, message)
            }
        };
        driver.journal.event(Event::Repetitions { needed, why });
        needed
    }

    fn warn(&self, warning: Warning) {
        self.ticker.warning(&warning);
        self.driver.journal.event(Event::Warning { warning });
    }
}

fn draw_of(phase: Phase, repetition: Option<u32>) -> Draw {
    match phase {
        Phase::Warmup => Draw::Warmup,
        _ => Draw::Measure(repetition.unwrap_or(0)),
    }
}

const fn requests(work: Work) -> u64 {
    match work {
        Work::Idle(_) => 0,
        Work::Requests(requests) => requests.expected,
    }
}

/// The phase of the bare machine, seen by its two moments.
pub(super) fn bare(from: Nanos, to: Nanos) -> [Line; 2] {
    let phase = Phase::IdleBare;
    [
        event_at(from, Event::PhaseBegin { phase, repetition: None }),
        event_at(to, Event::PhaseEnd { phase, repetition: None }),
    ]
}
