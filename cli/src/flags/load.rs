//! When requests leave, and how many: rates, limits, ramps.

use ai_energy_benchmarks::error::Problem;

use super::draft::{Draft, Pattern, Slot};
use super::text::{joined, shown};
use super::{Change, names_of};

/// The keys of the load.
const LOAD: &str = "scenario.load";

/// aiperf measures twice as many requests as are in flight, and no fewer than this, where nobody says how many.
const LEAST_REQUESTS: u64 = 10;

/// The changes that say when requests leave and how many.
pub(super) fn changes(draft: &Draft) -> Result<Vec<Change>, Problem> {
    let mut changes = load(draft)?;
    if let Some(requests) = &draft.requests {
        changes.push(change("scenario.requests", requests.value.to_string(), requests.flag));
    }
    if let Some(duration) = &draft.duration_s {
        changes.push(change("scenario.duration_s", shown(duration.value), duration.flag));
    }
    if draft.complete && draft.requests.is_none() && draft.duration_s.is_none() {
        let in_flight = draft.concurrency.iter().flat_map(|slot| &slot.value).max().copied();
        let requests = LEAST_REQUESTS.max(2 * in_flight.unwrap_or(1));
        changes.push(change("scenario.requests", requests.to_string(), "request-count"));
    }
    Ok(changes)
}

fn load(draft: &Draft) -> Result<Vec<Change>, Problem> {
    let without_rate = draft.rates.is_none()
        && draft.pattern.as_ref().map(|slot| slot.value) != Some(Pattern::Burst);
    if without_rate {
        needs(&draft.pattern, "--request-rate")?;
        needs(&draft.burstiness, "--request-rate")?;
        needs(&draft.rate_ramp_s, "--request-rate")?;
        needs(&draft.ramp_strategy, "--request-rate")?;
    }
    let rates = draft.rates.as_ref();
    let infinite = rates.is_none_or(|slot| slot.value.iter().all(|rate| rate.is_infinite()));
    match (&draft.concurrency, rates) {
        (concurrency, Some(rates)) if !infinite => open(draft, rates, concurrency.as_ref()),
        (Some(concurrency), _) => closed(draft, concurrency),
        (None, Some(Slot { flag, .. })) => all_at_once(draft, flag),
        (None, None) if !without_rate => all_at_once(draft, "arrival-pattern"),
        (None, None) => {
            needs(&draft.concurrency_ramp_s, "--concurrency")?;
            Ok(Vec::new())
        }
    }
}

/// A flag that says nothing without another.
fn needs<T>(slot: &Option<Slot<T>>, other: &str) -> Result<(), Problem> {
    match slot {
        Some(slot) => Err(wrong(slot.flag, format!("it says nothing without {other}"))),
        None => Ok(()),
    }
}

fn wrong(flag: &str, message: impl Into<String>) -> Problem {
    Problem::new(names_of(flag), message)
}

fn change(key: &str, value: String, flag: &str) -> Change {
    Change { key: key.to_owned(), value, flag: names_of(flag), swept: false }
}

fn of_load(key: &str, value: &(impl ToString + ?Sized), flag: &str) -> Change {
    change(&format!("{LOAD}.{key}"), value.to_string(), flag)
}

/// Several values of a key.
fn swept<T: ToString>(key: &str, values: &[T], flag: &str) -> Change {
    Change { swept: values.len() > 1, ..of_load(key, &joined(values), flag) }
}

/// So many in flight.
fn closed(draft: &Draft, concurrency: &Slot<Vec<u64>>) -> Result<Vec<Change>, Problem> {
    for slot in [&draft.rate_ramp_s, &draft.ramp_from, &draft.burstiness] {
        needs(slot, "a rate that is not infinite")?;
    }
    let flag = concurrency.flag;
    let mut changes =
        vec![of_load("type", "concurrency", flag), swept("concurrency", &concurrency.value, flag)];
    if let Some(ramp) = draft.concurrency_ramp_s.as_ref().filter(|ramp| ramp.value > 0.0) {
        changes.extend(ramp_of(1.0, ramp.value, "linear", ramp.flag));
    }
    Ok(changes)
}

fn all_at_once(draft: &Draft, flag: &str) -> Result<Vec<Change>, Problem> {
    for slot in [&draft.concurrency_ramp_s, &draft.rate_ramp_s, &draft.ramp_from] {
        needs(slot, "--concurrency, or a rate that is not infinite")?;
    }
    Ok(vec![of_load("type", "throughput", flag)])
}

/// At times of their own.
fn open(
    draft: &Draft,
    rates: &Slot<Vec<f64>>,
    limit: Option<&Slot<Vec<u64>>>,
) -> Result<Vec<Change>, Problem> {
    if rates.value.iter().any(|rate| rate.is_infinite()) {
        return Err(wrong(rates.flag, "`inf` is another kind of load than a rate")
            .hint("sweep over rates, and run `inf` by itself"));
    }
    needs(&draft.concurrency_ramp_s, "a closed loop: give --request-rate-ramp-duration")?;
    let (kind, burstiness) = kind_of(draft)?;
    let texts: Vec<String> = rates.value.iter().map(|rate| shown(*rate)).collect();
    let mut changes = vec![of_load("type", kind, rates.flag), swept("rate", &texts, rates.flag)];
    if let Some(slot) = burstiness {
        changes.push(of_load("burstiness", &shown(slot.value), slot.flag));
    }
    if let Some(limit) = limit {
        changes.push(swept("max_concurrency", &limit.value, limit.flag));
    }
    if let Some(seed) = draft.seed.as_ref().filter(|_| kind != "constant") {
        changes.push(of_load("seed", &seed.value, seed.flag));
    }
    changes.extend(ramp(draft, rates)?);
    Ok(changes)
}

/// The load's type, and its burstiness where it has one.
fn kind_of(draft: &Draft) -> Result<(&'static str, Option<&Slot<f64>>), Problem> {
    let pattern = draft.pattern.as_ref().map(|slot| slot.value);
    let Some(burstiness) = &draft.burstiness else {
        return match pattern {
            None | Some(Pattern::Poisson) => Ok(("poisson", None)),
            Some(Pattern::Constant) => Ok(("constant", None)),
            Some(Pattern::Gamma) => Err(wrong("arrival-pattern", "gamma needs a shape")
                .hint("--arrival-smoothness: below 1 in bursts, 1 is Poisson, above 1 more even")),
            Some(Pattern::Burst) => {
                Err(wrong("arrival-pattern", "concurrency_burst knows no rate"))
            }
        };
    };
    let one = (burstiness.value - 1.0).abs() < f64::EPSILON;
    match pattern {
        None if one => Ok(("poisson", None)),
        None | Some(Pattern::Constant) if burstiness.value.is_infinite() => Ok(("constant", None)),
        Some(Pattern::Poisson) if one => Ok(("poisson", None)),
        None | Some(Pattern::Gamma) if burstiness.value.is_finite() => {
            Ok(("gamma", Some(burstiness)))
        }
        _ => Err(wrong(burstiness.flag, "--arrival-pattern says otherwise")
            .hint("leave out the pattern, or say gamma")),
    }
}

/// How the rate is reached.
fn ramp(draft: &Draft, rates: &Slot<Vec<f64>>) -> Result<Vec<Change>, Problem> {
    match (&draft.rate_ramp_s, &draft.ramp_strategy) {
        (Some(_), Some(strategy)) => {
            Err(wrong(strategy.flag, "--request-rate-ramp-duration says how the rate is reached"))
        }
        (Some(ramp), None) if ramp.value > 0.0 => Ok(ramp_of(0.0, ramp.value, "linear", ramp.flag)),
        (None, Some(strategy)) => vllm_ramp(draft, strategy, rates),
        (_, None) => {
            needs(&draft.ramp_from, "--ramp-up-strategy")?;
            needs(&draft.ramp_to, "--ramp-up-strategy")?;
            Ok(Vec::new())
        }
    }
}

/// vLLM leads the rate from a to b over all n requests, by the same amount each request: dr/dn = (b - a) / n. As r requests leave
/// in a second, dr/dt = r (b - a) / n: by the same factor each second, for n ln(b / a) / (b - a) seconds.
fn vllm_ramp(
    draft: &Draft,
    strategy: &Slot<String>,
    rates: &Slot<Vec<f64>>,
) -> Result<Vec<Change>, Problem> {
    if strategy.value != "linear" {
        return Err(wrong(strategy.flag, format!("`{}` has no place here", strategy.value)).hint(
            "vLLM's exponential ramp is by the number of requests; scenario.load.ramp is by time",
        ));
    }
    let (Some(from), Some(to)) = (&draft.ramp_from, &draft.ramp_to) else {
        return Err(wrong(strategy.flag, "it needs --ramp-up-start-rps and --ramp-up-end-rps"));
    };
    let Some(requests) = &draft.requests else {
        return Err(wrong(
            strategy.flag,
            "it needs --num-prompts: the ramp is as long as they are",
        ));
    };
    let (a, b) = (from.value, to.value);
    let same = |rate: &f64| (rate - b).abs() <= 1e-9 * b;
    if a <= 0.0 || b <= a {
        return Err(wrong(from.flag, "a ramp begins above 0 and below its end"));
    }
    if !rates.value.iter().all(same) {
        return Err(wrong(rates.flag, "it is not the end of the ramp")
            .hint("give it the value of --ramp-up-end-rps"));
    }
    let seconds = requests.value as f64 * (b / a).ln() / (b - a);
    Ok(ramp_of(a, seconds, "exponential", strategy.flag))
}

fn ramp_of(from: f64, over_s: f64, shape: &str, flag: &str) -> Vec<Change> {
    vec![
        of_load("ramp.from", &shown(from), flag),
        of_load("ramp.over_s", &shown(over_s), flag),
        of_load("ramp.shape", shape, flag),
    ]
}
