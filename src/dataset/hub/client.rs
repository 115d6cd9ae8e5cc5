//! The hub's HTTP interface. Redirects are followed here and not by the HTTP library: the hub's headers
//! stand on the first answers, and the token must not follow to another host.

use std::fmt;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::uri::Authority;
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::repo::is_safe;
use super::{HubEnv, HubError, RepoKind, Secret, cache::is_commit};
use crate::units::Seconds;

/// What stays as it is in one part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The hub's own limit is lower.
const MAX_REDIRECTS: usize = 10;
/// Most bytes of a listing: a repository of 100,000 files has one of about 10 MB.
const MAX_LISTING_BYTES: u64 = 64 << 20;
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

/// A repository at a revision, for addresses and messages.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) kind: RepoKind,
    pub(super) id: String,
    pub(super) revision: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` at `{}`", self.kind.word(), self.id, self.revision)
    }
}

impl Target {
    pub(super) fn no_revision(&self) -> HubError {
        HubError::NoRevision {
            kind: self.kind.word(),
            id: self.id.clone(),
            revision: self.revision.clone(),
        }
    }
}

/// The commit and the files of a revision.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// What the hub tells of a file before it sends it.
#[derive(Debug)]
pub(super) struct FileInfo {
    /// Name of its blob: a SHA-256 for large files, a git hash for others.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

/// Talks to one hub.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<Secret>,
    withheld: bool,
}

/// The last answer of a chain of redirects.
struct Answer {
    response: Response<Body>,
    /// Headers of the answers that the hub itself gave, earliest first.
    from_hub: Vec<HeaderMap>,
    url: String,
}

impl Client {
    pub(super) fn new(env: &HubEnv) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ai-energy-benchmark/", env!("CARGO_PKG_VERSION")))
            // A compressed answer could not be resumed.
            .accept_encoding("identity")
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(ANSWER));
        let safe = env.endpoint.starts_with("https://") || is_loopback(&env.endpoint);
        Self {
            agent: config.build().into(),
            endpoint: env.endpoint.clone(),
            token: env.token.clone().filter(|_| safe),
            withheld: env.token.is_some() && !safe,
        }
    }

    /// Whether there is a token that is not sent because anyone could read it on the way.
    pub(super) const fn withholds_token(&self) -> bool {
        self.withheld
    }

    /// The commit and the files of a revision.
    pub(super) fn listing(&self, target: &Target) -> Result<Listing, HubError> {
        let url = format!(
            "{}/api/{}/{}/revision/{}",
            self.endpoint,
            target.kind.plural(),
            target.id,
            utf8_percent_encode(&target.revision, PART)
        );
        let mut answer = self.send("GET", &url, None)?;
        self.check(&answer, target, None)?;
        let nonsense = |message: String| protocol(&answer.url, message);
        let body = answer.response.body_mut().with_config().limit(MAX_LISTING_BYTES).read_to_vec();
        let body = body.map_err(|error| failure(&answer.url, &error))?;
        let info: RepoInfo =
            serde_json::from_slice(&body).map_err(|error| nonsense(error.to_string()))?;
        let commit = info.sha.filter(|sha| is_commit(sha));
        let commit = commit.ok_or_else(|| nonsense("no commit in the listing".to_owned()))?;
        let mut files: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
        if let Some(name) = files.iter().find(|name| !is_safe(name)) {
            return Err(nonsense(format!("a file named {name:?}")));
        }
        files.sort_unstable();
        Ok(Listing { commit, files })
    }

    /// Digest and size of a file.
    pub(super) fn file_info(
        &self,
        target: &Target,
        commit: &str,
        file: &str,
    ) -> Result<FileInfo, HubError> {
        let url = self.file_url(target, commit, file);
        let answer = self.send("HEAD", &url, None)?;
        self.check(&answer, target, Some(file))?;
        let header = |name: &str| answer.from_hub.iter().find_map(|headers| text(headers, name));
        let last = answer.response.headers();
        let linked = header("x-linked-etag");
        let etag = linked.as_deref().or_else(|| last.get("etag")?.to_str().ok()).map(plain_etag);
        let etag = etag.filter(|etag| is_blob_name(etag));
        let etag =
            etag.ok_or_else(|| protocol(&url, format!("no usable ETag for {file}")))?.to_owned();
        let sent_by_hub = answer.response.status().is_success();
        let own_size = || text(last, "content-length").filter(|_| sent_by_hub);
        let size = header("x-linked-size").or_else(own_size);
        Ok(FileInfo { etag, size: size.and_then(|size| size.parse().ok()) })
    }

    /// The bytes of a file from a position on; whoever reads must look at the status.
    pub(super) fn bytes(
        &self,
        target: &Target,
        commit: &str,
        file: &str,
        from: u64,
    ) -> Result<Response<Body>, HubError> {
        let url = self.file_url(target, commit, file);
        let answer = self.send("GET", &url, (from > 0).then_some(from))?;
        if answer.response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(answer.response);
        }
        self.check(&answer, target, Some(file))?;
        Ok(answer.response)
    }

    fn file_url(&self, target: &Target, commit: &str, file: &str) -> String {
        let parts: Vec<String> =
            file.split('/').map(|part| utf8_percent_encode(part, PART).to_string()).collect();
        format!(
            "{}/{}{}/resolve/{commit}/{}",
            self.endpoint,
            target.kind.page_prefix(),
            target.id,
            parts.join("/")
        )
    }

    /// Sends a request and follows redirects.
    fn send(&self, method: &str, url: &str, from: Option<u64>) -> Result<Answer, HubError> {
        let mut url = url.to_owned();
        let mut from_hub = Vec::new();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(method, &url, from)?;
            if same_origin(&url, &self.endpoint) {
                from_hub.push(response.headers().clone());
            }
            let location = text(response.headers(), "location");
            let redirected = response.status().is_redirection();
            let Some(location) = location.filter(|_| redirected) else {
                return Ok(Answer { response, from_hub, url });
            };
            let next = join(&url, &location)
                .ok_or_else(|| protocol(&url, "a redirect that is no address".to_owned()))?;
            if url.starts_with("https://") && !next.starts_with("https://") {
                return Err(protocol(&url, "a redirect to an unencrypted address".to_owned()));
            }
            // Storage addresses are signed for one method, GET; what a HEAD asks for stands here already.
            if method == "HEAD" && !same_origin(&next, &self.endpoint) {
                return Ok(Answer { response, from_hub, url });
            }
            url = next;
        }
        Err(protocol(&url, "too many redirects".to_owned()))
    }

    fn once(&self, method: &str, url: &str, from: Option<u64>) -> Result<Response<Body>, HubError> {
        let mut request = match method {
            "HEAD" => self.agent.head(url),
            _ => self.agent.get(url),
        };
        if let Some(token) = self.token.as_ref().filter(|_| same_origin(url, &self.endpoint)) {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        if let Some(from) = from {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(|error| failure(url, &error))
    }

    /// An error for every status but the good ones. The hub says in `X-Error-Code` what is missing.
    fn check(&self, answer: &Answer, target: &Target, file: Option<&str>) -> Result<(), HubError> {
        let status = answer.response.status();
        // A redirection that is left here was not to be followed.
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        let kind = target.kind.word();
        let id = target.id.clone();
        let with_token = self.token.is_some();
        let headers = answer.response.headers();
        let code = text(headers, "x-error-code").unwrap_or_default();
        let no_repo = |endpoint: String, id| HubError::NoRepo { endpoint, kind, id, with_token };
        let error = match (status.as_u16(), code.as_str()) {
            (_, "GatedRepo") => HubError::Gated {
                kind,
                page: format!("{}/{}{id}", self.endpoint, target.kind.page_prefix()),
                id,
                with_token,
            },
            (_, "RevisionNotFound") => target.no_revision(),
            (_, "RepoNotFound") => no_repo(self.endpoint.clone(), id),
            (404, "EntryNotFound") => no_file(target, file.unwrap_or_default()),
            (404, _) => match file {
                Some(file) => no_file(target, file),
                None => no_repo(self.endpoint.clone(), id),
            },
            // Without a token the hub does not tell a private repository from none.
            (401, _) if !with_token => no_repo(self.endpoint.clone(), id),
            (status @ (401 | 403), _) => HubError::Refused { kind, id, status, with_token },
            (429, _) => HubError::TooManyRequests { retry_after: retry_after(headers) },
            (status, _) => HubError::Status {
                host: host(&answer.url),
                status,
                what: file.map_or_else(|| target.to_string(), |file| format!("{file} of {target}")),
            },
        };
        Err(error)
    }
}

#[derive(Deserialize)]
struct RepoInfo {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

fn no_file(target: &Target, file: &str) -> HubError {
    HubError::NoFile {
        kind: target.kind.word(),
        id: target.id.clone(),
        revision: target.revision.clone(),
        file: file.to_owned(),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Seconds; the other form, a date, the hub does not use.
fn retry_after(headers: &HeaderMap) -> Option<Seconds> {
    let seconds: u32 = text(headers, "retry-after")?.trim().parse().ok()?;
    Some(Seconds(f64::from(seconds)))
}

fn plain_etag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

/// The name of a blob becomes part of a path.
fn is_blob_name(etag: &str) -> bool {
    (8..=128).contains(&etag.len())
        && etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_lowercase();
    let port = uri.port_u16().or(match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })?;
    Some((scheme, uri.host()?.to_lowercase(), port))
}

fn same_origin(a: &str, b: &str) -> bool {
    origin(a).is_some_and(|a| Some(a) == origin(b))
}

fn is_loopback(url: &str) -> bool {
    let Some((_, host, _)) = origin(url) else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The address that a `Location` means, seen from `base`.
fn join(base: &str, location: &str) -> Option<String> {
    let uri: Uri = base.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let joined = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    joined.split('#').next().map(str::to_owned)
}

/// Host and port: the rest of an address may hold a signature.
fn host(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    let authority = uri.as_ref().and_then(Uri::authority).map(Authority::as_str);
    let authority = authority.map(|text| text.rsplit('@').next().unwrap_or(text));
    authority.unwrap_or("the hub's address").to_owned()
}

fn protocol(url: &str, message: String) -> HubError {
    HubError::Protocol { host: host(url), message }
}

/// The HTTP library's error. Its text can name an address, but no header.
fn failure(url: &str, error: &ureq::Error) -> HubError {
    let message = match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            return protocol(url, "this is no address of a server (HF_ENDPOINT)".to_owned());
        }
        ureq::Error::Protocol(error) => return protocol(url, error.to_string()),
        ureq::Error::HostNotFound => "the name is not known".to_owned(),
        other => other.to_string(),
    };
    HubError::Unreachable { host: host(url), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined_as_browsers_do() {
        let base = "https://hub.test:8443/a/b?c=d";
        assert_eq!(join(base, "/x?y").as_deref(), Some("https://hub.test:8443/x?y"));
        assert_eq!(join(base, "x").as_deref(), Some("https://hub.test:8443/a/x"));
        assert_eq!(join(base, "//cdn.test/x").as_deref(), Some("https://cdn.test/x"));
        assert_eq!(join(base, "http://cdn.test/x#y").as_deref(), Some("http://cdn.test/x"));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert!(same_origin("https://hub.test/a", "https://HUB.test:443"));
        assert!(!same_origin("https://hub.test/a", "http://hub.test/a"));
        assert!(!same_origin("https://hub.test:1/a", "https://hub.test:2/a"));
        assert!(!same_origin("https://hub.test.evil.test/a", "https://hub.test"));
        assert!(!same_origin("nonsense", "nonsense"));
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for url in ["http://localhost:1", "http://127.0.0.1", "http://[::1]:80"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["http://localhost.evil.test", "http://10.0.0.1", "http://127.evil.test"] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn messages_name_the_host_and_no_more() {
        assert_eq!(host("https://user:pw@cdn.test:1/x?X-Signature=abc"), "cdn.test:1");
        assert_eq!(host("::"), "the hub's address");
    }

    #[test]
    fn blob_names_stay_in_their_folder() {
        assert!(is_blob_name(plain_etag("W/\"0123456789abcdef\"")));
        for etag in ["", "../../../../etc", "a/bcdefghij", "short"] {
            assert!(!is_blob_name(etag), "{etag}");
        }
    }
}
