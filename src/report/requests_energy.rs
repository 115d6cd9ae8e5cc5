//! `requests_energy.csv`: one row a request, with its energy.

use crate::analysis::Findings;
use crate::analysis::attribute::RequestEnergy;
use crate::record::Phase;

use super::ReportError;

/// The reporter's name.
pub const KIND: &str = "requests_energy";
/// File name in a run folder.
pub const FILE: &str = "requests_energy.csv";

/// The columns. Energies are beyond idling, but `idle_j`.
pub const HEADER: [&str; 22] = [
    "index",
    "phase",
    "repetition",
    "prompt_id",
    "ok",
    "computed_prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
    "queue_s",
    "prefill_s",
    "decode_s",
    "prefill_j",
    "decode_j",
    "total_j",
    "uncertainty_j",
    "resolved",
    "systematic_j",
    "idle_j",
    "j_per_output_token",
    "timing",
    "weights",
    "source",
];

/// The file: only its header where nothing could be split.
///
/// # Errors
/// When a row cannot be written as CSV.
pub fn render(findings: &Findings) -> Result<Vec<u8>, ReportError> {
    let attribution = &findings.attribution;
    let weights = attribution.weights.as_ref().map_or("", |facts| facts.source.as_str());
    let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for request in &attribution.requests {
        writer.write_record(row(request, weights))?;
    }
    Ok(writer.into_inner().map_err(|cause| ::csv::Error::from(cause.into_error()))?)
}

fn row(request: &RequestEnergy, weights: &str) -> [String; 22] {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let output = request.output_tokens.filter(|count| *count > 0.0);
    [
        request.index.to_string(),
        if request.phase == Phase::Measure { "measure" } else { "warmup" }.to_owned(),
        request.repetition.map(|number| number.to_string()).unwrap_or_default(),
        request.prompt_id.clone(),
        request.ok.to_string(),
        number(request.computed_tokens),
        number(request.cached_tokens),
        number(request.output_tokens),
        number(request.queue_s),
        number(request.prefill_s),
        number(request.decode_s),
        request.prefill_j.to_string(),
        request.decode_j.to_string(),
        request.total_j().to_string(),
        request.uncertainty_j.to_string(),
        request.is_resolved().to_string(),
        number(request.systematic_j),
        number(request.idle_j),
        number(output.map(|count| request.total_j() / count)),
        request.timing.as_str().to_owned(),
        weights.to_owned(),
        super::csv::source_word(request.source).to_owned(),
    ]
}
