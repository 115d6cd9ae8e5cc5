//! Against a server that is running somewhere: `AEB_OPENAI_URL` and `AEB_OPENAI_MODEL` say where and which model.
//!
//! `AEB_OPENAI_URL=http://127.0.0.1:8020 AEB_OPENAI_MODEL=smollm2-135m cargo test --test it openai_live -- --ignored --nocapture`

use std::sync::Arc;

use ai_energy_benchmarks::backend::openai::OpenAi;
use ai_energy_benchmarks::backend::{Backend, GenerateRequest};
use ai_energy_benchmarks::config::component::backend::{Api, VllmConfig};
use ai_energy_benchmarks::config::component::scenario::GenerateKwargs;
use ai_energy_benchmarks::prompt::Prompt;
use ai_energy_benchmarks::record::TokenSource;

use crate::openai::{Heard, block_on};

#[expect(clippy::disallowed_macros, reason = "what a real server said is what this run is for")]
#[test]
#[ignore = "needs a running server: AEB_OPENAI_URL, AEB_OPENAI_MODEL"]
fn live_server_passes_the_check_and_answers_every_api_and_mode() {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let base = VllmConfig {
        endpoint: var("AEB_OPENAI_URL"),
        model: var("AEB_OPENAI_MODEL"),
        ..VllmConfig::default()
    };
    let env = |name: &str| std::env::var(name).ok();
    let report = block_on(OpenAi::new(base.clone(), &env).unwrap().check()).unwrap();
    println!("{report:#?}");
    for (api, stream) in
        [(Api::Chat, true), (Api::Chat, false), (Api::Completions, true), (Api::Completions, false)]
    {
        let backend = OpenAi::new(VllmConfig { api, stream, ..base.clone() }, &env).unwrap();
        let request = GenerateRequest {
            index: 0,
            prompt: Prompt::Text("Name three colours.".to_owned()),
            params: Arc::new(GenerateKwargs { max_new_tokens: 12, ..GenerateKwargs::default() }),
            truncate: true,
        };
        let mut heard = Heard::default();
        let answer = block_on(backend.generate(&request, &mut heard)).unwrap();
        println!("{api:?} stream={stream}: {answer:?}\n  {heard:?}");
        assert_eq!(answer.tokens.source, TokenSource::Usage);
        assert!((1..=12).contains(&answer.tokens.completion.unwrap()));
        assert!(answer.tokens.prompt.unwrap() > 0);
        assert!(answer.finish_reason.is_some());
        assert_eq!(heard.count("whole"), usize::from(!stream));
        assert!(heard.events.is_sorted_by_key(|(at, _, _)| *at));
    }
}
