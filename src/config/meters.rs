//! Reads and checks the key `meter`: one further meter or a list of them, each of a type of its own.

use hydra_compose::{Document, Errors, Node, Value, from_node};

use super::component::meter::{MeterConfig, Meters, MetricChoice, PrometheusConfig};
use super::load::{at, to_problem};
use crate::error::{Problem, Problems, nearest};

/// A page is not looked at more often than this, in seconds: it is another program's work.
const SHORTEST_PERIOD_S: f64 = 0.05;

/// Meters as command lines name them: each text is what a config has under `meter`, `{type: exec, command: [./read]}`.
///
/// # Errors
/// Every text that is no YAML, every meter of an unknown type, every setting that is out of range.
pub fn named(texts: &[String]) -> Result<Meters, Problems> {
    let mut found = Problems::default();
    let mut nodes = Vec::new();
    for text in texts {
        match Document::from_str(text, "--meter") {
            Ok(Node { value: Value::List(listed), .. }) => nodes.extend(listed),
            Ok(node) => nodes.push(node),
            Err(errors) => found.0.extend(errors.iter().map(to_problem)),
        }
    }
    found.into_result()?;
    let meters = match nodes.len() {
        0 | 1 => typed(nodes.pop()),
        _ => typed(Some(Node::in_memory(Value::List(nodes)))),
    }?;
    check(&meters).into_result().map(|()| meters)
}

/// Fits the key into its types.
pub(super) fn typed(node: Option<Node>) -> Result<Meters, Problems> {
    let Some(node) = node else { return Ok(Meters::default()) };
    let single = !matches!(node.value, Value::List(_));
    let nodes = match node.value {
        Value::Null => Vec::new(),
        Value::List(nodes) => nodes,
        _ => vec![node],
    };
    let mut found = Problems::default();
    let mut meters = Vec::new();
    for (position, node) in nodes.into_iter().enumerate() {
        let place = if single { "meter".to_owned() } else { format!("meter.{position}") };
        match one(node, &place) {
            Ok(meter) => meters.push(meter),
            Err(problems) => found.0.extend(problems.0),
        }
    }
    found.into_result().map(|()| Meters(meters))
}

fn one(mut node: Node, place: &str) -> Result<MeterConfig, Problems> {
    let origin = node.origin.clone();
    let chosen = node.as_map_mut().and_then(|map| map.remove("type"));
    let read = match chosen.as_ref().and_then(Node::as_str) {
        Some("exec") => from_node(&node).map(MeterConfig::Exec),
        Some("prometheus") => from_node(&node).map(MeterConfig::Prometheus),
        Some("replay") => from_node(&node).map(MeterConfig::Replay),
        kind => {
            let kinds = MeterConfig::KINDS.join(", ");
            let (message, hint) = match kind {
                Some(kind) => (
                    format!("{kind:?} is not a meter that can be named here"),
                    nearest(kind, MeterConfig::KINDS).map_or_else(
                        || format!("one of {kinds}; the machine's own sensors need no entry"),
                        |near| format!("did you mean {near}?"),
                    ),
                ),
                None => ("is missing".to_owned(), format!("one of {kinds}")),
            };
            let origin = chosen.as_ref().map_or(&origin, |node| &node.origin);
            let problem = Problem::new(format!("{place}.type"), message).hint(hint);
            return Err(at(origin, problem).into());
        }
    };
    read.map_err(|errors| placed(&errors, place))
}

fn placed(errors: &Errors, place: &str) -> Problems {
    let placed = errors.iter().map(|error| {
        let path = error.path().map_or_else(|| place.to_owned(), |path| format!("{place}.{path}"));
        to_problem(&error.clone().with_path(path))
    });
    Problems(placed.collect())
}

/// What types alone cannot tell.
pub(super) fn check(meters: &Meters) -> Problems {
    let mut problems = Problems::default();
    let several = meters.0.len() > 1;
    for (position, meter) in meters.0.iter().enumerate() {
        let place = |key: &str| {
            if several { format!("meter.{position}.{key}") } else { format!("meter.{key}") }
        };
        let mut say = |key: &str, message: &str, hint: &str| {
            problems.push(Problem::new(place(key), message).hint(hint));
        };
        match meter {
            MeterConfig::Exec(exec) => {
                if exec.command.0.first().is_none_or(|program| program.trim().is_empty()) {
                    say("command", "is missing", "the program and its arguments, as a list");
                }
                if !(exec.timeout_s.is_finite() && exec.timeout_s > 0.0) {
                    say("timeout_s", "is out of range", "seconds, above 0");
                }
            }
            MeterConfig::Replay(replay) if replay.file.trim().is_empty() => {
                say("file", "is missing", "a run folder, or a trace (CSV)");
            }
            MeterConfig::Replay(_) => {}
            MeterConfig::Prometheus(page) => check_page(page, &mut say),
        }
    }
    problems
}

fn check_page(page: &PrometheusConfig, say: &mut impl FnMut(&str, &str, &str)) {
    let url = page.url.trim();
    if url.is_empty() {
        say("url", "is missing", "the address of the page: http://node7:9400/metrics");
    } else if !(url.starts_with("http://") || url.starts_with("https://")) {
        say("url", "is no http or https address", "http://node7:9400/metrics");
    }
    let fine = |value: f64, least: f64| value.is_finite() && value >= least;
    if !fine(page.period_s, SHORTEST_PERIOD_S) {
        say("period_s", "is out of range", "seconds, 0.05 or more");
    }
    if !fine(page.age_s, 0.0) {
        say("age_s", "is out of range", "seconds, 0 or more");
    }
    if !fine(page.timeout_s, 0.01) {
        say("timeout_s", "is out of range", "seconds, 0.01 or more");
    }
    for (index, MetricChoice { name, pointer, .. }) in page.metrics.iter().enumerate() {
        if name.is_some() == pointer.is_some() {
            say(
                &format!("metrics.{index}"),
                "needs either a name or a pointer",
                "name for a Prometheus metric, pointer for a place in JSON",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::TextList;
    use crate::config::component::meter::{ExecConfig, ReplayConfig};

    #[test]
    fn a_config_names_meters_and_each_mistake_is_placed() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("c.yaml");
        let load = |meter: &str| {
            let text = format!("name: a\nbackend: {{type: vllm, model: m}}\nmeter: {meter}\n");
            std::fs::write(&path, text).unwrap();
            crate::config::load(&path, &[])
        };
        let loaded = load("{type: exec, command: [sh, -c, 'true']}").unwrap();
        let MeterConfig::Exec(exec) = &loaded.config.meter.0[0] else { panic!("{loaded:?}") };
        assert_eq!(exec.command.0, ["sh", "-c", "true"]);
        assert!(load("null").unwrap().config.meter.0.is_empty());
        let wrong = load("[{type: replay, fil: x}, {type: excec}]").unwrap_err().to_string();
        for part in ["c.yaml:3:", "fil", "did you mean exec?"] {
            assert!(wrong.contains(part), "{wrong}");
        }
    }

    #[test]
    fn command_lines_name_meters_as_configs_do() {
        let read = |texts: &[&str]| {
            named(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        assert!(read(&[]).unwrap().0.is_empty());
        let one = read(&["{type: exec, command: [./read, \"2\"]}"]).unwrap().0;
        let [MeterConfig::Exec(exec)] = &one[..] else { panic!("{one:?}") };
        assert_eq!(exec.command.0, ["./read", "2"]);
        let two = read(&["{type: replay, file: a.csv}", "[{type: exec, command: [b]}]"]).unwrap();
        assert_eq!(two.0.len(), 2);
        let told = |texts: &[&str]| read(texts).unwrap_err().to_string();
        assert!(told(&["{type: exek, command: [a]}"]).contains("did you mean exec?"));
        assert!(told(&["{type: exec}"]).contains("meter.command"));
        assert!(told(&["{type: exec, comand: [a]}"]).contains("comand"));
        assert!(told(&["exec"]).contains("meter.type"));
        assert!(read(&["{type: exec"]).is_err());
    }

    #[test]
    fn every_problem_of_every_meter_has_its_place() {
        let meters = Meters(vec![
            MeterConfig::Exec(ExecConfig { command: TextList::default(), timeout_s: 0.0 }),
            MeterConfig::Replay(ReplayConfig::default()),
            MeterConfig::Prometheus(PrometheusConfig {
                url: "node7:9400".to_owned(),
                period_s: f64::NAN,
                ..PrometheusConfig::default()
            }),
        ]);
        let found: Vec<String> =
            check(&meters).0.iter().map(|problem| problem.place.clone()).collect();
        assert_eq!(
            found,
            [
                "meter.0.command",
                "meter.0.timeout_s",
                "meter.1.file",
                "meter.2.url",
                "meter.2.period_s"
            ]
        );
    }
}
