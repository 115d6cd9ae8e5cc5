//! A conversation cut into its turns: what is said until the model is to answer, and what it answered when it was recorded.

use std::collections::VecDeque;

use super::{ChatMessage, Prompt};

/// The role of the model.
const ASSISTANT: &str = "assistant";
/// The role of who set it up. A model is not asked to answer that alone.
const SYSTEM: [&str; 2] = ["system", "developer"];

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What is said, after everything said before: of the first turn with the system prompt.
    pub said: Vec<ChatMessage>,
    /// What was answered when the conversation was recorded.
    pub recorded: Option<String>,
}

/// The turns of a conversation, at most so many; none of a prompt that is not one, or in which nobody but the model speaks.
#[must_use]
pub fn turns(prompt: Prompt, most: u32) -> VecDeque<Turn> {
    let Prompt::Chat(messages) = prompt else { return VecDeque::new() };
    let mut turns: VecDeque<Turn> = VecDeque::new();
    let mut said: Vec<ChatMessage> = Vec::new();
    for message in messages {
        if message.role != ASSISTANT {
            said.push(message);
        } else if asks(&said) {
            if turns.len() >= most as usize {
                return turns;
            }
            let recorded = Some(message.content);
            turns.push_back(Turn { said: std::mem::take(&mut said), recorded });
        } else if let (true, Some(last)) = (said.is_empty(), turns.back_mut()) {
            // Two messages of the model in a row are one answer.
            let recorded = last.recorded.get_or_insert_default();
            recorded.push_str("\n\n");
            recorded.push_str(&message.content);
        } else {
            // It greets before it is asked.
            said.push(message);
        }
    }
    if asks(&said) && turns.len() < most as usize {
        turns.push_back(Turn { said, recorded: None });
    }
    turns
}

/// How many turns a prompt has, at most so many; a prompt that is no conversation is one.
#[must_use]
pub fn count(prompt: &Prompt, most: u32) -> u32 {
    let Prompt::Chat(messages) = prompt else { return 1 };
    let mut turns: u32 = 0;
    let mut open = false;
    for message in messages {
        if message.role == ASSISTANT {
            turns += u32::from(open);
            open = false;
        } else {
            open |= is_asked(message);
        }
    }
    turns.saturating_add(u32::from(open)).clamp(1, most.max(1))
}

fn asks(said: &[ChatMessage]) -> bool {
    said.iter().any(is_asked)
}

/// Whether the model is expected to answer it.
fn is_asked(message: &ChatMessage) -> bool {
    message.role != ASSISTANT && !SYSTEM.contains(&message.role.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One message a letter: its role; its content is its position.
    fn chat(roles: &str) -> Prompt {
        let message = |(place, letter): (usize, char)| {
            let role = match letter {
                's' => "system",
                'u' => "user",
                'a' => "assistant",
                't' => "tool",
                other => panic!("{other}"),
            };
            ChatMessage { role: role.to_owned(), content: place.to_string() }
        };
        Prompt::Chat(roles.chars().enumerate().map(message).collect())
    }

    /// Said messages and the answer of each turn, by position.
    fn cut(roles: &str, most: u32) -> Vec<String> {
        let text = |turn: &Turn| {
            let said: Vec<&str> = turn.said.iter().map(|one| one.content.as_str()).collect();
            format!("{}>{}", said.join(","), turn.recorded.as_deref().unwrap_or("?"))
        };
        turns(chat(roles), most).iter().map(text).collect()
    }

    #[test]
    fn a_turn_is_what_is_said_until_the_model_answers() {
        assert_eq!(cut("suaua", 9), ["0,1>2", "3>4"]);
        assert_eq!(cut("uau", 9), ["0>1", "2>?"]);
        assert_eq!(cut("u", 9), ["0>?"]);
        assert_eq!(cut("suuau", 9), ["0,1,2>3", "4>?"]);
        assert_eq!(cut("uata", 9), ["0>1", "2>3"], "a tool's result is answered too");
    }

    #[test]
    fn the_model_may_greet_first_and_answer_twice() {
        assert_eq!(cut("saua", 9), ["0,1,2>3"]);
        assert_eq!(cut("uaau", 9), ["0>1\n\n2", "3>?"]);
        assert_eq!(cut("uasa", 9), ["0>1"], "a system prompt alone asks nothing");
    }

    #[test]
    fn turns_beyond_the_most_are_left_out() {
        assert_eq!(cut("uauaua", 2), ["0>1", "2>3"]);
        assert_eq!(cut("uau", 1), ["0>1"]);
    }

    #[test]
    fn what_is_no_conversation_has_no_turns_and_is_one_prompt() {
        assert!(turns(Prompt::Text("a".to_owned()), 9).is_empty());
        assert!(turns(Prompt::Tokens(vec![1]), 9).is_empty());
        assert!(cut("a", 9).is_empty() && cut("s", 9).is_empty());
        assert_eq!(count(&Prompt::Tokens(vec![1]), 9), 1);
        assert_eq!(count(&chat("a"), 9), 1);
    }

    proptest! {
        #[test]
        fn as_many_turns_are_counted_as_are_cut(roles in "[suat]{0,20}", most in 1..6_u32) {
            let cut = turns(chat(&roles), most).len();
            prop_assert_eq!(count(&chat(&roles), most) as usize, cut.max(1));
        }

        #[test]
        fn nothing_said_before_the_last_turn_is_lost(roles in "[suat]{0,20}") {
            let all: Vec<String> = turns(chat(&roles), u32::MAX)
                .into_iter()
                .flat_map(|turn| {
                    let said = turn.said.into_iter().map(|message| message.content);
                    let recorded = turn.recorded.unwrap_or_default();
                    let recorded = recorded.split("\n\n").map(str::to_owned).collect::<Vec<_>>();
                    said.chain(recorded).filter(|text| !text.is_empty())
                        .collect::<Vec<String>>()
                })
                .collect();
            let want: Vec<String> = (0..all.len()).map(|place| place.to_string()).collect();
            prop_assert_eq!(all, want, "in order, from the first message on");
        }
    }
}
