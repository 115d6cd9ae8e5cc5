//! Requests as they arrive: HTTP/1.1 heads by `httparse`, bodies by length or in chunks.

use std::ops::Range;

/// Headers of a request at most.
const MOST_HEADERS: usize = 64;
/// Bytes of a head at most.
const MOST_HEAD_BYTES: usize = 64 << 10;
/// Bytes of a body at most.
const MOST_BODY_BYTES: usize = 256 << 20;

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// Path without its query.
    pub path: String,
    /// The body, chunks joined.
    pub body: Vec<u8>,
    /// Whether the connection stays open after the answer.
    pub keep_alive: bool,
    /// The `X-Request-Id` header.
    pub request_id: Option<String>,
}

/// What the bytes so far make.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request; so many bytes belong to it.
    Whole(Request, usize),
    /// More bytes must come. With `expects_continue` the client waits for `100 Continue` first.
    Partial {
        /// Whether the head asks for `100 Continue`.
        expects_continue: bool,
    },
    /// No request can come of this: the status and the reason to answer with.
    Wrong(u16, &'static str),
}

/// Reads the request at the beginning of `bytes`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let body_at = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > MOST_HEAD_BYTES => {
            return Parsed::Wrong(431, "the head is too long");
        }
        Ok(httparse::Status::Partial) => return Parsed::Partial { expects_continue: false },
        Err(httparse::Error::TooManyHeaders) => return Parsed::Wrong(431, "too many headers"),
        Err(_) => return Parsed::Wrong(400, "this is not HTTP"),
    };
    let facts = match Facts::of(&head) {
        Ok(facts) => facts,
        Err(reason) => return Parsed::Wrong(400, reason),
    };
    let body = match facts.body {
        Framing::Length(length) if length > MOST_BODY_BYTES => {
            return Parsed::Wrong(413, "the body is too long");
        }
        Framing::Length(length) => {
            let end = body_at + length;
            bytes.get(body_at..end).map(|body| (body.to_vec(), end))
        }
        Framing::Chunked => match join_chunks(bytes, body_at) {
            Ok(body) => body,
            Err(reason) => return Parsed::Wrong(400, reason),
        },
    };
    let Some((body, used)) = body else {
        return Parsed::Partial { expects_continue: facts.expects_continue };
    };
    let path = head.path.unwrap_or_default();
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.split(['?', '#']).next().unwrap_or_default().to_owned(),
        body,
        keep_alive: facts.keep_alive,
        request_id: facts.request_id,
    };
    Parsed::Whole(request, used)
}

enum Framing {
    Length(usize),
    Chunked,
}

/// What the headers say of the connection and the body.
struct Facts {
    body: Framing,
    keep_alive: bool,
    expects_continue: bool,
    request_id: Option<String>,
}

impl Facts {
    fn of(head: &httparse::Request<'_, '_>) -> Result<Self, &'static str> {
        let mut facts = Self {
            body: Framing::Length(0),
            keep_alive: head.version == Some(1),
            expects_continue: false,
            request_id: None,
        };
        let mut length = None;
        for header in head.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            let name = header.name;
            if name.eq_ignore_ascii_case("content-length") {
                let number = decimal(value).ok_or("content-length is no number")?;
                if length.is_some_and(|known| known != number) {
                    return Err("two content-lengths");
                }
                length = Some(number);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.eq_ignore_ascii_case("chunked") {
                    return Err("a transfer-encoding that is not chunked");
                }
                facts.body = Framing::Chunked;
            } else if name.eq_ignore_ascii_case("connection") {
                facts.read_connection(value);
            } else if name.eq_ignore_ascii_case("expect") {
                facts.expects_continue = value.eq_ignore_ascii_case("100-continue");
            } else if name.eq_ignore_ascii_case("x-request-id") && !value.is_empty() {
                facts.request_id = Some(value.to_owned());
            }
        }
        match (&facts.body, length) {
            (Framing::Chunked, Some(_)) => Err("content-length and transfer-encoding"),
            (Framing::Chunked, None) => Ok(facts),
            (Framing::Length(_), length) => {
                facts.body = Framing::Length(length.unwrap_or(0));
                Ok(facts)
            }
        }
    }

    fn read_connection(&mut self, value: &str) {
        for word in value.split(',').map(str::trim) {
            if word.eq_ignore_ascii_case("close") {
                self.keep_alive = false;
            } else if word.eq_ignore_ascii_case("keep-alive") {
                self.keep_alive = true;
            }
        }
    }
}

/// Digits alone: `parse` would take a sign.
fn decimal(text: &str) -> Option<usize> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The joined chunks and where the request ends; none while bytes are missing.
fn join_chunks(bytes: &[u8], from: usize) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let mut body = Vec::new();
    let mut at = from;
    loop {
        let rest = &bytes[at..];
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("a chunk without its size"),
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > MOST_BODY_BYTES - body.len() {
            return Err("the body is too long");
        }
        if size == 0 {
            return Ok(end_of_trailers(bytes, at + line).map(|end| (body, end)));
        }
        let data: Range<usize> = at + line..at + line + size;
        let Some(end) = bytes.get(data.end..data.end + 2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err("a chunk longer than its size");
        }
        body.extend_from_slice(&bytes[data.clone()]);
        at = data.end + 2;
    }
}

/// Where the empty line after the last chunk's trailers ends.
fn end_of_trailers(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let line = bytes[at..].iter().position(|byte| *byte == b'\n')?;
        let is_empty = bytes[at..at + line].iter().all(|byte| *byte == b'\r');
        at += line + 1;
        if is_empty {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> (Request, usize) {
        match parse(bytes) {
            Parsed::Whole(request, used) => (request, used),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_with_a_length_is_read_and_what_follows_is_left() {
        let bytes = b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nX-Request-ID: r7\r\nContent-Length: 3\r\n\r\nabcGET /";
        let (request, used) = whole(bytes);
        assert_eq!(request.method, "POST");
        assert_eq!(request.path, "/v1/x");
        assert_eq!(request.body, b"abc");
        assert_eq!(request.request_id.as_deref(), Some("r7"));
        assert!(request.keep_alive);
        assert_eq!(&bytes[used..], b"GET /");
    }

    #[test]
    fn chunks_are_joined_and_trailers_skipped() {
        let bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\nZ";
        let (request, used) = whole(bytes);
        assert_eq!(request.body, b"abcde");
        assert_eq!(&bytes[used..], b"Z");
    }

    #[test]
    fn who_closes_is_told_by_version_and_header() {
        assert!(!whole(b"GET / HTTP/1.0\r\n\r\n").0.keep_alive);
        assert!(whole(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").0.keep_alive);
        assert!(!whole(b"GET / HTTP/1.1\r\nConnection: TE, close\r\n\r\n").0.keep_alive);
    }

    #[test]
    fn a_head_that_waits_for_100_continue_says_so() {
        let bytes = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
        assert_eq!(parse(bytes), Parsed::Partial { expects_continue: true });
    }

    #[test]
    fn what_can_be_no_request_is_refused() {
        for (bytes, status) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], 400),
            (b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nq\r\n", 400),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        ] {
            assert!(
                matches!(parse(bytes), Parsed::Wrong(found, _) if found == status),
                "{:?}",
                parse(bytes)
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_bytes_after_a_chunked_head_never_panic(tail in "[0-9a-f;\r\nx]{0,60}") {
            let bytes = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{tail}");
            if let Parsed::Whole(_, used) = parse(bytes.as_bytes()) {
                prop_assert!(used <= bytes.len());
            }
        }

        #[test]
        fn a_request_is_read_the_same_however_it_is_framed_and_whole_only_at_its_last_byte(
            body in proptest::collection::vec(any::<u8>(), 0..120),
            sizes in proptest::collection::vec(1_usize..40, 1..8),
            chunked: bool,
        ) {
            let mut bytes = b"POST /v1/completions HTTP/1.1\r\nHost: mock\r\n".to_vec();
            if chunked {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                let (mut rest, mut sizes) = (&body[..], sizes.iter().cycle());
                while !rest.is_empty() {
                    let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                    bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                    rest = after;
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            } else {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(&body);
            }
            for cut in 0..bytes.len() {
                let partial = matches!(parse(&bytes[..cut]), Parsed::Partial { .. });
                prop_assert!(partial, "cut at {}: {:?}", cut, parse(&bytes[..cut]));
            }
            let (request, used) = whole(&bytes);
            prop_assert_eq!(used, bytes.len());
            bytes.extend_from_slice(b"GET /next HTTP/1.1\r\n\r\n");
            prop_assert_eq!(&whole(&bytes), &(request.clone(), used), "what follows changes nothing");
            prop_assert_eq!(request.body, body);
        }
    }
}
