//! Records of conversations.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a turn of a conversation that had begun was not sent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NotSent {
    /// A turn before it failed, so that there is no answer to go on from.
    TurnFailed,
    /// As many requests as were asked for had left, or the time for them was over.
    LoadOver,
    /// The run was stopped.
    Stopped,
}

/// How far the conversations of a phase went. The turns of those that began are the requests that were sent and `not_sent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationTally {
    /// Conversations whose first turn was sent.
    pub begun: u64,
    /// Of those, how many got an answer to their last turn.
    pub complete: u64,
    /// Turns of those that were not sent, by reason.
    pub not_sent: BTreeMap<NotSent, u64>,
}

impl ConversationTally {
    /// Counts turns that will not be sent.
    pub fn lose(&mut self, turns: u64, why: NotSent) {
        if turns > 0 {
            *self.not_sent.entry(why).or_default() += turns;
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.complete += other.complete;
        for (why, turns) in &other.not_sent {
            self.lose(*turns, *why);
        }
    }
}
