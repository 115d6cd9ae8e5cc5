//! How a prompt is dressed for a model.

pub mod conversation;

use serde::{Deserialize, Serialize};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant`.
    pub role: String,
    /// What it says.
    pub content: String,
}

/// What a dataset yields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// Plain text.
    Text(String),
    /// A conversation that the model is to continue.
    Chat(Vec<ChatMessage>),
    /// Token ids, for the model as they are; neither text nor a conversation.
    Tokens(Vec<u32>),
}

impl Prompt {
    /// As a conversation: plain text becomes one user message, token ids are none.
    #[must_use]
    pub fn messages(&self) -> Vec<ChatMessage> {
        match self {
            Self::Text(text) => {
                vec![ChatMessage { role: "user".to_owned(), content: text.clone() }]
            }
            Self::Chat(messages) => messages.clone(),
            Self::Tokens(_) => Vec::new(),
        }
    }

    /// As plain text: a conversation's contents, a blank line between. Token ids have no text without a tokenizer.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Chat(messages) => messages
                .iter()
                .map(|message| message.content.as_str())
                .collect::<Vec<_>>()
                .join("\n\n"),
            Self::Tokens(_) => String::new(),
        }
    }
}
