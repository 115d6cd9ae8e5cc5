//! Watches this program while it drives load: processor time, and how late it comes to what is ready.
//!
//! Lag is measured where it does harm: a timer of the kernel becomes readable at known moments, on the same poll of
//! the same thread as the sockets. How late it is read is how late a token that came at that moment would have been
//! stamped. Moments that were missed altogether count too, each with its own lateness.

use std::future::Future;

use crate::clock;
use crate::record::{ClientCost, Lags};
use crate::units::Nanos;

/// Between two moments: often enough for a 99th percentile after a second, cheap (about a thousandth of a core), and
/// in no ratio to the usual gaps between tokens.
const PERIOD: Nanos = Nanos(9_700_000);

/// Does the work, and tells what this program used meanwhile.
pub(super) async fn watched(work: impl Future<Output = ()>) -> ClientCost {
    let began = clock::now();
    let before = (clock::process_cpu_time(), clock::thread_cpu_time());
    let mut late = Histogram::default();
    tokio::select! {
        // Its moments first: a poll of the work would come into them.
        biased;
        () = tick(began, &mut late) => {}
        () = work => {}
    }
    // The part before the whole, as the whole before the part at the begin: else it could be more than that.
    let loop_cpu_s = clock::thread_cpu_time() - before.1;
    ClientCost {
        wall_s: clock::now().since(began),
        cpu_s: clock::process_cpu_time() - before.0,
        loop_cpu_s,
        loop_lag: late.summary(),
        peak_memory_bytes: peak_memory(),
    }
}

/// Notes how late each moment is seen. Never ends: where there is no timer, nothing is noted.
#[cfg(target_os = "linux")]
async fn tick(began: Nanos, late: &mut Histogram) {
    if let Ok(timer) = timer::Timer::start(began, PERIOD) {
        let mut next = began.0 + PERIOD.0;
        while let Ok((at, due)) = timer.wait().await {
            for _ in 0..due {
                late.add(at.0.saturating_sub(next));
                next += PERIOD.0;
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Other systems' timers are as coarse as what is to be measured.
#[cfg(not(target_os = "linux"))]
async fn tick(_: Nanos, _: &mut Histogram) {
    std::future::pending::<()>().await;
}

#[cfg(target_os = "linux")]
mod timer {
    use std::io;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    use crate::clock;
    use crate::units::Nanos;

    /// A timer that the runtime polls together with its sockets. It is waited for and read as a pipe is, which is all
    /// that the runtime wants of one.
    pub(super) struct Timer(Receiver);

    impl Timer {
        /// Due at `began` plus every multiple of `period`.
        pub(super) fn start(began: Nanos, period: Nanos) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let due = Itimerspec {
                it_interval: timespec(period),
                it_value: timespec(Nanos(began.0 + period.0)),
            };
            timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &due)?;
            Ok(Self(Receiver::from_owned_fd_unchecked(timer)?))
        }

        /// Waits until it is due: when that was seen, and how many moments have passed.
        pub(super) async fn wait(&self) -> io::Result<(Nanos, u64)> {
            loop {
                self.0.readable().await?;
                let at = clock::now();
                let mut count = [0; 8];
                match self.0.try_read(&mut count) {
                    Ok(_) => return Ok((at, u64::from_ne_bytes(count))),
                    Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                    Err(cause) => return Err(cause),
                }
            }
        }
    }

    #[expect(clippy::cast_possible_wrap, reason = "a billionth of a u64, and less than a billion")]
    const fn timespec(time: Nanos) -> Timespec {
        const SECOND: u64 = 1_000_000_000;
        Timespec { tv_sec: (time.0 / SECOND) as i64, tv_nsec: (time.0 % SECOND) as _ }
    }
}

/// Times in ns, counted by size: sixteen steps to the doubling, so that an hour takes no more memory than a second.
struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

/// Steps to the doubling, as a power of two.
const STEP_BITS: u32 = 4;

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; ((65 - STEP_BITS) << STEP_BITS) as usize], count: 0, max: 0 }
    }
}

impl Histogram {
    fn add(&mut self, nanos: u64) {
        self.counts[step(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// The value that so many per cent are not above: the upper edge of its step.
    fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        at.map_or(self.max, |step| upper_edge(step).min(self.max))
    }

    fn summary(&self) -> Option<Lags> {
        let seconds = |nanos: u64| Nanos(nanos).since(Nanos(0));
        (self.count > 0).then(|| Lags {
            count: self.count,
            period_s: seconds(PERIOD.0),
            p50_s: seconds(self.percentile(50)),
            p99_s: seconds(self.percentile(99)),
            max_s: seconds(self.max),
        })
    }
}

/// Small values have a step of their own; of larger ones the highest five bits decide.
const fn step(value: u64) -> usize {
    let doublings = (value >> STEP_BITS).checked_ilog2();
    match doublings {
        None => value as usize,
        Some(more) => {
            (((more + 1) << STEP_BITS) as u64 + ((value >> more) - (1 << STEP_BITS))) as usize
        }
    }
}

/// The largest value of a step.
const fn upper_edge(step: usize) -> u64 {
    let (doubling, rest) = (step as u64 >> STEP_BITS, step as u64 & ((1 << STEP_BITS) - 1));
    match doubling.checked_sub(1) {
        None => rest,
        Some(more) => {
            let lower = ((1 << STEP_BITS) + rest) << more;
            lower + ((1 << more) - 1)
        }
    }
}

/// The most that was resident so far.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::Seconds;

    proptest! {
        #[test]
        fn a_step_holds_its_value_within_a_sixteenth(value in prop_oneof![0_u64..200, any::<u64>()]) {
            let edge = upper_edge(step(value));
            prop_assert!(edge >= value);
            prop_assert!(edge - value <= value / 16);
            prop_assert_eq!(step(edge), step(value));
            prop_assert!(edge == u64::MAX || step(edge + 1) == step(value) + 1);
        }
    }

    #[test]
    fn percentiles_are_never_too_small_and_the_latest_is_exact() {
        let mut late = Histogram::default();
        assert!(late.summary().is_none());
        (1..=1000).for_each(|value| late.add(value * 1000));
        let lags = late.summary().unwrap();
        assert_eq!((lags.count, lags.max_s), (1000, Seconds(1e-3)));
        assert!((0.5e-3..0.532e-3).contains(&lags.p50_s.0), "{lags:?}");
        assert!((0.99e-3..=1e-3).contains(&lags.p99_s.0), "{lags:?}");
    }

    /// A current-thread runtime as the run has.
    fn watch(work: impl Future<Output = ()>) -> ClientCost {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(watched(work))
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[expect(clippy::disallowed_methods, reason = "the lag is the test's subject")]
    fn a_thread_that_is_held_up_shows_in_the_lag_of_every_moment_that_it_missed() {
        let cost = watch(async {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            std::thread::sleep(std::time::Duration::from_millis(200));
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        });
        let lags = cost.loop_lag.unwrap();
        // 26 moments in 260 ms, of which twenty were missed: half of all were at least 50 ms late.
        assert!(lags.count >= 24, "{lags:?}");
        assert!(lags.max_s.0 > 0.15 && lags.p50_s.0 > 0.05, "{lags:?}");
        assert!(cost.loop_cpu_s <= cost.cpu_s && cost.wall_s.0 >= 0.26);
        assert!(cost.peak_memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    }
}
