//! The model's own Jinja template, which turns chat messages into a prompt.
//!
//! Every instruct model ships its template, so none is written here: the engine renders what the
//! model brings. `strftime_now` is left undefined on purpose: templates that ask for it have a fixed
//! date to fall back on, and a prompt must not change from one day to the next.

use crate::error::LocalError;
use ai_energy_benchmarks::prompt::ChatMessage;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, context};

/// A parsed template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// Parses a template; the two tokens are what it may write by name.
    pub(crate) fn new(source: String, bos: String, eos: String) -> Result<Self, LocalError> {
        let mut environment = Environment::new();
        // As transformers sets them: templates are written with this whitespace in mind.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(failed)?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source).map_err(failed)?;
        Ok(Self { environment, bos_token: bos, eos_token: eos })
    }

    /// The prompt for these messages, up to where the assistant begins to speak.
    pub(crate) fn render(&self, messages: &[ChatMessage]) -> Result<String, LocalError> {
        let template = self.environment.get_template(NAME).map_err(failed)?;
        template
            .render(context! {
                messages => Serde(messages),
                add_generation_prompt => true,
                bos_token => &self.bos_token,
                eos_token => &self.eos_token,
            })
            .map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn failed(error: Error) -> LocalError {
    LocalError::Template { message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(content: &str) -> ChatMessage {
        ChatMessage { role: "user".to_owned(), content: content.to_owned() }
    }

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap()
    }

    #[test]
    fn blocks_swallow_their_line_as_in_transformers() {
        let source = "{{ bos_token }}{% for m in messages %}\n  {% if true %}\n[{{ m.role }}] {{ m['content'].strip() }}{{ eos_token }}\n  {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}>{% endif %}";
        let text = template(source).render(&[user("  hi ")]).unwrap();
        assert_eq!(text, "<s>[user] hi</s>\n>");
    }

    #[test]
    fn a_template_can_refuse_messages_and_its_words_are_kept() {
        let source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}ok";
        let message = ChatMessage { role: "system".to_owned(), content: String::new() };
        let error = template(source).render(&[message]).unwrap_err().to_string();
        assert!(error.contains("no system role"), "{error}");
    }

    #[test]
    fn the_date_is_never_todays() {
        let source = "{% if strftime_now is defined %}today{% else %}fixed{% endif %}";
        assert_eq!(template(source).render(&[]).unwrap(), "fixed");
    }

    #[test]
    fn a_broken_template_is_an_error_when_it_is_read() {
        assert!(ChatTemplate::new("{% if %}".to_owned(), String::new(), String::new()).is_err());
    }
}
