//! CodeCarbon's own settings: `~/.codecarbon.config`, `./.codecarbon.config`, `CODECARBON_*`, each over the one before.
//!
//! They count with `metrics.type: codecarbon`, below what the config itself says: a key that the config leaves at its
//! default takes CodeCarbon's value. Where each came from is kept; what has no counterpart here is told.

use std::collections::BTreeMap;
use std::path::Path;

use super::component::metrics::{KIND_CODECARBON, MetricsConfig, Scope};
use super::{Environment, Note};
use crate::error::{Problem, Problems};

const FILE: &str = ".codecarbon.config";
const SECTION: &str = "codecarbon";
const DEFAULT_SECTION: &str = "DEFAULT";
const PREFIX: &str = "codecarbon_";
const PLACE: &str = "metrics.codecarbon_settings";

/// What CodeCarbon's settings did.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Keys that were taken over, each with where it came from.
    pub origins: Vec<(String, String)>,
    /// Keys that were not, and files that could not be read.
    pub notes: Vec<Note>,
    /// A token of Electricity Maps, where one is set there.
    token: Option<String>,
}

impl Applied {
    /// The environment with the token where [`MetricsConfig::electricity_maps_token_env`] names it, unless one is
    /// there already.
    #[must_use]
    pub fn environment(&self, metrics: &MetricsConfig, environment: &Environment) -> Environment {
        let name = &metrics.electricity_maps_token_env;
        match &self.token {
            Some(token) if environment.var(name).is_none() => {
                environment.and([(name.clone(), token.clone())])
            }
            _ => environment.clone(),
        }
    }
}

/// Without the token.
impl std::fmt::Debug for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applied")
            .field("origins", &self.origins)
            .field("notes", &self.notes)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .finish()
    }
}

/// One value with where it came from.
#[derive(Clone, PartialEq, Eq)]
struct Setting {
    value: String,
    from: String,
}

/// Takes over what CodeCarbon's files and variables say; `folder` is where the command was started.
///
/// # Errors
/// A file that is not of its form, a value that is not of its kind: CodeCarbon would not start either, or count
/// otherwise than was meant.
pub fn apply(
    metrics: &mut MetricsConfig,
    environment: &Environment,
    folder: &Path,
) -> Result<Applied, Problems> {
    if metrics.kind != KIND_CODECARBON || !metrics.codecarbon_settings {
        return Ok(Applied::default());
    }
    let mut problems = Problems::default();
    let mut applied = Applied::default();
    let settings = collect(environment, folder, &mut applied, &mut problems);
    let mut ignored = Vec::new();
    for (key, setting) in &settings {
        match take(metrics, &mut applied, key, setting) {
            Ok(Taken::Yes) => applied.origins.push((key.clone(), setting.from.clone())),
            Ok(Taken::ConfigStands) => {}
            Ok(Taken::No) => ignored.push(format!("{key} ({})", setting.from)),
            Err(problem) => problems.push(problem),
        }
    }
    if !ignored.is_empty() {
        let message =
            format!("these have no counterpart here and do nothing: {}", ignored.join(", "));
        applied.notes.push(Note::new("codecarbon", message));
    }
    if !applied.origins.is_empty() {
        let from: Vec<String> =
            applied.origins.iter().map(|(key, from)| format!("{key} from {from}")).collect();
        let message = format!("settings of CodeCarbon's own: {}", from.join(", "));
        applied.notes.push(Note::new("codecarbon", message));
    }
    problems.into_result()?;
    Ok(applied)
}

fn collect(
    environment: &Environment,
    folder: &Path,
    applied: &mut Applied,
    problems: &mut Problems,
) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    let home = environment.var("HOME").map(|home| Path::new(&home).join(FILE));
    let here = folder.join(FILE);
    let files = home.into_iter().filter(|home| *home != here).chain([here.clone()]);
    for path in files {
        let shown = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => match parse(&text) {
                Ok(values) => settings.extend(
                    values
                        .into_iter()
                        .map(|(key, value)| (key, Setting { value, from: shown.clone() })),
                ),
                Err((line, cause)) => {
                    problems.push(
                        Problem::new(format!("{shown}:{line}"), cause)
                            .hint(format!("mend it, or set {PLACE}: false")),
                    );
                }
            },
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            // CodeCarbon goes on without a word.
            Err(cause) => applied
                .notes
                .push(Note::new(&shown, format!("cannot be read and does nothing: {cause}"))),
        }
    }
    for (name, value) in environment.all() {
        if let Some(key) = name.to_lowercase().strip_prefix(PREFIX) {
            settings.insert(key.to_owned(), Setting { value, from: name });
        }
    }
    settings
}

enum Taken {
    Yes,
    /// The config says it itself.
    ConfigStands,
    No,
}

fn take(
    metrics: &mut MetricsConfig,
    applied: &mut Applied,
    key: &str,
    setting: &Setting,
) -> Result<Taken, Problem> {
    let text = || Ok(Some(setting.value.clone()));
    let figure = || number(key, setting).map(Some);
    match key {
        "project_name" => fill(&mut metrics.project_name, text()),
        "output_dir" => fill(&mut metrics.output_dir, text()),
        "output_file" => fill(&mut metrics.output_file, text()),
        "experiment_name" => fill(&mut metrics.experiment_name, text()),
        "experiment_id" => fill(&mut metrics.experiment_id, text()),
        "country_iso_code" => fill(&mut metrics.country_iso_code, text()),
        "region" => fill(&mut metrics.region, text()),
        "cloud_provider" => fill(&mut metrics.cloud_provider, text()),
        "cloud_region" => fill(&mut metrics.cloud_region, text()),
        "country_2letter_iso_code" => fill(&mut metrics.electricity_maps_zone, text()),
        "force_carbon_intensity_g_co2e_kwh" => {
            fill(&mut metrics.carbon_intensity_g_per_kwh, figure())
        }
        "force_cpu_power" => fill(&mut metrics.cpu_power_w, figure()),
        "force_ram_power" => fill(&mut metrics.ram_power_w, figure()),
        "wue" => fill(&mut metrics.wue, figure()),
        "pue" => {
            let pue = number(key, setting)?;
            let is_default = (metrics.pue - 1.0).abs() < f64::EPSILON;
            if is_default {
                metrics.pue = pue;
            }
            Ok(if is_default { Taken::Yes } else { Taken::ConfigStands })
        }
        "force_mode_cpu_load" => {
            let wanted = setting.value.to_lowercase() == "true";
            metrics.cpu_by_model |= wanted;
            Ok(Taken::Yes)
        }
        "tracking_mode" => tracking_mode(metrics, setting),
        "electricitymaps_api_token" => {
            applied.token = Some(setting.value.clone());
            Ok(Taken::Yes)
        }
        "co2_signal_api_token" => {
            applied.token.get_or_insert_with(|| setting.value.clone());
            Ok(Taken::Yes)
        }
        // What these ask for is what happens.
        "allow_multiple_runs" | "save_to_file" if setting.value.to_lowercase() == "true" => {
            Ok(Taken::Yes)
        }
        "on_csv_write" if setting.value == "append" => Ok(Taken::Yes),
        "rapl_prefer_psys" if setting.value.to_lowercase() != "true" => Ok(Taken::Yes),
        "rapl_include_dram" if setting.value.to_lowercase() == "true" => Ok(Taken::Yes),
        _ => Ok(Taken::No),
    }
}

fn fill<T>(slot: &mut Option<T>, value: Result<Option<T>, Problem>) -> Result<Taken, Problem> {
    let value = value?;
    if slot.is_some() {
        return Ok(Taken::ConfigStands);
    }
    *slot = value;
    Ok(Taken::Yes)
}

fn number(key: &str, setting: &Setting) -> Result<f64, Problem> {
    setting.value.trim().parse().map_err(|_| {
        Problem::new(&setting.from, format!("{key} is {:?}, which is no number", setting.value))
    })
}

fn tracking_mode(metrics: &mut MetricsConfig, setting: &Setting) -> Result<Taken, Problem> {
    let scope = match setting.value.as_str() {
        "machine" => Scope::Machine,
        "process" => Scope::Process,
        other => {
            return Err(Problem::new(&setting.from, format!("tracking_mode is {other:?}"))
                .hint("machine or process"));
        }
    };
    if metrics.scope != Scope::default() {
        return Ok(Taken::ConfigStands);
    }
    metrics.scope = scope;
    Ok(Taken::Yes)
}

/// The section `[codecarbon]` with what `[DEFAULT]` adds to it, by the rules of Python's `configparser`.
///
/// # Errors
/// The line (from 1) and what is wrong with it.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, String)> {
    let lines = sections(text)?;
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    if !lines.contains_key(SECTION) {
        return Ok(values);
    }
    for section in [DEFAULT_SECTION, SECTION] {
        for (key, (_, value)) in lines.get(section).into_iter().flatten() {
            values.insert(key.clone(), value.clone());
        }
    }
    let raw = values.clone();
    for (key, value) in &mut values {
        let line = || {
            let of = |section: &str| lines.get(section)?.get(key).map(|(line, _)| *line);
            of(SECTION).or_else(|| of(DEFAULT_SECTION)).unwrap_or(1)
        };
        *value =
            interpolate(value, &raw, 0).map_err(|cause| (line(), format!("{key}: {cause}")))?;
    }
    Ok(values)
}

type Section = BTreeMap<String, (usize, String)>;

/// Keys are in lower case; a line that is indented more than its key continues the key's value.
fn sections(text: &str) -> Result<BTreeMap<String, Section>, (usize, String)> {
    let mut all: BTreeMap<String, Section> = BTreeMap::new();
    let mut section: Option<String> = None;
    let mut open: Option<(String, usize)> = None;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let content = line.trim();
        if content.starts_with(['#', ';']) {
            continue;
        }
        if content.is_empty() {
            if let (Some((key, _)), Some(name)) = (&open, &section) {
                continue_value(&mut all, name, key, "");
            }
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        if let (Some((key, of_key)), Some(name)) = (&open, &section)
            && indent > *of_key
        {
            continue_value(&mut all, name, key, content);
            continue;
        }
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let name = name.0.to_owned();
            if all.contains_key(&name) && name != DEFAULT_SECTION {
                return Err((number, format!("a second [{name}]")));
            }
            all.entry(name.clone()).or_default();
            section = Some(name);
            open = None;
            continue;
        }
        let Some(name) = &section else {
            return Err((number, "a line before the first section".to_owned()));
        };
        let Some(at) = content.find(['=', ':']) else {
            return Err((number, format!("{content:?} has no =")));
        };
        let key = content[..at].trim().to_lowercase();
        let value = content[at + 1..].trim().to_owned();
        let entries = all.entry(name.clone()).or_default();
        if entries.insert(key.clone(), (number, value)).is_some() {
            return Err((number, format!("{key} a second time")));
        }
        open = Some((key, indent));
    }
    for (_, value) in all.values_mut().flat_map(BTreeMap::values_mut) {
        let end = value.trim_end().len();
        value.truncate(end);
    }
    Ok(all)
}

fn continue_value(all: &mut BTreeMap<String, Section>, section: &str, key: &str, more: &str) {
    if let Some((_, value)) = all.get_mut(section).and_then(|entries| entries.get_mut(key)) {
        value.push('\n');
        value.push_str(more);
    }
}

/// `%(key)s` is another key's value, `%%` is a per cent sign.
fn interpolate(
    value: &str,
    all: &BTreeMap<String, String>,
    depth: usize,
) -> Result<String, String> {
    const DEEPEST: usize = 10;
    if depth > DEEPEST {
        return Err("names that refer to each other without end".to_owned());
    }
    let mut told = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        told.push_str(before);
        if let Some(left) = after.strip_prefix('%') {
            told.push('%');
            rest = left;
        } else if let Some((name, left)) =
            after.strip_prefix('(').and_then(|reference| reference.split_once(")s"))
        {
            let other =
                all.get(&name.to_lowercase()).ok_or_else(|| format!("%({name})s is not set"))?;
            told.push_str(&interpolate(other, all, depth + 1)?);
            rest = left;
        } else {
            return Err("a % that is neither %% nor %(key)s".to_owned());
        }
        // A value that grows past any use is a mistake.
        if told.len() > 65_536 {
            return Err("it is too long".to_owned());
        }
    }
    told.push_str(rest);
    Ok(told)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> BTreeMap<String, String> {
        parse(text).unwrap()
    }

    #[test]
    fn the_form_is_pythons_configparser() {
        let values = parsed(
            "# comment\n[DEFAULT]\nhost = h\n[other]\npue = 9\n[codecarbon]\nProject_Name: a = b ; kept\n\
             url = http://%(host)s/%%x\nlong = one\n  two\n\n  three\nempty =\n; comment\npue=1.5\n",
        );
        assert_eq!(values["project_name"], "a = b ; kept");
        assert_eq!(values["url"], "http://h/%x");
        assert_eq!(values["long"], "one\ntwo\n\nthree");
        assert_eq!((values["empty"].as_str(), values["pue"].as_str()), ("", "1.5"));
        assert!(parsed("[other]\na = 1\n").is_empty());
    }

    #[test]
    fn what_is_not_of_the_form_is_told_with_its_line() {
        for (text, line) in [
            ("a = 1\n", 1),
            ("[codecarbon]\na\n", 2),
            ("[codecarbon]\na = 1\nA = 2\n", 3),
            ("[codecarbon]\na = %x\n", 2),
            ("[codecarbon]\na = %(a)s\n", 2),
            ("[codecarbon]\n[codecarbon]\n", 2),
        ] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }

    /// A home and a working folder with files in them.
    fn applied(
        home: &str,
        here: &str,
        variables: &[(&str, &str)],
        metrics: &mut MetricsConfig,
    ) -> Result<(Applied, Environment), Problems> {
        let base = tempfile::tempdir().unwrap();
        let (home_at, here_at) = (base.path().join("home"), base.path().join("work"));
        for (folder, text) in [(&home_at, home), (&here_at, here)] {
            std::fs::create_dir(folder).unwrap();
            if !text.is_empty() {
                std::fs::write(folder.join(FILE), text).unwrap();
            }
        }
        let mut set: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        set.insert("HOME".to_owned(), home_at.display().to_string());
        let environment = Environment::with(set);
        let applied = apply(metrics, &environment, &here_at)?;
        let environment = applied.environment(metrics, &environment);
        Ok((applied, environment))
    }

    #[test]
    fn variables_come_before_the_file_here_that_before_the_file_at_home_and_the_config_before_all()
    {
        let mut metrics =
            MetricsConfig { region: Some("texas".to_owned()), ..MetricsConfig::default() };
        let (applied, _) = applied(
            "[codecarbon]\ncountry_iso_code = FRA\nproject_name = at home\npue = 1.1\n",
            "[codecarbon]\ncountry_iso_code = CAN\nregion = quebec\npue = 1.2\n",
            &[("CODECARBON_COUNTRY_ISO_CODE", "USA"), ("codecarbon_wue", "1.8")],
            &mut metrics,
        )
        .unwrap();
        assert_eq!(metrics.country_iso_code.as_deref(), Some("USA"));
        assert_eq!(metrics.region.as_deref(), Some("texas"));
        assert_eq!(metrics.project_name.as_deref(), Some("at home"));
        assert_eq!((metrics.pue, metrics.wue), (1.2, Some(1.8)));
        let from = |key: &str| {
            applied.origins.iter().find(|(name, _)| name == key).map(|(_, from)| from.clone())
        };
        assert_eq!(from("country_iso_code").unwrap(), "CODECARBON_COUNTRY_ISO_CODE");
        assert!(from("project_name").unwrap().ends_with("home/.codecarbon.config"));
        assert_eq!(from("region"), None);
    }

    #[test]
    fn what_has_no_counterpart_is_told_by_name_and_never_by_value() {
        let mut metrics = MetricsConfig::default();
        let (applied, environment) = applied(
            "[codecarbon]\napi_key = secret-1\nelectricitymaps_api_token = secret-2\nsave_to_api = true\n",
            "",
            &[],
            &mut metrics,
        )
        .unwrap();
        let told = format!("{applied:?}");
        assert!(told.contains("api_key") && told.contains("save_to_api"), "{told}");
        assert!(!told.contains("secret"), "{told}");
        assert_eq!(environment.var("ELECTRICITYMAPS_API_TOKEN").as_deref(), Some("secret-2"));
    }

    #[test]
    fn other_rules_and_a_switch_leave_them_alone() {
        for change in [
            MetricsConfig { kind: "energy".to_owned(), ..MetricsConfig::default() },
            MetricsConfig { codecarbon_settings: false, ..MetricsConfig::default() },
        ] {
            let mut metrics = change;
            let (applied, _) =
                applied("[codecarbon]\npue = broken\n", "", &[], &mut metrics).unwrap();
            assert_eq!((applied, metrics.pue), (Applied::default(), 1.0));
        }
    }

    #[test]
    fn values_that_are_not_of_their_kind_are_errors_all_at_once() {
        let problems = applied(
            "[codecarbon]\npue = much\ntracking_mode = cluster\nforce_cpu_power = \n",
            "",
            &[],
            &mut MetricsConfig::default(),
        )
        .unwrap_err();
        assert_eq!(problems.0.len(), 3, "{problems}");
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in "(?s)\\[codecarbon\\]\n.{0,200}") {
            let _ = parse(&text);
        }
    }
}
