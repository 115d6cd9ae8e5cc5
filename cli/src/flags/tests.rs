use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Parser;

use super::*;
use crate::args::{Arguments, Command as Typed};

fn profile(words: &[&str]) -> (Flags, Vec<String>) {
    let words = ["ai-energy-benchmark", "profile"].iter().chain(words);
    match Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).command {
        Typed::Profile(mut profile) => {
            profile.flags.0.give_back_words(&mut profile.words);
            (profile.flags.0, profile.words)
        }
        other => panic!("{other:?}"),
    }
}

fn changed(words: &[&str], complete: bool) -> Result<Changes, Problems> {
    let (flags, words) = profile(words);
    flags.changes(&words, complete)
}

/// The changes as words, of flags beside a config.
fn words(flags: &[&str]) -> Vec<String> {
    changed(flags, false).unwrap_or_else(|problems| panic!("{flags:?}: {problems}")).words(false)
}

fn refused(flags: &[&str]) -> String {
    match changed(flags, false) {
        Ok(changes) => panic!("{flags:?}: {changes:?}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn every_flag_has_names_of_its_own_and_says_what_it_means() {
    let mut seen = BTreeSet::new();
    for flag in TABLE {
        for name in flag.names() {
            assert!(seen.insert(name), "--{name} twice");
        }
        let (what, refused) = match flag.means {
            Means::Key(what, _) | Means::Part(what, _) | Means::Anyway(what) => (what, false),
            Means::Nowhere(hint) => (hint, true),
        };
        assert!(!what.is_empty(), "--{}", flag.name());
        assert!(refused || !flag.help.is_empty(), "--{}", flag.name());
    }
}

#[test]
fn keys_of_the_table_are_keys_of_the_config() {
    let schema = ai_energy_benchmarks::config::resolved_schema().to_string();
    for flag in TABLE {
        if let Means::Key(key, _) = flag.means {
            let last = key.rsplit('.').next().unwrap_or_default();
            assert!(schema.contains(&format!("\"{last}\":")), "{key}");
        }
    }
}

#[test]
fn aiperfs_and_vllms_words_for_a_closed_loop_are_the_same_load() {
    for line in [
        &["--concurrency", "8"] as &[&str],
        &["--max-concurrency", "8"],
        &["--max-concurrency", "8", "--request-rate", "inf"],
        &["--concurrency", "8", "--arrival-pattern", "concurrency_burst"],
    ] {
        assert_eq!(words(line), ["scenario.load.type=concurrency", "scenario.load.concurrency=8"]);
    }
    assert_eq!(words(&["--request-rate", "inf"]), ["scenario.load.type=throughput"]);
}

#[test]
fn a_rate_is_poisson_unless_pattern_or_shape_say_otherwise() {
    for (line, kind) in [
        (&[] as &[&str], "poisson"),
        (&["--arrival-pattern", "constant"], "constant"),
        (&["--burstiness", "1.0"], "poisson"),
        (&["--burstiness", "inf"], "constant"),
        (&["--vllm-burstiness", "0.5"], "gamma"),
        (&["--arrival-smoothness", "2", "--arrival-pattern", "gamma"], "gamma"),
    ] {
        let line = [&["--request-rate", "2.5"], line].concat();
        let words = words(&line);
        assert_eq!(words[0], format!("scenario.load.type={kind}"), "{line:?}");
        assert_eq!(words[1], "scenario.load.rate=2.5");
        let shaped = words.iter().any(|word| word.starts_with("scenario.load.burstiness="));
        assert_eq!(shaped, kind == "gamma", "{words:?}");
    }
    let limited = words(&["--request-rate", "2", "--concurrency", "4", "--random-seed", "7"]);
    assert_eq!(
        limited,
        [
            "scenario.load.type=poisson",
            "scenario.load.rate=2.0",
            "scenario.load.max_concurrency=4",
            "scenario.load.seed=7"
        ]
    );
}

#[test]
fn lists_are_sweeps() {
    let changes = changed(&["--concurrency", "1,8,32"], false).unwrap();
    assert!(changes.is_sweep());
    assert!(changes.words(false).contains(&"scenario.load.concurrency=1,8,32".to_owned()));
    let changes = changed(&["--request-rate", "1,2", "--isl", "128,512"], false).unwrap();
    assert!(changes.is_sweep());
    let words = changes.words(false);
    assert!(words.contains(&"scenario.load.rate=1.0,2.0".to_owned()), "{words:?}");
    assert!(words.contains(&"scenario.input_shapes.sequence_length=128,512".to_owned()));
    assert!(refused(&["--request-rate", "1,inf"]).contains("another kind of load"));
}

#[test]
fn a_ramp_by_requests_is_as_long_as_its_requests_take() {
    let line = [
        "--request-rate",
        "10",
        "--ramp-up-strategy",
        "linear",
        "--ramp-up-start-rps",
        "1",
        "--ramp-up-end-rps",
        "10",
        "--num-prompts",
        "90",
    ];
    let words = words(&line);
    let over =
        words.iter().find_map(|word| word.strip_prefix("scenario.load.ramp.over_s=")).unwrap();
    // 90 requests at rates from 1 to 10: 90 ln(10) / 9 seconds.
    assert!((over.parse::<f64>().unwrap() - 10.0 * 10_f64.ln()).abs() < 1e-9);
    assert!(words.contains(&"scenario.load.ramp.shape=exponential".to_owned()));
    let mut other = line;
    other[3] = "exponential";
    assert!(refused(&other).contains("no place"));
    let ramp = super::tests::words(&["--concurrency", "16", "--concurrency-ramp-duration", "30"]);
    assert_eq!(ramp[2..4], ["scenario.load.ramp.from=1.0", "scenario.load.ramp.over_s=30.0"]);
}

#[test]
fn the_server_is_named_by_url_or_by_host_and_port() {
    for (line, endpoint) in [
        (&["-u", "localhost:9000"] as &[&str], "http://localhost:9000"),
        (&["--base-url", "https://x/v1"], "https://x/v1"),
        (&["--port", "8001"], "http://127.0.0.1:8001"),
        (&["--host", "::1"], "http://[::1]:8000"),
        (&["--host", "h", "--port", "1"], "http://h:1"),
    ] {
        assert_eq!(words(line), [format!("backend.endpoint='{endpoint}'")], "{line:?}");
    }
    assert_eq!(
        words(&["-u", "h:1", "--endpoint", "/v1/completions"]),
        ["backend.endpoint='http://h:1/v1/completions'", "backend.api=completions"]
    );
    assert!(refused(&["-u", "h:1", "--port", "2"]).contains("--url"));
    let both = ["--endpoint", "/v1/completions", "--backend", "openai-chat"];
    assert!(refused(&both).contains("--backend says chat"), "{}", refused(&both));
    assert!(refused(&["--endpoint", "/v1/embeddings"]).contains("not an API"));
    assert!(refused(&["--endpoint-type", "embeddings"]).contains("not spoken here"));
    assert_eq!(words(&["--backend", "vllm"]), ["backend.api=completions"]);
    assert_eq!(words(&["--model", "org/m", "--served-model-name", "m"]), ["backend.model='m'"]);
}

#[test]
fn fields_of_the_request_go_where_the_config_has_them() {
    let line = ["--extra-inputs", "ignore_eos:true", "temperature:0.7", "top_p:0.9", "user:me"];
    assert_eq!(
        words(&line),
        [
            "scenario.generate_kwargs.ignore_eos=true",
            "scenario.generate_kwargs.do_sample=true",
            "scenario.generate_kwargs.temperature=0.7",
            "scenario.generate_kwargs.top_p=0.9",
            "backend.extra_body.user='me'",
        ]
    );
    let json = r#"{"chat_template_kwargs": {"enable_thinking": false}, "stop": ["it's"]}"#;
    assert_eq!(
        words(&["--extra-body", json]),
        [
            "backend.extra_body.chat_template_kwargs={enable_thinking:false}",
            r"backend.extra_body.stop=['it\'s']",
        ]
    );
    assert!(
        refused(&["--ignore-eos", "--extra-inputs", "ignore_eos:false"]).contains("--ignore-eos")
    );
    let (_, words) = profile(&["--extra-inputs", "a:1", "x=1", "b:c=d", "+y.z=a:b", "c.yaml"]);
    assert_eq!(words, ["x=1", "+y.z=a:b", "c.yaml"], "changes and configs are no fields");
}

#[test]
fn times_that_aiperf_has_in_milliseconds_are_seconds_here() {
    let line = ["--conversation-turn-delay-mean", "1500"];
    assert_eq!(words(&line), ["scenario.conversations.think_time_s=1.5"]);
}

#[test]
fn objectives_are_those_of_both_tools() {
    let aiperf = words(&["--goodput", "time_to_first_token:200 inter_token_latency:20"]);
    assert_eq!(aiperf, ["metrics.slo.ttft_ms=200.0", "metrics.slo.inter_token_latency_ms=20.0"]);
    assert_eq!(words(&["--goodput", "ttft:200", "tpot:20"]), aiperf);
    assert!(refused(&["--goodput", "ttft:1", "time_to_first_token:2"]).contains("said twice"));
    assert!(refused(&["--goodput", "cost:1"]).contains("e2el"));
    let schema = ai_energy_benchmarks::config::resolved_schema();
    for (_, key) in draft::OBJECTIVES {
        assert!(schema["$defs"]["SloConfig"]["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn what_has_no_place_and_what_contradicts_is_refused_with_a_way_out() {
    for flag in TABLE {
        if let Means::Nowhere(hint) = flag.means {
            let name = format!("--{}", flag.name());
            let told = refused(&[&name]);
            assert!(told.contains(&name) && told.contains(hint), "{told}");
        }
    }
    let twice = refused(&["--osl", "8", "--random-output-len", "9"]);
    assert!(twice.contains("given twice") && twice.contains("`8`"), "{twice}");
    let beside = refused(&["--concurrency", "8", "scenario.load.concurrency=4"]);
    assert!(beside.contains("--concurrency") && beside.contains("scenario.load.concurrency=4"));
    let whole = refused(&["--osl", "8", "++scenario.generate_kwargs={max_new_tokens: 9}"]);
    assert!(whole.contains("--osl"), "{whole}");
    assert!(refused(&["--streaming", "--no-streaming"]).contains("backend.stream"));
    assert!(refused(&["--burstiness", "2"]).contains("--request-rate"));
    let all = refused(&["--port", "x", "--concurrency", "0", "--disable-tqdm"]);
    assert!(
        ["--port", "--concurrency", "--disable-tqdm"].iter().all(|name| all.contains(name)),
        "{all}"
    );
}

#[test]
fn without_a_config_the_number_of_requests_is_aiperfs() {
    let requests = |line: &[&str]| changed(line, true).unwrap().words(false).pop().unwrap();
    assert_eq!(requests(&["-m", "m"]), "scenario.requests=10");
    assert_eq!(requests(&["-m", "m", "--concurrency", "4,64"]), "scenario.requests=128");
    assert!(!requests(&["-m", "m", "--benchmark-duration", "5"]).contains("requests"));
}

#[test]
fn a_config_with_another_load_gets_a_whole_new_one() {
    let changes = changed(&["--concurrency", "2"], false).unwrap();
    assert_eq!(
        changes.words(true),
        [
            "++scenario.load.replaced=null",
            "~scenario.load",
            "++scenario.load.type=concurrency",
            "++scenario.load.concurrency=2"
        ]
    );
}

/// The table of `docs/profile.md`.
fn page() -> String {
    let mut page = String::from("| aiperf | vLLM | sets | what it says |\n|---|---|---|---|\n");
    let shown = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("`--{name}`")).collect();
        names.join(" ")
    };
    let row = |page: &mut String, flag: &Flag, sets: String, says: &str| {
        let (aiperf, vllm) = (shown(flag.aiperf), shown(flag.vllm));
        let _ = writeln!(page, "| {aiperf} | {vllm} | {sets} | {says} |");
    };
    for flag in TABLE {
        match flag.means {
            Means::Key(key, Read::Fixed(value)) => {
                row(&mut page, flag, format!("`{key}: {value}`"), flag.help);
            }
            Means::Key(key, _) => row(&mut page, flag, format!("`{key}`"), flag.help),
            Means::Part(keys, _) => row(&mut page, flag, keys.to_owned(), flag.help),
            Means::Anyway(what) => row(&mut page, flag, "nothing".to_owned(), what),
            Means::Nowhere(_) => {}
        }
    }
    page.push_str(
        "\nFlags that are known and refused:\n\n| aiperf | vLLM | instead |\n|---|---|---|\n",
    );
    for flag in TABLE {
        if let Means::Nowhere(hint) = flag.means {
            let _ = writeln!(page, "| {} | {} | {hint} |", shown(flag.aiperf), shown(flag.vllm));
        }
    }
    page
}

/// `AEB_WRITE_DOCS=1` writes it.
#[test]
fn the_page_shows_the_table() {
    const BEGIN: &str = "<!-- flags:begin (checked against the program's table by a test) -->\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/profile.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once("<!-- flags:end -->").unwrap();
    if std::env::var_os("AEB_WRITE_DOCS").is_some() {
        std::fs::write(file, format!("{before}{BEGIN}{}<!-- flags:end -->{after}", page()))
            .unwrap();
    } else {
        assert_eq!(shown, page(), "run the test once with AEB_WRITE_DOCS=1");
    }
}
