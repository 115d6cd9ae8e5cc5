//! Reads the meters on a thread of its own while the run goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::journal::{Journal, Line};
use super::progress::Live;
use crate::clock;
use crate::meter::{LiveComponent, Meter, Sampler};
use crate::record::{Event, EventRecord, Quantity, SampleRecord};

/// A read that takes longer than this is not waited for: a lost GPU must not hold up a run for good.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// The meter thread's handle.
pub(super) struct Metering {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// Power now and energy so far.
#[derive(Clone)]
pub(super) struct Gauge(Arc<Shared>);

impl Gauge {
    pub(super) fn live(&self) -> Live {
        *lock(&self.0.live)
    }
}

struct Shared {
    stop: AtomicBool,
    edge: AtomicBool,
    /// Meters that came while the run went on.
    added: Mutex<Vec<Box<dyn Meter>>>,
    looks: Mutex<Looks>,
    looked: Condvar,
    /// The edge is one of a phase; else it is only near.
    mark: AtomicBool,
    outlet: Mutex<Outlet>,
    live: Mutex<Live>,
}

/// Readings that someone waits for.
#[derive(Debug, Clone, Copy, Default)]
struct Looks {
    asked: u64,
    done: u64,
}

/// Where records go: until the run folder exists they wait.
enum Outlet {
    Waiting(Waiting),
    Journal(Journal),
}

#[derive(Default)]
struct Waiting {
    samples: Vec<SampleRecord>,
    events: Vec<EventRecord>,
}

impl Metering {
    /// Starts reading.
    pub(super) fn start(mut sampler: Sampler) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            edge: AtomicBool::new(true),
            added: Mutex::new(Vec::new()),
            looks: Mutex::new(Looks::default()),
            looked: Condvar::new(),
            mark: AtomicBool::new(true),
            outlet: Mutex::new(Outlet::Waiting(Waiting::default())),
            live: Mutex::new(Live::default()),
        });
        let thread = super::spawn_thread("meter", {
            let shared = Arc::clone(&shared);
            move || shared.read_until_stopped(&mut sampler)
        });
        Self { shared, thread }
    }

    /// Hands over what was read so far and everything from now on.
    pub(super) fn connect(&self, journal: Journal) {
        let mut outlet = lock(&self.shared.outlet);
        if let Outlet::Waiting(waiting) = &mut *outlet {
            journal.write(Line::Samples(std::mem::take(&mut waiting.samples)));
            for event in waiting.events.drain(..) {
                journal.write(Line::Event(event));
            }
        }
        *outlet = Outlet::Journal(journal);
    }

    /// Asks for a dense look at the counters: a phase begins or ends now.
    pub(super) fn edge(&self) {
        self.shared.mark.store(true, Ordering::Relaxed);
        self.edge_ahead();
    }

    /// Asks for the same shortly before a phase ends.
    pub(super) fn edge_ahead(&self) {
        self.shared.edge.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
    }

    /// The same, and waits until everything that counts has been read once.
    pub(super) fn look(&self) {
        // In this order: whoever sees the question sees the edge too.
        self.shared.mark.store(true, Ordering::SeqCst);
        self.shared.edge.store(true, Ordering::SeqCst);
        let asked = {
            let mut looks = lock(&self.shared.looks);
            looks.asked += 1;
            looks.asked
        };
        self.thread.thread().unpark();
        let pending = |looks: &mut Looks| looks.done < asked;
        // A panic or a long read of the meter thread ends the wait too; the samples tell what is missing.
        drop(self.shared.looked.wait_timeout_while(
            lock(&self.shared.looks),
            LONGEST_LOOK,
            pending,
        ));
    }

    /// One more meter, whose sensors come after those that are there.
    pub(super) fn add(&self, meter: Box<dyn Meter>) {
        lock(&self.shared.added).push(meter);
        self.thread.thread().unpark();
    }

    /// A view of power now and energy so far, for whoever shows it.
    pub(super) fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.shared))
    }

    /// Ends reading; the last samples are handed over before this returns.
    pub(super) fn stop(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Shared {
    fn read_until_stopped(&self, sampler: &mut Sampler) {
        let mut samples = Vec::new();
        let mut heat = Heat::default();
        while !self.stop.load(Ordering::Relaxed) {
            lock(&self.added).drain(..).for_each(|meter| sampler.add(meter));
            let asked = lock(&self.looks).asked;
            if self.edge.swap(false, Ordering::Relaxed) {
                sampler.set_edge(true);
                if self.mark.swap(false, Ordering::Relaxed) {
                    sampler.mark();
                }
            }
            sampler.poll(clock::now, &mut samples);
            heat.see(sampler, &samples);
            self.hand_over(&mut samples, sampler.take_events());
            self.answer(asked);
            *lock(&self.live) = Live { temperature: heat.hottest(), ..sum(&sampler.live()) };
            std::thread::park_timeout(sampler.next_due().since(clock::now()).into());
        }
        // Whatever counts is read once more, so that the last phase has an end.
        sampler.set_edge(true);
        sampler.poll(clock::now, &mut samples);
        self.hand_over(&mut samples, sampler.take_events());
    }

    /// Whoever waits for a reading may go on.
    fn answer(&self, asked: u64) {
        if std::mem::replace(&mut lock(&self.looks).done, asked) != asked {
            self.looked.notify_all();
        }
    }

    fn hand_over(&self, samples: &mut Vec<SampleRecord>, events: Vec<Event>) {
        let at_ns = clock::now();
        let events = events.into_iter().map(|event| EventRecord { at_ns, event });
        match &mut *lock(&self.outlet) {
            Outlet::Waiting(waiting) => {
                waiting.samples.append(samples);
                waiting.events.extend(events);
            }
            Outlet::Journal(journal) => {
                for event in events {
                    journal.write(Line::Event(event));
                }
                if !samples.is_empty() {
                    journal.write(Line::Samples(std::mem::take(samples)));
                }
            }
        }
    }
}

/// The last reading of every sensor of temperature, by sensor; none where the last read failed.
#[derive(Default)]
struct Heat(BTreeMap<u16, Option<f64>>);

impl Heat {
    fn see(&mut self, sampler: &Sampler, samples: &[SampleRecord]) {
        for sample in samples {
            let sensor = sampler.sensors().get(usize::from(sample.sensor));
            if sensor.is_some_and(|sensor| sensor.quantity == Quantity::Temperature) {
                self.0.insert(sample.sensor, sample.value);
            }
        }
    }

    fn hottest(&self) -> Option<f64> {
        self.0.values().flatten().copied().max_by(f64::total_cmp)
    }
}

/// What is measured, or where nothing is, what is modelled.
fn sum(parts: &[LiveComponent]) -> Live {
    let source = parts.iter().map(|part| part.source).min();
    let parts = || parts.iter().filter(|part| Some(part.source) == source);
    Live {
        source,
        power: parts().map(|part| part.watts).sum::<Option<_>>().filter(|_| source.is_some()),
        energy: parts().map(|part| part.joules).sum::<Option<_>>().filter(|_| source.is_some()),
        temperature: None,
    }
}

/// A panic elsewhere must not cost the samples: the data behind these locks is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
