//! Metrics pages: a node exporter of another machine, or the server's own energy.
//!
//! Measures: what the page says: energy and power of each GPU as DCGM exporter names them, or any metric (or place in a
//! JSON page) that the config names with its unit. Needs: an http(s) address. Limits: a value on the page may be as old as
//! the exporter's own collection (`age_s`, 30 s with DCGM exporter unless its `-c` says otherwise); each look is stamped on our
//! clock before and after, so a value that changed between two looks is known to have changed there. Stamps on the page
//! are another machine's time: its difference to ours is bounded from the answers' `Date`, and the bounds are in the
//! reading's stamps. Example: `meter: {type: prometheus, url: "http://node7:9400/metrics"}`.

mod offset;
pub mod text;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::Agent;

use crate::clock;
use crate::config::component::meter::{
    MeterConfig, MeteredPart, MetricChoice, MetricUnit, PrometheusConfig,
};
use crate::error::Problem;
use crate::record::{Component, DeviceRef, Quantity, SensorInfo, Source, Warning};
use crate::units::{Nanos, Seconds};

use super::{Arrival, Meter, MeterEntry, MeterError, OpenRequest, Opened, Running, nvml};
use offset::Offset;
use text::Metric;

/// The line in the registry.
pub const ENTRY: MeterEntry = MeterEntry {
    kind: KIND,
    summary: "Metrics pages of other machines and servers: DCGM exporter, Prometheus, JSON",
    open,
};

const KIND: &str = "prometheus";
/// Largest page that is read, in bytes.
const LARGEST_PAGE: u64 = 16 << 20;
/// Looks that nobody collected are kept up to this many.
const MOST_LOOKS: usize = 10_000;
/// Labels that tell devices apart where the config names none.
const DEVICE_LABELS: [&str; 4] = ["UUID", "uuid", "gpu", "device"];
/// What DCGM exporter calls energy and power: mJ since the driver was loaded, and W.
const DCGM: [(&str, MetricUnit); 2] = [
    ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", MetricUnit::MilliJ),
    ("DCGM_FI_DEV_POWER_USAGE", MetricUnit::W),
];

/// One look at a page.
#[derive(Debug, Clone)]
struct Look {
    before: Nanos,
    after: Nanos,
    /// Values by position of the sensor, with the exporter's own time, or why there is none.
    page: Result<Page, String>,
    /// The exporter's `Date`, in seconds of Unix time.
    date_s: Option<f64>,
}

/// What stands on a page.
#[derive(Debug, Clone)]
enum Page {
    Metrics(Vec<Metric>),
    Json(serde_json::Value),
}

/// Where a sensor's value stands.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    choice: MetricChoice,
    /// The label that tells its device apart, with its value.
    device: Option<(String, String)>,
}

struct PrometheusMeter {
    sensors: Vec<SensorInfo>,
    places: Vec<Place>,
    looks: Arc<Mutex<Vec<Look>>>,
    offset: Option<Offset>,
    last: Vec<Result<f64, MeterError>>,
    _thread: Running,
}

impl Meter for PrometheusMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    /// The value of the last look.
    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        self.arrivals(clock::now());
        let none = || Err(MeterError::new(format!("the page has no sensor {sensor}")));
        self.last.get(sensor).cloned().unwrap_or_else(none)
    }

    fn pushes(&self) -> bool {
        true
    }

    fn arrivals(&mut self, _now: Nanos) -> Vec<Arrival> {
        let looks = std::mem::take(&mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner));
        let mut arrivals = Vec::with_capacity(looks.len() * self.places.len());
        for look in looks {
            if let Some(date_s) = look.date_s {
                self.offset = Some(Offset::seen(self.offset, date_s, look.before, look.after));
            }
            for (sensor, place) in self.places.iter().enumerate() {
                let (value, stamp) = match look.page.as_ref().map(|page| place.find(page)) {
                    Ok(Some((value, stamp))) => (Ok(value), stamp),
                    Ok(None) => (Err(MeterError::new("the page does not have it now")), None),
                    Err(why) => (Err(MeterError::new(why.as_str())), None),
                };
                self.last[sensor].clone_from(&value);
                let (before, after) = self.span(&look, stamp);
                arrivals.push(Arrival { sensor, before, after, value });
            }
        }
        arrivals
    }
}

impl PrometheusMeter {
    /// The moments between which a value was taken: by its own stamp where it has one and clocks can be compared, never
    /// after it was received.
    fn span(&self, look: &Look, unix_s: Option<f64>) -> (Nanos, Nanos) {
        let Some((from, to)) = self.offset.zip(unix_s).map(|(offset, at)| offset.span(at)) else {
            return (look.before, look.after);
        };
        (from.min(look.after), to.min(look.after))
    }
}

impl Place {
    /// The value in joules or watts, and the exporter's time of it.
    fn find(&self, page: &Page) -> Option<(f64, Option<f64>)> {
        let factor = self.choice.unit.factor();
        match page {
            Page::Json(json) => {
                let value = json.pointer(self.choice.pointer.as_deref()?)?.as_f64()?;
                Some((value * factor, None))
            }
            Page::Metrics(metrics) => {
                let metric = metrics.iter().find(|metric| {
                    self.choice.is(metric)
                        && self
                            .device
                            .as_ref()
                            .is_none_or(|(label, value)| metric.label(label) == Some(value))
                })?;
                Some((metric.value * factor, metric.unix_s))
            }
        }
    }
}

impl MetricChoice {
    /// Whether it means this metric, whatever the device.
    fn is(&self, metric: &Metric) -> bool {
        self.name.as_deref() == Some(&metric.name)
            && self.labels.iter().all(|(label, value)| metric.label(label) == Some(value))
    }
}

fn open(request: &OpenRequest<'_>) -> Opened {
    let mut opened = Opened::default();
    for config in request.extra {
        let MeterConfig::Prometheus(page) = config else { continue };
        if let Err(problem) = start(page, request, &mut opened) {
            opened.problems.push(problem);
        }
    }
    opened
}

fn start(
    config: &PrometheusConfig,
    request: &OpenRequest<'_>,
    opened: &mut Opened,
) -> Result<(), Problem> {
    let fail =
        |message: String| Problem::new("meter.url", format!("{}: {message}", shown(&config.url)));
    let Some(lender) = &request.lender else {
        return Err(fail("no page can be read here".to_owned()));
    };
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(
            Duration::try_from_secs_f64(config.timeout_s).unwrap_or(Duration::MAX),
        ))
        .http_status_as_error(true)
        .build()
        .into();
    let first = look(&agent, &config.url);
    let page = first.page.as_ref().map_err(|why| fail(why.clone()))?;
    let (sensors, places) = find_sensors(config, page);
    if sensors.is_empty() {
        return Err(fail("has nothing of what is wanted".to_owned()).hint(wanted(config)));
    }
    if sliced(page) {
        opened.warnings.push(Warning::new(
            "gpu_is_sliced",
            format!(
                "{}: GPUs are divided (MIG): their energy is that of all slices",
                shown(&config.url)
            ),
        ));
    }
    let looks = Arc::new(Mutex::new(vec![first]));
    let job = {
        let (looks, url) = (Arc::clone(&looks), config.url.clone());
        move || {
            let look = look(&agent, &url);
            let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
            if looks.len() < MOST_LOOKS {
                looks.push(look);
            }
        }
    };
    let thread = lender.every("meter-page", Seconds(config.period_s), Box::new(job));
    let none = || Err(MeterError::new("no look yet"));
    opened.devices.extend(devices(&sensors, config));
    opened.meters.push(Box::new(PrometheusMeter {
        last: sensors.iter().map(|_| none()).collect(),
        sensors,
        places,
        looks,
        offset: None,
        _thread: thread,
    }));
    Ok(())
}

/// GPUs of this machine only: those of others are not this host's.
fn devices(sensors: &[SensorInfo], config: &PrometheusConfig) -> Vec<DeviceRef> {
    let mut devices: Vec<DeviceRef> = Vec::new();
    if host(config).is_none() {
        for device in sensors.iter().filter_map(|sensor| sensor.device.clone()) {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
    }
    devices
}

fn look(agent: &Agent, url: &str) -> Look {
    let before = clock::now();
    let answer = agent.get(url).call().and_then(|mut response| {
        let header = response.headers().get("date").and_then(|date| date.to_str().ok());
        let date_s = header.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let body = response.body_mut().with_config().limit(LARGEST_PAGE).read_to_string()?;
        Ok((date_s.map(|date| date.timestamp().as_second()), body))
    });
    let after = clock::now();
    match answer {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        Ok((date_s, body)) => Look {
            before,
            after,
            page: Ok(page(&body)),
            date_s: date_s.map(|seconds| seconds as f64),
        },
        Err(cause) => Look { before, after, page: Err(cause.to_string()), date_s: None },
    }
}

fn page(body: &str) -> Page {
    if body.trim_start().starts_with(['{', '['])
        && let Ok(json) = serde_json::from_str(body)
    {
        return Page::Json(json);
    }
    Page::Metrics(text::parse(body))
}

/// An address without what is secret in it: user, password, query.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}")
}

/// The machine behind an address, where it is not this one.
fn host(config: &PrometheusConfig) -> Option<String> {
    if config.host.is_some() {
        return config.host.clone();
    }
    let shown = shown(&config.url);
    let (_, rest) = shown.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let name = match authority.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or(six),
        None => authority.split(':').next().unwrap_or(authority),
    };
    let here = name == "localhost"
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    (!here).then(|| name.to_owned())
}

fn wanted(config: &PrometheusConfig) -> String {
    let names: Vec<String> =
        choices(config).into_iter().filter_map(|choice| choice.name.or(choice.pointer)).collect();
    format!("looked for {}; name others under meter.metrics", names.join(", "))
}

fn choices(config: &PrometheusConfig) -> Vec<MetricChoice> {
    if !config.metrics.is_empty() {
        return config.metrics.clone();
    }
    DCGM.iter()
        .map(|(name, unit)| MetricChoice {
            name: Some((*name).to_owned()),
            pointer: None,
            labels: std::collections::BTreeMap::new(),
            unit: *unit,
            component: MeteredPart::Gpu,
            device_label: None,
            counted: None,
        })
        .collect()
}

fn sliced(page: &Page) -> bool {
    let Page::Metrics(metrics) = page else { return false };
    metrics.iter().any(|metric| metric.label("GPU_I_ID").is_some_and(|id| !id.is_empty()))
}

/// One sensor for each device of each metric that is wanted and there.
fn find_sensors(config: &PrometheusConfig, page: &Page) -> (Vec<SensorInfo>, Vec<Place>) {
    let mut found: Vec<(Place, Option<DeviceRef>)> = Vec::new();
    for choice in choices(config) {
        match page {
            Page::Json(_) => {
                let place = Place { choice, device: None };
                if place.find(page).is_some() {
                    found.push((place, None));
                }
            }
            Page::Metrics(metrics) => {
                for metric in metrics.iter().filter(|metric| choice.is(metric)) {
                    let (label, device) = device_of(metric, &choice);
                    let place = Place { choice: choice.clone(), device: label };
                    // Slices of a GPU show its energy once each.
                    if found.iter().all(|(known, _)| *known != place) {
                        found.push((place, device));
                    }
                }
            }
        }
    }
    let sensors = found.iter().map(|(place, device)| describe(config, place, device, &found));
    let sensors = sensors.collect();
    (sensors, found.into_iter().map(|(place, _)| place).collect())
}

fn device_of(
    metric: &Metric,
    choice: &MetricChoice,
) -> (Option<(String, String)>, Option<DeviceRef>) {
    let named = choice.device_label.as_deref();
    let labels = named.into_iter().chain(DEVICE_LABELS.into_iter().filter(|_| named.is_none()));
    let mut labels = labels.filter_map(|label| Some((label, metric.label(label)?)));
    let Some((label, value)) = labels.next() else { return (None, None) };
    let index = metric.label("gpu").and_then(|index| index.parse().ok()).unwrap_or(0);
    let device = DeviceRef {
        index,
        uuid: value.to_owned(),
        name: metric.label("modelName").unwrap_or(value).to_owned(),
    };
    (Some((label.to_owned(), value.to_owned())), Some(device))
}

fn describe(
    config: &PrometheusConfig,
    place: &Place,
    device: &Option<DeviceRef>,
    all: &[(Place, Option<DeviceRef>)],
) -> SensorInfo {
    let choice = &place.choice;
    let energy = choice.unit.is_energy();
    let quantity = if energy { Quantity::EnergyCounter } else { Quantity::Power };
    let component = match choice.component {
        MeteredPart::Gpu => Component::Gpu,
        MeteredPart::Cpu => Component::Cpu,
        MeteredPart::Ram => Component::Ram,
        MeteredPart::Machine => Component::Machine,
    };
    let has_counter = all.iter().any(|(other, beside)| {
        other.choice.unit.is_energy()
            && other.choice.component == choice.component
            && beside == device
    });
    let by_itself = component != Component::Machine && (energy || !has_counter);
    let host = host(config);
    let metric = choice.name.as_deref().or(choice.pointer.as_deref()).unwrap_or_default();
    let which = match (device, component) {
        (Some(device), Component::Gpu) => format!("gpu{}", device.index),
        (Some(device), _) => format!("{}.{}", component.as_str(), device.uuid),
        (None, _) => component.as_str().to_owned(),
    };
    let what = if energy { "energy" } else { "power" };
    let on = host.as_ref().map(|host| format!("{host}.")).unwrap_or_default();
    let bound = device
        .as_ref()
        .filter(|device| component == Component::Gpu && device.name.contains("NVIDIA"))
        .map(|device| nvml::bound_of(&device.name));
    SensorInfo {
        name: format!("{on}{which}.{what}"),
        meter: KIND.to_owned(),
        component,
        device: device.clone(),
        quantity,
        unit: quantity.unit().to_owned(),
        source: Source::Measured,
        scope: match &host {
            Some(host) => format!("{} of {host} as its exporter counts it", component.as_str()),
            None => format!("{} as the exporter counts it", component.as_str()),
        },
        method: format!("{metric} at {}, up to {} s old", shown(&config.url), config.age_s),
        counted: choice.counted.unwrap_or(by_itself),
        resolution: energy.then(|| choice.unit.factor()),
        update_period_s: (config.age_s > 0.0).then_some(Seconds(config.age_s)),
        sample_period_s: Seconds(config.period_s),
        wrap_at: None,
        systematic_relative: bound.as_ref().map(|(relative, _)| *relative),
        systematic_source: bound.map(|(_, source)| source),
        timing: None,
        host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> PrometheusConfig {
        PrometheusConfig { url: url.to_owned(), ..PrometheusConfig::default() }
    }

    #[test]
    fn an_address_is_shown_without_secrets_and_tells_the_machine() {
        let secret = config("https://me:pass@node7:9400/metrics?token=abc");
        assert_eq!(shown(&secret.url), "https://node7:9400/metrics");
        assert_eq!(host(&secret).as_deref(), Some("node7"));
        for here in ["http://localhost:9400/metrics", "http://127.0.0.1:1", "http://[::1]:9400/"] {
            assert_eq!(host(&config(here)), None, "{here}");
        }
    }

    #[test]
    fn slices_of_a_gpu_are_one_sensor_and_known_as_slices() {
        let page = Page::Metrics(text::parse(
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu=\"0\",UUID=\"GPU-1\",GPU_I_ID=\"7\"} 5\n\
             DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu=\"0\",UUID=\"GPU-1\",GPU_I_ID=\"8\"} 5\n",
        ));
        let (sensors, _) = find_sensors(&config("http://node7:9400/metrics"), &page);
        assert_eq!(sensors.len(), 1);
        assert!(sliced(&page));
    }
}
