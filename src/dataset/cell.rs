//! What one cell of a dataset can be, as far as prompts go.

use serde_json::Value;

use crate::prompt::ChatMessage;

/// The value of the wanted column in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Null, or the row lacks the column.
    Missing,
    /// Text.
    Text(String),
    /// A list of `{role, content}`.
    Chat(Vec<ChatMessage>),
    /// Something that is no prompt, in words: `a number`.
    Other(String),
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Missing,
            Value::Bool(_) => Self::Other("a boolean".to_owned()),
            Value::Number(_) => Self::Other("a number".to_owned()),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => items
                .into_iter()
                .map(message)
                .collect::<Result<_, _>>()
                .map_or_else(|found| Self::Other(format!("a list that holds {found}")), Self::Chat),
            Value::Object(fields) => Self::Other(format!(
                "an object with the keys {}",
                fields.keys().take(8).map(String::as_str).collect::<Vec<_>>().join(", ")
            )),
        }
    }
}

/// A message of a conversation, or what was found instead. Keys beyond `role` and `content` do not reach
/// the model and are left out. ShareGPT and sets made like it call them `from` and `value`.
fn message(item: Value) -> Result<ChatMessage, String> {
    let Value::Object(mut fields) = item else {
        return Err("something other than {role, content} objects".to_owned());
    };
    if !fields.contains_key("role") && fields.contains_key("from") {
        let from = text_field(&mut fields, "from")?;
        let content = text_field(&mut fields, "value")?;
        return Ok(ChatMessage { role: role_of(from), content });
    }
    let role = text_field(&mut fields, "role")?;
    let content = text_field(&mut fields, "content")?;
    Ok(ChatMessage { role, content })
}

/// Who speaks in ShareGPT's words, in those of the chat API; others stay as they are.
fn role_of(from: String) -> String {
    match from.as_str() {
        "human" => "user".to_owned(),
        "gpt" | "chatgpt" | "bing" | "bard" | "model" => "assistant".to_owned(),
        _ => from,
    }
}

fn text_field(fields: &mut serde_json::Map<String, Value>, key: &str) -> Result<String, String> {
    match fields.get_mut(key).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("a message whose `{key}` is not text")),
        None => Err(format!("a message without `{key}`")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_role_and_content_is_a_conversation() {
        let cell = Cell::from(json!([{"role": "system", "content": "Be brief.", "id": 7},
                                     {"role": "user", "content": "Hi"}]));
        let Cell::Chat(messages) = cell else { panic!("{cell:?}") };
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[1].role, "user");
    }

    #[test]
    fn sharegpt_names_speakers_in_its_own_words() {
        let cell = Cell::from(json!([{"from": "system", "value": "Be brief."},
                                     {"from": "human", "value": "Hi", "markdown": null},
                                     {"from": "gpt", "value": "Hello"}]));
        let Cell::Chat(messages) = cell else { panic!("{cell:?}") };
        let roles: Vec<&str> = messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant"]);
        assert_eq!(messages[1].content, "Hi");
    }

    #[test]
    fn what_is_no_prompt_says_what_it_is() {
        let other = |value: Value| match Cell::from(value) {
            Cell::Other(found) => found,
            cell => panic!("{cell:?}"),
        };
        assert_eq!(other(json!(3)), "a number");
        assert_eq!(other(json!({"a": 1, "b": 2})), "an object with the keys a, b");
        assert_eq!(
            other(json!([{"role": "user", "content": [{"type": "text"}]}])),
            "a list that holds a message whose `content` is not text"
        );
        assert_eq!(
            other(json!([{"by": "human", "value": "x"}])),
            "a list that holds a message without `role`"
        );
        assert_eq!(
            other(json!([{"from": "human", "text": "x"}])),
            "a list that holds a message without `value`"
        );
        assert_eq!(
            other(json!(["a"])),
            "a list that holds something other than {role, content} objects"
        );
        assert_eq!(Cell::from(Value::Null), Cell::Missing);
    }
}
