//! `--info`: where a configuration comes from, as the tables that Hydra prints.

use super::args::{Info, Show};
use super::session::Session;
use super::show::shown;
use crate::compose::DefaultsTree;
use crate::dump::to_yaml;
use crate::error::Errors;
use crate::hydra_conf::HYDRA_VERSION;
use crate::loader::RunMode;
use crate::value::Node;

/// What this implementation has in place of Hydra's built-in plugins, under Hydra's names.
const PLUGINS: [(&str, &[&str]); 4] = [
    (
        "ConfigSource",
        &["FileConfigSource", "ImportlibResourcesConfigSource", "StructuredConfigSource"],
    ),
    ("CompletionPlugin", &["BashCompletion", "FishCompletion", "ZshCompletion"]),
    ("Launcher", &["BasicLauncher"]),
    ("Sweeper", &["BasicSweeper"]),
];

/// Lines, and the titles between them.
#[derive(Debug, Default)]
pub(super) struct Page(pub(super) Vec<String>);

impl Page {
    fn line(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    fn title(&mut self, text: &str, prefix: &str, filler: char) {
        self.line(format!("{prefix}{text}"));
        self.rule(text, prefix, filler);
    }

    fn rule(&mut self, text: &str, prefix: &str, filler: char) {
        let rule: String = text.chars().map(|_| filler).collect();
        self.line(format!("{prefix}{rule}"));
    }
}

impl Session<'_> {
    /// What `--info` prints, line by line. What could be told before an error is told.
    pub fn info(&self, info: Info, mode: RunMode) -> (Vec<String>, Result<(), Errors>) {
        let mut page = Page::default();
        let result = match info {
            Info::All => self.everything(mode, &mut page),
            Info::Config => self.about_config(mode, &mut page),
            Info::Defaults => self.defaults_list(mode, &mut page),
            Info::DefaultsTree => self.defaults_tree(mode, &mut page),
            Info::SearchPath => self.search_path(mode, &mut page),
            Info::Plugins => {
                plugins(&mut page);
                Ok(())
            }
        };
        (page.0, result)
    }

    fn everything(&self, mode: RunMode, page: &mut Page) -> Result<(), Errors> {
        page.title(&format!("Hydra {HYDRA_VERSION}"), "", '=');
        plugins(page);
        self.about_config(mode, page)
    }

    fn about_config(&self, mode: RunMode, page: &mut Page) -> Result<(), Errors> {
        self.search_path(mode, page)?;
        self.defaults_tree(RunMode::Run, page)?;
        self.defaults_list(RunMode::Run, page)?;
        let composed = self.compose(mode)?;
        page.title("Config", "", '*');
        page.line(to_yaml(&shown(&composed, Show::Job)));
        Ok(())
    }

    fn search_path(&self, mode: RunMode, page: &mut Page) -> Result<(), Errors> {
        page.line("");
        page.title("Config search path", "", '*');
        let composed = self.compose(mode)?;
        let sources = composed.config.at("hydra.runtime.config_sources").and_then(Node::as_list);
        let rows: Vec<[String; 2]> = sources.unwrap_or_default().iter().map(source).collect();
        let [left, right] = widths(["Provider", "Search path"], &rows);
        let header = format!("| {:left$} | {:right$} |", "Provider", "Search path");
        page.title(&header, "", '-');
        for [provider, path] in &rows {
            page.line(format!("| {provider:left$} | {path:right$} |"));
        }
        page.rule(&header, "", '-');
        Ok(())
    }

    fn defaults_list(&self, mode: RunMode, page: &mut Page) -> Result<(), Errors> {
        let (_, list) = self.loader().defaults(self.config_name(), self.overrides(), mode)?;
        let rows: Vec<[String; 4]> = list
            .iter()
            .map(|entry| {
                let is_self = if entry.is_self { "True" } else { "False" };
                let parent = entry.parent.clone().unwrap_or_default();
                [entry.config_path.clone(), entry.package.clone(), is_self.to_owned(), parent]
            })
            .collect();
        let titles = ["Config path", "Package", "_self_", "Parent"];
        let widths @ [a, b, c, d] = widths(titles, &rows);
        page.line("");
        page.title("Defaults List", "", '*');
        // The header of Hydra ends with a blank, and its rules are one longer for it.
        let header = format!("{} ", row(titles, widths));
        page.title(&header, "", '-');
        for [path, package, is_self, parent] in &rows {
            page.line(row([path, package, is_self, parent], [a, b, c, d]));
        }
        page.rule(&header, "", '-');
        Ok(())
    }

    fn defaults_tree(&self, mode: RunMode, page: &mut Page) -> Result<(), Errors> {
        let (tree, _) = self.loader().defaults(self.config_name(), self.overrides(), mode)?;
        page.line("");
        page.title("Defaults Tree", "", '*');
        branch(&tree, 0, page);
        Ok(())
    }
}

fn row(cells: [&str; 4], [a, b, c, d]: [usize; 4]) -> String {
    let [first, second, third, fourth] = cells;
    format!("| {first:a$} | {second:b$} | {third:c$} | {fourth:d$} |")
}

/// The tree has a limited depth.
fn branch(tree: &DefaultsTree, depth: usize, page: &mut Page) {
    let colon = if tree.children().is_empty() { "" } else { ":" };
    page.line(format!("{}{}{colon}", "  ".repeat(depth), tree.label()));
    for child in tree.children() {
        branch(child, depth + 1, page);
    }
}

fn source(place: &Node) -> [String; 2] {
    let text = |key: &str| place.child(key).and_then(Node::as_str).unwrap_or_default();
    [text("provider").to_owned(), format!("{}://{}", text("schema"), text("path"))]
}

fn widths<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> [usize; N] {
    let mut widths = titles.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn plugins(page: &mut Page) {
    page.title("Installed Hydra Plugins", "", '*');
    for (kind, names) in PLUGINS {
        page.title(&format!("{kind}:"), "\t", '-');
        for name in names {
            page.line(format!("\t\t{name}"));
        }
    }
}
