//! What is asked and how long answers are: datasets, lengths, parameters of requests; and what a good answer is.

use ai_energy_benchmarks::error::Problem;
use serde_json::Value;

use super::draft::{Draft, Slot};
use super::text::{joined, of_json, plain_key, quoted, shown};
use super::{Change, names_of};

/// The changes that say what is asked.
pub(super) fn changes(draft: &Draft) -> Result<Vec<Change>, Problem> {
    let mut changes = dataset(draft)?;
    changes.extend(lengths(draft)?);
    changes.extend(extra(draft)?);
    let objective = |(key, slot): &(&str, Slot<f64>)| {
        change(&format!("metrics.slo.{key}"), shown(slot.value), slot.flag)
    };
    changes.extend(draft.goodput.iter().map(objective));
    Ok(changes)
}

fn change(key: &str, value: String, flag: &str) -> Change {
    Change { key: key.to_owned(), value, flag: names_of(flag), swept: false }
}

fn swept(key: &str, values: &[u64], flag: &str) -> Change {
    Change { swept: values.len() > 1, ..change(key, joined(values), flag) }
}

fn wrong(flag: &str, message: impl Into<String>) -> Problem {
    Problem::new(names_of(flag), message)
}

/// Where prompts come from.
fn dataset(draft: &Draft) -> Result<Vec<Change>, Problem> {
    let named =
        |slot: &Slot<String>| change("scenario.dataset_name", quoted(&slot.value), slot.flag);
    let mut changes = Vec::new();
    match (&draft.dataset, &draft.dataset_path) {
        (Some(file), Some(path)) => {
            return Err(wrong(
                path.flag,
                format!("{} names the prompts already", names_of(file.flag)),
            ));
        }
        (Some(one), None) | (None, Some(one)) => changes.push(named(one)),
        (None, None) => {}
    }
    let Some(kind) = &draft.dataset_kind else { return Ok(changes) };
    let needs_path = || match changes.is_empty() {
        true => {
            Err(wrong(kind.flag, format!("`{}` needs --dataset-path or --input-file", kind.value)))
        }
        false => Ok(()),
    };
    match kind.value.as_str() {
        // Lengths say the rest.
        "random" if draft.dataset_path.is_none() && draft.dataset.is_none() => {
            if draft.input_tokens.is_none() {
                return Err(
                    wrong(kind.flag, "random prompts need a length").hint("add --random-input-len")
                );
            }
        }
        // A column `text`, which is what is looked for anyway.
        "single_turn" | "hf" => needs_path()?,
        "custom" => {
            needs_path()?;
            changes.push(change("scenario.text_column_name", "prompt".to_owned(), kind.flag));
        }
        other => {
            return Err(wrong(kind.flag, format!("`{other}` has no place here"))
                .hint("name a file, a folder or a HuggingFace dataset with --input-file, and its column with scenario.text_column_name=NAME"));
        }
    }
    Ok(changes)
}

/// How long prompts and answers are.
fn lengths(draft: &Draft) -> Result<Vec<Change>, Problem> {
    let mut changes = Vec::new();
    if let Some(input) = &draft.input_tokens {
        if let Some(other) = draft.dataset.as_ref().or(draft.dataset_path.as_ref()) {
            return Err(wrong(
                input.flag,
                format!("{} names prompts that have their lengths", names_of(other.flag)),
            ));
        }
        changes.push(change("scenario.dataset_name", "random_tokens".to_owned(), input.flag));
        changes.push(swept("scenario.input_shapes.sequence_length", &input.value, input.flag));
        if let Some(seed) = &draft.seed {
            changes.push(change("scenario.input_shapes.seed", seed.value.to_string(), seed.flag));
        }
    }
    if let Some(output) = &draft.output_tokens {
        if output.value.len() > 1 {
            return Err(wrong(output.flag, "answers have one length")
                .hint("sweep with -m scenario.generate_kwargs.max_new_tokens=..."));
        }
        // As many as that, where the server can: joules a token of answers of unlike lengths are no comparison.
        for key in ["max_new_tokens", "min_new_tokens"] {
            changes.push(swept(
                &format!("scenario.generate_kwargs.{key}"),
                &output.value,
                output.flag,
            ));
        }
    }
    Ok(changes)
}

/// Fields of the request that the config has a key for.
const KNOWN: [(&str, &str); 7] = [
    ("max_tokens", "max_new_tokens"),
    ("max_completion_tokens", "max_new_tokens"),
    ("min_tokens", "min_new_tokens"),
    ("ignore_eos", "ignore_eos"),
    ("seed", "seed"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
];

/// Fields added to every request.
fn extra(draft: &Draft) -> Result<Vec<Change>, Problem> {
    let mut changes = Vec::new();
    for (name, Slot { value, flag }) in &draft.extra {
        let written = of_json(value).map_err(|message| wrong(flag, message))?;
        if let Some((_, key)) = KNOWN.iter().find(|(known, _)| known == name) {
            changes.push(change(&format!("scenario.generate_kwargs.{key}"), written, flag));
            if key.starts_with("top_") {
                changes.push(change("scenario.generate_kwargs.do_sample", "true".to_owned(), flag));
            }
            continue;
        }
        if name == "temperature" {
            let samples = value.as_f64().is_none_or(|value| value > 0.0);
            changes.push(change("scenario.generate_kwargs.do_sample", samples.to_string(), flag));
            if samples {
                changes.push(change("scenario.generate_kwargs.temperature", written, flag));
            }
            continue;
        }
        if value == &Value::Null {
            return Err(wrong(flag, format!("{name} is null, which leaves nothing to send")));
        }
        let name = plain_key(name).map_err(|message| wrong(flag, message))?;
        changes.push(change(&format!("backend.extra_body.{name}"), written, flag));
    }
    // Several parameters of sampling say that there is sampling.
    let mut seen = false;
    changes.retain(|one| {
        one.key != "scenario.generate_kwargs.do_sample" || !std::mem::replace(&mut seen, true)
    });
    Ok(changes)
}
