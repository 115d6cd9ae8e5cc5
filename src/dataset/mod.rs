//! Where prompts come from.

use crate::prompt::Prompt;

/// One prompt with its name in the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// `<file>:<row>` or the dataset's own id.
    pub id: String,
    /// The prompt.
    pub prompt: Prompt,
}
