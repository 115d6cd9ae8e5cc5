//! Servers, loads and sensors of many kinds, drawn by seeds.

use super::*;

const REQUESTS: usize = 100;
/// A share of less than this is told by its doubt.
const TINY_SHARE: f64 = 0.03;

#[derive(Debug, Clone, Copy)]
enum Arrival {
    Closed(usize),
    Poisson(f64),
    Bursts(usize, f64),
}

#[derive(Debug, Clone, Copy)]
struct Scenario {
    server: BatchingServer,
    arrival: Arrival,
    prompt: (usize, usize),
    output: (usize, usize),
    cached: f64,
    deadline: Option<f64>,
    timings: bool,
    phase: f64,
}

fn scenario(seed: u64) -> Scenario {
    let mut r = Xoshiro256PlusPlus::seed_from_u64(seed);
    let pick = |r: &mut Xoshiro256PlusPlus, n: usize| r.random_range(0..n);
    let server = BatchingServer {
        max_num_seqs: [4, 8, 16, 32][pick(&mut r, 4)],
        max_batched_tokens: [128, 512, 2048, 8192][pick(&mut r, 4)],
        step_s: r.random_range(0.004..0.02),
        prefill_s: r.random_range(0.00001..0.00008),
        decode_s: r.random_range(0.0001..0.0004),
        step_j: r.random_range(0.5..4.0),
        prefill_j: r.random_range(0.004..0.03),
        decode_j: r.random_range(0.01..0.1),
        context_j: r.random_range(0.0..0.00006),
        idle_w: r.random_range(30.0..150.0),
    };
    let arrival = match pick(&mut r, 4) {
        0 => Arrival::Closed(1),
        1 => Arrival::Closed(r.random_range(2..40)),
        2 => Arrival::Poisson(r.random_range(0.5..12.0)),
        _ => Arrival::Bursts(r.random_range(2..30), r.random_range(0.5..6.0)),
    };
    Scenario {
        server,
        arrival,
        prompt: [(8, 64), (64, 512), (64, 2000), (1000, 6000), (512, 512)][pick(&mut r, 5)],
        output: [(1, 8), (16, 64), (16, 300), (200, 600), (64, 64)][pick(&mut r, 5)],
        cached: [0.0, 0.0, 0.5, 0.95][pick(&mut r, 4)],
        deadline: [None, None, Some(2.5)][pick(&mut r, 3)],
        timings: pick(&mut r, 2) == 0,
        phase: r.random_range(0.0..0.1),
    }
}

fn run_of(s: &Scenario, seed: u64) -> Simulation {
    let mut r = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x55);
    let mut at = 0.0;
    let prompts: Vec<Prompt> = (0..REQUESTS)
        .map(|n| {
            match s.arrival {
                Arrival::Closed(_) => {}
                Arrival::Poisson(rate) => {
                    if n > 0 {
                        at += -f64::ln(r.random_range(1e-9..1.0)) / rate;
                    }
                }
                Arrival::Bursts(size, gap) => {
                    if n > 0 && n % size == 0 {
                        at += gap;
                    }
                }
            }
            let prompt = r.random_range(s.prompt.0..=s.prompt.1);
            Prompt {
                at_s: at,
                prompt,
                cached: if n % 2 == 0 { (s.cached * prompt as f64) as usize } else { 0 },
                output: r.random_range(s.output.0..=s.output.1),
                deadline_s: s.deadline.filter(|_| n % 5 == 0),
            }
        })
        .collect();
    match s.arrival {
        Arrival::Closed(k) => s.server.closed_loop(&prompts, k),
        _ => s.server.open_loop(&prompts),
    }
}

/// Weights of short pure cells with the size of a step.
fn weights_of(server: &BatchingServer) -> serde_json::Value {
    let chunk = server.max_batched_tokens as f64;
    let cells = [
        server.closed_loop(&prompts(1, 150, (100, 1500), (1, 1)), 8),
        server.closed_loop(&prompts(2, 30, (8, 16), (150, 250)), 4),
        server.closed_loop(&prompts(3, 60, (8, 16), (200, 900)), 16),
    ]
    .map(|cell| records(&cell, false));
    let fitted = attribute::fit_runs(&cells, Some(chunk)).unwrap().fitted;
    json!({"metrics": {"attribution": {"weights": fitted.weights, "max_batched_tokens": chunk}}})
}

/// What is wrong with the split of one; `late`: by how much of their period reads come late.
fn faults(seed: u64, late: f64) -> Vec<String> {
    let scenario = scenario(seed);
    let run = run_of(&scenario, seed);
    let mut records = records(&run, scenario.timings);
    let last = run.served.iter().map(|one| one.end).fold(0.0, f64::max);
    let span = (-IDLE_S - 0.33 - scenario.phase, last + IDLE_S + 0.3);
    records.samples = run.counter_read_late(BEGIN, span, 0.1, (0.05, late));
    records.manifest.config = weights_of(&scenario.server);
    let found = analyse(&records).attribution;
    sums_up(&found);
    let mut faults = Vec::new();
    for (row, served) in found.requests.iter().zip(&run.served).filter(|(row, _)| row.ok) {
        let truth = served.prefill_j + served.decode_j;
        let error = (row.total_j() - truth).abs();
        let allowed = if row.is_resolved() {
            0.1 * truth
        } else {
            (3.0 * row.uncertainty_j).max(0.1 * truth)
        };
        if error > allowed {
            faults.push(format!(
                "seed {seed}: request {} is {:.3} J ± {:.3}, not {truth:.3} J",
                row.index,
                row.total_j(),
                row.uncertainty_j
            ));
        }
    }
    let good = || run.served.iter().filter(|one| !one.failed);
    let prefill: f64 = good().map(|one| one.prefill_j).sum();
    let truth = prefill / good().map(|one| one.prefill_j + one.decode_j).sum::<f64>();
    let share = found.prefill_share;
    let doubt = share.uncertainty.unwrap().random;
    let error = (share.value.unwrap() - truth).abs();
    let tiny = if truth < TINY_SHARE { 3.0 * doubt } else { 0.0 };
    if error > tiny.max(0.05 * truth) {
        let value = share.value.unwrap();
        faults.push(format!("seed {seed}: prefill's share is {value} ± {doubt}, not {truth}"));
    }
    faults
}

#[track_caller]
fn none_is_wrong(seeds: std::ops::Range<u64>, late: f64) {
    let faults: Vec<String> = seeds.flat_map(|seed| faults(seed, late)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn requests_are_told_to_a_tenth_or_said_to_be_unresolved_whatever_the_server() {
    none_is_wrong(100..114, 0.0);
}

#[test]
fn requests_are_told_to_a_tenth_or_said_to_be_unresolved_where_reads_come_late() {
    none_is_wrong(114..128, 0.2);
}
