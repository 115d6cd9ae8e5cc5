//! What the energy of a run means outside the machine: emissions by either method, water, cost, hardware.
//!
//! All of it is of the measured window's gross energy, everything counted together, as the emissions are. What is
//! not measured here (a factor, a price, the making of the hardware) is labelled modelled or assumed.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::carbon::codecarbon::{self, Counted};
use crate::record::{
    Averaging, CarbonBasis, CarbonFactor, CarbonMethod, Component, Event, FactorBoundary,
    FactorEmissions, FactorFlow, IntensityReading, MarketFactor, Phase, Quantity, RunRecords,
    SettingOrigin, Source, Span,
};
use crate::units::{GramsCo2e, GramsPerKwh, Joules, Nanos};

use super::energy::{COMPONENTS, Metering};
use super::findings::{Counts, Emissions, EnergyFindings, Figure, Tokens};
use super::window::Window;

const MILLION: f64 = 1e6;
const JOULES_PER_KWH: f64 = 3.6e6;
const SECONDS_PER_YEAR: f64 = 365.25 * 86_400.0;
const KWH: &str = "kWh";
const LITRES: &str = "L";

/// Emissions by either method of the GHG Protocol, water, cost and hardware of the measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// Whose rules counted.
    pub method: CarbonMethod,
    /// What the grid was during the run, where a service told it; null where nobody asked or none answered.
    pub live: Option<Live>,
    /// Standard uncertainty of the emissions by their factor's alone.
    pub factor_uncertainty: Figure,
    /// The factor of the electricity that was bought; null where the config tells none.
    pub market: Option<MarketFactor>,
    /// Emissions by that factor, beside the location-based ones.
    pub market_based: Figure,
    /// Energy and emissions of a million.
    pub per_million: PerMillion,
    /// Water of the site.
    pub water: Figure,
    /// Price of the electricity.
    pub cost: Cost,
    /// Emissions of making the hardware, for the time of the measured window.
    pub embodied: Figure,
    /// Software Carbon Intensity (ISO/IEC 21031): operation and hardware over what was served.
    pub sci: Sci,
    /// CodeCarbon's totals; null by our own rules.
    pub codecarbon: Option<CodecarbonTotals>,
    /// Each phase, as CodeCarbon's tasks.
    pub tasks: Vec<TaskEnergy>,
    /// Settings that came from CodeCarbon's own files and variables.
    pub settings: Vec<SettingOrigin>,
}

/// The grid during the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// Who told it.
    pub service: String,
    /// Its name of the grid.
    pub zone: String,
    /// Readings that the factor is made of.
    pub readings: u64,
    /// What the tables have for the place, which is not used here.
    pub table: Option<CarbonFactor>,
}

/// Energy (without PUE) and emissions (with it) of a million.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerMillion {
    /// Of successful requests.
    pub kwh_requests: Figure,
    /// Of output tokens.
    pub kwh_output_tokens: Figure,
    /// Of successful requests.
    pub kgco2e_requests: Figure,
    /// Of output tokens.
    pub kgco2e_output_tokens: Figure,
}

/// Price of the electricity, PUE included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Of the measured window.
    pub window: Figure,
    /// Of a million successful requests.
    pub million_requests: Figure,
    /// Of a million output tokens.
    pub million_output_tokens: Figure,
}

/// Software Carbon Intensity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sci {
    /// Of a successful request.
    pub request: Figure,
    /// Of a million output tokens.
    pub million_output_tokens: Figure,
}

/// What CodeCarbon's columns hold: every energy times the PUE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodecarbonTotals {
    /// kWh; null where it is not counted or not known.
    pub cpu_energy: Option<f64>,
    /// kWh.
    pub gpu_energy: Option<f64>,
    /// kWh.
    pub ram_energy: Option<f64>,
    /// kWh; null if a counted part is not known.
    pub energy_consumed: Option<f64>,
    /// Litres; null without a WUE.
    pub water_consumed: Option<f64>,
    /// kgCO2e; null without a place.
    pub emissions: Option<f64>,
}

/// A phase as one of CodeCarbon's tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskEnergy {
    /// Name of the phase.
    pub name: String,
    /// When it ended, RFC 3339, UTC.
    pub ended: String,
    /// Seconds.
    pub seconds: f64,
    /// Totals over the phase.
    pub totals: CodecarbonTotals,
}

/// The basis with the grid of the run's own hours in place of the table's, where a service told it.
pub(super) fn basis<'r>(records: &'r RunRecords, windows: &[Window]) -> Cow<'r, CarbonBasis> {
    let told = &records.manifest.carbon;
    match live_factor(records, windows) {
        None => Cow::Borrowed(told),
        Some(factor) => {
            Cow::Owned(CarbonBasis { factor: Some(factor), missing_reason: None, ..told.clone() })
        }
    }
}

/// Readings with the time from which each held.
fn readings(records: &RunRecords) -> Vec<(Nanos, &IntensityReading)> {
    let told = records.events.iter().filter_map(|record| match &record.event {
        Event::CarbonIntensity { reading } => Some((record.at_ns, reading)),
        _ => None,
    });
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|(at, _)| *at);
    told
}

/// Each reading holds until the next, the first from before; their mean over the measured window's time.
fn live_factor(records: &RunRecords, windows: &[Window]) -> Option<CarbonFactor> {
    let told = readings(records);
    let (_, first) = *told.first()?;
    let intensity = mean_over(&told, windows);
    let table = records.manifest.carbon.factor.as_ref();
    let estimated = told.iter().filter(|(_, reading)| reading.estimated == Some(true)).count();
    let hours: Vec<&str> =
        told.iter().filter_map(|(_, reading)| reading.for_hour.as_deref()).collect();
    let hours = match (hours.first(), hours.last()) {
        (Some(first), Some(last)) if first != last => format!(" for {first} to {last}"),
        (Some(first), _) => format!(" for {first}"),
        _ => String::new(),
    };
    let estimates =
        if estimated > 0 { format!(", {estimated} of them estimated") } else { String::new() };
    Some(CarbonFactor {
        intensity,
        country_iso_code: table.and_then(|factor| factor.country_iso_code.clone()),
        country_name: table.and_then(|factor| factor.country_name.clone()),
        region: Some(first.zone.clone()),
        kind: Source::Modelled,
        source: format!(
            "{}, grid {}, {} reading(s){hours}{estimates}",
            first.service,
            first.zone,
            told.len()
        ),
        year: None,
        boundary: FactorBoundary {
            emissions: match first.emission_factor_type.as_deref() {
                Some("lifecycle") => FactorEmissions::LifeCycle,
                Some("direct") => FactorEmissions::Direct,
                _ => FactorEmissions::Unstated,
            },
            flow: FactorFlow::Consumption,
            averaging: Averaging::Average,
        },
        relative_uncertainty: None,
        uncertainty_source: None,
        cloud: table.and_then(|factor| factor.cloud.clone()),
    })
}

fn mean_over(told: &[(Nanos, &IntensityReading)], windows: &[Window]) -> GramsPerKwh {
    let mut sum = 0.0;
    for window in windows {
        for (position, (at, reading)) in told.iter().enumerate() {
            let from = if position == 0 { window.from } else { (*at).max(window.from) };
            let to = told.get(position + 1).map_or(window.to, |(next, _)| (*next).min(window.to));
            sum += reading.intensity.value() * to.since(from).value();
        }
    }
    let length: f64 = windows.iter().map(|window| window.length().0).sum();
    if length > 0.0 {
        GramsPerKwh(sum / length)
    } else {
        told.first().map_or(GramsPerKwh::ZERO, |(_, reading)| reading.intensity)
    }
}

/// What the parts of a footprint are computed from.
pub(super) struct Seen<'a> {
    pub(super) records: &'a RunRecords,
    pub(super) metering: &'a Metering<'a>,
    pub(super) basis: &'a CarbonBasis,
    pub(super) energy: &'a EnergyFindings,
    pub(super) emissions: &'a Emissions,
    pub(super) counts: &'a Counts,
    pub(super) tokens: &'a Tokens,
}

/// The footprint of the measured window.
pub(super) fn footprint(seen: &Seen<'_>) -> Footprint {
    let basis = seen.basis;
    let total = &seen.emissions.total;
    let embodied = seen.embodied();
    Footprint {
        method: basis.method,
        live: seen.live(),
        factor_uncertainty: factor_uncertainty(basis, total),
        market: basis.market.clone(),
        market_based: seen.market_based(),
        per_million: PerMillion {
            kwh_requests: seen.per_million_requests(&seen.kwh(1.0), "kWh/million requests"),
            kwh_output_tokens: seen.per_million_tokens(&seen.kwh(1.0), "kWh/million output tokens"),
            kgco2e_requests: seen
                .per_million_requests(&total.scaled(1e-3, "kgCO2e"), "kgCO2e/million requests"),
            kgco2e_output_tokens: seen
                .per_million_tokens(&total.scaled(1e-3, "kgCO2e"), "kgCO2e/million output tokens"),
        },
        water: seen.water(),
        cost: seen.cost(),
        sci: seen.sci(&embodied),
        embodied,
        codecarbon: seen.window_totals(),
        tasks: seen.tasks(),
        settings: basis.settings.clone(),
    }
}

fn factor_uncertainty(basis: &CarbonBasis, total: &Figure) -> Figure {
    let Some(value) = total.value else { return total.clone() };
    let Some(factor) = &basis.factor else {
        return Figure::unknown(GramsCo2e::UNIT, "no carbon intensity");
    };
    match factor.relative_uncertainty {
        Some(share) => {
            let figure = Figure::known(value * share, GramsCo2e::UNIT, Source::Assumed);
            figure.note(factor.uncertainty_source.clone().unwrap_or_default())
        }
        None => Figure::unknown(
            GramsCo2e::UNIT,
            "nobody states this factor's uncertainty (metrics.carbon_intensity_uncertainty can)",
        ),
    }
}

/// At least as uncertain in kind as `least`.
fn at_least(mut figure: Figure, least: Source) -> Figure {
    figure.source = figure.source.map(|source| source.max(least));
    figure
}

impl Seen<'_> {
    fn gross(&self) -> &Figure {
        &self.energy.combined.account.gross
    }

    fn kwh(&self, factor: f64) -> Figure {
        self.gross().scaled(factor / JOULES_PER_KWH, KWH)
    }

    fn per_million_requests(&self, figure: &Figure, unit: &str) -> Figure {
        figure.per(Some(self.counts.succeeded as f64 / MILLION), unit, "no request succeeded")
    }

    fn per_million_tokens(&self, figure: &Figure, unit: &str) -> Figure {
        let tokens = &self.tokens.completion;
        let reason = tokens.reason.as_deref().unwrap_or("there are no output tokens");
        figure.per(tokens.value.map(|count| count / MILLION), unit, reason)
    }

    fn live(&self) -> Option<Live> {
        let told = readings(self.records);
        let (_, first) = told.first()?;
        Some(Live {
            service: first.service.clone(),
            zone: first.zone.clone(),
            readings: told.len() as u64,
            table: self.records.manifest.carbon.factor.clone(),
        })
    }

    fn market_based(&self) -> Figure {
        match &self.basis.market {
            None => Figure::unknown(
                GramsCo2e::UNIT,
                "no factor of the electricity that was bought (metrics.market_intensity_g_per_kwh)",
            ),
            Some(market) => {
                let grams = Joules(self.basis.pue).emissions(market.intensity).0;
                let note = format!(
                    "{} gCO2e/kWh by {}: {}",
                    market.intensity.value(),
                    market.instrument,
                    market.source
                );
                at_least(self.gross().scaled(grams, GramsCo2e::UNIT), Source::Assumed).note(note)
            }
        }
    }

    /// Our rule: litres a kWh of the computers. CodeCarbon's: of the site.
    fn water(&self) -> Figure {
        let Some(wue) = self.basis.wue else {
            return Figure::unknown(LITRES, "metrics.wue is not set");
        };
        let (pue, of) = if self.basis.method.is_codecarbon() {
            (self.basis.pue, "energy times PUE, as CodeCarbon counts")
        } else {
            (1.0, "IT energy, without PUE")
        };
        let litres = self.gross().scaled(wue * pue / JOULES_PER_KWH, LITRES);
        at_least(litres, Source::Assumed).note(format!("{wue} L/kWh of {of}"))
    }

    fn cost(&self) -> Cost {
        let Some(price) = &self.basis.price else {
            let unknown =
                |unit| Figure::unknown(unit, "metrics.electricity_price_per_kwh is not set");
            return Cost {
                window: unknown("currency"),
                million_requests: unknown("currency/million requests"),
                million_output_tokens: unknown("currency/million output tokens"),
            };
        };
        let currency = price.currency.as_str();
        let factor = price.per_kwh * self.basis.pue / JOULES_PER_KWH;
        let window = at_least(self.gross().scaled(factor, currency), Source::Assumed)
            .note(format!("{} {currency}/kWh, times a PUE of {}", price.per_kwh, self.basis.pue));
        Cost {
            million_requests: self
                .per_million_requests(&window, &format!("{currency}/million requests")),
            million_output_tokens: self
                .per_million_tokens(&window, &format!("{currency}/million output tokens")),
            window,
        }
    }

    fn embodied(&self) -> Figure {
        let Some(hardware) = &self.basis.embodied else {
            return Figure::unknown(GramsCo2e::UNIT, "metrics.embodied_kgco2e is not set");
        };
        let Some(length) = self.metering.measured_length() else {
            return Figure::unknown(GramsCo2e::UNIT, "no request was sent");
        };
        let lifetime = hardware.lifetime_years * SECONDS_PER_YEAR;
        let grams = 1000.0 * hardware.kgco2e * hardware.share * length.0 / lifetime;
        Figure::known(grams, GramsCo2e::UNIT, Source::Assumed).note(format!(
            "{} kgCO2e over {} years, {} of the hardware, for the measured window",
            hardware.kgco2e, hardware.lifetime_years, hardware.share
        ))
    }

    fn sci(&self, embodied: &Figure) -> Sci {
        let total = &self.emissions.total;
        let both = match (total.value, embodied.value) {
            (Some(operation), Some(hardware)) => {
                let mut both =
                    Figure::known(operation + hardware, GramsCo2e::UNIT, Source::Assumed);
                both.uncertainty.clone_from(&total.uncertainty);
                both.note("location-based operation and hardware")
            }
            (None, _) => total.clone(),
            (_, None) => embodied.clone(),
        };
        Sci {
            request: both.per(
                Some(self.counts.succeeded as f64),
                "gCO2e/request",
                "no request succeeded",
            ),
            million_output_tokens: self.per_million_tokens(&both, "gCO2e/million output tokens"),
        }
    }

    fn window_totals(&self) -> Option<CodecarbonTotals> {
        self.basis.method.is_codecarbon().then(|| {
            let known = self.gross().value.is_some();
            self.totals(if known { &self.metering.windows } else { &[] })
        })
    }

    /// CodeCarbon's totals over windows; nothing is known without one.
    fn totals(&self, windows: &[Window]) -> CodecarbonTotals {
        let parts = COMPONENTS.map(|component| {
            let counted = self.metering.scope(component).0;
            let kwh = if counted { self.part_kwh(component, windows) } else { None };
            (counted, kwh)
        });
        let any = parts.iter().any(|(_, kwh)| kwh.is_some());
        let whole = any && parts.iter().all(|(counted, kwh)| !counted || kwh.is_some());
        let [gpu, cpu, ram] = parts.map(|(_, kwh)| kwh);
        let totals = codecarbon::Totals::of(
            [cpu, gpu, ram].map(|kwh| kwh.unwrap_or(0.0)),
            self.basis.pue,
            self.basis.wue.unwrap_or(0.0),
            self.basis.factor.as_ref().map_or(GramsPerKwh::ZERO, |factor| factor.intensity),
        );
        let part = |position: usize, kwh: Option<f64>| kwh.map(|_| totals.parts_kwh[position]);
        CodecarbonTotals {
            cpu_energy: part(0, cpu),
            gpu_energy: part(1, gpu),
            ram_energy: part(2, ram),
            energy_consumed: whole.then_some(totals.energy_kwh),
            water_consumed: self.basis.wue.filter(|_| whole).map(|_| totals.water_litres),
            emissions: self.basis.factor.as_ref().filter(|_| whole).map(|_| totals.emissions_kg),
        }
    }

    fn part_kwh(&self, component: Component, windows: &[Window]) -> Option<f64> {
        let by_counter = self.metering.counted(component).iter().all(|channel| {
            channel.info.quantity == Quantity::EnergyCounter
                && channel.info.source == Source::Measured
        });
        let counted = if by_counter { Counted::ByCounter } else { Counted::ByPower };
        let exact = self.basis.method == CarbonMethod::CodecarbonExact;
        let energy = |window: &Window| self.metering.energy_of(&[component], *window).ok();
        let joules: Joules =
            windows.iter().map(|window| Some(energy(window)?.joules)).sum::<Option<_>>()?;
        (!windows.is_empty()).then(|| codecarbon::kwh(joules, counted, exact))
    }

    /// Every phase that was gone through to its end, in order of time.
    fn tasks(&self) -> Vec<TaskEnergy> {
        let mut spans: Vec<(Phase, Span)> = super::PHASES
            .into_iter()
            .flat_map(|phase| self.records.spans(phase).into_iter().map(move |span| (phase, span)))
            .collect();
        spans.sort_by_key(|(_, span)| span.from);
        let ended = spans.into_iter().filter_map(|(phase, span)| {
            let window = Window { from: span.from, to: span.to? };
            Some(TaskEnergy {
                name: match span.repetition {
                    Some(number) => format!("{}_{number}", task_name(phase)),
                    None => task_name(phase).to_owned(),
                },
                ended: super::wall_time(self.records, window.to),
                seconds: window.length().0,
                totals: self.totals(&[window]),
            })
        });
        ended.collect()
    }
}

/// The name of a phase in the file of tasks.
const fn task_name(phase: Phase) -> &'static str {
    match phase {
        Phase::IdleBare => "idle_bare",
        Phase::Load => "load",
        Phase::IdleBefore => "idle_before",
        Phase::Warmup => "warmup",
        Phase::Measure => "measure",
        Phase::IdleAfter => "idle_after",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(intensity: f64) -> IntensityReading {
        IntensityReading {
            service: "Electricity Maps".to_owned(),
            zone: "DE".to_owned(),
            intensity: GramsPerKwh(intensity),
            for_hour: None,
            estimated: None,
            emission_factor_type: None,
        }
    }

    #[test]
    fn a_reading_holds_until_the_next_and_the_first_from_before() {
        let (a, b, c) = (reading(100.0), reading(300.0), reading(900.0));
        let told = [(Nanos(10), &a), (Nanos(30), &b), (Nanos(90), &c)];
        let over = |windows: &[(u64, u64)]| {
            let windows: Vec<Window> = windows
                .iter()
                .map(|(from, to)| Window { from: Nanos(*from), to: Nanos(*to) })
                .collect();
            mean_over(&told, &windows).value()
        };
        assert!((over(&[(0, 40)]) - 150.0).abs() < 1e-9);
        assert!((over(&[(40, 60)]) - 300.0).abs() < 1e-9);
        assert!((over(&[(0, 10), (80, 100)]) - (1000.0 + 3000.0 + 9000.0) / 30.0).abs() < 1e-9);
        assert!((over(&[(5, 5)]) - 100.0).abs() < 1e-9);
    }
}
