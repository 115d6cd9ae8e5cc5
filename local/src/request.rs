//! What is asked of the engine and what it answers.

use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks::prompt::Prompt;

/// How to generate; the names and meanings of transformers' `generate_kwargs`.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateParams {
    /// Stop after this many new tokens.
    pub max_new_tokens: usize,
    /// No end token before this many.
    pub min_new_tokens: usize,
    /// Draw from the distribution; `false` takes the likeliest token and ignores the next three.
    pub do_sample: bool,
    /// Divides the logits; above 0.
    pub temperature: f64,
    /// Nucleus: the likeliest tokens that together reach this probability; 1 is off.
    pub top_p: f64,
    /// Only the likeliest `k`; `None` is off.
    pub top_k: Option<usize>,
    /// Seed of the draws.
    pub seed: u64,
    /// Go on past the end token.
    pub ignore_eos: bool,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
}

impl GenerateParams {
    /// Greedy generation of at most this many tokens.
    #[must_use]
    pub const fn greedy(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            min_new_tokens: 0,
            do_sample: false,
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            seed: 0,
            ignore_eos: false,
            stop: Vec::new(),
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Every value out of its range.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        if self.max_new_tokens == 0 {
            problems.push(Problem::new("max_new_tokens", "must be at least 1"));
        }
        if self.min_new_tokens > self.max_new_tokens {
            problems.push(Problem::new(
                "min_new_tokens",
                format!("{} is above max_new_tokens {}", self.min_new_tokens, self.max_new_tokens),
            ));
        }
        if self.do_sample && !(self.temperature.is_finite() && self.temperature > 0.0) {
            problems.push(
                Problem::new("temperature", format!("{} is not above 0", self.temperature))
                    .hint("for the likeliest token each time set do_sample: false"),
            );
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            problems.push(Problem::new(
                "top_p",
                format!("{} is not above 0 and at most 1", self.top_p),
            ));
        }
        if self.top_k == Some(0) {
            problems.push(
                Problem::new("top_k", "must be at least 1").hint("leave it out to turn it off"),
            );
        }
        if self.stop.iter().any(String::is_empty) {
            problems.push(Problem::new("stop", "an empty text would end every answer at once"));
        }
        problems.into_result()
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What to continue: text as it is (with the tokenizer's begin-of-text token, if it has one), or
    /// messages, rendered with the model's chat template.
    pub prompt: Prompt,
    /// How.
    pub params: GenerateParams,
    /// Cut the end of a prompt that does not leave room for `max_new_tokens`; otherwise it is refused.
    pub truncation: bool,
}

/// One token, told at the moment it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenStep<'a> {
    /// Place among the new tokens, from 0.
    pub index: usize,
    /// The token.
    pub token_id: u32,
    /// Text that this token completed. Empty while a character, or what may become a stop text, is
    /// incomplete, and for an end token.
    pub text: &'a str,
}

/// Why generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// `max_new_tokens` were generated.
    Length,
    /// An end token or a stop text came.
    Stop,
    /// The caller broke off.
    Cancelled,
}

/// A finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Tokens of the prompt that went through the model.
    pub prompt_tokens: usize,
    /// Prompt tokens cut away by truncation.
    pub truncated_tokens: usize,
    /// New tokens, the end token included: it was computed like the others.
    pub completion_tokens: usize,
    /// The whole text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_out_of_range_is_named_at_once() {
        let params = GenerateParams {
            min_new_tokens: 5,
            do_sample: true,
            temperature: 0.0,
            top_p: f64::NAN,
            top_k: Some(0),
            stop: vec![String::new()],
            ..GenerateParams::greedy(0)
        };
        let places: Vec<String> =
            params.check().unwrap_err().0.into_iter().map(|problem| problem.place).collect();
        assert_eq!(
            places,
            ["max_new_tokens", "min_new_tokens", "temperature", "top_p", "top_k", "stop"]
        );
    }

    #[test]
    fn greedy_defaults_are_in_range() {
        GenerateParams::greedy(1).check().unwrap();
    }
}
