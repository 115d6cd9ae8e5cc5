//! Vector files made by CodeCarbon (`scripts/codecarbon/make_vectors.py`): what it computes, ours beside it.
//!
//! Figures agree when they differ by a billionth at most. A place that CodeCarbon's tables lack is an error here by
//! design; such a case is told apart from one that agrees, and counts as one.

use std::fmt::Write;
use std::path::Path;

use ai_energy_benchmarks::carbon::codecarbon::{self, Counted, Place};
use ai_energy_benchmarks::meter::{cpu_model, ram_model, tdp};
use ai_energy_benchmarks::units::{Joules, Seconds, Watts};
use serde::Deserialize;
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

/// One case: what went in and what CodeCarbon made of it.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Case {
    /// Emissions in a country or region.
    Place(Emitted),
    /// Emissions in a region of a cloud.
    Cloud(Emitted),
    /// Power of memory.
    Ram { architecture: String, memory_gb: f64, dimms: u32, power_w: f64 },
    /// Thermal design power by a processor's name.
    Tdp { cpu_model: String, tdp_w: Option<f64> },
    /// Power of all processors at a load in per cent.
    CpuLoad { tdp_w: f64, load_percent: f64, power_w: f64 },
    /// Power of a process by its processor time.
    CpuProcess { tdp_w: f64, cpu_seconds: f64, seconds: f64, cpu_count: u32, power_w: f64 },
    /// Power where no load can be read.
    CpuConstant { tdp_w: f64, power_w: f64 },
    /// A whole run of ticks.
    Window(Window),
}

#[derive(Debug, Deserialize)]
struct Emitted {
    country_iso_code: Option<String>,
    region: Option<String>,
    cloud_provider: Option<String>,
    cloud_region: Option<String>,
    energy_kwh: f64,
    emissions_kg: f64,
}

#[derive(Debug, Deserialize)]
struct Window {
    country_iso_code: String,
    region: Option<String>,
    pue: f64,
    wue: f64,
    tdp_w: f64,
    ram_gb: f64,
    ticks: Vec<Tick>,
    cpu_energy_kwh: f64,
    gpu_energy_kwh: f64,
    ram_energy_kwh: f64,
    energy_consumed_kwh: f64,
    water_litres: f64,
    emissions_kg: f64,
}

#[derive(Debug, Deserialize)]
struct Tick {
    seconds: f64,
    /// One of these two says what the processors did.
    cpu_load_percent: Option<f64>,
    rapl_uj: Option<f64>,
    gpu_mj: Vec<f64>,
}

/// What running one file gave.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) passed: usize,
    pub(crate) refused: usize,
    pub(crate) failed: usize,
}

enum Verdict {
    Agrees,
    /// A place that the tables lack, with the first problem.
    Refused(String),
    Differs(String),
}

/// Whether a file holds such vectors: a list of objects with a `kind` of ours.
pub(crate) fn is_ours(file: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return false };
    let Ok(Value::Array(cases)) = serde_json::from_str(&text) else { return false };
    cases.first().is_some_and(|case| Case::deserialize(case).is_ok())
}

/// Runs one file; the cases that differ and the score are added to `told`.
pub(crate) fn run(file: &Path, told: &mut String) -> Score {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let mut score = Score::default();
    let cases: Vec<Value> = match std::fs::read_to_string(file)
        .map_err(|cause| cause.to_string())
        .and_then(|text| serde_json::from_str(&text).map_err(|cause| cause.to_string()))
    {
        Ok(cases) => cases,
        Err(cause) => {
            let _ = writeln!(told, "FAILED {name}: {cause}");
            return Score { failed: 1, ..score };
        }
    };
    for (index, value) in cases.iter().enumerate() {
        let verdict = match Case::deserialize(value) {
            Ok(case) => judge(&case),
            Err(cause) => Verdict::Differs(format!("not a case: {cause}")),
        };
        match verdict {
            Verdict::Agrees => score.passed += 1,
            Verdict::Refused(why) => {
                score.refused += 1;
                let _ = writeln!(told, "refused {name}: case {index}: {why}");
            }
            Verdict::Differs(how) => {
                score.failed += 1;
                let _ = writeln!(told, "FAILED {name}: case {index}: {how}; {value}");
            }
        }
    }
    let _ = writeln!(
        told,
        "{name}: {} of {} cases agree, {} more are places refused by design",
        score.passed,
        cases.len(),
        score.refused
    );
    score
}

fn judge(case: &Case) -> Verdict {
    match case {
        Case::Place(emitted) | Case::Cloud(emitted) => place(emitted),
        Case::Ram { architecture, memory_gb, dimms, power_w } => {
            let module = match architecture.as_str() {
                "arm" => ram_model::ModulePower::ARM,
                _ => ram_model::ModulePower::X86,
            };
            let count = ram_model::modules(*memory_gb);
            if count != *dimms {
                return Verdict::Differs(format!("ours has {count} modules"));
            }
            near(&[("W", ram_model::power(count, module).value(), *power_w)])
        }
        Case::Tdp { cpu_model, tdp_w } => {
            match (tdp::find(cpu_model).map(|known| known.tdp.value()), tdp_w) {
                (Some(ours), Some(theirs)) => near(&[("W", ours, *theirs)]),
                (None, None) => Verdict::Agrees,
                (ours, _) => Verdict::Differs(format!("ours: {ours:?}")),
            }
        }
        Case::CpuLoad { tdp_w, load_percent, power_w } => {
            near(&[("W", cpu_model::power(Watts(*tdp_w), load_percent / 100.0).value(), *power_w)])
        }
        Case::CpuProcess { tdp_w, cpu_seconds, seconds, cpu_count, power_w } => {
            let times = (Seconds(*cpu_seconds), Seconds(*seconds));
            let watts = cpu_model::process_power(Watts(*tdp_w), times.0, times.1, *cpu_count);
            near(&[("W", watts.value(), *power_w)])
        }
        Case::CpuConstant { tdp_w, power_w } => {
            near(&[("W", cpu_model::constant_power(Watts(*tdp_w)).value(), *power_w)])
        }
        Case::Window(window) => whole(window),
    }
}

fn place(case: &Emitted) -> Verdict {
    let place = Place {
        country: case.country_iso_code.as_deref(),
        region: case.region.as_deref(),
        cloud_provider: case.cloud_provider.as_deref(),
        cloud_region: case.cloud_region.as_deref(),
    };
    match codecarbon::find(place, true) {
        Ok(Some(found)) => {
            let kilograms = case.energy_kwh * found.factor.intensity.value() / 1000.0;
            near(&[("kg", kilograms, case.emissions_kg)])
        }
        Ok(None) => Verdict::Refused("no place is named".to_owned()),
        Err(problems) => Verdict::Refused(problems.0[0].message.clone()),
    }
}

/// CodeCarbon's totals of a run, from our formulas for each part.
fn whole(window: &Window) -> Verdict {
    let place = Place {
        country: Some(&window.country_iso_code),
        region: window.region.as_deref(),
        ..Place::default()
    };
    let factor = match codecarbon::find(place, true) {
        Ok(Some(found)) => found.factor,
        Ok(None) => return Verdict::Refused("no place is named".to_owned()),
        Err(problems) => return Verdict::Refused(problems.0[0].message.clone()),
    };
    let modules = ram_model::modules(window.ram_gb);
    let ram_power = ram_model::power(modules, ram_model::ModulePower::here());
    let (mut cpu, mut gpu, mut ram) = (0.0, 0.0, 0.0);
    for tick in &window.ticks {
        let time = Seconds(tick.seconds);
        cpu += match (tick.cpu_load_percent, tick.rapl_uj) {
            (Some(load), _) => {
                let power = cpu_model::power(Watts(window.tdp_w), load / 100.0);
                codecarbon::kwh(power * time, Counted::ByPower, true)
            }
            (None, Some(microjoules)) => {
                codecarbon::kwh(Joules(microjoules * 1e-6), Counted::ByCounter, true)
            }
            (None, None) => 0.0,
        };
        let gpus: f64 = tick.gpu_mj.iter().sum();
        gpu += codecarbon::kwh(Joules(gpus * 1e-3), Counted::ByCounter, true);
        ram += codecarbon::kwh(ram_power * time, Counted::ByPower, true);
    }
    let totals = codecarbon::Totals::of([cpu, gpu, ram], window.pue, window.wue, factor.intensity);
    near(&[
        ("cpu kWh", totals.parts_kwh[0], window.cpu_energy_kwh),
        ("gpu kWh", totals.parts_kwh[1], window.gpu_energy_kwh),
        ("ram kWh", totals.parts_kwh[2], window.ram_energy_kwh),
        ("kWh", totals.energy_kwh, window.energy_consumed_kwh),
        ("litres", totals.water_litres, window.water_litres),
        ("kg", totals.emissions_kg, window.emissions_kg),
    ])
}

fn near(figures: &[(&str, f64, f64)]) -> Verdict {
    let near = |ours: f64, theirs: f64| (ours - theirs).abs() <= TOLERANCE * theirs.abs();
    let off = |(_, ours, theirs): &&(&str, f64, f64)| !near(*ours, *theirs);
    match figures.iter().find(off) {
        None => Verdict::Agrees,
        Some((unit, ours, theirs)) => {
            Verdict::Differs(format!("ours: {ours} {unit}, theirs: {theirs}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_off_by_more_than_a_billionth_differs() {
        assert!(matches!(near(&[("W", 1.0, 1.0 + 0.9e-9)]), Verdict::Agrees));
        assert!(matches!(near(&[("W", 1.0, 1.0 + 2e-9)]), Verdict::Differs(_)));
        assert!(matches!(near(&[("W", f64::NAN, 1.0)]), Verdict::Differs(_)));
    }

    #[test]
    fn the_vectors_of_the_real_program_agree() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        for file in ["codecarbon_vectors.json", "codecarbon_windows.json"] {
            let mut told = String::new();
            let score = run(&folder.join(file), &mut told);
            assert!(score.failed == 0 && score.passed > 100, "{told}");
        }
    }
}
