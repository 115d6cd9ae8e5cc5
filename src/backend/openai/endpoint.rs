//! Where a server is: the URL in all the spellings people use.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::uri::PathAndQuery;

use super::auth::Secret;
use crate::config::component::backend::Api;
use crate::error::Problem;

/// The config key that problems here are about.
const PLACE: &str = "backend.endpoint";

/// A server's address, without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Whether to speak TLS.
    pub(super) https: bool,
    /// Host name or address, without the brackets of IPv6.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// Path that `/health` and the like are under: empty, or `/prefix`.
    root: String,
    /// Path that `/chat/completions` and the like are under: `/v1`, or `/prefix/v1`.
    base: String,
    /// The one endpoint that the URL names in full, if it does.
    named: Option<Api>,
}

/// What a URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Where.
    pub(super) endpoint: Endpoint,
    /// `user:password`, where the URL has it.
    pub(super) user_info: Option<Secret>,
}

impl Endpoint {
    /// Reads a URL: with or without `/v1` (or the full path of an endpoint), any port, prefix and scheme.
    ///
    /// # Errors
    /// Everything that is wrong with it. No problem shows the URL's credentials.
    pub(super) fn parse(url: &str) -> Result<Parsed, Vec<Problem>> {
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once("://") else {
            let problem = Problem::new(PLACE, format!("`{}` has no scheme", redacted(url)));
            return Err(vec![
                problem.hint(format!("write `http://{}`", redacted(url).trim_start_matches('/'))),
            ]);
        };
        let mut problems = Vec::new();
        let https = scheme.eq_ignore_ascii_case("https");
        if !https && !scheme.eq_ignore_ascii_case("http") {
            problems.push(
                Problem::new(PLACE, format!("the scheme `{scheme}` is not supported"))
                    .hint("`http` or `https`"),
            );
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if tail.contains('@') {
            // Most likely a password with a bare slash: say nothing that would show a part of it.
            let problem = Problem::new(PLACE, "has an `@` after the first `/`");
            problems.push(problem.hint("a `/` in a user or password is written `%2F`"));
            return Err(problems);
        }
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => (parse_user_info(user_info, &mut problems), host_port),
            None => (None, authority),
        };
        let (host, port) = parse_host_port(host_port, https, &mut problems);
        let (root, base, named) = parse_path(tail, &mut problems);
        if problems.is_empty() {
            let endpoint = Self { https, host, port, root, base, named };
            Ok(Parsed { endpoint, user_info })
        } else {
            Err(problems)
        }
    }

    /// Path of an API route: `/v1/models` for `models`.
    #[must_use]
    pub(super) fn api_path(&self, route: &str) -> String {
        format!("{}/{route}", self.base)
    }

    /// Path of a route beside the API: `/health` for `health`.
    #[must_use]
    pub(super) fn root_path(&self, route: &str) -> String {
        format!("{}/{route}", self.root)
    }

    /// Path that answers requests of an API.
    #[must_use]
    pub(super) fn generate_path(&self, api: Api) -> String {
        self.api_path(match api {
            Api::Chat => "chat/completions",
            Api::Completions => "completions",
        })
    }

    /// Whether the URL names in full another endpoint than the one of `api`.
    #[must_use]
    pub(super) fn contradicts(&self, api: Api) -> bool {
        self.named.is_some_and(|named| named != api)
    }

    /// Host and port as the `Host` header wants them.
    #[must_use]
    pub(super) fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.https) { host } else { format!("{host}:{}", self.port) }
    }

    /// Whether the host is this machine by its very name.
    #[must_use]
    pub(super) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => is_loopback(address),
            Err(_) => {
                let host = self.host.trim_end_matches('.').to_ascii_lowercase();
                host == "localhost" || host.ends_with(".localhost")
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.base)
    }
}

/// Whether an address is the machine's own loopback, also when written as an IPv6 address.
#[must_use]
pub(super) fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
    }
}

/// A URL fit to be shown: without user and password, whatever else is wrong with it.
#[must_use]
pub fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // A password may hold a bare slash, so everything up to the last `@` goes.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}"),
        None => format!("{scheme}{rest}"),
    }
}

const fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn parse_user_info(text: &str, problems: &mut Vec<Problem>) -> Option<Secret> {
    if text.is_empty() {
        return None;
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    match (percent_decoded(user), percent_decoded(password)) {
        (Some(user), Some(password)) => Some(Secret::new(format!("{user}:{password}"))),
        _ => {
            problems.push(
                Problem::new(PLACE, "the user or password in the URL is not percent-encoded text")
                    .hint("write a literal `%` as `%25`, or use backend.basic_auth_env"),
            );
            None
        }
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn parse_host_port(text: &str, https: bool, problems: &mut Vec<Problem>) -> (String, u16) {
    if text.parse::<Ipv6Addr>().is_ok() {
        let problem = Problem::new(PLACE, format!("the IPv6 address {text} is not in brackets"));
        problems.push(problem.hint(format!("write `[{text}]`")));
        return (String::new(), 0);
    }
    let (host, port) = if let Some(inside) = text.strip_prefix('[') {
        let (host, port) = inside.split_once(']').unwrap_or((inside, "?"));
        if host.parse::<Ipv6Addr>().is_err() {
            problems.push(Problem::new(PLACE, format!("`[{host}]` is not an IPv6 address")));
        }
        (host, port)
    } else {
        let at = text.find(':').unwrap_or(text.len());
        let (host, port) = text.split_at(at);
        check_host(host, problems);
        (host, port)
    };
    (host.to_ascii_lowercase(), parse_port(port, https, problems))
}

fn check_host(host: &str, problems: &mut Vec<Problem>) {
    if host.is_empty() {
        problems.push(Problem::new(PLACE, "has no host").hint("for example http://localhost:8000"));
    } else if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        problems.push(
            Problem::new(PLACE, format!("`{host}` is not a host name"))
                .hint("letters, digits, `-`, `_` and `.`; other letters in their xn-- form"),
        );
    }
}

/// `text` is empty or begins with the colon.
fn parse_port(text: &str, https: bool, problems: &mut Vec<Problem>) -> u16 {
    match text.strip_prefix(':').map(str::parse::<u16>) {
        None if text.is_empty() => default_port(https),
        Some(Ok(port)) if port > 0 => port,
        _ => {
            let port = text.trim_start_matches(':');
            problems
                .push(Problem::new(PLACE, format!("`{port}` is not a port")).hint("1 to 65535"));
            0
        }
    }
}

/// Root path, API path and the endpoint named in full. Whole segments are compared, never characters.
fn parse_path(tail: &str, problems: &mut Vec<Problem>) -> (String, String, Option<Api>) {
    let path = &tail[..tail.find(['?', '#']).unwrap_or(tail.len())];
    if path.len() < tail.len() {
        problems
            .push(Problem::new(PLACE, "has a query or a fragment").hint("give only the base URL"));
    }
    if !path.is_empty() && path.parse::<PathAndQuery>().is_err() {
        problems.push(Problem::new(PLACE, "the path has characters that a URL must encode"));
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (base, named) = match segments.as_slice() {
        [base @ .., "chat", "completions"] => (base, Some(Api::Chat)),
        [base @ .., "completions"] => (base, Some(Api::Completions)),
        all => (all, None),
    };
    let joined = |parts: &[&str]| parts.iter().map(|part| format!("/{part}")).collect::<String>();
    match base {
        [root @ .., "v1"] => (joined(root), joined(base), named),
        // Named in full: what stands before is the base, whatever its version is called.
        _ if named.is_some() => (joined(base), joined(base), named),
        root => (joined(root), format!("{}/v1", joined(root)), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Endpoint {
        Endpoint::parse(url).unwrap().endpoint
    }

    #[test]
    fn v1_is_a_path_segment_and_never_eats_the_port() {
        for (url, shown, health) in [
            ("http://127.0.0.1:8001/v1", "http://127.0.0.1:8001/v1", "/health"),
            ("http://127.0.0.1:8001/v1/", "http://127.0.0.1:8001/v1", "/health"),
            ("http://127.0.0.1:8001", "http://127.0.0.1:8001/v1", "/health"),
            ("http://host:11/", "http://host:11/v1", "/health"),
            (" https://api.example.org/v1 ", "https://api.example.org/v1", "/health"),
            ("https://h:8443/a/b", "https://h:8443/a/b/v1", "/a/b/health"),
            ("https://h/a/v1//", "https://h/a/v1", "/a/health"),
            ("http://h/v11", "http://h/v11/v1", "/v11/health"),
            ("HTTP://Host:80", "http://host/v1", "/health"),
            ("http://[::1]:8000/v1", "http://[::1]:8000/v1", "/health"),
            ("http://[FE80::2]", "http://[fe80::2]/v1", "/health"),
            ("http://h/v1/chat/completions", "http://h/v1", "/health"),
            (
                "http://h/v1beta/openai/chat/completions",
                "http://h/v1beta/openai",
                "/v1beta/openai/health",
            ),
        ] {
            let endpoint = parse(url);
            assert_eq!(endpoint.to_string(), shown, "{url}");
            assert_eq!(endpoint.root_path("health"), health, "{url}");
        }
        assert_eq!(parse("http://h:8001/v1").generate_path(Api::Chat), "/v1/chat/completions");
        assert_eq!(parse("http://h/p").generate_path(Api::Completions), "/p/v1/completions");
        assert!(parse("http://h/v1/completions").contradicts(Api::Chat));
        assert!(!parse("http://h/v1").contradicts(Api::Chat));
    }

    #[test]
    fn loopback_is_told_from_the_host() {
        for (url, loopback) in [
            ("http://localhost:1", true),
            ("http://vllm.localhost", true),
            ("http://127.9.9.9", true),
            ("http://[::1]", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
        ] {
            assert_eq!(parse(url).is_loopback(), loopback, "{url}");
        }
    }

    #[test]
    fn every_problem_of_a_url_is_told_at_once() {
        for (url, count) in [
            ("localhost:8000", 1),
            ("ftp://host:0/v1?x=1", 3),
            ("http://", 1),
            ("http://ho st:99999/a b", 3),
            ("http://::1/v1", 1),
            ("http://[::z]:1", 1),
            ("http://[::1", 1),
            ("http://u%zz:p@h", 1),
            ("http://h:x", 1),
            ("http://h:", 1),
            ("", 1),
        ] {
            let problems = Endpoint::parse(url).unwrap_err();
            assert_eq!(problems.len(), count, "{url}: {problems:?}");
            assert!(problems.iter().all(|problem| problem.place == PLACE));
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let parsed = Endpoint::parse("https://me:pa%40s%2Fs@host/v1").unwrap();
        assert_eq!(parsed.user_info.as_ref().unwrap().expose(), "me:pa@s/s");
        assert_eq!(parsed.endpoint.to_string(), "https://host/v1");
        assert!(!format!("{parsed:?}").contains("pa@"));
        assert_eq!(Endpoint::parse("http://me@h").unwrap().user_info.unwrap().expose(), "me:");
        for url in ["me:hunter2@host:8000", "ftp://me:hunter2@h:0/?a", "http://me:hun/ter2@h b"] {
            let shown = format!("{:?} {}", Endpoint::parse(url).unwrap_err(), redacted(url));
            assert!(!shown.contains("ter2") && !shown.contains("hun"), "{shown}");
        }
    }
}
