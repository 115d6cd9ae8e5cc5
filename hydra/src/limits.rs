//! How much a configuration may cost to read or to resolve.

use crate::error::{Error, ErrorKind};
use crate::source::Origin;
use crate::value::{Node, Value};

/// Deepest nesting of lists and mappings, after aliases and interpolations are expanded.
pub(crate) const MAX_DEPTH: usize = 100;

/// Deepest nesting within the text of one interpolation or override.
pub(crate) const MAX_INTERPOLATION_DEPTH: usize = 50;

/// Most interpolations and their arguments that may be in the middle of being resolved at once.
pub(crate) const MAX_RESOLVING: usize = 100;

/// Most nodes of a tree, after aliases and interpolations are expanded.
pub(crate) const MAX_NODES: usize = 100_000;

/// Most bytes of text in a tree, after aliases and interpolations are expanded.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// Most jobs of one sweep, and most values of one key in it.
pub(crate) const MAX_JOBS: usize = 100_000;

/// Most errors that are told at once.
pub(crate) const MAX_ERRORS: usize = 100;

/// What is left to spend.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: MAX_NODES, bytes: MAX_BYTES }
    }
}

/// The budget is spent.
#[derive(Debug)]
pub(crate) struct Spent(String);

impl Spent {
    /// As an error at a place.
    pub(crate) fn at(self, origin: &Origin) -> Error {
        Error::new(ErrorKind::Limit(self.0), origin.clone())
    }
}

impl Budget {
    /// Pays for one node with so many bytes of text.
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Spent> {
        self.nodes = self.nodes.checked_sub(1).ok_or_else(|| {
            Spent(format!("the configuration expands to more than {MAX_NODES} values"))
        })?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| {
            Spent(format!("the configuration expands to more than {MAX_BYTES} bytes of text"))
        })?;
        Ok(())
    }

    /// Pays for a tree, and notes how deep it is.
    pub(crate) fn spend_tree(&mut self, node: &Node, depth: &mut usize) -> Result<(), Spent> {
        self.spend(text_length(&node.value))?;
        let mut deepest = 0;
        let mut below = |budget: &mut Self, child: &Node| {
            let mut depth = 0;
            budget.spend_tree(child, &mut depth)?;
            deepest = deepest.max(depth);
            Ok(())
        };
        match &node.value {
            Value::List(items) => items.iter().try_for_each(|item| below(self, item))?,
            Value::Map(map) => map.iter().try_for_each(|(key, item)| {
                self.bytes = self.bytes.saturating_sub(key.as_str().map_or(0, str::len));
                below(self, item)
            })?,
            _ => {}
        }
        *depth = deepest + usize::from(node.value.is_container());
        Ok(())
    }
}

fn text_length(value: &Value) -> usize {
    match value {
        Value::Str(text) | Value::Interpolation(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}
