//! `trace`: requests arrive at recorded times.

use std::sync::Arc;

use super::{Load, LoadEntry, Step};
use crate::config::component::load::LoadConfig;
use crate::units::Seconds;

/// The line in the list.
pub(super) const ENTRY: LoadEntry = LoadEntry {
    kind: "trace",
    summary: "arrivals of a recorded trace: mooncake, azure, burstgpt or jsonl; with time_scale and max_concurrency",
    open: |config, opening| match config {
        LoadConfig::Trace { max_concurrency, .. } => Some(Box::new(Recorded {
            arrivals: opening.loads.trace(),
            next: 0,
            limit: max_concurrency.map(|limit| limit as usize),
        })),
        _ => None,
    },
    // Of a recording there are no rounds: warm-up sends one request for each round of it.
    round: |_, _, _| 1,
};

/// Requests that arrive as they once did; over after the last.
struct Recorded {
    arrivals: Arc<[Seconds]>,
    next: usize,
    limit: Option<usize>,
}

impl Load for Recorded {
    fn step(&mut self, now: Seconds, in_flight: usize) -> Step {
        let Some(&due) = self.arrivals.get(self.next) else { return Step::Over };
        if due > now {
            return Step::Wait { until: due };
        }
        if self.limit.is_some_and(|limit| in_flight >= limit) {
            return Step::Full { due: Some(due), until: None };
        }
        self.next += 1;
        Step::Leave { due }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::component::load::{PromptsOf, TraceFormat};
    use crate::load::{Draw, Loads};

    fn config(max_concurrency: Option<u32>) -> LoadConfig {
        LoadConfig::Trace {
            file: String::new(),
            format: TraceFormat::Auto,
            time_scale: 1.0,
            limit: None,
            prompts: PromptsOf::Trace,
            max_concurrency,
            seed: 1,
        }
    }

    fn loads(times: &[f64]) -> Loads {
        Loads::default().with_trace(times.iter().copied().map(Seconds).collect())
    }

    #[test]
    fn requests_arrive_at_the_times_of_the_trace_and_the_load_is_over_after_the_last() {
        let loads = loads(&[0.0, 0.5, 0.5, 2.0]);
        let mut load = loads.open(&config(None), Draw::Measure(0)).unwrap();
        assert_eq!(load.step(Seconds(0.0), 0), Step::Leave { due: Seconds(0.0) });
        assert_eq!(load.step(Seconds(0.0), 1), Step::Wait { until: Seconds(0.5) });
        for due in [0.5, 0.5, 2.0] {
            assert_eq!(load.step(Seconds(3.0), 1), Step::Leave { due: Seconds(due) });
        }
        assert_eq!(load.step(Seconds(3.0), 4), Step::Over);
        let before = loads.arrivals_before(&config(None), Draw::Measure(0), Seconds(2.0));
        assert_eq!(before, Some(3));
    }

    #[test]
    fn a_limit_holds_arrivals_back_and_they_keep_their_times() {
        let mut load = loads(&[0.0, 0.1]).open(&config(Some(1)), Draw::Measure(0)).unwrap();
        assert_eq!(load.step(Seconds(1.0), 0), Step::Leave { due: Seconds(0.0) });
        assert_eq!(load.step(Seconds(1.0), 1), Step::Full { due: Some(Seconds(0.1)), until: None });
        assert_eq!(load.step(Seconds(2.0), 0), Step::Leave { due: Seconds(0.1) });
    }

    proptest! {
        #[test]
        fn every_request_leaves_once_in_order_and_never_early(
            mut times in proptest::collection::vec(0.0..50.0_f64, 1..80), pace in 0.01..5.0_f64
        ) {
            times.sort_by(f64::total_cmp);
            let mut load = loads(&times).open(&config(None), Draw::Measure(0)).unwrap();
            let (mut now, mut left) = (0.0, Vec::new());
            loop {
                match load.step(Seconds(now), left.len()) {
                    Step::Leave { due } => {
                        prop_assert!(due.0 <= now);
                        left.push(due.0);
                    }
                    Step::Wait { until } => {
                        prop_assert!(until.0 > now);
                        now = until.0.max(now + pace);
                    }
                    Step::Over => break,
                    Step::Full { .. } => prop_assert!(false, "there is no limit"),
                }
            }
            prop_assert_eq!(left, times);
        }
    }
}
