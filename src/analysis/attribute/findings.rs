//! What the split of the energy found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Source;

use super::super::findings::{Basis, Figure};
use super::super::stats::Summary;
use super::weights::{WeightSource, Weights};

/// How the prefill and the decoding of a request were placed in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// The server told its own times.
    ServerTimings,
    /// From what a client sees.
    Estimated,
    /// It did no work: it failed before the server could begin.
    NoWork,
}

impl Timing {
    /// The word used in tables and columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerTimings => "server_timings",
            Self::Estimated => "estimated",
            Self::NoWork => "no_work",
        }
    }
}

/// The weights and where they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightFacts {
    /// Fitted, given or assumed.
    pub source: WeightSource,
    /// Their unit: `J` for fitted ones, else `1` (only ratios matter).
    pub unit: String,
    /// The weights.
    pub weights: Weights,
    /// Standard uncertainties of prefill, decode, context and step, one by one; null where they are not fitted.
    pub uncertainties: Option<[f64; 4]>,
    /// Root of the mean square of what the fit leaves of an interval's energy, over its mean; null without a fit.
    pub residual: Option<f64>,
    /// How they were found, or why they were not fitted.
    pub note: String,
}

/// The energy of the measured window, split over its requests.
///
/// `total = idle + prefill + decode + failed + warmup + unattributed`, to 1e-9 of it; without an idle phase `idle` is not known and the
/// other parts are the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributionFindings {
    /// Which energy is split.
    pub basis: Basis,
    /// The rule, in words.
    pub rule: String,
    /// The weights; null when nothing could be split.
    pub weights: Option<WeightFacts>,
    /// Requests whose server told its own times.
    pub by_server_timings: u64,
    /// Requests whose prefill was placed by an estimate.
    pub by_estimate: u64,
    /// Length of the intervals whose energy is split: what the sensor resolves.
    pub interval: Figure,
    /// All of it.
    pub total: Figure,
    /// What idling would have used: the power of the idle phases times the window's length.
    pub idle: Figure,
    /// Prefill of requests that succeeded, beyond idling.
    pub prefill: Figure,
    /// Decoding of requests that succeeded, beyond idling.
    pub decode: Figure,
    /// Requests that failed, beyond idling.
    pub failed: Figure,
    /// Warm-up requests that reached into the window, beyond idling.
    pub warmup: Figure,
    /// Beyond idling while no request was in flight.
    pub unattributed: Figure,
    /// Prefill over prefill and decode.
    pub prefill_share: Figure,
    /// Failed over everything beyond idling.
    pub failed_share: Figure,
    /// Idle over total.
    pub idle_share: Figure,
    /// Prefill over computed (not cached) prompt tokens.
    pub joules_per_prompt_token: Figure,
    /// Decode over output tokens, the first ones left out: those come with the prefill.
    pub joules_per_decoded_token: Figure,
    /// Prefill and decode of each request that succeeded.
    pub per_request: Summary,
    /// One row a request; in the run folder as `requests_energy.csv`, not in `report.json`.
    #[serde(skip)]
    #[schemars(skip)]
    pub requests: Vec<RequestEnergy>,
}

/// The energy of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestEnergy {
    /// Its index in its phase.
    pub index: u64,
    /// The dataset's name of its prompt.
    pub prompt_id: String,
    /// `measure` or `warmup`.
    pub phase: crate::record::Phase,
    /// Which repetition of the measurement, from 0, where there are several.
    pub repetition: Option<u32>,
    /// Whether it succeeded.
    pub ok: bool,
    /// Computed prompt tokens.
    pub computed_tokens: Option<f64>,
    /// Cached prompt tokens.
    pub cached_tokens: Option<f64>,
    /// Output tokens.
    pub output_tokens: Option<f64>,
    /// Time between sending and the begin of the prefill, s.
    pub queue_s: Option<f64>,
    /// Time of the prefill, s.
    pub prefill_s: Option<f64>,
    /// Time from the first token to the last, s.
    pub decode_s: Option<f64>,
    /// Prefill beyond idling, J.
    pub prefill_j: f64,
    /// Decoding beyond idling, J.
    pub decode_j: f64,
    /// Standard uncertainty of both together, J.
    pub uncertainty_j: f64,
    /// Bound of the sensor's systematic error in both together, J; none where nobody has stated one.
    pub systematic_j: Option<f64>,
    /// Its equal part of the idle energy while it was in flight, J; not in the others.
    pub idle_j: Option<f64>,
    /// How its work was placed in time.
    pub timing: Timing,
    /// Always a model's: a split of something measured, at best.
    pub source: Source,
}

/// What two standard uncertainties of a request's energy may be of it.
const RESOLVED: f64 = 0.1;

impl RequestEnergy {
    /// Prefill and decode, J.
    #[must_use]
    pub fn total_j(&self) -> f64 {
        self.prefill_j + self.decode_j
    }

    /// Whether its energy is known to a tenth, at two standard uncertainties: where not, it is an estimate that only helps
    /// the sum.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        2.0 * self.uncertainty_j <= RESOLVED * self.total_j()
    }
}
