//! What flags say together.

use std::collections::BTreeMap;

use serde_json::Value;

use super::text;
use super::{Said, names_of};

/// A value and the flag that gave it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot<T> {
    /// The value.
    pub value: T,
    /// Its flag, without dashes.
    pub flag: &'static str,
}

/// Everything that is said in parts.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// There is no config: what it would have to say is filled in.
    pub complete: bool,
    pub model: Option<Slot<String>>,
    pub served: Option<Slot<String>>,
    pub url: Option<Slot<String>>,
    pub host: Option<Slot<String>>,
    pub port: Option<Slot<u16>>,
    pub path: Option<Slot<String>>,
    /// `chat` or `completions`.
    pub api: Option<Slot<&'static str>>,
    pub concurrency: Option<Slot<Vec<u64>>>,
    /// Requests a second; infinite for all at once.
    pub rates: Option<Slot<Vec<f64>>>,
    pub pattern: Option<Slot<Pattern>>,
    /// Shape of the gaps; infinite for even ones.
    pub burstiness: Option<Slot<f64>>,
    pub concurrency_ramp_s: Option<Slot<f64>>,
    pub rate_ramp_s: Option<Slot<f64>>,
    pub ramp_strategy: Option<Slot<String>>,
    pub ramp_from: Option<Slot<f64>>,
    pub ramp_to: Option<Slot<f64>>,
    pub seed: Option<Slot<u64>>,
    pub requests: Option<Slot<u64>>,
    pub duration_s: Option<Slot<f64>>,
    pub dataset: Option<Slot<String>>,
    pub dataset_kind: Option<Slot<String>>,
    pub dataset_path: Option<Slot<String>>,
    pub input_tokens: Option<Slot<Vec<u64>>>,
    pub output_tokens: Option<Slot<Vec<u64>>>,
    pub extra: BTreeMap<String, Slot<Value>>,
    /// Objectives by their key below `metrics.slo`.
    pub goodput: Vec<(&'static str, Slot<f64>)>,
}

/// When requests leave, as aiperf names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    Constant,
    Poisson,
    Gamma,
    Burst,
}

/// Fills a slot once.
pub(super) fn fill<T>(slot: &mut Option<Slot<T>>, said: Said<'_>, value: T) -> Result<(), String> {
    if let Some(earlier) = slot {
        return Err(format!(
            "{} says the same already: give one of the two",
            names_of(earlier.flag)
        ));
    }
    *slot = Some(Slot { value, flag: said.flag });
    Ok(())
}

macro_rules! takers {
    ($($name:ident: $slot:ident = $read:expr;)*) => {
        $(pub(super) fn $name(draft: &mut Draft, said: Said<'_>) -> Result<(), String> {
            let read: fn(&str) -> Result<_, String> = $read;
            let value = read(said.text)?;
            fill(&mut draft.$slot, said, value)
        })*
    };
}

takers! {
    model: model = words;
    served: served = words;
    url: url = words;
    host: host = words;
    port: port = |text| text.parse().map_err(|_| format!("`{text}` is no port"));
    path: path = words;
    api: api = api_of;
    concurrency: concurrency = |text| text::list(text, positive);
    rates: rates = |text| text::list(text, rate);
    pattern: pattern = pattern_of;
    burstiness: burstiness = rate;
    concurrency_ramp: concurrency_ramp_s = text::number;
    rate_ramp: rate_ramp_s = text::number;
    ramp_strategy: ramp_strategy = words;
    ramp_from: ramp_from = text::number;
    ramp_to: ramp_to = text::number;
    seed: seed = text::count;
    requests: requests = positive;
    duration: duration_s = text::number;
    dataset: dataset = words;
    dataset_kind: dataset_kind = words;
    dataset_path: dataset_path = words;
    input_tokens: input_tokens = |text| text::list(text, positive);
    output_tokens: output_tokens = |text| text::list(text, positive);
}

fn words(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn positive(text: &str) -> Result<u64, String> {
    match text::count(text)? {
        0 => Err("0 is out of range: 1 or more".to_owned()),
        count => Ok(count),
    }
}

/// A number above 0, which may be `inf`.
fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 => Ok(rate),
        _ => Err(format!("`{text}` is no number above 0, nor `inf`")),
    }
}

/// The endpoint by aiperf's types and vLLM's backends.
fn api_of(text: &str) -> Result<&'static str, String> {
    match text {
        "chat" | "openai-chat" => Ok("chat"),
        "completions" | "vllm" | "openai" => Ok("completions"),
        _ => Err(format!(
            "`{text}` is not spoken here: chat (openai-chat) and completions (vllm, openai) are"
        )),
    }
}

fn pattern_of(text: &str) -> Result<Pattern, String> {
    match text {
        "constant" => Ok(Pattern::Constant),
        "poisson" => Ok(Pattern::Poisson),
        "gamma" => Ok(Pattern::Gamma),
        "concurrency_burst" => Ok(Pattern::Burst),
        _ => Err(format!("`{text}` is none of constant, poisson, gamma, concurrency_burst")),
    }
}

/// `name:value`, or an object of JSON; values as JSON where they are, else text.
pub(super) fn extra(draft: &mut Draft, said: Said<'_>) -> Result<(), String> {
    if said.text.trim_start().starts_with('{') {
        let fields: BTreeMap<String, Value> =
            serde_json::from_str(said.text).map_err(|cause| format!("no JSON: {cause}"))?;
        return fields.into_iter().try_for_each(|(key, value)| draft.add_extra(said, key, value));
    }
    let (key, value) = said
        .text
        .split_once(':')
        .ok_or_else(|| format!("`{}` is neither NAME:VALUE nor a JSON object", said.text))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    draft.add_extra(said, key.trim().to_owned(), value)
}

macro_rules! fields {
    ($($name:ident: $field:literal;)*) => {
        $(pub(super) fn $name(draft: &mut Draft, said: Said<'_>) -> Result<(), String> {
            let value = text::number(said.text)?;
            // Some servers take no 40.0 for 40.
            let value = said.text.trim().parse::<u64>().map_or_else(|_| Value::from(value), Value::from);
            draft.add_extra(said, $field.to_owned(), value)
        })*
    };
}

fields! {
    temperature: "temperature";
    top_p: "top_p";
    top_k: "top_k";
    min_p: "min_p";
    repetition_penalty: "repetition_penalty";
    frequency_penalty: "frequency_penalty";
    presence_penalty: "presence_penalty";
}

/// Objectives as aiperf and vLLM name them, and the keys of ours. vLLM's `tpot` is (E2E - TTFT) / (tokens - 1), which here is the
/// inter-token latency.
pub(super) const OBJECTIVES: [(&str, &str); 9] = [
    ("time_to_first_token", "ttft_ms"),
    ("ttft", "ttft_ms"),
    ("time_to_first_output_token", "ttfo_ms"),
    ("inter_token_latency", "inter_token_latency_ms"),
    ("tpot", "inter_token_latency_ms"),
    ("request_latency", "e2e_ms"),
    ("e2el", "e2e_ms"),
    ("output_token_throughput_per_user", "decode_tokens_per_second"),
    ("e2e_output_token_throughput", "e2e_tokens_per_second"),
];

/// `name:value` of objectives, several with blanks between them too.
pub(super) fn goodput(draft: &mut Draft, said: Said<'_>) -> Result<(), String> {
    for pair in said.text.split_whitespace() {
        let (name, value) =
            pair.split_once(':').ok_or_else(|| format!("`{pair}` is not NAME:VALUE"))?;
        let Some((_, key)) = OBJECTIVES.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = OBJECTIVES.iter().map(|(known, _)| *known).collect();
            return Err(format!("`{name}` is no objective; there are {}", known.join(", ")));
        };
        if draft.goodput.iter().any(|(known, _)| known == key) {
            return Err(format!("`{name}` is said twice"));
        }
        draft.goodput.push((key, Slot { value: text::number(value)?, flag: said.flag }));
    }
    Ok(())
}

/// The answer goes on after the end-of-sequence token.
pub(super) fn ignore_eos(draft: &mut Draft, said: Said<'_>) -> Result<(), String> {
    draft.add_extra(said, "ignore_eos".to_owned(), Value::Bool(true))
}

impl Draft {
    fn add_extra(&mut self, said: Said<'_>, key: String, value: Value) -> Result<(), String> {
        if let Some(earlier) = self.extra.get(&key) {
            return Err(format!("{key} is said twice, first by {}", names_of(earlier.flag)));
        }
        self.extra.insert(key, Slot { value, flag: said.flag });
        Ok(())
    }

    /// Whether any flag says when requests leave.
    pub(super) fn says_load(&self) -> bool {
        self.concurrency.is_some()
            || self.rates.is_some()
            || self.pattern.is_some()
            || self.burstiness.is_some()
    }
}
