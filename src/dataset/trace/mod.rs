//! Recorded traces: when requests came, how long they and their answers were.
//!
//! Four formats are read: [Mooncake's](https://github.com/kvcache-ai/Mooncake) JSON Lines, the CSV of
//! [Azure's LLM inference traces](https://github.com/Azure/AzurePublicDataset) of 2023 and 2024, the CSV of
//! [BurstGPT](https://github.com/HPMLL/BurstGPT), and JSON Lines of our own. A row is kept in a few numbers, whatever it stands
//! for: prompts are made when they are sent.

mod json;
mod rows;
mod source;
mod table;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::digest;
use crate::config::component::load::TraceFormat;
use crate::error::{Problem, Problems};
use crate::prompt::Prompt;
use crate::record::Warning;
use crate::units::Seconds;

use rows::Rows;

pub use source::TracePrompts;

/// The config key that names the file.
const PLACE: &str = "scenario.load.file";

/// Tokens of one block of Mooncake's `hash_ids`.
pub const BLOCK_TOKENS: u32 = 512;

/// One request of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRow {
    /// After the first of the trace.
    pub at: Seconds,
    /// Its line in the file, from 1.
    pub line: u64,
    /// What it asks.
    pub asks: Asks,
    /// Tokens of its answer, where the trace says so.
    pub output_tokens: Option<u32>,
}

/// What a request of a trace asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Asks {
    /// Something of a length.
    Made {
        /// Tokens of its prompt.
        tokens: u32,
        /// Names of its blocks of [`BLOCK_TOKENS`] tokens: equal names, equal tokens. Empty where it shares nothing.
        blocks: Box<[u64]>,
    },
    /// What the trace says in words.
    Told(Prompt),
}

/// A trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its format.
    pub format: TraceFormat,
    /// Its requests in order; never empty.
    pub rows: Vec<TraceRow>,
    /// Rows with no prompt or no answer, which stand for requests that failed, and were left out.
    pub left_out: u64,
    /// Rows whose number of blocks does not fit their length.
    pub odd_blocks: u64,
}

impl Trace {
    /// When its requests arrive, all times multiplied by a scale.
    #[must_use]
    pub fn arrivals(&self, time_scale: f64) -> Vec<Seconds> {
        self.rows.iter().map(|row| Seconds(row.at.0 * time_scale)).collect()
    }

    /// Whether some of its prompts have to be made.
    #[must_use]
    pub fn makes_prompts(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.asks, Asks::Made { .. }))
    }

    /// What the reader of the figures should know.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let left_out = (self.left_out > 0).then(|| {
            let message = format!(
                "{} rows of the trace were left out: they have no prompt tokens or no output tokens, as requests that \
                 failed; the {} others were kept at their times",
                self.left_out,
                self.rows.len()
            );
            Warning::new("trace_rows_left_out", message)
        });
        let odd = (self.odd_blocks > 0).then(|| {
            let message = format!(
                "{} rows of the trace name more or fewer blocks than their input_length has, at {BLOCK_TOKENS} tokens each: \
                 surplus names were ignored, and tokens without one are shared with nobody",
                self.odd_blocks
            );
            Warning::new("trace_blocks_do_not_fit", message)
        });
        left_out.into_iter().chain(odd).collect()
    }
}

/// Reads a trace, its first `limit` requests; with the SHA-256 of the file.
///
/// # Errors
/// Everything that is wrong with it, each with its line.
pub fn read(
    path: &Path,
    format: TraceFormat,
    limit: Option<u64>,
) -> Result<(Trace, String), Problems> {
    let cannot = |cause: std::io::Error| {
        let problem = Problem::new(PLACE, format!("cannot read {}: {cause}", path.display()));
        Problems::from(problem.hint("the path of a trace on this machine"))
    };
    let file = File::open(path).map_err(cannot)?;
    let trace = parse(BufReader::with_capacity(1 << 16, file), format, limit)?;
    let sha256 = digest::of_file(path).map_err(cannot)?;
    Ok((trace, sha256))
}

/// The same from anywhere.
///
/// # Errors
/// Everything that is wrong with it, each with its line.
pub fn parse(
    mut reader: impl BufRead,
    format: TraceFormat,
    limit: Option<u64>,
) -> Result<Trace, Problems> {
    let format = match format {
        TraceFormat::Auto => {
            let start = reader.fill_buf().map_err(|cause| {
                Problems::from(Problem::new(PLACE, format!("cannot be read: {cause}")))
            })?;
            detect(start).ok_or_else(unknown)?
        }
        told => told,
    };
    let mut rows = Rows::new(limit);
    match format {
        TraceFormat::Azure => table::read(reader, &table::AZURE, &mut rows),
        TraceFormat::Burstgpt => table::read(reader, &table::BURSTGPT, &mut rows),
        TraceFormat::Mooncake => json::read(reader, json::Dialect::Mooncake, &mut rows),
        TraceFormat::Jsonl | TraceFormat::Auto => {
            json::read(reader, json::Dialect::Own, &mut rows);
        }
    }
    rows.finish(format)
}

/// By the first line.
fn detect(start: &[u8]) -> Option<TraceFormat> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let line = start.trim_ascii_start().split(|byte| *byte == b'\n').next()?;
    let has = |word: &str| line.windows(word.len()).any(|part| part == word.as_bytes());
    if line.first() == Some(&b'{') {
        let mooncake = has("\"input_length\"") || has("\"hash_ids\"");
        return Some(if mooncake { TraceFormat::Mooncake } else { TraceFormat::Jsonl });
    }
    match (has("ContextTokens"), has("Request tokens")) {
        (true, _) => Some(TraceFormat::Azure),
        (_, true) => Some(TraceFormat::Burstgpt),
        _ => None,
    }
}

fn unknown() -> Problems {
    let message = "its first line is of no known trace";
    let hint = "an object a line with timestamp, input_length, output_length (mooncake) or at_s (jsonl), or a CSV with the \
                columns TIMESTAMP, ContextTokens, GeneratedTokens (azure) or Timestamp, Request tokens, Response tokens \
                (burstgpt)";
    Problems::from(Problem::new(PLACE, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOONCAKE: &str = r#"{"timestamp": 100, "input_length": 1000, "output_length": 500, "hash_ids": [46, 47]}
{"timestamp": 100, "input_length": 512, "output_length": 2, "hash_ids": [46]}
{"timestamp": 3100, "input_length": 600, "output_length": 3, "hash_ids": [46, 99, 100]}
"#;
    const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\r
2023-11-16 18:15:46.6805900,374,44\r
2023-11-16 18:15:50.9951690,396,109\r
";
    const AZURE_2024: &str = "TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 23:59:59.500000+00:00,2162,5
2024-05-11 00:00:00+00:00,2399,6
";
    const BURSTGPT: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,Conversation log
";
    const OWN: &str = r#"{"at_s": 0, "prompt": "Hi", "output_tokens": 4}

{"at_s": 0.25, "messages": [{"role": "user", "content": "Hi"}]}
{"at_s": 1.5, "input_tokens": 64, "output_tokens": 8}
"#;

    fn read(text: &str) -> Trace {
        parse(text.as_bytes(), TraceFormat::Auto, None).unwrap()
    }

    fn wrong(text: &str) -> Vec<String> {
        let problems = parse(text.as_bytes(), TraceFormat::Auto, None).unwrap_err();
        let told = |problem: Problem| format!("{}: {}", problem.place, problem.message);
        problems.0.into_iter().map(told).collect()
    }

    fn times(trace: &Trace) -> Vec<f64> {
        trace.arrivals(1.0).into_iter().map(|at| (at.0 * 1e6).round() / 1e6).collect()
    }

    fn made(row: &TraceRow) -> (u32, Option<u32>) {
        match row.asks {
            Asks::Made { tokens, .. } => (tokens, row.output_tokens),
            Asks::Told(_) => panic!("{row:?}"),
        }
    }

    #[test]
    fn mooncakes_rows_name_blocks_and_arrive_together() {
        let trace = read(MOONCAKE);
        assert_eq!(trace.format, TraceFormat::Mooncake);
        assert_eq!(times(&trace), [0.0, 0.0, 3.0]);
        assert_eq!(made(&trace.rows[0]), (1000, Some(500)));
        let blocks = Box::new([46, 47]);
        assert_eq!(trace.rows[0].asks, Asks::Made { tokens: 1000, blocks });
        assert_eq!((trace.odd_blocks, trace.warnings().len()), (1, 1));
    }

    #[test]
    fn azures_days_become_seconds_in_both_years_forms() {
        let trace = read(AZURE);
        assert_eq!(trace.format, TraceFormat::Azure);
        assert_eq!(times(&trace), [0.0, 4.314_579]);
        assert_eq!(made(&trace.rows[1]), (396, Some(109)));
        assert_eq!(times(&read(AZURE_2024)), [0.0, 0.5]);
    }

    #[test]
    fn burstgpts_failures_are_left_out_and_said_and_new_columns_do_not_matter() {
        let trace = read(BURSTGPT);
        assert_eq!(trace.format, TraceFormat::Burstgpt);
        assert_eq!(times(&trace), [0.0, 113.0]);
        assert_eq!((trace.left_out, trace.rows[1].line), (1, 4));
        assert_eq!(trace.warnings()[0].code, "trace_rows_left_out");
        let later = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5.5,a,1.2,ChatGPT,472,18,490,Conversation log
";
        assert_eq!(made(&read(later).rows[0]), (472, Some(18)));
    }

    #[test]
    fn our_own_rows_say_words_or_a_length() {
        let trace = read(OWN);
        assert_eq!(trace.format, TraceFormat::Jsonl);
        assert_eq!(times(&trace), [0.0, 0.25, 1.5]);
        assert_eq!(trace.rows[0].asks, Asks::Told(Prompt::Text("Hi".to_owned())));
        assert!(matches!(&trace.rows[1].asks, Asks::Told(Prompt::Chat(said)) if said.len() == 1));
        assert_eq!((trace.rows[1].output_tokens, trace.rows[1].line), (None, 3));
        assert_eq!(made(&trace.rows[2]), (64, Some(8)));
    }

    #[test]
    fn everything_wrong_is_told_with_its_line() {
        let found = wrong(
            r#"{"at_s": 2, "input_tokens": 5}
{"at_s": 1, "input_tokens": 5}
{"at_s": 3}
{"at_s": 3, "prompt": "a", "input_tokens": 0}
{"at_s": -1, "prompt": "a"}
{"at_s": 4, "prompt": "a", "messages": []}
nonsense
{"input_tokens": 5}
"#,
        );
        assert_eq!(found.len(), 7, "{found:#?}");
        for (message, line) in found.iter().zip([2, 3, 4, 5, 6, 7, 8]) {
            assert!(message.starts_with(&format!("{PLACE} line {line}: ")), "{message}");
        }
        assert!(found[0].contains("1 s is earlier than the row before"), "{}", found[0]);
        let found = wrong("TIMESTAMP,ContextTokens\n2023-11-16 18:15:46,3\n");
        assert_eq!(found, ["scenario.load.file line 1: there is no column `GeneratedTokens`"]);
        let found = wrong(
            "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,3,4\n2023-11-16 18:15:46,x,4\n",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(wrong("a,b\n1,2\n")[0].contains("no known trace"));
        assert!(wrong("TIMESTAMP,ContextTokens,GeneratedTokens\n")[0].contains("no request"));
    }

    #[test]
    fn a_flood_of_problems_is_cut_and_counted() {
        let rows = "{\"at_s\": \"x\"}\n".repeat(1_000);
        let found = wrong(&rows);
        assert_eq!(found.len(), 21);
        assert_eq!(found[20], "scenario.load.file: 980 more of its rows are wrong");
    }

    #[test]
    fn only_as_many_rows_are_read_as_are_asked_for() {
        let text = format!("{MOONCAKE}nonsense");
        let trace = parse(text.as_bytes(), TraceFormat::Auto, Some(2)).unwrap();
        assert_eq!(trace.rows.len(), 2);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..5_usize) {
            let _ = parse(&bytes[..], TraceFormat::ALL[kind], Some(50));
        }

        #[test]
        fn arrivals_are_in_order_and_scaled(
            gaps in proptest::collection::vec(0_u64..100_000, 1..60), scale in 0.01..10.0_f64
        ) {
            let mut at = 7;
            let text: String = gaps
                .iter()
                .map(|gap| {
                    at += gap;
                    format!("{{\"timestamp\": {at}, \"input_length\": 9, \"output_length\": 1}}\n")
                })
                .collect();
            let trace = read(&text);
            let arrivals = trace.arrivals(scale);
            prop_assert_eq!(arrivals.len(), gaps.len());
            prop_assert!(arrivals[0].0.abs() < 1e-12);
            prop_assert!(arrivals.is_sorted_by(|one, other| one.0 <= other.0));
            let whole = gaps[1..].iter().sum::<u64>() as f64 / 1e3;
            prop_assert!((arrivals[gaps.len() - 1].0 - whole * scale).abs() < 1e-6);
        }
    }
}
