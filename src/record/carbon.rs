//! What emissions, water and cost are computed with: decided before the run, kept in the manifest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::GramsPerKwh;

use super::{Source, Warning};

/// Which emissions of a kWh a factor counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorEmissions {
    /// With building the plants and bringing the fuel.
    LifeCycle,
    /// At the stack only.
    Direct,
    /// Its publisher does not say.
    #[default]
    Unstated,
}

/// Whose electricity a factor describes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorFlow {
    /// What is generated in the place.
    Production,
    /// What is used there, imports and exports counted.
    Consumption,
    /// Its publisher does not say.
    #[default]
    Unstated,
}

/// Which kWh a factor describes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Averaging {
    /// The mean of all of them.
    Average,
    /// The next one.
    Marginal,
    /// Its publisher does not say.
    #[default]
    Unstated,
}

/// What a factor includes. Factors that differ in it are not comparable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct FactorBoundary {
    /// Life cycle or stack.
    pub emissions: FactorEmissions,
    /// Production or consumption.
    pub flow: FactorFlow,
    /// Average or marginal.
    pub averaging: Averaging,
}

impl FactorBoundary {
    /// In words: `life cycle, production, average`.
    #[must_use]
    pub fn words(self) -> String {
        if self == Self::default() {
            return "boundary not stated".to_owned();
        }
        let emissions = match self.emissions {
            FactorEmissions::LifeCycle => "life cycle",
            FactorEmissions::Direct => "at the stack",
            FactorEmissions::Unstated => "life cycle or stack not stated",
        };
        let flow = match self.flow {
            FactorFlow::Production => "production",
            FactorFlow::Consumption => "consumption",
            FactorFlow::Unstated => "production or consumption not stated",
        };
        let averaging = match self.averaging {
            Averaging::Average => "average",
            Averaging::Marginal => "marginal",
            Averaging::Unstated => "average or marginal not stated",
        };
        format!("{emissions}, {flow}, {averaging}")
    }
}

/// A region of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudPlace {
    /// `gcp`.
    pub provider: String,
    /// The provider's name of it.
    pub region: String,
}

/// Carbon intensity with its pedigree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CarbonFactor {
    /// Grams of CO2 equivalent a kWh.
    pub intensity: GramsPerKwh,
    /// ISO 3166-1 alpha-3; `None` when the factor was given without a country.
    pub country_iso_code: Option<String>,
    /// English name.
    pub country_name: Option<String>,
    /// State, province, zone or subregion, when the factor is a region's.
    pub region: Option<String>,
    /// Modelled (a published average of a grid) or assumed (given in the config).
    pub kind: Source,
    /// Who published it, with the edition and what it includes.
    pub source: String,
    /// The year it describes; `None` when it was given in the config or is not stated.
    pub year: Option<u16>,
    /// What it includes.
    #[serde(default)]
    pub boundary: FactorBoundary,
    /// Standard uncertainty as a share of the factor; `None` where nobody says.
    #[serde(default)]
    pub relative_uncertainty: Option<f64>,
    /// Who says so.
    #[serde(default)]
    pub uncertainty_source: Option<String>,
    /// The cloud region, when the factor is one's.
    #[serde(default)]
    pub cloud: Option<CloudPlace>,
}

/// The factor of the electricity that was bought, beside the grid's (GHG Protocol, scope 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MarketFactor {
    /// Grams of CO2 equivalent a kWh.
    pub intensity: GramsPerKwh,
    /// What it rests on: `supplier`, `contract`, `certificates`, `residual_mix`.
    pub instrument: String,
    /// Who says so, as the config tells it.
    pub source: String,
}

/// Whose rules count energy and emissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CarbonMethod {
    /// This program's: newest tables, PUE on the emissions.
    #[default]
    Energy,
    /// CodeCarbon's tables and formulas, its defects mended.
    Codecarbon,
    /// CodeCarbon's figures to the last digit.
    CodecarbonExact,
}

impl CarbonMethod {
    /// CodeCarbon's tables and formulas, exact or not.
    #[must_use]
    pub const fn is_codecarbon(self) -> bool {
        matches!(self, Self::Codecarbon | Self::CodecarbonExact)
    }
}

/// Price of electricity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ElectricityPrice {
    /// A kWh costs so much.
    pub per_kwh: f64,
    /// Of this: `USD`.
    pub currency: String,
}

/// Emissions of making the hardware, as the config tells them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Embodied {
    /// Kilograms of CO2 equivalent to make all of the hardware that serves.
    pub kgco2e: f64,
    /// Years that it is used.
    pub lifetime_years: f64,
    /// Share of the hardware that served this run, 0 to 1.
    pub share: f64,
}

/// A wish for the grid's carbon intensity of the run's own hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveIntensity {
    /// The service: `Electricity Maps`.
    pub service: String,
    /// Its name of the grid: `DE`, `US-CAL-CISO`.
    pub zone: String,
}

/// What a service told of the grid's carbon intensity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IntensityReading {
    /// The service.
    pub service: String,
    /// The grid.
    pub zone: String,
    /// Grams of CO2 equivalent a kWh.
    pub intensity: GramsPerKwh,
    /// The hour that it describes, as the service wrote it (RFC 3339).
    pub for_hour: Option<String>,
    /// The service estimated it: that hour's data were not in yet.
    pub estimated: Option<bool>,
    /// `lifecycle` or `direct`, as the service says it.
    pub emission_factor_type: Option<String>,
}

/// Where a setting came from that the config did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingOrigin {
    /// CodeCarbon's name of it.
    pub key: String,
    /// A path, or the name of an environment variable.
    pub from: String,
}

/// What emissions are computed with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CarbonBasis {
    /// The factor, or none with the reason beside it.
    pub factor: Option<CarbonFactor>,
    /// Why there is no factor.
    pub missing_reason: Option<String>,
    /// Power usage effectiveness, 1 when not given.
    pub pue: f64,
    /// Whose rules count.
    #[serde(default)]
    pub method: CarbonMethod,
    /// The factor of the electricity that was bought.
    #[serde(default)]
    pub market: Option<MarketFactor>,
    /// Litres of water a kWh.
    #[serde(default)]
    pub wue: Option<f64>,
    /// What a kWh costs.
    #[serde(default)]
    pub price: Option<ElectricityPrice>,
    /// Making the hardware.
    #[serde(default)]
    pub embodied: Option<Embodied>,
    /// A service is asked for the run's own hours.
    #[serde(default)]
    pub live: Option<LiveIntensity>,
    /// Settings from CodeCarbon's own files and variables.
    #[serde(default)]
    pub settings: Vec<SettingOrigin>,
    /// What the reader of the figures should know; the run takes them over.
    #[serde(skip)]
    pub notes: Vec<Warning>,
}

impl CarbonBasis {
    /// Nothing but a factor, or the reason why there is none.
    #[must_use]
    pub const fn new(
        factor: Option<CarbonFactor>,
        missing_reason: Option<String>,
        pue: f64,
    ) -> Self {
        Self {
            factor,
            missing_reason,
            pue,
            method: CarbonMethod::Energy,
            market: None,
            wue: None,
            price: None,
            embodied: None,
            live: None,
            settings: Vec::new(),
            notes: Vec::new(),
        }
    }
}
