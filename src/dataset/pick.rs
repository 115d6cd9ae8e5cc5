//! From rows to the prompts that a scenario asks for.

use super::source::Data;
use super::{Cell, DatasetError, Flow, ReadOptions, Row, Sample, builtin, digest};
use crate::prompt::{ChatMessage, Prompt};
use crate::record::Warning;

/// How many prompts are wanted; `None` for all.
pub(super) fn wanted(num_samples: Option<i64>) -> Result<Option<u64>, DatasetError> {
    match num_samples {
        None | Some(-1) => Ok(None),
        Some(given) => match u64::try_from(given) {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(DatasetError::NumSamples { given }),
        },
    }
}

/// Takes prompts out of files until there are enough.
pub(super) struct Picker<'a> {
    column: &'a str,
    wanted: Option<u64>,
    samples: Vec<Sample>,
    rows: u64,
    empty: u64,
    answered: u64,
}

/// What was picked.
pub(super) struct Picked {
    pub(super) samples: Vec<Sample>,
    /// Rows in all files that were read.
    pub(super) rows: u64,
    pub(super) warnings: Vec<Warning>,
}

/// The caution that the model is asked to go on from its own answer.
pub(super) const ENDS_WITH_ANSWER: &str = "conversation_ends_with_answer";

impl<'a> Picker<'a> {
    pub(super) const fn new(column: &'a str, wanted: Option<u64>) -> Self {
        Self { column, wanted, samples: Vec::new(), rows: 0, empty: 0, answered: 0 }
    }

    /// Whether no further file is needed.
    pub(super) fn is_full(&self) -> bool {
        self.wanted.is_some_and(|wanted| self.samples.len() as u64 >= wanted)
    }

    /// Reads one file and returns its SHA-256.
    pub(super) fn read(&mut self, name: &str, data: &Data) -> Result<String, DatasetError> {
        let options = ReadOptions { column: self.column };
        let mut bad = None;
        let mut sink = |row: Row| {
            self.take(name, row).unwrap_or_else(|error| {
                bad = Some(error);
                Flow::Stop
            })
        };
        let rows = match data {
            Data::BuiltIn => builtin::read(&options, &mut sink),
            Data::File { path, format } => (format.read)(path, &options, &mut sink),
        };
        if let Some(error) = bad {
            return Err(error);
        }
        self.rows += rows.map_err(|cause| DatasetError::read(name, self.column, cause))?;
        match data {
            Data::BuiltIn => Ok(digest::of_bytes(builtin::BYTES)),
            Data::File { path, .. } => digest::of_file(path)
                .map_err(|cause| DatasetError::read(name, self.column, cause.into())),
        }
    }

    fn take(&mut self, file: &str, row: Row) -> Result<Flow, DatasetError> {
        let prompt = match row.cell {
            Cell::Missing => None,
            Cell::Text(text) => (!text.is_empty()).then_some(Prompt::Text(text)),
            Cell::Chat(messages) => {
                let full = messages.iter().any(|message| !message.content.is_empty());
                full.then_some(Prompt::Chat(messages))
            }
            Cell::Other(found) => {
                return Err(DatasetError::NotText {
                    file: file.to_owned(),
                    row: row.number,
                    column: self.column.to_owned(),
                    found,
                });
            }
        };
        match prompt {
            None => self.empty += 1,
            Some(prompt) => {
                self.answered += u64::from(ends_with_answer(&prompt));
                self.samples.push(Sample::new(format!("{file}:{}", row.number), prompt));
            }
        }
        Ok(if self.is_full() { Flow::Count } else { Flow::Keep })
    }

    /// The prompts, with what is to be said about them. No prompt at all is an error.
    pub(super) fn finish(self, name: &str) -> Result<Picked, DatasetError> {
        if self.samples.is_empty() {
            return Err(DatasetError::NoPrompts {
                name: name.to_owned(),
                column: self.column.to_owned(),
                rows: self.rows,
            });
        }
        let warnings = self.warnings(name);
        Ok(Picked { samples: self.samples, rows: self.rows, warnings })
    }

    fn warnings(&self, name: &str) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let used = self.samples.len() as u64;
        let column = self.column;
        if let Some(wanted) = self.wanted.filter(|wanted| *wanted > used) {
            warnings.push(Warning::new(
                "fewer_rows_than_asked",
                format!(
                    "{wanted} prompts were asked for; {name} has {used}, all of which are used"
                ),
            ));
        }
        if self.empty > 0 {
            let message = format!(
                "{} rows of {name} were left out: `{column}` is null or empty there",
                self.empty
            );
            warnings.push(Warning::new("empty_prompts_skipped", message));
        }
        if self.answered > 0 {
            let message = format!(
                "{} conversations of {name} end with the assistant's own message: the model is asked to \
                 go on from its answer",
                self.answered
            );
            warnings.push(Warning::new(ENDS_WITH_ANSWER, message));
        }
        warnings
    }
}

fn ends_with_answer(prompt: &Prompt) -> bool {
    match prompt {
        Prompt::Text(_) | Prompt::Tokens(_) => false,
        Prompt::Chat(messages) => {
            messages.last().is_some_and(|ChatMessage { role, .. }| role == "assistant")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, cell: Cell) -> Row {
        Row { number, cell }
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn minus_one_and_absent_mean_all_zero_and_less_are_refused() {
        assert_eq!(wanted(None).unwrap(), None);
        assert_eq!(wanted(Some(-1)).unwrap(), None);
        assert_eq!(wanted(Some(3)).unwrap(), Some(3));
        for given in [0, -2, i64::MIN] {
            assert!(matches!(wanted(Some(given)), Err(DatasetError::NumSamples { .. })), "{given}");
        }
    }

    #[test]
    fn empty_rows_do_not_count_towards_the_wanted_number() {
        let mut picker = Picker::new("text", Some(2));
        assert_eq!(picker.take("f", row(1, text(""))).unwrap(), Flow::Keep);
        assert_eq!(picker.take("f", row(2, text(" "))).unwrap(), Flow::Keep);
        assert_eq!(picker.take("f", row(3, Cell::Missing)).unwrap(), Flow::Keep);
        assert_eq!(picker.take("f", row(4, text("b"))).unwrap(), Flow::Count);
        let picked = picker.finish("set").unwrap();
        let ids: Vec<&str> = picked.samples.iter().map(|sample| sample.id.as_str()).collect();
        assert_eq!(ids, ["f:2", "f:4"]);
        assert_eq!(picked.warnings.len(), 1);
        assert_eq!(
            picked.warnings[0].message,
            "2 rows of set were left out: `text` is null or empty there"
        );
    }

    #[test]
    fn too_few_prompts_are_a_warning_and_none_an_error() {
        let mut picker = Picker::new("text", Some(5));
        picker.take("f", row(1, text("a"))).unwrap();
        let picked = picker.finish("set").unwrap();
        assert_eq!(picked.warnings[0].code, "fewer_rows_than_asked");
        assert_eq!(
            picked.warnings[0].message,
            "5 prompts were asked for; set has 1, all of which are used"
        );
        let error = Picker::new("text", None).finish("set").map(|_| ()).unwrap_err();
        assert!(matches!(error, DatasetError::NoPrompts { .. }));
    }

    #[test]
    fn a_number_is_no_prompt() {
        let mut picker = Picker::new("text", None);
        let error = picker.take("f.json", row(7, Cell::Other("a number".to_owned()))).unwrap_err();
        assert_eq!(error.to_string(), "f.json row 7: column `text` holds a number, not a prompt");
    }

    #[test]
    fn conversations_that_end_with_an_answer_are_told() {
        let message = |role: &str| ChatMessage { role: role.to_owned(), content: "x".to_owned() };
        let mut picker = Picker::new("m", None);
        picker.take("f", row(1, Cell::Chat(vec![message("user"), message("assistant")]))).unwrap();
        picker.take("f", row(2, Cell::Chat(vec![message("user")]))).unwrap();
        picker.take("f", row(3, Cell::Chat(Vec::new()))).unwrap();
        let codes: Vec<String> =
            picker.finish("set").unwrap().warnings.into_iter().map(|w| w.code).collect();
        assert_eq!(codes, ["empty_prompts_skipped", "conversation_ends_with_answer"]);
    }
}
