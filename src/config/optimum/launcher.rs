//! `launcher`: how optimum-benchmark starts processes, of which only the isolation of devices concerns us.

use hydra_compose::{Node, Value};

use super::Findings;
use super::backend::{check_target, one_of};
use super::schemas::SCHEMAS;
use super::section::{Ours, Section, text_of};

pub(super) fn map(mut theirs: Section<'_>, metrics: &mut Ours, findings: &mut Findings) {
    let name = theirs.words("name").unwrap_or_default();
    check_target(&mut theirs, "launcher", &name, findings);
    match name.as_str() {
        "inline" | "process" => {}
        "torchrun" => torchrun(&mut theirs, findings),
        "" => findings.problem(
            "launcher.name",
            "is missing",
            "put `launcher: process` into the defaults",
        ),
        other => {
            let known: Vec<&str> =
                SCHEMAS.iter().filter(|s| s.group == "launcher").map(|s| s.name).collect();
            one_of("launcher.name", other, &known, findings);
        }
    }
    isolation(&mut theirs, metrics, findings);
    if let Some(method) = theirs.words("start_method") {
        one_of("launcher.start_method", &method, &["spawn", "fork"], findings);
    }
    if theirs.is_on("numactl") {
        findings.not_run(
            "launcher.numactl",
            "numactl",
            "bind the server yourself, and set numactl to false",
        );
    }
    theirs.known(&["numactl_kwargs"]);
    theirs.finish(findings);
}

/// The check itself is `metrics.device_isolation`; it is asked for only where isolation is on.
fn isolation(theirs: &mut Section<'_>, metrics: &mut Ours, findings: &mut Findings) {
    let on = theirs.is_on("device_isolation");
    let action = theirs.take("device_isolation_action");
    let word = action.and_then(text_of).unwrap_or_else(|| "warn".to_owned());
    one_of("launcher.device_isolation_action", &word, &["error", "warn", "kill"], findings);
    if !on {
        return;
    }
    if word == "kill" {
        findings.note(
            "launcher.device_isolation_action",
            "kill only warns: no process of others is ended",
        );
    }
    let origin = action.or_else(|| theirs.take("device_isolation")).map(|node| node.origin.clone());
    let origin = origin.unwrap_or_else(hydra_compose::Origin::memory);
    metrics.set("device_isolation", Node::new(Value::Str(word), origin));
}

fn torchrun(theirs: &mut Section<'_>, findings: &mut Findings) {
    let number = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    let least = number(theirs.take("min_nodes")).unwrap_or(1);
    let most = number(theirs.take("max_nodes")).unwrap_or(1);
    if least != most {
        findings.problem(
            "launcher.min_nodes",
            format!("{least} differs from max_nodes ({most})"),
            "equal numbers: a benchmark's size does not change while it runs",
        );
    }
    if least > 1 || most > 1 {
        findings.not_run("launcher.max_nodes", "more than one node", "1");
    }
    let processes = number(theirs.take("nproc_per_node")).unwrap_or(2);
    if processes == 1 {
        findings.note("launcher.nproc_per_node", "1 is run without torchrun");
    } else {
        findings.not_run(
            "launcher.nproc_per_node",
            format!("launcher torchrun with {processes} processes"),
            "let the engine use several GPUs: vLLM's --tensor-parallel-size, with `launcher: process`",
        );
    }
    theirs.known(&[
        "role",
        "monitor_interval",
        "rdzv_id",
        "rdzv_backend",
        "rdzv_endpoint",
        "rdzv_configs",
        "rdzv_timeout",
        "max_restarts",
        "local_addr",
        "socket_ifname",
    ]);
}
