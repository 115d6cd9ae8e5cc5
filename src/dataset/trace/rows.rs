//! Rows of a trace as they come: checked, put on the time line, and every problem kept.

use super::{Asks, BLOCK_TOKENS, PLACE, Trace, TraceRow};
use crate::config::component::load::TraceFormat;
use crate::error::{Problem, Problems};
use crate::units::Seconds;

/// Problems that are told one by one; of a file in another format every row is one.
const MOST_TOLD: usize = 20;
/// Longest prompt and answer in tokens: beyond every model's context.
const LONGEST: u32 = 4_194_304;

/// What a row is made from.
pub(super) struct Found {
    /// Seconds since any moment that is the same in all rows.
    pub at: f64,
    pub asks: Asks,
    pub output_tokens: Option<u32>,
}

/// The rows so far.
pub(super) struct Rows {
    rows: Vec<TraceRow>,
    limit: usize,
    first: Option<f64>,
    last: f64,
    left_out: u64,
    odd_blocks: u64,
    problems: Problems,
    untold: u64,
}

impl Rows {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self {
            rows: Vec::new(),
            limit: limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            first: None,
            last: f64::NEG_INFINITY,
            left_out: 0,
            odd_blocks: 0,
            problems: Problems::default(),
            untold: 0,
        }
    }

    /// Whether no further row is wanted.
    pub(super) const fn is_full(&self) -> bool {
        self.rows.len() >= self.limit
    }

    /// Something is wrong with a line.
    pub(super) fn wrong(&mut self, line: u64, message: impl std::fmt::Display, hint: &str) {
        if self.problems.0.len() >= MOST_TOLD {
            self.untold += 1;
            return;
        }
        let place = format!("{PLACE} line {line}");
        self.problems.push(Problem::new(place, message.to_string()).hint(hint));
    }

    /// A row that stands for a request that failed.
    pub(super) const fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// A row.
    pub(super) fn add(&mut self, line: u64, found: Found) {
        let Found { at, asks, output_tokens } = found;
        if !at.is_finite() {
            return self.wrong(line, format!("{at} is no time"), "seconds as a number");
        }
        if at < self.last {
            let message = format!("{at} s is earlier than the row before ({} s)", self.last);
            return self.wrong(line, message, "sort the trace by time");
        }
        if let Asks::Made { tokens, blocks } = &asks {
            if !(1..=LONGEST).contains(tokens) {
                let message = format!("a prompt of {tokens} tokens");
                return self.wrong(line, message, "from 1 to 4194304 tokens");
            }
            let fit = tokens.div_ceil(BLOCK_TOKENS) as usize == blocks.len();
            self.odd_blocks += u64::from(!blocks.is_empty() && !fit);
        }
        if let Some(tokens) = output_tokens.filter(|tokens| !(1..=LONGEST).contains(tokens)) {
            let message = format!("an answer of {tokens} tokens");
            return self.wrong(line, message, "from 1 to 4194304 tokens");
        }
        let first = *self.first.get_or_insert(at);
        self.last = at;
        self.rows.push(TraceRow { at: Seconds(at - first), line, asks, output_tokens });
    }

    /// The trace, or everything that is wrong with it.
    pub(super) fn finish(mut self, format: TraceFormat) -> Result<Trace, Problems> {
        if self.untold > 0 {
            let message = format!("{} more of its rows are wrong", self.untold);
            let hint = "is scenario.load.format right?";
            self.problems.push(Problem::new(PLACE, message).hint(hint));
        }
        if self.problems.0.is_empty() && self.rows.is_empty() {
            let problem = Problem::new(PLACE, "there is no request in it");
            self.problems.push(problem.hint("a row for each request"));
        }
        if !self.problems.0.is_empty() {
            return Err(self.problems);
        }
        let Self { mut rows, left_out, odd_blocks, .. } = self;
        rows.shrink_to_fit();
        Ok(Trace { format, rows, left_out, odd_blocks })
    }
}
