//! What is chosen of the groups: on the command line, and by `override` items on the way.

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;

use super::item::{Choice, Item};
use crate::error::{Error, ErrorKind, Errors};
use crate::overrides::{Action, Literal, Override, OverrideValue};
use crate::scalar::{python_repr, python_type};
use crate::source::Origin;
use crate::value::Value;

/// A choice for a key that some defaults list must have.
#[derive(Debug)]
struct Chosen {
    option: Choice,
    used: bool,
    /// The file with the `override` item; none for the command line.
    file: Option<String>,
    origin: Origin,
}

/// `~group` or `~group=option`.
#[derive(Debug)]
struct Deletion {
    option: Option<String>,
    used: bool,
    origin: Origin,
}

/// All choices, and what the defaults lists turned out to hold.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    chosen: IndexMap<String, Chosen>,
    deletions: IndexMap<String, Deletion>,
    /// `+group=option`, in their order.
    pub(crate) appended: Vec<Item>,
    /// The option of every group that has been met, in the order of the walk.
    pub(crate) known: IndexMap<String, Option<String>>,
    known_keys: HashMap<String, BTreeSet<String>>,
}

/// The command line, told apart: choices of groups, and the overrides that change values.
pub(crate) struct Told<'o> {
    pub(crate) choices: Choices,
    pub(crate) values: Vec<&'o Override>,
}

impl Choices {
    /// Tells choices of groups from overrides of values: a dictionary is always a value.
    ///
    /// Sweeps are neither; each job of a sweep has one value in their place.
    ///
    /// # Errors
    /// All choices that name no option.
    pub(crate) fn from_command_line<'o>(
        overrides: &'o [Override],
        mut is_group: impl FnMut(&str) -> bool,
    ) -> Result<Told<'o>, Errors> {
        let mut told = Told { choices: Self::default(), values: Vec::new() };
        let mut errors = Vec::new();
        for change in overrides {
            if change.is_sweep() {
                continue;
            }
            if change.is_dict() || !is_group(&change.key) {
                told.values.push(change);
            } else if let Err(error) = told.choices.take(change) {
                errors.push(error);
            }
        }
        Errors::check(errors)?;
        Ok(told)
    }

    fn take(&mut self, change: &Override) -> Result<(), Error> {
        let key = match &change.package {
            Some(package) => format!("{}@{package}", change.key),
            None => change.key.clone(),
        };
        let wrong = |message| Err(Error::new(ErrorKind::value_error(message), change.origin()));
        match change.action {
            Action::ForceAdd => {
                let message =
                    format!("force-add of config groups is not supported: '{}'", change.text);
                let hint = format!("to add it, write `{}`", &change.text[1..]);
                Err(Error::new(ErrorKind::Composition(message), change.origin()).with_hint(hint))
            }
            Action::Delete => {
                let option = match change.node()?.map(|node| node.value) {
                    None | Some(Value::Null) => None,
                    Some(Value::Str(text) | Value::Interpolation(text)) => Some(text),
                    Some(Value::Missing) => Some("???".to_owned()),
                    Some(other) => {
                        let kind = python_type(&other);
                        return wrong(format!(
                            "Config group override deletion value must be a string : got {kind}"
                        ));
                    }
                };
                let deletion = Deletion { option, used: false, origin: change.origin() };
                self.deletions.insert(key, deletion);
                Ok(())
            }
            Action::Add | Action::Change => {
                let option = match option_of(change)? {
                    Ok(option) => option,
                    Err(kind) => {
                        return wrong(format!(
                            "Config group override must be a string or a list. Got {kind}"
                        ));
                    }
                };
                if change.action == Action::Add && change.key.is_empty() {
                    let message = "an override without a key chooses no group".to_owned();
                    return Err(Error::new(ErrorKind::assertion(message), change.origin()));
                }
                if change.action == Action::Add {
                    let mut item = Item::group(change.key.as_str(), option, change.origin())
                        .with_package(change.package.clone());
                    item.appended = true;
                    self.appended.push(item);
                } else {
                    let origin = change.origin();
                    self.chosen.insert(key, Chosen { option, used: false, file: None, origin });
                }
                Ok(())
            }
        }
    }

    /// Keeps an `override` item of a file; what was chosen before it stays.
    pub(crate) fn add_override(&mut self, file: &str, item: &Item) {
        let Some(option) = item.option() else { return };
        self.chosen.entry(item.override_key()).or_insert_with(|| Chosen {
            option: option.clone(),
            used: false,
            file: Some(file.to_owned()),
            origin: item.origin.clone(),
        });
    }

    /// Gives an item the option that was chosen for it, if there is one.
    pub(crate) fn apply(&mut self, item: &mut Item) {
        if !item.is_group() {
            return;
        }
        if let Some(chosen) = self.chosen.get_mut(&item.override_key()) {
            chosen.used = true;
            item.choose(chosen.option.clone());
            if chosen.file.is_none() {
                item.origin = chosen.origin.clone();
            }
        }
    }

    /// Whether the item was deleted on the command line.
    pub(crate) fn delete(&mut self, item: &Item) -> bool {
        if !item.is_group() {
            return false;
        }
        let Some(deletion) = self.deletions.get_mut(&item.override_key()) else { return false };
        let deleted = deletion.option.is_none() || deletion.option.as_deref() == item.name();
        deletion.used |= deleted;
        deleted
    }

    /// Notes the option of a group that was met.
    ///
    /// # Errors
    /// The same group was met with another option.
    pub(crate) fn learn(&mut self, item: &Item) -> Result<(), Error> {
        if !item.is_group() {
            return Ok(());
        }
        let key = item.override_key();
        match self.known.get(&key) {
            None => {
                self.known.insert(key.clone(), item.name().map(ToOwned::to_owned));
            }
            Some(before) if before.as_deref() == item.name() => {}
            Some(before) => {
                let before = before.as_deref().unwrap_or("None");
                let message = format!(
                    "Multiple values for {key}. To override a value use 'override {key}: {before}'"
                );
                return Err(Error::new(ErrorKind::Composition(message), item.origin.clone()));
            }
        }
        self.known_keys.entry(item.group_path()).or_default().insert(key);
        Ok(())
    }

    /// Everything that was chosen or deleted must have been met.
    pub(crate) fn check_used(&self) -> Result<(), Errors> {
        let chosen = self.chosen.iter().filter(|(_, chosen)| !chosen.used);
        let mut errors: Vec<_> = chosen.map(|(key, chosen)| self.unused(key, chosen)).collect();
        for (key, deletion) in self.deletions.iter().filter(|(_, deletion)| !deletion.used) {
            let what = match &deletion.option {
                Some(option) => format!("{key}={option}"),
                None => key.clone(),
            };
            let message = format!("Could not delete '{what}'. No match in the defaults list");
            errors.push(Error::new(ErrorKind::Composition(message), deletion.origin.clone()));
        }
        Errors::check(errors)
    }

    fn unused(&self, key: &str, chosen: &Chosen) -> Error {
        let group = key.split('@').next().unwrap_or_default();
        let keys: Vec<&str> =
            self.known_keys.get(group).into_iter().flatten().map(String::as_str).collect();
        let mut message = match keys[..] {
            [] => format!("Could not override '{key}'. No match in the defaults list."),
            [one] => format!("Could not override '{key}'.\nDid you mean to override {one}?"),
            _ => format!(
                "Could not override '{key}'.\nDid you mean to override one of {}?",
                keys.join(", ")
            ),
        };
        match &chosen.file {
            Some(file) => message = format!("In '{file}': {message}"),
            None => {
                let option = shown(&chosen.option);
                message.push_str(&format!("\nTo append to your default list use +{key}={option}"));
            }
        }
        let error = Error::new(ErrorKind::Composition(message), chosen.origin.clone());
        error.with_nearest(key, self.known.keys().map(String::as_str).filter(|known| *known != key))
    }
}

/// As Python prints it.
fn shown(choice: &Choice) -> String {
    match choice {
        Choice::Nothing => "None".to_owned(),
        Choice::One(name) => name.clone(),
        Choice::Many(names) => {
            let names: Vec<_> =
                names.iter().map(|name| python_repr(&Value::Str(name.clone()))).collect();
            format!("[{}]", names.join(", "))
        }
    }
}

/// The option that an override names, or the kind of value that is none.
fn option_of(change: &Override) -> Result<Result<Choice, &'static str>, Error> {
    let Some(node) = change.node()? else { return Ok(Err("NoneType")) };
    let text = |value: &Value| match value {
        Value::Str(text) | Value::Interpolation(text) => Some(text.clone()),
        Value::Missing => Some("???".to_owned()),
        _ => None,
    };
    if let Value::List(items) = &node.value {
        let names = items.iter().map(|item| {
            text(&item.value).ok_or_else(|| {
                let message = format!("an option is text, not {}", item.value.describe_kind());
                Error::new(ErrorKind::Uncaught { class: "TypeError", message }, change.origin())
            })
        });
        return Ok(Ok(Choice::Many(names.collect::<Result<_, _>>()?)));
    }
    Ok(text(&node.value).map(Choice::One).ok_or_else(|| python_type(&node.value)))
}

impl Override {
    fn is_dict(&self) -> bool {
        matches!(self.value, Some(OverrideValue::Element(Literal::Dict(_))))
    }
}
