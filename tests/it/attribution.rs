//! Energy of requests on a server whose every joule is known.

use std::collections::BTreeMap;

use ai_energy_benchmarks::analysis::analyse;
use ai_energy_benchmarks::analysis::attribute::{self, AttributionFindings, Timing, WeightSource};
use ai_energy_benchmarks::record::{Component, Event, EventRecord, Phase, RunRecords};
use ai_energy_benchmarks::units::{Nanos, Seconds};
use ai_energy_benchmarks_testkit::batching::{BatchingServer, Prompt, Simulation, moment};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::json;

use crate::report_runs;

mod seeds;

pub(crate) const BEGIN: Nanos = Nanos(1_000_000_000_000);
/// Idle before the first prompt and after the last token, s.
const IDLE_S: f64 = 5.0;

/// The records of a run on a GPU whose counter is renewed every 100 ms and read every 50 ms.
pub(crate) fn records(simulation: &Simulation, with_server_timings: bool) -> RunRecords {
    let mut manifest = report_runs::manifest();
    manifest.sensors.truncate(1);
    manifest.sensors[0].sample_period_s = Seconds(0.05);
    for scope in &mut manifest.scope {
        scope.counted = scope.component == Component::Gpu;
    }
    let last = simulation.served.iter().map(|one| one.end).fold(0.0, f64::max);
    let mut events = Vec::new();
    for (phase, from, to) in [
        (Phase::IdleBefore, -IDLE_S, -0.2),
        (Phase::Measure, -0.1, last + 0.1),
        (Phase::IdleAfter, last + 0.2, last + IDLE_S),
    ] {
        events.push(EventRecord {
            at_ns: moment(BEGIN, from),
            event: Event::PhaseBegin { phase, repetition: None },
        });
        events.push(EventRecord {
            at_ns: moment(BEGIN, to),
            event: Event::PhaseEnd { phase, repetition: None },
        });
    }
    events.push(EventRecord { at_ns: moment(BEGIN, last + IDLE_S), event: Event::Finished });
    manifest.planned_requests = simulation.served.len() as u64;
    let span = (-IDLE_S - 0.33, last + IDLE_S + 0.3);
    RunRecords {
        manifest,
        requests: simulation.requests(BEGIN, with_server_timings),
        samples: simulation.counter_read_late(BEGIN, span, 0.1, (0.05, 0.3)),
        events,
        references: Vec::new(),
        torn_lines: BTreeMap::new(),
    }
}

/// Prompts of many lengths.
fn prompts(seed: u64, count: usize, prompt: (usize, usize), output: (usize, usize)) -> Vec<Prompt> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut at_s = 0.0;
    (0..count)
        .map(|_| {
            at_s += random.random_range(0.0..0.12);
            Prompt {
                at_s,
                prompt: random.random_range(prompt.0..=prompt.1),
                cached: 0,
                output: random.random_range(output.0..=output.1),
                deadline_s: None,
            }
        })
        .collect()
}

/// How far a split is from the truth.
struct Errors {
    /// Relative error of each request's energy, sorted.
    requests: Vec<f64>,
    /// Relative error of the prefill's share.
    prefill_share: f64,
    /// Share of requests whose truth lies within two stated uncertainties.
    covered: f64,
}

fn errors(found: &AttributionFindings, simulation: &Simulation) -> Errors {
    let good = || {
        found
            .requests
            .iter()
            .zip(&simulation.served)
            .filter(|(row, served)| row.ok && !served.failed)
    };
    let mut requests: Vec<f64> = good()
        .map(|(row, served)| (row.total_j() / (served.prefill_j + served.decode_j) - 1.0).abs())
        .collect();
    requests.sort_by(f64::total_cmp);
    let covered = good()
        .filter(|(row, served)| {
            (row.total_j() - served.prefill_j - served.decode_j).abs() <= 2.0 * row.uncertainty_j
        })
        .count();
    let prefill: f64 = good().map(|(_, served)| served.prefill_j).sum();
    let decode: f64 = good().map(|(_, served)| served.decode_j).sum();
    let truth = prefill / (prefill + decode);
    Errors {
        covered: covered as f64 / requests.len() as f64,
        prefill_share: (found.prefill_share.value.unwrap() / truth - 1.0).abs(),
        requests,
    }
}

impl std::fmt::Debug for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let middle = self.requests.len() / 2;
        write!(
            f,
            "worst request {:.4}, median {:.4}, prefill share {:.4}, covered {:.3}",
            self.worst(),
            self.requests[middle],
            self.prefill_share,
            self.covered
        )
    }
}

impl Errors {
    fn worst(&self) -> f64 {
        self.requests.last().copied().unwrap_or(0.0)
    }
}

#[track_caller]
fn sums_up(found: &AttributionFindings) {
    let value = |figure: &ai_energy_benchmarks::analysis::Figure| figure.value.unwrap();
    let total = value(&found.total);
    let parts = [&found.prefill, &found.decode, &found.failed, &found.warmup, &found.unattributed];
    let sum: f64 = parts.into_iter().map(value).sum::<f64>() + found.idle.value.unwrap_or(0.0);
    assert!((sum - total).abs() <= 1e-9 * total, "{sum} is not {total}");
    let rows: f64 = found.requests.iter().map(attribute::RequestEnergy::total_j).sum();
    let rows = rows + found.idle.value.unwrap_or(0.0) + value(&found.unattributed);
    assert!((rows - total).abs() <= 1e-9 * total, "{rows} is not {total}");
}

/// A cell that only prefills, and two that hardly do anything but decode.
fn pure_cells(server: &BatchingServer) -> [RunRecords; 3] {
    [
        server.closed_loop(&prompts(1, 400, (100, 1500), (1, 1)), 8),
        server.closed_loop(&prompts(2, 60, (8, 16), (150, 250)), 4),
        server.closed_loop(&prompts(3, 150, (8, 16), (200, 900)), 16),
    ]
    .map(|cell| records(&cell, false))
}

/// A config with weights fitted on pure cells of a server whose steps are of a known size.
fn fitted_on_pure_cells(server: &BatchingServer) -> serde_json::Value {
    let chunk = server.max_batched_tokens as f64;
    let fitted = attribute::fit_runs(&pure_cells(server), Some(chunk)).unwrap().fitted;
    json!({"metrics": {"attribution": {"weights": fitted.weights}}})
}

#[test]
fn the_size_of_a_step_is_told_by_pure_cells_where_it_is_not_known() {
    let server = BatchingServer::LIKE_AN_H100;
    let found = attribute::fit_runs(&pure_cells(&server), None).unwrap();
    let prefill = found.fitted.weights.prefill;
    assert!((prefill / server.prefill_j - 1.0).abs() < 0.12, "{found:?}");
    let step = found.fitted.weights.step;
    assert!((step / server.step_j - 1.0).abs() < 0.05, "{found:?}");
}

/// Twice as many in flight as run at once, prompts of up to four chunks.
pub(crate) fn mixed() -> Simulation {
    BatchingServer::LIKE_AN_H100.closed_loop(&prompts(7, 300, (64, 2000), (16, 300)), 32)
}

#[test]
fn weights_of_pure_cells_predict_mixed_runs_with_queueing_and_chunks() {
    let config = fitted_on_pure_cells(&BatchingServer::LIKE_AN_H100);
    let mixed = mixed();
    for (with_server_timings, timing) in [(false, Timing::Estimated), (true, Timing::ServerTimings)]
    {
        let mut records = records(&mixed, with_server_timings);
        records.manifest.config = config.clone();
        let found = analyse(&records).attribution;
        let errors = errors(&found, &mixed);
        sums_up(&found);
        assert_eq!(found.weights.unwrap().source, WeightSource::Given);
        assert!(errors.worst() <= 0.10, "{errors:?}");
        assert!(errors.prefill_share <= 0.05, "{errors:?}");
        assert!(found.requests.iter().all(|row| row.timing == timing));
        let said = found.prefill.note.unwrap();
        assert_eq!(said.contains("estimated"), !with_server_timings, "{said}");
    }
}

#[test]
fn a_run_whose_mix_varies_tells_its_own_weights() {
    let server = BatchingServer::LIKE_AN_H100;
    let run = server.open_loop(&prompts(11, 500, (64, 2000), (16, 300)));
    let found = analyse(&records(&run, false)).attribution;
    let errors = errors(&found, &run);
    sums_up(&found);
    assert_eq!(found.weights.as_ref().unwrap().source, WeightSource::Fitted);
    assert!(errors.worst() <= 0.10, "{errors:?}");
    assert!(errors.prefill_share <= 0.05, "{errors:?}");
    assert!(errors.covered >= 0.9, "{errors:?}");
}

#[test]
fn equal_requests_one_after_the_other_have_their_energy_whatever_the_weights() {
    let prompt = Prompt { at_s: 0.0, prompt: 512, cached: 0, output: 64, deadline_s: None };
    let run = BatchingServer::LIKE_AN_H100.closed_loop(&[prompt; 60], 1);
    let found = analyse(&records(&run, false)).attribution;
    sums_up(&found);
    let weights = found.weights.unwrap();
    // Whether the counter's steps tell prefill from decode here is on the brink; where not, it is said.
    assert!(weights.source == WeightSource::Fitted || weights.note.contains("not fitted"));
    let truth = run.served[30].prefill_j + run.served[30].decode_j;
    for row in &found.requests[5..55] {
        assert!((row.total_j() / truth - 1.0).abs() < 0.10, "{} is not {truth}", row.total_j());
    }
    let truth = run.served[30].prefill_j / truth;
    let share = found.prefill_share.value.unwrap();
    assert!((share / truth - 1.0).abs() <= 0.05, "{share} is not {truth}");
}

#[test]
fn cached_prompt_tokens_cost_next_to_nothing() {
    let mut all = prompts(5, 300, (600, 1200), (16, 300));
    for (number, prompt) in all.iter_mut().enumerate() {
        if number % 2 == 0 {
            prompt.cached = prompt.prompt - 32;
        }
    }
    let run = BatchingServer::LIKE_AN_H100.closed_loop(&all, 12);
    let mut records = records(&run, false);
    records.manifest.config = fitted_on_pure_cells(&BatchingServer::LIKE_AN_H100);
    let found = analyse(&records).attribution;
    let errors = errors(&found, &run);
    sums_up(&found);
    assert!(errors.worst() <= 0.10 && errors.prefill_share <= 0.05, "{errors:?}");
    let prefill = |parity: usize| -> f64 {
        found.requests.iter().skip(parity).step_by(2).map(|row| row.prefill_j).sum()
    };
    assert!(prefill(0) < 0.2 * prefill(1), "{} {}", prefill(0), prefill(1));
}

#[test]
fn failed_requests_have_their_energy_apart() {
    let mut all = prompts(9, 300, (64, 1500), (16, 300));
    for prompt in all.iter_mut().step_by(5) {
        prompt.deadline_s = Some(2.5);
    }
    let run = BatchingServer::LIKE_AN_H100.closed_loop(&all, 24);
    let truth: f64 =
        run.served.iter().filter(|one| one.failed).map(|one| one.prefill_j + one.decode_j).sum();
    assert!(truth > 0.0);
    let findings = analyse(&records(&run, false));
    let found = &findings.attribution;
    sums_up(found);
    let failed = found.failed.value.unwrap();
    let doubt = found.failed.uncertainty.as_ref().unwrap().random;
    assert!(
        (failed - truth).abs() <= (2.0 * doubt).max(0.1 * truth),
        "{failed} ± {doubt}: {truth}"
    );
    let rows: f64 =
        found.requests.iter().filter(|row| !row.ok).map(attribute::RequestEnergy::total_j).sum();
    assert!((rows - failed).abs() < 1e-9 * found.total.value.unwrap());
    assert!(found.failed_share.value.unwrap() > 0.0);
}

#[test]
fn an_answer_in_one_piece_is_split_by_the_servers_timings_or_by_a_guess() {
    let mixed = mixed();
    for with_server_timings in [true, false] {
        let mut run = records(&mixed, with_server_timings);
        for request in &mut run.requests {
            request.first_token_ns = request.last_token_ns;
            let done = request.last_token_ns.unwrap().0 - request.sent_ns.0;
            request.event_offsets_ns = vec![done];
        }
        let found = analyse(&run).attribution;
        let errors = errors(&found, &mixed);
        let weights = found.weights.clone().unwrap();
        sums_up(&found);
        assert_eq!(weights.source, WeightSource::Assumed);
        assert!(weights.note.contains("one piece"), "{}", weights.note);
        if with_server_timings {
            assert!(errors.prefill_share <= 0.10, "{errors:?}");
        }
    }
}

#[test]
fn without_an_idle_phase_the_whole_is_split_and_the_idle_part_is_not_zero_but_unknown() {
    let mut run = records(&mixed(), false);
    run.events.retain(|record| {
        !matches!(
            record.event,
            Event::PhaseBegin { phase: Phase::IdleBefore | Phase::IdleAfter, .. }
                | Event::PhaseEnd { phase: Phase::IdleBefore | Phase::IdleAfter, .. }
        )
    });
    let found = analyse(&run).attribution;
    sums_up(&found);
    assert!(found.idle.value.is_none() && found.idle_share.value.is_none());
    assert!(found.idle.reason.unwrap().contains("no idle phase"));
    assert!(found.requests.iter().all(|row| row.idle_j.is_none()));
}

#[test]
fn without_prompt_tokens_nothing_is_split_and_it_is_said() {
    let mut run = records(&mixed(), false);
    for request in &mut run.requests {
        request.tokens.prompt = None;
    }
    let found = analyse(&run).attribution;
    assert!(found.prefill.reason.unwrap().contains("prompt tokens"));
    assert!(found.requests.is_empty() && found.weights.is_none());
}

#[test]
fn a_requests_idle_part_is_its_share_of_the_time_in_flight() {
    let mixed = mixed();
    let found = analyse(&records(&mixed, false)).attribution;
    let sum: f64 = found.requests.iter().map(|row| row.idle_j.unwrap()).sum();
    let idle = found.idle.value.unwrap();
    // Somebody was in flight all the time.
    assert!((sum - idle).abs() < 1e-6 * idle, "{sum} {idle}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_server_the_parts_sum_to_the_whole(
        seed in 0_u64..1000,
        count in 1_usize..80,
        in_flight in 1_usize..40,
        seats in 1_usize..24,
        chunk in 64_usize..4096,
        step_j in 0.0..5.0_f64,
        prefill_j in 0.0..0.1_f64,
        decode_j in 0.0..1.0_f64,
        idle_w in 0.0..300.0_f64,
        deadline in prop::option::of(0.1..3.0_f64),
        timings in any::<bool>(),
    ) {
        let server = BatchingServer {
            max_num_seqs: seats,
            max_batched_tokens: chunk,
            step_j,
            prefill_j,
            decode_j,
            idle_w,
            ..BatchingServer::LIKE_AN_H100
        };
        let mut all = prompts(seed, count, (1, 2000), (1, 200));
        for prompt in all.iter_mut().step_by(3) {
            prompt.deadline_s = deadline;
        }
        let run = server.closed_loop(&all, in_flight);
        let found = analyse(&records(&run, timings)).attribution;
        if found.weights.is_some() {
            sums_up(&found);
            prop_assert!(found.requests.iter().all(|row| row.uncertainty_j.is_finite()));
        } else {
            prop_assert!(found.total.reason.is_some());
        }
    }
}
