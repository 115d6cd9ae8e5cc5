//! Waking at a time: to the nanosecond where the system can (a `timerfd` on the monotonic clock, which no timer slack
//! delays), else to what `poll` takes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::Duration;

use ai_energy_benchmarks::clock;
use mio::{Events, Poll};

/// What is to happen to a connection, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub due_ns: u64,
    pub slot: usize,
    /// Which of the connections that the slot had: a timer of one that is gone is void.
    pub generation: u64,
}

/// Timers, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<Timer>>);

impl Timers {
    pub(crate) fn push(&mut self, timer: Timer) {
        self.0.push(Reverse(timer));
    }

    /// The earliest that is due.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<Timer> {
        let due = self.0.peek().is_some_and(|timer| timer.0.due_ns <= now_ns);
        if due { self.0.pop().map(|timer| timer.0) } else { None }
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.0.peek().map(|timer| timer.0.due_ns)
    }
}

/// Waits for sockets or for a time, whichever is first.
pub(crate) struct Alarm {
    spin_ns: u64,
    #[cfg(target_os = "linux")]
    clock: precise::Clock,
}

impl Alarm {
    /// `token` is that of the alarm's own events, which mean nothing.
    ///
    /// # Errors
    /// When the system gives no timer.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "no timer to register"))]
    pub(crate) fn new(poll: &Poll, token: mio::Token, spin_us: u64) -> io::Result<Self> {
        Ok(Self {
            spin_ns: spin_us.saturating_mul(1_000),
            #[cfg(target_os = "linux")]
            clock: precise::Clock::new(poll, token)?,
        })
    }

    /// Returns when a socket is ready or the time has come. Within the spin time of the deadline it only looks.
    pub(crate) fn wait(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        deadline_ns: Option<u64>,
    ) -> io::Result<()> {
        let Some(deadline_ns) = deadline_ns else { return poll.poll(events, None) };
        let wake_ns = deadline_ns.saturating_sub(self.spin_ns);
        let now_ns = clock::now().0;
        if wake_ns <= now_ns {
            return poll.poll(events, Some(Duration::ZERO));
        }
        #[cfg(target_os = "linux")]
        {
            self.clock.set(wake_ns)?;
            poll.poll(events, None)
        }
        #[cfg(not(target_os = "linux"))]
        poll.poll(events, Some(Duration::from_nanos(wake_ns - now_ns)))
    }
}

#[cfg(target_os = "linux")]
mod precise {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    use mio::unix::SourceFd;
    use mio::{Interest, Poll, Token};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    pub(super) struct Clock {
        timer: OwnedFd,
        set_ns: u64,
    }

    impl Clock {
        pub(super) fn new(poll: &Poll, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // Edge-triggered: an expiry is told once, and setting the timer again needs no read in between.
            poll.registry().register(
                &mut SourceFd(&timer.as_raw_fd()),
                token,
                Interest::READABLE,
            )?;
            Ok(Self { timer, set_ns: 0 })
        }

        pub(super) fn set(&mut self, wake_ns: u64) -> io::Result<()> {
            if self.set_ns == wake_ns {
                return Ok(());
            }
            let seconds = i64::try_from(wake_ns / 1_000_000_000).unwrap_or(i64::MAX);
            let nanos = (wake_ns % 1_000_000_000).cast_signed();
            let at = Timespec { tv_sec: seconds, tv_nsec: nanos };
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let time = Itimerspec { it_interval: never, it_value: at };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &time)?;
            self.set_ns = wake_ns;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_the_order_of_their_time_and_only_when_due() {
        let mut timers = Timers::default();
        for due_ns in [30, 10, 20] {
            timers.push(Timer { due_ns, slot: 0, generation: 0 });
        }
        assert_eq!(timers.next_ns(), Some(10));
        assert_eq!(timers.pop_due(9), None);
        let popped: Vec<u64> =
            std::iter::from_fn(|| timers.pop_due(20)).map(|timer| timer.due_ns).collect();
        assert_eq!(popped, [10, 20]);
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let mut alarm = Alarm::new(&poll, mio::Token(0), 0).unwrap();
        for _ in 0..3 {
            let deadline = clock::now().0 + 2_000_000;
            alarm.wait(&mut poll, &mut events, Some(deadline)).unwrap();
            assert!(clock::now().0 >= deadline);
        }
    }
}
