//! Waits for a moment on the one monotonic clock, as precisely as the system can.
//!
//! The runtime's own timers tick once a millisecond, so that a request would leave up to a millisecond late, and not at random.
//! On Linux a timer of the kernel is used instead, set to the absolute time and polled together with the sockets: it costs no
//! time while nothing is due. Elsewhere the runtime's timer is used up to its last tick, and the rest is given to others.

use crate::clock;
use crate::units::{Nanos, Seconds};

/// A timer of its own for whoever paces.
pub(super) struct Pacer {
    #[cfg(target_os = "linux")]
    timer: Option<kernel::Timer>,
}

impl Pacer {
    /// A timer, in the context of a runtime; a coarse one where the system has no file descriptor left for it.
    pub(super) fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            timer: kernel::Timer::new().ok(),
        }
    }

    /// Returns at the time or a little later, never earlier. May be dropped and begun anew.
    pub(super) async fn until(&mut self, at: Nanos) {
        while clock::now() < at {
            #[cfg(target_os = "linux")]
            if let Some(timer) = &mut self.timer
                && timer.wait(at).await.is_ok()
            {
                continue;
            }
            coarse(at).await;
        }
    }
}

/// The first moment of the clock that is no less than so long after another.
pub(super) fn moment(begun: Nanos, after: Seconds) -> Nanos {
    let at = begun.offset(after);
    if at.since(begun) < after { Nanos(at.0 + 1) } else { at }
}

/// By the runtime's timer, which rounds up to its next tick.
#[expect(clippy::disallowed_methods, reason = "run is the room that sleeps")]
async fn coarse(at: Nanos) {
    const TICK: Seconds = Seconds(2e-3);
    let left = at.since(clock::now());
    if left > TICK {
        tokio::time::sleep((left - TICK).into()).await;
    } else {
        tokio::task::yield_now().await;
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    use crate::units::Nanos;

    /// A timer that becomes readable at an absolute time. It is waited for and read as a pipe is, which is all that the
    /// runtime wants of one.
    pub(super) struct Timer {
        timer: Receiver,
        set: Nanos,
    }

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Self { timer: Receiver::from_owned_fd_unchecked(timer)?, set: Nanos(0) })
        }

        /// Until it is readable, which may be for an earlier time that was set before: whoever waits looks at the clock.
        pub(super) async fn wait(&mut self, at: Nanos) -> io::Result<()> {
            if self.set != at {
                timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once(at))?;
                self.set = at;
            }
            self.timer.readable().await?;
            match self.timer.try_read(&mut [0; 8]) {
                Ok(_) => Ok(()),
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(cause) => Err(cause),
            }
        }
    }

    #[expect(clippy::cast_possible_wrap, reason = "a billionth of a u64, and less than a billion")]
    const fn once(at: Nanos) -> Itimerspec {
        const SECOND: u64 = 1_000_000_000;
        Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: (at.0 / SECOND) as i64, tv_nsec: (at.0 % SECOND) as _ },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    }

    #[test]
    fn a_wait_ends_at_its_time_and_not_before_however_often_it_is_begun_anew() {
        block_on(async {
            let mut pacer = Pacer::new();
            for n in 1..=20 {
                let at = Nanos(clock::now().0 + n * 100_000);
                let other = Nanos(at.0 + 50_000_000);
                tokio::select! {
                    biased;
                    () = pacer.until(other) => panic!("too early"),
                    () = tokio::task::yield_now() => {}
                }
                pacer.until(at).await;
                assert!(clock::now() >= at);
            }
            pacer.until(Nanos(0)).await;
        });
    }

    #[test]
    fn the_coarse_wait_is_never_early_either() {
        block_on(async {
            let at = Nanos(clock::now().0 + 5_000_000);
            while clock::now() < at {
                coarse(at).await;
            }
            assert!(clock::now() >= at);
        });
    }

    proptest! {
        #[test]
        fn a_moment_is_never_before_its_time(begun in 0_u64..1 << 50, after in 0.0..1e5_f64) {
            let begun = Nanos(begun);
            let at = moment(begun, Seconds(after));
            prop_assert!(at.since(begun).0 >= after);
            prop_assert!(at.since(begun).0 <= after + 4e-9);
        }
    }
}
