//! Text to tokens and back: a tokenizer, its end tokens and the chat template, from wherever they came.

use std::path::Path;

use ai_energy_benchmarks::prompt::Prompt;
use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::chat::ChatTemplate;
use crate::error::LocalError;
use crate::files::read_json_if_there;
use crate::hf_config::TokenIds;

/// SmolLM2's tokenizer (Apache-2.0, see the folder's NOTICE), for models without weights.
pub(crate) const SHIPPED_TOKENIZER: &[u8] = include_bytes!("../assets/smollm2/tokenizer.json");
const SHIPPED_TEMPLATE: &str = include_str!("../assets/smollm2/chat_template.jinja");
/// How the shipped tokenizer is named in reports.
pub const SHIPPED_NAME: &str = "SmolLM2 (shipped)";

/// A model's tokenizer with all that belongs to it.
#[derive(Debug)]
pub(crate) struct Codec {
    pub(crate) tokenizer: Tokenizer,
    /// Where it came from.
    pub(crate) source: String,
    /// Tokens that end an answer.
    pub(crate) eos: Vec<u32>,
    pub(crate) template: Option<ChatTemplate>,
}

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    chat_template: Option<TemplateField>,
    bos_token: Option<TokenField>,
    eos_token: Option<TokenField>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TemplateField {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TokenField {
    Text(String),
    Object { content: String },
}

#[derive(Debug, Deserialize)]
struct GenerationConfig {
    eos_token_id: Option<TokenIds>,
}

impl Codec {
    /// The shipped one.
    pub(crate) fn shipped() -> Result<Self, LocalError> {
        let tokenizer = parse(SHIPPED_TOKENIZER, SHIPPED_NAME)?;
        let eos = tokenizer.token_to_id("<|im_end|>").into_iter().collect();
        let template = ChatTemplate::new(
            SHIPPED_TEMPLATE.to_owned(),
            "<|im_start|>".to_owned(),
            "<|im_end|>".to_owned(),
        )?;
        Ok(Self { tokenizer, source: SHIPPED_NAME.to_owned(), eos, template: Some(template) })
    }

    /// From a folder in HuggingFace's form. End tokens: `generation_config.json`, else those of
    /// `config.json`, else the tokenizer's.
    pub(crate) fn from_folder(root: &Path, config_eos: Vec<u32>) -> Result<Self, LocalError> {
        let path = root.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(LocalError::read(&path))?;
        let source = path.display().to_string();
        let tokenizer = parse(&bytes, &source)?;
        let config: TokenizerConfig =
            read_json_if_there(&root.join("tokenizer_config.json"))?.unwrap_or_default();
        let generation: Option<GenerationConfig> =
            read_json_if_there(&root.join("generation_config.json"))?;
        let bos_token = config.bos_token.map(TokenField::into_text).unwrap_or_default();
        let eos_token = config.eos_token.map(TokenField::into_text).unwrap_or_default();
        let eos = generation
            .and_then(|generation| generation.eos_token_id)
            .map(TokenIds::into_vec)
            .or_else(|| Some(config_eos).filter(|ids| !ids.is_empty()))
            .unwrap_or_else(|| tokenizer.token_to_id(&eos_token).into_iter().collect());
        let template = match template_file(root)? {
            Some(text) => Some(text),
            None => config.chat_template.and_then(TemplateField::into_default),
        };
        let template =
            template.map(|text| ChatTemplate::new(text, bos_token, eos_token)).transpose()?;
        Ok(Self { tokenizer, source, eos, template })
    }

    /// Tokens of a prompt.
    pub(crate) fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>, LocalError> {
        let rendered;
        let (text, special) = match prompt {
            Prompt::Tokens(ids) if ids.is_empty() => return Err(LocalError::EmptyPrompt),
            Prompt::Tokens(ids) => return Ok(ids.clone()),
            Prompt::Text(text) => (text, true),
            Prompt::Chat(messages) => {
                let template = self.template.as_ref().ok_or(LocalError::NoChatTemplate)?;
                rendered = template.render(messages)?;
                // The template has written the special tokens itself.
                (&rendered, false)
            }
        };
        let encoding = self
            .tokenizer
            .encode_fast(text.as_str(), special)
            .map_err(|error| failed(&self.source, &error))?;
        if encoding.is_empty() {
            return Err(LocalError::EmptyPrompt);
        }
        Ok(encoding.get_ids().to_vec())
    }

    /// Refuses a tokenizer whose tokens the model has no embedding for.
    pub(crate) fn check_vocabulary(&self, model: usize) -> Result<(), LocalError> {
        let highest =
            self.tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        if highest <= model {
            return Ok(());
        }
        let message = format!("has {highest} tokens, more than the model's vocabulary of {model}");
        Err(LocalError::Tokenizer { place: self.source.clone(), message })
    }
}

/// Text of tokens, special ones left out.
pub(crate) fn decode(tokenizer: &Tokenizer, ids: &[u32]) -> Result<String, LocalError> {
    tokenizer.decode(ids, true).map_err(|error| failed("the model", &error))
}

fn parse(bytes: &[u8], source: &str) -> Result<Tokenizer, LocalError> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| failed(source, &error))?;
    // A tokenizer.json may carry the truncation and padding of its training; requests set their own.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| failed(source, &error))?;
    Ok(tokenizer)
}

fn failed(place: &str, error: &tokenizers::Error) -> LocalError {
    LocalError::Tokenizer { place: place.to_owned(), message: error.to_string() }
}

/// Newer models keep the template in a file of its own.
fn template_file(root: &Path) -> Result<Option<String>, LocalError> {
    let path = root.join("chat_template.jinja");
    if !path.is_file() {
        return Ok(None);
    }
    std::fs::read_to_string(&path).map(Some).map_err(LocalError::read(path))
}

impl TemplateField {
    fn into_default(self) -> Option<String> {
        match self {
            Self::One(text) => Some(text),
            Self::Named(all) => {
                all.into_iter().find(|one| one.name == "default").map(|one| one.template)
            }
        }
    }
}

impl TokenField {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use ai_energy_benchmarks::prompt::ChatMessage;

    use super::*;

    fn user() -> ChatMessage {
        ChatMessage { role: "user".to_owned(), content: "Hi".to_owned() }
    }

    #[test]
    fn the_shipped_tokenizer_splits_digits_and_knows_its_end_token() {
        let codec = Codec::shipped().unwrap();
        assert_eq!(codec.eos, [2]);
        assert_eq!(codec.tokenizer.get_vocab_size(true), 49_152);
        let ids = codec.encode(&Prompt::Text("in 2024".to_owned())).unwrap();
        let tokens: Vec<String> =
            ids.iter().map(|&id| codec.tokenizer.id_to_token(id).unwrap()).collect();
        assert_eq!(tokens, ["in", "Ġ", "2", "0", "2", "4"]);
    }

    #[test]
    fn the_shipped_template_adds_the_default_system_message_once() {
        let codec = Codec::shipped().unwrap();
        let text = codec.template.as_ref().unwrap().render(&[user()]).unwrap();
        assert!(text.starts_with("<|im_start|>system\n"), "{text}");
        assert!(
            text.ends_with("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
            "{text}"
        );
        let ids = codec.encode(&Prompt::Chat(vec![user()])).unwrap();
        assert_eq!(ids.iter().filter(|&&id| id == 1).count(), 3);
    }

    #[derive(Deserialize)]
    struct Recorded {
        texts: Vec<RecordedText>,
        chats: Vec<RecordedChat>,
    }

    #[derive(Deserialize)]
    struct RecordedText {
        text: String,
        ids: Vec<u32>,
    }

    #[derive(Deserialize)]
    struct RecordedChat {
        messages: Vec<ChatMessage>,
        prompt: String,
        ids: Vec<u32>,
    }

    #[test]
    fn ids_are_those_of_llama_cpp_for_the_same_vocabulary() {
        let recorded = include_str!("../tests/data/smollm2_tokens.json");
        let recorded: Recorded = serde_json::from_str(recorded).unwrap();
        let codec = Codec::shipped().unwrap();
        assert!(recorded.texts.len() >= 20 && recorded.chats.len() >= 2);
        for RecordedText { text, ids } in recorded.texts {
            assert_eq!(codec.encode(&Prompt::Text(text.clone())).unwrap(), ids, "{text:?}");
        }
        for RecordedChat { messages, prompt, ids } in recorded.chats {
            let rendered = codec.template.as_ref().unwrap().render(&messages).unwrap();
            assert_eq!(rendered, prompt);
            assert_eq!(codec.encode(&Prompt::Chat(messages)).unwrap(), ids);
        }
    }

    #[test]
    fn an_empty_prompt_is_an_error() {
        let codec = Codec::shipped().unwrap();
        assert!(matches!(codec.encode(&Prompt::Text(String::new())), Err(LocalError::EmptyPrompt)));
    }

    #[test]
    fn a_tokenizer_larger_than_the_model_is_refused() {
        let codec = Codec::shipped().unwrap();
        codec.check_vocabulary(49_152).unwrap();
        assert!(codec.check_vocabulary(49_151).is_err());
    }

    #[test]
    fn a_folder_gives_end_tokens_and_template_in_their_order_of_precedence() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
        write("tokenizer.json", SHIPPED_TOKENIZER);
        let bare = Codec::from_folder(folder.path(), vec![]).unwrap();
        assert!(bare.eos.is_empty() && bare.template.is_none());
        write(
            "tokenizer_config.json",
            br#"{"eos_token": {"content": "<|im_end|>"}, "bos_token": "B",
                "chat_template": [{"name": "tool", "template": "T"}, {"name": "default", "template": "D{{ bos_token }}"}]}"#,
        );
        let codec = Codec::from_folder(folder.path(), vec![]).unwrap();
        assert_eq!(codec.eos, [2]);
        assert_eq!(codec.template.unwrap().render(&[]).unwrap(), "DB");
        assert_eq!(Codec::from_folder(folder.path(), vec![5]).unwrap().eos, [5]);
        write("generation_config.json", br#"{"eos_token_id": [7, 8]}"#);
        write("chat_template.jinja", b"F");
        let codec = Codec::from_folder(folder.path(), vec![5]).unwrap();
        assert_eq!(codec.eos, [7, 8]);
        assert_eq!(codec.template.unwrap().render(&[]).unwrap(), "F");
    }
}
