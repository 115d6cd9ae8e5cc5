//! A conversation on its way: what was said so far, and the turns that are left.

use std::collections::VecDeque;

use crate::config::component::conversation::{Answers, Conversations};
use crate::dataset::Sample;
use crate::prompt::conversation::{Turn, turns};
use crate::prompt::{ChatMessage, Prompt};
use crate::record::{FailureClass, NotSent, Outcome, RequestRecord};
use crate::units::Nanos;

/// A conversation before one of its turns.
#[derive(Debug)]
pub(super) struct Talk {
    /// Its position among the conversations of the phase.
    pub start: u64,
    id: String,
    said: Vec<ChatMessage>,
    /// The turns that are left, the present one first.
    left: VecDeque<Turn>,
    turn: u32,
    answers: Answers,
}

/// What follows a request.
#[derive(Debug)]
pub(super) enum After {
    /// Nothing: it was no turn of a conversation.
    Nothing,
    /// The conversation has had its last turn.
    Complete,
    /// The conversation cannot go on.
    Lost {
        /// Turns that it would have had.
        turns: u64,
        /// Why it cannot.
        why: NotSent,
    },
    /// The conversation goes on.
    Goes {
        /// Before its next turn.
        talk: Box<Talk>,
        /// When the answer ended.
        end: Nanos,
    },
}

impl Talk {
    /// A conversation at its first turn. A prompt that is none has one turn.
    pub(super) fn begin(start: u64, sample: Sample, config: &Conversations) -> Self {
        let Sample { id, prompt, .. } = sample;
        let said = prompt.messages();
        let mut left = turns(prompt, config.turns.most());
        if left.is_empty() {
            left.push_back(Turn { said, recorded: None });
        }
        Self { start, id, said: Vec::new(), left, turn: 0, answers: config.answers }
    }

    /// The present turn, from 0.
    pub(super) const fn turn(&self) -> u32 {
        self.turn
    }

    /// The name of the present turn's prompt: each has its own, being of its own length.
    pub(super) fn prompt_id(&self) -> String {
        format!("{}#{}", self.id, self.turn)
    }

    /// Turns that are left, the present one among them.
    pub(super) fn turns_left(&self) -> u64 {
        self.left.len() as u64
    }

    /// Whether the model's own words are needed to go on.
    pub(super) fn needs_answer(&self) -> bool {
        self.left.len() > 1
            && (self.answers == Answers::Generated
                || self.left.front().is_some_and(|turn| turn.recorded.is_none()))
    }

    /// The present turn with everything said before; to be given back to [`Talk::after`].
    pub(super) fn prompt(&mut self) -> Prompt {
        if let Some(turn) = self.left.front_mut() {
            self.said.append(&mut turn.said);
        }
        Prompt::Chat(std::mem::take(&mut self.said))
    }

    /// What follows the present turn, by its record and what was answered.
    pub(super) fn after(
        mut self: Box<Self>,
        prompt: Prompt,
        record: &RequestRecord,
        answer: Option<String>,
    ) -> After {
        let turn = self.left.pop_front();
        let turns = self.turns_left();
        let why = match &record.outcome {
            Outcome::Ok { .. } => None,
            Outcome::Failed { class: FailureClass::Cancelled, .. } => Some(NotSent::Stopped),
            Outcome::Failed { class: FailureClass::InFlight, .. } => Some(NotSent::LoadOver),
            Outcome::Failed { .. } => Some(NotSent::TurnFailed),
        };
        if let Some(why) = why {
            return After::Lost { turns, why };
        }
        if turns == 0 {
            return After::Complete;
        }
        if let Prompt::Chat(messages) = prompt {
            self.said = messages;
        }
        let recorded = turn.and_then(|turn| turn.recorded);
        let content = match self.answers {
            Answers::Generated => answer,
            Answers::Recorded => recorded.or(answer),
        };
        let content = content.unwrap_or_default();
        self.said.push(ChatMessage { role: "assistant".to_owned(), content });
        self.turn += 1;
        After::Goes { talk: self, end: record.end_ns }
    }
}
