//! Has the backend count tokens, so that prompts of an exact length can be made.

use super::{Prepared, RunError};
use crate::backend::{Backend, BackendError};
use crate::dataset::words::{CountTokens, Counting, Words, WordsError};
use crate::error::Problem;
use crate::prompt::Prompt;

/// A backend that counts.
struct Counter<'b>(&'b dyn Backend);

impl CountTokens for Counter<'_> {
    fn text<'a>(&'a self, text: &'a str) -> Counting<'a> {
        Box::pin(async move { told(self.0.count_text(text).await) })
    }

    fn request<'a>(&'a self, prompt: &'a Prompt) -> Counting<'a> {
        Box::pin(async move { told(self.0.count_request(prompt).await) })
    }
}

fn told(count: Result<Option<u64>, BackendError>) -> Result<u64, String> {
    match count {
        Ok(Some(count)) => Ok(count),
        Ok(None) => Err("it has no /tokenize".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The words that the model takes for one token each, where prompts are made of them.
pub(super) async fn find(prepared: &Prepared) -> Result<Option<Words>, RunError> {
    if !prepared.needs_words() {
        return Ok(None);
    }
    match Words::find(&Counter(prepared.backend.as_ref())).await {
        Ok(words) => Ok(Some(words)),
        Err(error) => {
            let (message, hint) = match &error {
                WordsError::Count(cause) => (
                    format!(
                        "prompts of an exact length need a backend that counts tokens: {cause}"
                    ),
                    "vLLM, SGLang, llama.cpp and the mock server do; random_tokens needs no counting",
                ),
                WordsError::Few { .. } => (
                    error.to_string(),
                    "random_tokens sends token ids instead, with backend.api completions",
                ),
            };
            Err(RunError::Prompts(Problem::new("scenario.dataset_name", message).hint(hint)))
        }
    }
}
