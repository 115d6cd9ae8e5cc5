//! The hub's client against a server with the hub's routes.

use std::fs;
use std::path::Path;

use ai_energy_benchmarks::config::component::scenario::ScenarioConfig;
use ai_energy_benchmarks::dataset::hub::{
    HubEnv, HubError, Origin, RepoKind, Secret, Snapshot, fetch,
};
use ai_energy_benchmarks::dataset::{formats, load};
use ai_energy_benchmarks_testkit::hub::{COMMIT, Faults, HubRepo, HubRequest, HubServer, sha256};

use crate::dataset::{nowhere, scenario, texts};

const TOKEN: &str = "hf_very_secret";

fn env(server: &HubServer, cache: &Path) -> HubEnv {
    HubEnv {
        endpoint: server.url().to_owned(),
        token: Some(Secret::new(TOKEN)),
        offline: false,
        cache: cache.to_path_buf(),
        ..nowhere()
    }
}

fn big() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn model(server: &HubServer, cache: &Path) -> Result<Snapshot, HubError> {
    fetch(&env(server, cache), RepoKind::Model, "org/model", None, &|name| name.ends_with("bin"))
}

fn gets(server: &HubServer) -> Vec<HubRequest> {
    server.requests().into_iter().filter(|request| request.method == "GET").collect()
}

#[test]
fn a_model_is_fetched_once_into_the_layout_of_the_python_library() {
    let repo =
        HubRepo::new().large("sub/w.bin", big()).small("config.json", "{}").small("r.md", "");
    let server = HubServer::start(&[("models/org/model", repo)]);
    let cache = tempfile::tempdir().unwrap();
    let first = model(&server, cache.path()).unwrap();
    assert_eq!((first.origin, first.commit.as_str()), (Origin::Downloaded, COMMIT));
    assert_eq!(first.files, ["sub/w.bin"]);
    let folder = cache.path().join("models--org--model");
    assert_eq!(first.folder, folder.join("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    let blob = folder.join("blobs").join(sha256(&big()));
    assert_eq!(fs::read(&blob).unwrap(), big());
    let link = fs::read_link(first.folder.join("sub/w.bin")).unwrap();
    assert_eq!(link, Path::new("../../../blobs").join(sha256(&big())));
    assert_eq!(fs::read(first.folder.join("sub/w.bin")).unwrap(), big());

    let before = server.requests().len();
    let second = model(&server, cache.path()).unwrap();
    assert_eq!((second.origin, &second.files), (Origin::Cached, &first.files));
    assert_eq!(server.requests().len(), before + 1, "only the listing is asked for again");
}

#[test]
fn the_token_goes_to_the_hub_and_never_to_the_storage() {
    let repo = HubRepo::new().large("w.bin", big()).private(TOKEN);
    let server = HubServer::start(&[("models/org/model", repo)]);
    let cache = tempfile::tempdir().unwrap();
    model(&server, cache.path()).unwrap();
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.to == "storage"));
    for request in &requests {
        let token = request.headers.get("authorization").map(String::as_str);
        match request.to {
            "hub" => assert_eq!(token, Some("Bearer hf_very_secret"), "{request:?}"),
            _ => assert_eq!(token, None, "{request:?}"),
        }
    }
    let heads = requests.iter().filter(|r| r.method == "HEAD" && r.to == "storage").count();
    assert_eq!(heads, 0, "storage addresses are signed for GET");
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let server = HubServer::start(&[("models/org/model", HubRepo::new().large("w.bin", big()))]);
    server.set_faults(Faults { cut_after: Some(400_000), cuts: 2, ..Faults::default() });
    let cache = tempfile::tempdir().unwrap();
    let snapshot = model(&server, cache.path()).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("w.bin")).unwrap(), big());
    let ranges: Vec<Option<String>> = gets(&server)
        .iter()
        .filter(|request| request.to == "storage")
        .map(|request| request.headers.get("range").cloned())
        .collect();
    let range = |from: u64| Some(format!("bytes={from}-"));
    assert_eq!(ranges, [None, range(400_000), range(800_000)]);
}

#[test]
fn a_download_that_brings_nothing_more_is_given_up_and_resumed_by_the_next_run() {
    let server = HubServer::start(&[("models/org/model", HubRepo::new().large("w.bin", big()))]);
    let cache = tempfile::tempdir().unwrap();
    let blobs = cache.path().join("models--org--model/blobs");
    // An earlier run brought a part, and now nothing comes.
    let part = blobs.join(format!("{}.part", sha256(&big())));
    fs::create_dir_all(&blobs).unwrap();
    fs::write(&part, &big()[..1000]).unwrap();
    server.set_faults(Faults { cut_after: Some(0), cuts: 9, ..Faults::default() });
    let error = model(&server, cache.path()).unwrap_err();
    assert_eq!(error.to_string(), "w.bin: the connection broke after 1000 of 1200000 bytes");
    assert_eq!(fs::metadata(&part).unwrap().len(), 1000);
    server.set_faults(Faults::default());
    let snapshot = model(&server, cache.path()).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("w.bin")).unwrap(), big());
    assert!(!part.exists());
}

#[test]
fn a_server_that_ignores_ranges_spoils_nothing() {
    let server = HubServer::start(&[("models/org/model", HubRepo::new().large("w.bin", big()))]);
    server.set_faults(Faults {
        cut_after: Some(500_000),
        cuts: 1,
        ignore_range: true,
        ..Faults::default()
    });
    let cache = tempfile::tempdir().unwrap();
    let snapshot = model(&server, cache.path()).unwrap();
    assert_eq!(fs::read(snapshot.folder.join("w.bin")).unwrap(), big());
}

#[test]
fn corrupt_bytes_never_reach_the_cache() {
    let server = HubServer::start(&[("models/org/model", HubRepo::new().large("w.bin", big()))]);
    server.set_faults(Faults { corrupt: true, ..Faults::default() });
    let cache = tempfile::tempdir().unwrap();
    let error = model(&server, cache.path()).unwrap_err();
    assert!(matches!(error, HubError::Corrupt { .. }), "{error}");
    let blobs = fs::read_dir(cache.path().join("models--org--model/blobs")).unwrap();
    assert_eq!(blobs.count(), 0);
}

#[test]
fn each_refusal_says_what_to_do() {
    let refuse = |status, headers: &[(&str, &str)]| HubRepo::new().refuse(status, headers);
    let server = HubServer::start(&[
        ("datasets/o/gated", refuse(403, &[("x-error-code", "GatedRepo")])),
        ("datasets/o/gone", refuse(404, &[("x-error-code", "RepoNotFound")])),
        ("datasets/o/busy", refuse(429, &[("retry-after", "17")])),
        ("datasets/o/denied", refuse(403, &[])),
        ("datasets/o/down", refuse(502, &[])),
        ("datasets/o/private", HubRepo::new().private("another token")),
        ("datasets/o/set", HubRepo::new().small("train.jsonl", "")),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let with_token = env(&server, cache.path());
    let without = HubEnv { token: None, ..with_token.clone() };
    let told = |env: &HubEnv, id: &str, revision| {
        let error = fetch(env, RepoKind::Dataset, id, revision, &|_| true).unwrap_err();
        let shown = format!("{error:?} {error} {:?}", error.hint());
        assert!(!shown.contains(TOKEN), "{shown}");
        error.problem("scenario.dataset_name").to_string().replace(server.url(), "HUB")
    };
    let cases = [
        (
            told(&without, "o/gated", None),
            "accept the terms at HUB/datasets/o/gated and set HF_TOKEN",
        ),
        (told(&with_token, "o/gated", None), "with the account that HF_TOKEN belongs to"),
        (told(&with_token, "o/gone", None), "HUB has no dataset `o/gone`, or it is private"),
        (told(&without, "o/unknown", None), "check the spelling; if it is private, set HF_TOKEN"),
        (told(&without, "o/private", None), "has no dataset `o/private`, or it is private"),
        (told(&with_token, "o/private", None), "HF_TOKEN is wrong, expired, or may not read it"),
        (told(&with_token, "o/denied", None), "refused access to dataset `o/denied` (HTTP 403)"),
        (told(&with_token, "o/busy", None), "(HTTP 429); it may be asked again in 17 s"),
        (told(&with_token, "o/down", None), "answered HTTP 502 for dataset `o/down` at `main`"),
        (told(&with_token, "o/set", Some("v9")), "dataset `o/set` has no revision `v9`"),
        (told(&with_token, "o/set", Some("../../x")), "has no revision `../../x`"),
    ];
    for (told, want) in cases {
        assert!(told.contains(want), "{told:?} lacks {want:?}");
    }
}

#[test]
fn a_renamed_dataset_is_followed() {
    let repo = HubRepo::new().large("train.jsonl", "{\"text\":\"hi\"}\n");
    let server = HubServer::start(&[
        (
            "datasets/EnergyStarAI/text_generation",
            HubRepo::new().moved_to("datasets/AIEnergyScore/text_generation"),
        ),
        ("datasets/AIEnergyScore/text_generation", repo),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let mut env = env(&server, cache.path());
    let old = scenario("EnergyStarAI/text_generation");
    let loaded = load(&old, &formats(), &env).unwrap();
    assert_eq!(texts(&loaded), ["hi"]);
    assert_eq!(loaded.info.origin, "hub");
    assert_eq!(loaded.info.revision.as_deref(), Some(COMMIT));
    assert_eq!(loaded.info.files["train.jsonl"], sha256(b"{\"text\":\"hi\"}\n"));

    // Offline the old name still works, and the new one is told where the files are.
    env.offline = true;
    let again = load(&old, &formats(), &env).unwrap();
    assert_eq!((again.info.origin.as_str(), &again.samples), ("hub cache", &loaded.samples));
    let problem = load(&scenario("AIEnergyScore/text_generation"), &formats(), &env);
    let problem = problem.unwrap_err().problem();
    assert_eq!(problem.hint.as_deref(), Some("the cache has `EnergyStarAI/text_generation`"));
}

#[test]
fn only_the_files_that_are_needed_are_fetched() {
    let readme = "---\nconfigs:\n- config_name: en\n  data_files: data/train-*\n---\n";
    let repo = HubRepo::new()
        .small("README.md", readme)
        .large("data/train-00000-of-00002.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n")
        .large("data/train-00001-of-00002.jsonl", "{\"text\":\"c\"}\n")
        .large("data/test-00000-of-00001.jsonl", "{\"text\":\"d\"}\n");
    let server = HubServer::start(&[("datasets/o/set", repo)]);
    let cache = tempfile::tempdir().unwrap();
    let mut env = env(&server, cache.path());
    let mut scenario = ScenarioConfig {
        dataset_config: Some("en".to_owned()),
        dataset_revision: Some("v1".to_owned()),
        num_samples: Some(2),
        ..scenario("o/set")
    };
    assert_eq!(texts(&load(&scenario, &formats(), &env).unwrap()), ["a", "b"]);
    let fetched = gets(&server).iter().filter(|request| request.to == "storage").count();
    assert_eq!(fetched, 1);

    // The cache now has one shard of two: enough for two prompts, and no silent part of the whole.
    env.datasets_offline = true;
    assert_eq!(texts(&load(&scenario, &formats(), &env).unwrap()), ["a", "b"]);
    scenario.num_samples = None;
    let error = load(&scenario, &formats(), &env).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("data/train-00001-of-00002.jsonl of dataset `o/set` at `v1`"), "{told}");
    assert!(told.contains(cache.path().to_str().unwrap()), "{told}");
    assert!(told.contains("HF_DATASETS_OFFLINE"), "{told}");
    env.datasets_offline = false;
    assert_eq!(texts(&load(&scenario, &formats(), &env).unwrap()), ["a", "b", "c"]);
}

#[test]
fn when_the_hub_is_away_the_cache_answers_and_says_so() {
    let cache = tempfile::tempdir().unwrap();
    let repo = HubRepo::new().small("train.jsonl", "{\"text\":\"a\"}\n");
    let server = HubServer::start(&[("datasets/o/set", repo)]);
    let env = env(&server, cache.path());
    load(&scenario("o/set"), &formats(), &env).unwrap();
    drop(server);
    let loaded = load(&scenario("o/set"), &formats(), &env).unwrap();
    assert_eq!(texts(&loaded), ["a"]);
    assert_eq!(loaded.info.origin, "hub cache");
    assert_eq!(loaded.warnings[0].code, "hub_unreachable");
    let problem = load(&scenario("o/other"), &formats(), &env).unwrap_err().problem();
    assert!(problem.message.starts_with("cannot reach 127.0.0.1:"), "{problem}");
    assert!(problem.hint.unwrap().contains("HF_ENDPOINT"));
}

#[test]
fn offline_without_a_cache_names_the_cache_and_the_variable() {
    let problem = load(&scenario("o/set"), &formats(), &nowhere()).unwrap_err().problem();
    assert_eq!(
        problem.message,
        "dataset `o/set` at `main` is not in the cache /nonexistent/hub, and HF_HUB_OFFLINE forbids \
         the network"
    );
}

#[test]
fn a_token_is_not_sent_unencrypted_beyond_this_machine() {
    let cache = tempfile::tempdir().unwrap();
    let repo = HubRepo::new().small("w.bin", "x");
    let server = HubServer::start(&[("models/org/model", repo)]);
    // A name for this machine that is not plainly loopback.
    let url = server.url().replace("127.0.0.1", "0.0.0.0");
    let env = HubEnv { endpoint: url, ..env(&server, cache.path()) };
    let snapshot = fetch(&env, RepoKind::Model, "org/model", None, &|_| true).unwrap();
    assert_eq!(snapshot.warnings[0].code, "hub_token_withheld");
    assert!(server.requests().iter().all(|request| !request.headers.contains_key("authorization")));
}

#[test]
fn names_with_spaces_and_slashed_revisions_are_encoded() {
    let cache = tempfile::tempdir().unwrap();
    let repo = HubRepo::new().small("my data/train set.jsonl", "{\"text\":\"a\"}\n");
    let server = HubServer::start(&[("datasets/o/set", repo)]);
    let env = env(&server, cache.path());
    let revision = Some("refs/convert/parquet");
    let snapshot = fetch(&env, RepoKind::Dataset, "o/set", revision, &|_| true).unwrap();
    assert!(snapshot.folder.join("my data/train set.jsonl").is_file());
    let reference = cache.path().join("datasets--o--set/refs/refs/convert/parquet");
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);
}

#[test]
fn a_file_name_that_climbs_out_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let repo = HubRepo::new().small("../../../escape", "x");
    let server = HubServer::start(&[("datasets/o/set", repo)]);
    let error = fetch(&env(&server, cache.path()), RepoKind::Dataset, "o/set", None, &|_| true)
        .unwrap_err();
    assert!(matches!(error, HubError::Protocol { .. }), "{error}");
}

#[test]
fn a_tls_failure_is_an_error_and_tells_no_one_the_token() {
    let cache = tempfile::tempdir().unwrap();
    let server = HubServer::start(&[]);
    let url = server.url().replace("http://", "https://");
    let env = HubEnv { endpoint: url, ..env(&server, cache.path()) };
    let error = fetch(&env, RepoKind::Dataset, "o/set", None, &|_| true).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    let seen = format!("{:?}", server.requests());
    assert!(!seen.contains(TOKEN), "{seen}");
}
