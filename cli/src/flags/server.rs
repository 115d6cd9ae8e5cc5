//! Whom to ask: model, address, API.

use ai_energy_benchmarks::error::Problem;

use super::draft::{Draft, Slot};
use super::text::quoted;
use super::{Change, names_of};

/// The changes that say whom to ask.
pub(super) fn changes(draft: &Draft) -> Result<Vec<Change>, Problem> {
    let mut changes = Vec::new();
    // vLLM's `--model` names the tokenizer where the server's own name for the model is another.
    if let Some(model) = draft.served.as_ref().or(draft.model.as_ref()) {
        changes.push(change("backend.model", quoted(&model.value), model.flag));
    }
    let address = address(draft)?;
    if let Some(address) = &address {
        changes.push(change("backend.endpoint", quoted(&address.value), address.flag));
    }
    if let Some(api) = api(draft)? {
        changes.push(change("backend.api", api.value.to_owned(), api.flag));
    }
    Ok(changes)
}

fn change(key: &str, value: String, flag: &str) -> Change {
    Change { key: key.to_owned(), value, flag: names_of(flag), swept: false }
}

/// The server's address with the path of its API.
fn address(draft: &Draft) -> Result<Option<Slot<String>>, Problem> {
    let base = match (&draft.url, &draft.host, &draft.port) {
        (Some(url), None, None) => Some(Slot { value: with_scheme(&url.value), flag: url.flag }),
        (Some(_), Some(Slot { flag, .. }), _) | (Some(_), _, Some(Slot { flag, .. })) => {
            return Err(Problem::new(
                names_of(flag),
                "--url / --base-url says where the server is already",
            )
            .hint("give --url, or --host and --port"));
        }
        (None, None, None) => None,
        (None, host, port) => {
            let flag = host.as_ref().map(|slot| slot.flag).or(port.as_ref().map(|slot| slot.flag));
            let host = host.as_ref().map_or("127.0.0.1", |slot| slot.value.as_str());
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            let port = port.as_ref().map_or(8000, |slot| slot.value);
            let flag = flag.unwrap_or("host");
            Some(Slot { value: format!("http://{host}:{port}"), flag })
        }
    };
    let Some(path) = &draft.path else { return Ok(base) };
    let (base, flag) = base
        .map_or(("http://localhost:8000".to_owned(), path.flag), |slot| (slot.value, slot.flag));
    let value = format!("{}/{}", base.trim_end_matches('/'), path.value.trim_start_matches('/'));
    Ok(Some(Slot { value, flag }))
}

fn with_scheme(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

/// The API, said itself or by the path.
fn api(draft: &Draft) -> Result<Option<Slot<&'static str>>, Problem> {
    let Some(path) = &draft.path else {
        // Prompts of so many tokens are token ids, which only one API takes.
        let by_length = draft.input_tokens.as_ref().filter(|_| draft.complete);
        let default = by_length.map(|slot| Slot { value: "completions", flag: slot.flag });
        return Ok(draft.api.clone().or(default));
    };
    let named = match path.value.trim_end_matches('/') {
        path if path.ends_with("chat/completions") => "chat",
        path if path.ends_with("completions") => "completions",
        other => {
            return Err(Problem::new(
                names_of(path.flag),
                format!("`{other}` is not an API that is spoken here"),
            )
            .hint("paths end in chat/completions or completions"));
        }
    };
    match &draft.api {
        Some(api) if api.value != named => {
            let message = format!(
                "the path is that of {named}, and {} says {}",
                names_of(api.flag),
                api.value
            );
            Err(Problem::new(names_of(path.flag), message).hint("make the two agree"))
        }
        _ => Ok(Some(Slot { value: named, flag: path.flag })),
    }
}
