//! Checks what types alone cannot: ranges, combinations, parts that are not built yet.

use super::BenchmarkConfig;
use super::component::BoolOrText;
use super::component::attribution::AttributionWeights;
use super::component::backend::{Api, BackendConfig, CandleConfig, PytorchConfig, VllmConfig};
use super::component::load::LoadConfig;
use super::component::metrics::{KIND_CODECARBON, KIND_ENERGY, MetricsConfig};
use super::component::protocol::{Repetitions, SteadyLimits, SteadyState, WarmupMode};
use super::component::reference::{ReferenceConfig, ReferenceScope};
use super::component::reporter::EXPORTS;
use super::component::scenario::{GenerateKwargs, InputShapes, RANDOM_TOKENS, ScenarioConfig};
use crate::error::{Problem, Problems, nearest};

/// Longest generated prompt in tokens: beyond every model's context, and 16 MiB of ids.
const LONGEST_SEQUENCE: u32 = 4_194_304;

/// Fewest repetitions from which a spread may decide how many it takes.
pub(super) const LEAST_ADAPTIVE: u32 = 5;

/// Everything that is wrong with a config in itself; datasets, servers and devices are not looked at.
#[must_use]
pub fn check(config: &BenchmarkConfig) -> Problems {
    let mut found = Found::default();
    if config.name.trim().is_empty() {
        found.say("name", "is empty", "give the benchmark a name; the run folder carries it");
    }
    match &config.backend {
        BackendConfig::Candle(candle) => found.candle(candle),
        BackendConfig::Vllm(vllm) => found.vllm(vllm),
        BackendConfig::Pytorch(pytorch) => found.pytorch(pytorch),
    }
    found.scenario(&config.scenario);
    found.0.0.extend(super::check_conversation::check(config).0);
    found.random(config);
    found.metrics(&config.metrics);
    found.0.0.extend(super::meters::check(&config.meter).0);
    found.one_of("reporter.type", &config.reporter.kind, &["csv", "json"]);
    for export in &config.reporter.exports {
        found.one_of("reporter.exports", export, &EXPORTS);
    }
    found.0
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Found(pub(super) Problems);

impl Found {
    pub(super) fn say(&mut self, place: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Problem::new(place, message).hint(hint));
    }

    fn one_of(&mut self, place: &str, value: &str, allowed: &[&str]) {
        if !allowed.contains(&value) {
            let hint = match nearest(value, allowed.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("one of: {}", allowed.join(", ")),
            };
            self.say(place, format!("{value:?} is not known"), hint);
        }
    }

    pub(super) fn at_least(&mut self, place: &str, value: f64, least: f64) {
        if !(value.is_finite() && value >= least) {
            self.say(place, format!("{value} is out of range"), format!("{least} or more"));
        }
    }

    fn model(&mut self, model: &str) {
        if model.trim().is_empty() {
            self.say("backend.model", "is missing", "name the model");
        }
    }

    fn task(&mut self, task: Option<&str>) {
        if let Some(task) = task.filter(|task| *task != "text-generation") {
            self.say(
                "backend.task",
                format!("{task:?} is not built yet"),
                "only text-generation runs; leave the key out",
            );
        }
    }

    fn candle(&mut self, config: &CandleConfig) {
        self.model(&config.model);
        self.task(config.task.as_deref());
        if let Some(device) = config.device.as_deref().filter(|device| *device != "cpu") {
            self.say(
                "backend.device",
                format!("the candle backend runs on the CPU, not on {device:?}"),
                "set device to cpu, or use backend.type vllm for a GPU",
            );
        }
        if let Some(dtype) = &config.torch_dtype {
            let known = ["auto", "float32", "bfloat16", "float16"];
            self.one_of("backend.torch_dtype", dtype, &known);
        }
        if config.threads == Some(0) {
            self.say("backend.threads", "0 threads cannot work", "1 or more, or leave it out");
        }
    }

    fn vllm(&mut self, config: &VllmConfig) {
        self.model(&config.model);
        self.task(config.task.as_deref());
        self.at_least("backend.connect_timeout_s", config.connect_timeout_s, 0.001);
    }

    fn pytorch(&mut self, config: &PytorchConfig) {
        self.model(&config.model);
        self.say(
            "backend.type",
            "the pytorch backend is not built yet",
            "use vllm (any OpenAI-compatible server) or candle (in this process, CPU)",
        );
    }

    fn scenario(&mut self, scenario: &ScenarioConfig) {
        self.reasoning(scenario);
        if let Some(shapes) = &scenario.input_shapes {
            self.shapes(scenario, shapes);
        }
        if let Some(count) = scenario.num_samples.filter(|count| *count == 0 || *count < -1) {
            self.say(
                "scenario.num_samples",
                format!("{count} prompts cannot be measured"),
                "1 or more, or -1 for all",
            );
        }
        self.generate(&scenario.generate_kwargs);
        self.0.0.extend(super::check_load::check(scenario).0);
        self.0.0.extend(super::check_workload::check(scenario).0);
        self.repetitions(scenario.repetitions);
        self.warmup(scenario);
        for (key, time) in
            [("phase_shift_s", scenario.phase_shift_s), ("idle_bare_s", scenario.idle_bare_s)]
        {
            if let Some(time) = time {
                self.at_least(&format!("scenario.{key}"), time, 0.0);
            }
        }
        self.at_least("scenario.idle_s", scenario.idle_s, 0.0);
        self.at_least("scenario.request_timeout_s", scenario.request_timeout_s, 0.001);
        self.at_least("scenario.retry_backoff_s", scenario.retry_backoff_s, 0.0);
    }

    fn reasoning(&mut self, scenario: &ScenarioConfig) {
        let wanted = scenario.reasoning.is_on()
            || scenario.reasoning_params.as_ref().is_some_and(|params| !params.is_empty());
        if wanted {
            self.say(
                "scenario.reasoning",
                "reasoning formats are not built yet",
                "set reasoning to false and leave reasoning_params out; \
                 fields for a server's own JSON go into backend.extra_body",
            );
        }
    }

    fn shapes(&mut self, scenario: &ScenarioConfig, shapes: &InputShapes) {
        let place = |key: &str| format!("scenario.input_shapes.{key}");
        match (shapes.batch_size, &scenario.load) {
            (Some(0), _) => self.say(&place("batch_size"), "0 prompts are no batch", "1 or more"),
            (Some(size @ 2..), LoadConfig::Concurrency { concurrency, .. })
                if size != *concurrency =>
            {
                self.say(
                    &place("batch_size"),
                    format!("a batch of {size} contradicts {concurrency} requests in flight"),
                    "set one of batch_size and scenario.load.concurrency",
                );
            }
            (Some(2..), LoadConfig::Sequential | LoadConfig::Concurrency { .. }) => {}
            (Some(2..), load) => self.say(
                &place("batch_size"),
                format!(
                    "a batch is so many requests in flight, which a {} load does not keep",
                    load.kind()
                ),
                "leave it out, or set scenario.load.type to concurrency",
            ),
            _ => {}
        }
        if shapes.vocab_size == Some(0) {
            self.say(&place("vocab_size"), "0 token ids leave nothing to draw", "1 or more");
        }
        match (shapes.sequence_length, scenario.is_random()) {
            (Some(1..=LONGEST_SEQUENCE), true) | (None, false) => {}
            (Some(length), true) => self.say(
                &place("sequence_length"),
                format!("{length} tokens are out of range"),
                format!("1 to {LONGEST_SEQUENCE}"),
            ),
            // Said with the dataset's name.
            (None, true) => {}
            (Some(_), false) => self.say(
                &place("sequence_length"),
                "has no effect: only generated prompts have a length that can be chosen",
                format!("leave it out, or set scenario.dataset_name to {RANDOM_TOKENS}"),
            ),
        }
    }

    /// Random token ids: how many, and whether the backend takes them.
    fn random(&mut self, config: &BenchmarkConfig) {
        let scenario = &config.scenario;
        if !scenario.is_random() {
            return;
        }
        let shapes = scenario.input_shapes.as_ref();
        if shapes.and_then(|shapes| shapes.sequence_length).is_none() {
            self.say(
                "scenario.input_shapes.sequence_length",
                "is missing",
                format!("{RANDOM_TOKENS} needs it: tokens a prompt, for example 64"),
            );
        }
        let chat = match &config.backend {
            BackendConfig::Vllm(vllm) => vllm.api == Api::Chat,
            BackendConfig::Candle(candle) => candle.api == Some(Api::Chat),
            BackendConfig::Pytorch(_) => false,
        };
        if chat {
            self.say(
                "backend.api",
                format!("the chat API takes messages, not the token ids of {RANDOM_TOKENS}"),
                "set backend.api to completions",
            );
        }
    }

    fn repetitions(&mut self, repetitions: Repetitions) {
        let place = |key: &str| format!("scenario.repetitions.{key}");
        let adaptive = match repetitions {
            Repetitions::Fixed(0) => {
                self.say("scenario.repetitions", "0 repetitions measure nothing", "1 or more");
                return;
            }
            Repetitions::Fixed(_) => return,
            Repetitions::Adaptive(adaptive) => adaptive,
        };
        let target = adaptive.target_relative_ci;
        if !(target > 0.0 && target < 1.0) {
            let hint = "above 0 and below 1: 0.01 for plus or minus 1 %";
            self.say(&place("target_relative_ci"), format!("{target} is out of range"), hint);
        }
        if adaptive.min < LEAST_ADAPTIVE {
            self.say(
                &place("min"),
                format!("{} repetitions say too little of their spread", adaptive.min),
                format!("{LEAST_ADAPTIVE} or more"),
            );
        }
        if adaptive.max < adaptive.min {
            let message = format!("{} is less than min ({})", adaptive.max, adaptive.min);
            self.say(&place("max"), message, "at least min");
        }
    }

    fn warmup(&mut self, scenario: &ScenarioConfig) {
        let limits = scenario.steady_limits;
        let place = |key: &str| format!("scenario.steady_limits.{key}");
        if scenario.warmup == WarmupMode::Fixed {
            if limits != SteadyLimits::default() {
                let message = "has no effect: warm-up ends after its rounds";
                let hint = "set scenario.warmup to until_steady, or leave it out";
                self.say("scenario.steady_limits", message, hint);
            }
            return;
        }
        self.at_least(&place("window_s"), limits.window_s, 3.0);
        for (key, limit) in [
            ("power", limits.power),
            ("throughput", limits.throughput),
            ("temperature_k", limits.temperature_k),
        ] {
            if !(limit.is_finite() && limit > 0.0) {
                self.say(&place(key), format!("{limit} is out of range"), "above 0");
            }
        }
        self.at_least(&place("cap_s"), limits.cap_s, limits.window_s);
    }

    fn generate(&mut self, kwargs: &GenerateKwargs) {
        let place = |key: &str| format!("scenario.generate_kwargs.{key}");
        if kwargs.max_new_tokens == 0 {
            self.say(&place("max_new_tokens"), "0 tokens cannot be measured", "1 or more");
        }
        if let Some(least) = kwargs.min_new_tokens.filter(|least| *least > kwargs.max_new_tokens) {
            self.say(
                &place("min_new_tokens"),
                format!("{least} is more than max_new_tokens ({})", kwargs.max_new_tokens),
                "equal numbers fix the length",
            );
        }
        if let Some(temperature) = kwargs.temperature {
            self.at_least(&place("temperature"), temperature, 0.0);
        }
        if let Some(share) = kwargs.top_p.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            self.say(&place("top_p"), format!("{share} is out of range"), "above 0, up to 1");
        }
        if kwargs.top_k == Some(0) {
            self.say(&place("top_k"), "0 tokens leave nothing to choose from", "1 or more");
        }
    }

    fn metrics(&mut self, metrics: &MetricsConfig) {
        let given = metrics.baseline_power_w;
        for (part, watts) in [("gpu", given.gpu), ("cpu", given.cpu), ("ram", given.ram)] {
            if let Some(watts) = watts {
                self.at_least(&format!("metrics.baseline_power_w.{part}"), watts, 0.0);
            }
        }
        match metrics.max_num_seqs {
            Some(0) => self.say("metrics.max_num_seqs", "0 requests are no batch", "1 or more"),
            Some(_) if metrics.steady_state != SteadyState::MlEnergy => self.say(
                "metrics.max_num_seqs",
                "has no effect: only ML.ENERGY's steady state asks for it",
                "set metrics.steady_state to ml_energy, or leave it out",
            ),
            _ => {}
        }
        self.one_of("metrics.type", &metrics.kind, &[KIND_CODECARBON, KIND_ENERGY]);
        self.at_least("metrics.sample_period_s", metrics.sample_period_s, 0.01);
        for (key, value) in [
            ("metrics.cpu_tdp_w", metrics.cpu_tdp_w),
            ("metrics.cpu_power_w", metrics.cpu_power_w),
            ("metrics.ram_power_w", metrics.ram_power_w),
        ] {
            if let Some(watts) = value {
                self.at_least(key, watts, 0.0);
            }
        }
        for (key, limit) in metrics.slo.all() {
            if let Some(limit) = limit.filter(|limit| !(limit.is_finite() && *limit > 0.0)) {
                let place = format!("metrics.slo.{key}");
                self.say(&place, format!("{limit} is out of range"), "above 0");
            }
        }
        if let Some(weights) = &metrics.attribution.weights {
            self.weights(weights);
        }
        if let Some(reference) = &metrics.reference {
            self.reference(reference);
        }
    }

    fn weights(&mut self, weights: &AttributionWeights) {
        let place = |key: &str| format!("metrics.attribution.weights.{key}");
        let all = [
            ("prefill", Some(weights.prefill)),
            ("cached_prompt", weights.cached_prompt),
            ("decode", Some(weights.decode)),
            ("context", Some(weights.context)),
            ("step", Some(weights.step)),
        ];
        for (key, value) in all {
            if let Some(value) = value {
                self.at_least(&place(key), value, 0.0);
            }
        }
        if weights.prefill <= 0.0 || weights.decode + weights.context + weights.step <= 0.0 {
            self.say(
                "metrics.attribution.weights",
                "prefill or decode weighs nothing: all energy would go to the other",
                "prefill above 0, and one of decode, context and step",
            );
        }
    }

    fn reference(&mut self, reference: &ReferenceConfig) {
        let place = |key: &str| format!("metrics.reference.{key}");
        if reference.file.trim().is_empty() {
            self.say(&place("file"), "is missing", "the file with the external meter's readings");
        }
        self.at_least(&place("max_offset_s"), reference.max_offset_s, 0.0);
        for (key, value) in [
            ("accuracy_percent", reference.accuracy_percent),
            ("clock_bound_s", reference.clock_bound_s),
            ("conversion_uncertainty", reference.conversion_uncertainty),
        ] {
            if let Some(value) = value {
                self.at_least(&place(key), value, 0.0);
            }
        }
        if let Some(hours) =
            reference.utc_offset_hours.filter(|hours| hours.is_nan() || hours.abs() > 14.0)
        {
            self.say(&place("utc_offset_hours"), format!("{hours} is out of range"), "-12 to 14");
        }
        if let Some(share) = reference.conversion_efficiency {
            if !(share > 0.0 && share <= 1.0) {
                self.say(
                    &place("conversion_efficiency"),
                    format!("{share} is out of range"),
                    "above 0, 1 at most",
                );
            }
            if reference.scope == ReferenceScope::Gpu {
                self.say(
                    &place("conversion_efficiency"),
                    "has no effect on a meter of the GPU itself",
                    "leave it out, or set scope to wall",
                );
            }
        }
        if reference.conversion_efficiency.is_some() != reference.conversion_uncertainty.is_some() {
            self.say(
                &place("conversion_uncertainty"),
                "conversion_efficiency and conversion_uncertainty belong together",
                "set both, or neither",
            );
        }
    }
}

impl BoolOrText {
    /// Whether the switch is on. The words `false`, `off`, `no`, `none` and an empty one are off.
    #[must_use]
    pub fn is_on(&self) -> bool {
        match self {
            Self::Bool(on) => *on,
            Self::Text(word) => {
                !matches!(word.to_lowercase().as_str(), "" | "false" | "off" | "no" | "none")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::protocol::AdaptiveRepetitions;

    fn places(config: &BenchmarkConfig) -> Vec<String> {
        check(config).0.into_iter().map(|problem| problem.place).collect()
    }

    fn valid() -> BenchmarkConfig {
        BenchmarkConfig {
            name: "n".to_owned(),
            backend: BackendConfig::Candle(CandleConfig {
                model: "m".to_owned(),
                ..CandleConfig::default()
            }),
            ..BenchmarkConfig::default()
        }
    }

    #[test]
    fn a_plain_config_has_no_problems() {
        assert_eq!(places(&valid()), [""; 0]);
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let mut config = valid();
        config.name.clear();
        config.scenario.num_samples = Some(0);
        config.scenario.generate_kwargs.min_new_tokens = Some(101);
        config.scenario.idle_s = f64::NAN;
        config.metrics.kind = "codecarbn".to_owned();
        assert_eq!(
            places(&config),
            [
                "name",
                "scenario.num_samples",
                "scenario.generate_kwargs.min_new_tokens",
                "scenario.idle_s",
                "metrics.type",
            ]
        );
    }

    #[test]
    fn generated_prompts_need_a_length_an_end_and_the_completions_api() {
        let mut config = valid();
        config.backend =
            BackendConfig::Vllm(VllmConfig { model: "m".to_owned(), ..VllmConfig::default() });
        config.scenario.dataset_name = RANDOM_TOKENS.to_owned();
        assert_eq!(
            places(&config),
            ["scenario.num_samples", "scenario.input_shapes.sequence_length", "backend.api"]
        );
        config.scenario.input_shapes = Some(InputShapes {
            batch_size: Some(4),
            sequence_length: Some(64),
            ..InputShapes::default()
        });
        config.scenario.iterations = Some(3);
        config.backend = valid().backend;
        assert_eq!(places(&config), [""; 0]);
        config.scenario.load = LoadConfig::concurrency(2);
        config.scenario.iterations = Some(0);
        config.scenario.duration_s = Some(f64::NAN);
        config.scenario.dataset_name = "builtin".to_owned();
        assert_eq!(
            places(&config),
            [
                "scenario.input_shapes.batch_size",
                "scenario.input_shapes.sequence_length",
                "scenario.iterations",
                "scenario.duration_s",
            ]
        );
    }

    #[test]
    fn the_protocol_is_checked() {
        let mut config = valid();
        config.scenario.repetitions = Repetitions::Fixed(0);
        config.scenario.steady_limits.power = 0.5;
        config.scenario.phase_shift_s = Some(-1.0);
        config.metrics.max_num_seqs = Some(8);
        config.metrics.baseline_power_w.gpu = Some(f64::NAN);
        config.metrics.slo.ttft_ms = Some(0.0);
        config.metrics.slo.e2e_ms = Some(5000.0);
        assert_eq!(
            places(&config),
            [
                "scenario.repetitions",
                "scenario.steady_limits",
                "scenario.phase_shift_s",
                "metrics.baseline_power_w.gpu",
                "metrics.max_num_seqs",
                "metrics.slo.ttft_ms",
            ]
        );
        config = valid();
        config.scenario.repetitions = Repetitions::Adaptive(AdaptiveRepetitions {
            target_relative_ci: 1.5,
            min: 3,
            max: 2,
            ..AdaptiveRepetitions::default()
        });
        config.scenario.warmup = WarmupMode::UntilSteady;
        config.scenario.steady_limits =
            SteadyLimits { window_s: 1.0, power: 0.0, cap_s: 0.5, ..SteadyLimits::default() };
        assert_eq!(
            places(&config),
            [
                "scenario.repetitions.target_relative_ci",
                "scenario.repetitions.min",
                "scenario.repetitions.max",
                "scenario.steady_limits.window_s",
                "scenario.steady_limits.power",
                "scenario.steady_limits.cap_s",
            ]
        );
    }

    #[test]
    fn parts_that_are_not_built_say_so() {
        let mut config = valid();
        config.backend = BackendConfig::Pytorch(PytorchConfig {
            model: "m".to_owned(),
            ..PytorchConfig::default()
        });
        config.scenario.reasoning = BoolOrText::Text("high".to_owned());
        let problems = check(&config);
        assert_eq!(places(&config), ["backend.type", "scenario.reasoning"]);
        assert!(problems.0.iter().all(|problem| problem.message.contains("not built yet")));
    }
}
