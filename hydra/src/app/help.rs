//! `--help` and `--hydra-help`: the templates of `hydra.help` and `hydra.hydra_help`, filled in.

use super::args::{SPECS, Show};
use super::session::Session;
use super::show::shown;
use super::{Failure, shell};
use crate::dump::to_yaml;
use crate::loader::RunMode;

impl Session<'_> {
    /// What `--help` prints.
    ///
    /// # Errors
    /// A configuration that does not compose; a template that asks for what does not exist.
    pub fn help(&self, program: &str, resolve: bool) -> Result<String, Failure> {
        let composed = self.compose(RunMode::Run)?;
        let template =
            self.context.text_at(self.environment(), &composed.config, "hydra.help.template")?;
        let mut job = shown(&composed, Show::Job);
        if resolve {
            job = self.context.resolve(self.environment(), &job, &composed.config)?;
        }
        self.fill(&template, program, &to_yaml(&job))
    }

    /// What `--hydra-help` prints.
    ///
    /// # Errors
    /// As [`Session::help`].
    pub fn hydra_help(&self, program: &str) -> Result<String, Failure> {
        let composed = self.loader().compose(None, self.overrides(), RunMode::Run)?;
        let path = "hydra.hydra_help.template";
        let template = self.context.text_at(self.environment(), &composed.config, path)?;
        self.fill(&template, program, &to_yaml(&shown(&composed, Show::Hydra)))
    }

    fn fill(&self, template: &str, program: &str, config: &str) -> Result<String, Failure> {
        let is_hydra = |group: &str| group == "hydra" || group.starts_with("hydra/");
        substitute(template, |name| match name {
            "FLAGS_HELP" => Some(flags(program)),
            "HYDRA_CONFIG_GROUPS" => Some(self.groups(is_hydra)),
            "APP_CONFIG_GROUPS" => Some(self.groups(|group| !is_hydra(group))),
            "CONFIG" => Some(config.to_owned()),
            _ => None,
        })
        .map_err(Failure::new)
    }

    /// The groups with their options, one a line.
    fn groups(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut groups = Vec::new();
        self.collect_groups("", 0, &mut groups);
        groups.sort_unstable();
        let wanted = groups.into_iter().filter(|group| wanted(group));
        wanted
            .map(|group| {
                let mut options = self.loader().group_options(&group);
                options.sort_unstable();
                format!("{group}: {}\n", options.join(", "))
            })
            .collect()
    }

    fn collect_groups(&self, parent: &str, depth: usize, groups: &mut Vec<String>) {
        if depth > crate::limits::MAX_DEPTH {
            return;
        }
        for name in self.loader().groups_in(parent) {
            let group = if parent.is_empty() { name } else { format!("{parent}/{name}") };
            if !self.loader().group_options(&group).is_empty() {
                groups.push(group.clone());
            }
            self.collect_groups(&group, depth + 1, groups);
        }
    }
}

fn flags(program: &str) -> String {
    let mut text = String::new();
    for spec in &SPECS {
        text.push_str(&format!("{} : {}", spec.names.join(","), spec.help));
        if spec.names.contains(&"-sc") {
            text.push('\n');
            text.push_str(&shell::help(program));
        }
        text.push('\n');
    }
    text + "Overrides : Any key=value arguments to override config values (use dots for.nested=overrides)"
}

/// Python's `string.Template`: `$name`, `${name}`, and `$$` for a dollar sign.
fn substitute(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (braced, body) = match rest.strip_prefix('{') {
            Some(body) => (true, body),
            None => (false, rest),
        };
        let name = &body[..name_length(body)];
        let after = &body[name.len()..];
        let after = if braced { after.strip_prefix('}') } else { Some(after) };
        let (Some(after), false) = (after, name.is_empty()) else {
            return Err("Invalid placeholder in string".to_owned());
        };
        out.push_str(&value(name).ok_or_else(|| format!("no value for `${name}` in a help"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// `[_a-zA-Z][_a-zA-Z0-9]*` at the start of a text.
fn name_length(text: &str) -> usize {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(first) { text.find(|c| !inside(c)).unwrap_or(text.len()) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::substitute;

    #[test]
    fn a_template_is_filled_as_python_fills_it() {
        let value = |name: &str| (name == "A_1").then(|| "x$".to_owned());
        assert_eq!(substitute("$A_1-${A_1}$$é", value).unwrap(), "x$-x$$é");
        for wrong in ["$B", "$", "$ ", "${A_1", "${}", "$é"] {
            assert!(substitute(wrong, value).is_err(), "{wrong}");
        }
    }
}
