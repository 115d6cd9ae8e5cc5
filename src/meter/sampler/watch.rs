//! How a counter is watched that renews its value seldom and is dear to read.
//!
//! An energy is known best at the moments at which its counter changes, so a change is *caught*: a read of the old
//! value close before it and a read of the new one close after it. As long as nothing is known of the counter that
//! takes polling; once its grid is learned it takes two reads. Changes are caught while the grid is being learned, now and
//! then to keep it, and always where every change is asked for. After each edge of a phase the next changes are wanted: as
//! the grid says when they are, a *look* after each is enough; without a grid they are caught. Between, one read close after
//! a change every other second keeps the curve going.

use crate::units::{Nanos, Seconds};

use super::Found;
use super::grid::{Expected, Grid};

/// More is learned as long as it cannot be told to within this share where it will be wanted.
const KNOWN_WELL: f64 = 0.2;
/// Between polls while a change is awaited whose moment is not known.
const POLL: Seconds = Seconds(0.01);
/// Changes to see after an edge; the step in which it shows and the next,
const EDGE_LOOKS: u32 = 2;
/// and one more where the edge shows in the second only: a sensor is late by up to so much.
const SHOWS_LATE: Seconds = Seconds(0.03);
/// Changes to catch while the grid is not known,
const EDGE_CATCHES: u32 = 3;
/// and where each takes polling because the counter keeps to no grid.
const EDGE_CATCHES_POLLING: u32 = 2;
/// Changes to catch one after the other at the start.
const FIRST_CATCHES: u32 = 3;
/// After a change none is expected for this share of a period.
const QUIET: f64 = 0.6;
/// A change is waited for so long beyond its latest moment; at least the second.
const PATIENCE_PERIODS: f64 = 1.5;
const PATIENCE_FLOOR: Seconds = Seconds(0.3);
/// The moment of a change is known if it is within this share of a period.
const KNOWN: f64 = 0.3;
/// One look is enough after a change whose moment is known to this share of a period either way.
const LOOKED_AT: f64 = 0.2;
/// So long after the last catch the grid is looked at again; it is known well when a change can be foretold
/// so far ahead.
const KEEP: Seconds = Seconds(10.0);
/// A read that fails is tried again soon so many times.
const SOON: u32 = 3;
/// Room left between a read and a change,
const GUARD: Seconds = Seconds(0.0005);
/// and between a change and the look after it, so that nobody who knows the grid less well takes it for the one before.
const LOOK_LATER: f64 = 0.1;

/// A change being awaited.
#[derive(Debug, Clone, Copy)]
struct Hunt {
    /// When the change comes, where that is known.
    expected: Option<Expected>,
    /// Given up then.
    until: Nanos,
    /// The read of the old value: (when it began, value).
    old: Option<(Nanos, f64)>,
    /// Nothing was missed since the last change that was caught.
    next: bool,
}

/// When to read one counter.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// Every change is to be caught.
    fine: bool,
    sparse: Seconds,
    grid: Grid,
    /// Changes still to see.
    wanted: u32,
    /// The next read that was planned looks at one of them.
    looking: bool,
    hunt: Option<Hunt>,
    due: Nanos,
    last_catch: Option<Nanos>,
    /// The last good read: when it began, when it ended, value.
    last: Option<(Nanos, Nanos, f64)>,
    /// How long a read takes.
    cost: Seconds,
    /// An edge asks for a read at once.
    asked: bool,
    /// How many looks it takes after that read is still to be told.
    edge: bool,
    /// Nothing changed when the last change was awaited: no more of that until an edge asks for it.
    fruitless: bool,
    /// Uncertainty of the period when it was last told, as a share.
    told: f64,
}

impl Watch {
    pub(super) fn new(described: Seconds, sparse: Seconds, fine: bool) -> Self {
        Self {
            fine,
            sparse,
            grid: Grid::new(described),
            wanted: FIRST_CATCHES,
            looking: false,
            hunt: None,
            due: Nanos(0),
            last_catch: None,
            last: None,
            cost: Seconds(0.0),
            asked: false,
            edge: false,
            fruitless: false,
            told: f64::INFINITY,
        }
    }

    /// When the counter is to be read next.
    pub(super) fn due(&self) -> Nanos {
        if self.asked { Nanos(0) } else { self.due }
    }

    /// A phase begins or ends about now: read at once, then catch some changes.
    pub(super) fn edge(&mut self) {
        self.asked = true;
        self.fruitless = false;
        // A change that was to be awaited later is not the one wanted now.
        self.hunt = self.hunt.filter(|hunt| hunt.old.is_some());
        let most = if self.grid.is_irregular() { EDGE_CATCHES_POLLING } else { EDGE_CATCHES };
        self.wanted = self.wanted.max(most);
        self.edge = true;
    }

    /// No more than what is always done.
    pub(super) fn rest(&mut self) {
        self.asked = false;
        self.looking = false;
        self.wanted = 0;
    }

    /// Whether changes are still to be caught for an edge.
    pub(super) const fn is_busy(&self) -> bool {
        self.asked || self.wanted > 0
    }

    /// The period, each time it has become known much better.
    pub(super) fn found(&mut self) -> Option<Found> {
        let (period, uncertainty) = (self.grid.period(), self.grid.uncertainty());
        let share = uncertainty / period;
        if self.last_catch.is_none() || share > 0.05 || share > 0.2 * self.told {
            return None;
        }
        self.told = share;
        Some(Found { period, uncertainty })
    }

    /// A read failed, the so-manieth in a row: at first try again soon, so that no change that is awaited is lost, then
    /// after `wait`.
    pub(super) fn failed(&mut self, after: Nanos, failures: u32, wait: Seconds) {
        if failures <= SOON {
            self.due = after.offset(POLL);
            self.asked = false;
            return;
        }
        self.rest();
        self.hunt = None;
        self.due = after.offset(wait);
    }

    /// A read succeeded.
    pub(super) fn read(&mut self, (before, after): (Nanos, Nanos), value: f64) {
        let cost = after.since(before);
        self.cost = if self.last.is_none() { cost } else { self.cost * 0.8 + cost * 0.2 };
        self.asked = false;
        self.last = Some((before, after, value));
        match self.hunt {
            // What an edge asked for came first.
            None if self.looking && before < self.due => {}
            None => {
                self.wanted = self.wanted.saturating_sub(u32::from(self.looking));
                self.plan(after);
            }
            Some(Hunt { old: Some((old_at, old)), next, .. }) if old.total_cmp(&value).is_ne() => {
                self.grid.observe(old_at, after, next);
                self.last_catch = Some(after);
                self.fruitless = false;
                self.wanted = self.wanted.saturating_sub(1);
                self.plan(after);
            }
            Some(hunt) => self.wait_on(hunt, (before, after), value),
        }
    }

    /// Still the old value, or the first look at it.
    fn wait_on(&mut self, hunt: Hunt, (before, after): (Nanos, Nanos), value: f64) {
        if after >= hunt.until {
            self.fruitless = true;
            self.wanted = 0;
            self.plan(after);
            return;
        }
        // An edge may ask for a read before the hunt begins: its first look stays where it was planned.
        let early = self.due > before;
        if !early || hunt.old.is_some() {
            self.hunt = Some(Hunt { old: Some((before, value)), ..hunt });
        }
        if !early {
            self.due = self.next_look(hunt.expected, after);
        }
    }

    /// When to look again for a change that has not come by `now`: once its time has surely come if that is known
    /// closely, else so that the span in which it may lie is halved.
    fn next_look(&self, expected: Option<Expected>, now: Nanos) -> Nanos {
        let poll = now.offset(POLL);
        let Some(expected) = expected.filter(|expected| expected.latest > now) else {
            return poll;
        };
        let begin = expected.earliest.max(now);
        let open = expected.latest.since(begin);
        if open <= self.close() {
            expected.latest.offset(GUARD)
        } else {
            poll.min(begin.offset(open / 2.0))
        }
    }

    /// A change is known closely if two reads, around the span in which it may lie, do as well as polling.
    fn close(&self) -> Seconds {
        POLL / 2.0 + self.cost
    }

    /// Decides what comes after a read that ended at `now`.
    fn plan(&mut self, now: Nanos) {
        let look = self.next_change(now).filter(|_| self.wanted > 0 && !self.fine);
        self.looking = look.is_some();
        if let Some(look) = look.filter(|_| std::mem::take(&mut self.edge)) {
            let soon = look.since(now) < SHOWS_LATE + self.grid.period() * LOOK_LATER;
            self.wanted = EDGE_LOOKS + u32::from(soon);
        }
        if let Some(look) = look {
            self.hunt = None;
            self.due = look;
        } else if self.wanted > 0 || self.fine {
            self.hunt_from(now);
        } else if let Some(ahead) = self.learning() {
            self.hunt_from(now.offset(self.grid.period() * (ahead - 1.5).max(0.0)));
        } else {
            self.pause(now);
        }
    }

    /// When the next change has surely been, where the grid tells it closely. A change of which the last read does not tell
    /// whether it was before or after is the next one too.
    fn next_change(&self, now: Nanos) -> Option<Nanos> {
        let period = self.grid.period();
        let (read, _, _) = self.last?;
        let looked = |from: Nanos| {
            let next = self.grid.next(from).filter(|_| !self.grid.is_irregular())?;
            let reach = next.latest.since(next.earliest) / 2.0;
            (reach <= period * LOOKED_AT).then(|| next.latest.offset(period * LOOK_LATER))
        };
        let undecided = looked(read.offset(period * -(2.0 * LOOKED_AT + LOOK_LATER)));
        undecided.filter(|look| *look > now).or_else(|| looked(now))
    }

    /// How many periods ahead the next catch for learning lies; none when the grid is known or hopeless.
    fn learning(&self) -> Option<f64> {
        if self.grid.is_irregular() || self.last_catch.is_none() || self.fruitless {
            return None;
        }
        let foresight = self.grid.foresight(KNOWN_WELL);
        let enough = KEEP / self.grid.period();
        let within = self.sparse / self.grid.period();
        (foresight < enough).then(|| self.grid.foresight(KNOWN).min(within).max(1.0))
    }

    /// Awaits the first change that can be awaited from a moment on.
    fn hunt_from(&mut self, from: Nanos) {
        let lead = self.cost + GUARD;
        let period = self.grid.period();
        let patience =
            |at: Nanos| at.offset(Seconds((PATIENCE_PERIODS * period.0).max(PATIENCE_FLOOR.0)));
        let known = |next: &Expected| {
            let reach = next.latest.since(next.earliest) / 2.0;
            !self.grid.is_irregular() && reach <= period * KNOWN
        };
        let next = self.grid.next(from.offset(lead));
        if let Some(next) = next.filter(known) {
            self.due = next.earliest.offset(Seconds(-lead.0)).max(from);
            self.hunt = Some(Hunt {
                expected: Some(next),
                until: patience(next.latest),
                old: None,
                next: false,
            });
            return;
        }
        // Polling. Right after a change nothing happens for a while; should it do so all the same, the comparison with
        // the last value tells.
        let last = self.last.filter(|(_, after, _)| from.since(*after) <= POLL);
        let just_changed = self.last_catch.is_some_and(|at| from.since(at) < period * 0.1);
        let begin = if just_changed && !self.grid.is_irregular() {
            from.offset(period * QUIET)
        } else {
            from
        };
        self.due = begin;
        let old = last.map(|(before, _, value)| (before, value));
        self.hunt = Some(Hunt {
            expected: None,
            until: patience(begin),
            old,
            next: just_changed && old.is_some(),
        });
    }

    /// One read every so often, close after a change where it is known when that is.
    fn pause(&mut self, now: Nanos) {
        self.hunt = None;
        let target = now.offset(self.sparse);
        let stale = !self.fruitless && self.last_catch.is_some_and(|at| target.since(at) > KEEP);
        if self.grid.is_irregular() || self.last_catch.is_none() {
            self.due = target;
            return;
        }
        let eve = target.offset(Seconds(-self.grid.period().0));
        if stale {
            self.hunt_from(eve);
            return;
        }
        let later = self.grid.period() * LOOK_LATER;
        self.due = self.grid.next(eve).map_or(target, |next| next.latest.offset(later));
    }
}
