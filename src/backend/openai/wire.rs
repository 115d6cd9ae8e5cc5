//! HTTP/1.1 as it stands in the bytes: the head of an answer, and where its body begins, continues and ends.
//!
//! No socket and no clock. A body is shown in place, as slices of the bytes that were read, so that a token costs
//! no copy and no allocation ([RFC 9112](https://www.rfc-editor.org/rfc/rfc9112), sections 6 and 7).

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Largest head that is accepted, in bytes, and the most headers in it.
const HEAD_LIMIT: usize = 64 << 10;
const HEADERS: usize = 128;
/// Most bytes of chunk extensions, or of trailers, that are skipped in one answer.
const SKIPPED_LIMIT: u32 = 16 << 10;

/// Bytes that are not HTTP/1.1: what is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(what.into()))
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Its status, 100 to 999.
    pub status: u16,
    /// Its headers, those that came more than once each time.
    pub headers: HeaderMap,
    /// What follows it.
    pub body: Body,
    /// Whether the connection may serve another request after the body.
    pub keep_alive: bool,
}

impl Head {
    /// The head at the beginning of `bytes` and its length; `None` when its end has not come yet.
    ///
    /// # Errors
    /// When the bytes are not the head of an answer.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let length = match answer.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() > HEAD_LIMIT => {
                return malformed(format!("the answer's head is larger than {HEAD_LIMIT} bytes"));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(cause) => return malformed(cause.to_string()),
        };
        let (Some(status), Some(version)) = (answer.code, answer.version) else {
            return malformed("an answer without a status");
        };
        let headers = collect(answer.headers)?;
        let keep_alive = keeps_alive(version, &headers);
        let body = Body::of(status, &headers)?;
        let keep_alive = keep_alive && !matches!(body, Body::UntilClose);
        Ok(Some((Self { status, headers, body, keep_alive }, length)))
    }

    /// Whether another head follows: the server only says that it is still there.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }
}

fn collect(parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return malformed(format!("the header `{}` is not one", header.name));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

/// Whether one of a header's comma-separated words is `word`.
fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    words(headers, name).any(|said| said.eq_ignore_ascii_case(word))
}

fn words(headers: &HeaderMap, name: HeaderName) -> impl DoubleEndedIterator<Item = &str> {
    let values = headers.get_all(name).into_iter().collect::<Vec<_>>().into_iter();
    values.flat_map(|value| value.to_str().unwrap_or("").split(',').map(str::trim))
}

fn keeps_alive(version: u8, headers: &HeaderMap) -> bool {
    let closes = says(headers, CONNECTION, "close");
    !closes && (version >= 1 || says(headers, CONNECTION, "keep-alive"))
}

/// Where a body stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are to come.
    Length(u64),
    /// In chunks, the length of each before it.
    Chunked(Chunked),
    /// Until the server hangs up.
    UntilClose,
}

/// Where a body in chunks stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    /// Bytes of extensions and trailers so far.
    skipped: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the length: its value and how many digits it has.
    Size(u64, u8),
    /// In an extension, which nobody needs; with the length.
    Extension(u64),
    /// At the line feed after the length.
    SizeEnd(u64),
    /// In the data, so many bytes of which are to come.
    Data(u64),
    /// At the line end after the data.
    DataCr,
    DataLf,
    /// At the beginning of a trailer's line, in it, at its end.
    Trailer,
    TrailerLine,
    TrailerLf,
    /// At the line feed of the last, empty line.
    LastLf,
    End,
}

/// Why a body could not be read on.
#[derive(Debug, PartialEq, Eq)]
pub enum FeedError<E> {
    /// It is malformed.
    Malformed(Malformed),
    /// Whoever was shown it refused it.
    Refused(E),
}

impl Body {
    fn of(status: u16, headers: &HeaderMap) -> Result<Self, Malformed> {
        if matches!(status, 100..=199 | 204 | 304) {
            return Ok(Self::Length(0));
        }
        if headers.contains_key(TRANSFER_ENCODING) {
            // Of both, the length is to be ignored (RFC 9112, section 6.3).
            let last = words(headers, TRANSFER_ENCODING).next_back().unwrap_or("");
            return match last.eq_ignore_ascii_case("chunked") {
                true => Ok(Self::Chunked(Chunked { at: At::Size(0, 0), skipped: 0 })),
                false => Ok(Self::UntilClose),
            };
        }
        let mut length = None;
        for word in words(headers, CONTENT_LENGTH) {
            // `parse` alone would take a sign.
            let digits = word.bytes().all(|byte| byte.is_ascii_digit());
            match word.parse::<u64>() {
                Ok(value) if digits && length.is_none_or(|known| known == value) => {
                    length = Some(value);
                }
                _ => return malformed("the answer's Content-Length is not a length"),
            }
        }
        Ok(length.map_or(Self::UntilClose, Self::Length))
    }

    /// Whether all of it has come. One without a stated end never says so.
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked { at: At::End, .. }))
    }

    /// Whether the server may hang up here.
    pub const fn may_close(&self) -> bool {
        self.is_ended() || matches!(self, Self::UntilClose)
    }

    /// Takes the next bytes of the connection and shows the parts that are body, in place. Returns how many bytes
    /// belong to this answer; fewer than given only at its end.
    ///
    /// # Errors
    /// When the bytes are not HTTP, or `visit` refused them.
    pub fn feed<E>(
        &mut self,
        bytes: &[u8],
        visit: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, FeedError<E>> {
        match self {
            Self::UntilClose => {
                visit(bytes).map_err(FeedError::Refused)?;
                Ok(bytes.len())
            }
            Self::Length(left) => {
                let taken = take(bytes, left);
                if taken > 0 {
                    visit(&bytes[..taken]).map_err(FeedError::Refused)?;
                }
                Ok(taken)
            }
            Self::Chunked(chunked) => chunked.feed(bytes, visit),
        }
    }
}

/// How many of `bytes` are among those that are `left`, which are fewer then.
fn take(bytes: &[u8], left: &mut u64) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= taken as u64;
    taken
}

impl Chunked {
    fn feed<E>(
        &mut self,
        bytes: &[u8],
        visit: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, FeedError<E>> {
        let mut next = 0;
        while next < bytes.len() {
            match &mut self.at {
                At::End => break,
                At::Data(left) => {
                    let taken = take(&bytes[next..], left);
                    if *left == 0 {
                        self.at = At::DataCr;
                    }
                    visit(&bytes[next..next + taken]).map_err(FeedError::Refused)?;
                    next += taken;
                }
                _ => {
                    self.step(bytes[next]).map_err(FeedError::Malformed)?;
                    next += 1;
                }
            }
        }
        Ok(next)
    }

    /// Takes a byte that is not data.
    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.at = match (self.at, byte) {
            (At::Size(size, digits), _) => size_step(size, digits, byte)?,
            (At::Extension(size), b'\r') => At::SizeEnd(size),
            (At::Extension(size), _) if byte != b'\n' => self.skip(At::Extension(size))?,
            (At::SizeEnd(0), b'\n') => At::Trailer,
            (At::SizeEnd(size), b'\n') => At::Data(size),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size(0, 0),
            (At::Trailer, b'\r') => At::LastLf,
            (At::TrailerLine, b'\r') => At::TrailerLf,
            (At::Trailer | At::TrailerLine, _) if byte != b'\n' => self.skip(At::TrailerLine)?,
            (At::TrailerLf, b'\n') => At::Trailer,
            (At::LastLf, b'\n') => At::End,
            _ => return malformed("a chunk of the answer does not end where it said"),
        };
        Ok(())
    }

    fn skip(&mut self, at: At) -> Result<At, Malformed> {
        self.skipped += 1;
        match self.skipped > SKIPPED_LIMIT {
            true => malformed("chunk extensions or trailers without end"),
            false => Ok(at),
        }
    }
}

fn size_step(size: u64, digits: u8, byte: u8) -> Result<At, Malformed> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\r' if digits > 0 => return Ok(At::SizeEnd(size)),
        b';' | b' ' | b'\t' if digits > 0 => return Ok(At::Extension(size)),
        _ => return malformed("a chunk of the answer has no length"),
    };
    match digits < 16 {
        true => Ok(At::Size((size << 4) | u64::from(digit), digits + 1)),
        false => malformed("a chunk of the answer is longer than anything"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Option<(Head, usize)>, Malformed> {
        Head::parse(text.as_bytes())
    }

    fn whole(text: &str) -> Head {
        let (head, length) = head(text).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    /// What a body shows of bytes cut into pieces, how many bytes it took, and whether it ended.
    fn read(mut body: Body, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut shown, mut taken) = (Vec::new(), 0);
        for piece in pieces {
            let fed = body.feed(piece, &mut |part| {
                shown.extend_from_slice(part);
                Ok::<(), ()>(())
            });
            taken += match fed {
                Ok(taken) => taken,
                Err(FeedError::Malformed(what)) => return Err(what),
                Err(FeedError::Refused(())) => unreachable!("nobody refuses"),
            };
        }
        Ok((shown, taken, body.is_ended()))
    }

    fn chunked() -> Body {
        Body::Chunked(Chunked { at: At::Size(0, 0), skipped: 0 })
    }

    #[test]
    fn the_head_tells_how_the_body_ends_and_whether_the_connection_stays() {
        for (fields, body, keep_alive) in [
            ("content-length: 7\r\n", Body::Length(7), true),
            ("Content-Length: 7\r\nContent-Length: 7\r\n", Body::Length(7), true),
            ("Transfer-Encoding: gzip, Chunked\r\ncontent-length: 7\r\n", chunked(), true),
            ("transfer-encoding: chunked\r\nconnection: x, Close\r\n", chunked(), false),
            ("transfer-encoding: gzip\r\n", Body::UntilClose, false),
            ("", Body::UntilClose, false),
        ] {
            let head = whole(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
            assert_eq!((head.body, head.keep_alive), (body, keep_alive), "{fields}");
        }
        assert!(!whole("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n").keep_alive);
        assert!(
            whole("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\n")
                .keep_alive
        );
        assert!(whole("HTTP/1.1 204 No Content\r\n\r\n").body.is_ended());
        assert!(whole("HTTP/1.1 103 Early Hints\r\n\r\n").is_interim());
        assert!(!whole("HTTP/1.1 101 Switching Protocols\r\n\r\n").is_interim());
    }

    #[test]
    fn a_head_that_is_none_is_refused_and_one_that_is_not_whole_is_waited_for() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n",
        ] {
            assert!(head(text).is_err(), "{text}");
        }
        assert!(head("HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_LIMIT));
        assert!(head(&endless).is_err());
    }

    #[test]
    fn chunks_are_joined_and_what_follows_the_last_is_left() {
        let text = b"3\r\nabc\r\n00A;x=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nHTTP";
        let (shown, taken, ended) = read(chunked(), &[text]).unwrap();
        assert_eq!(shown, b"abc0123456789");
        assert_eq!((taken, ended), (text.len() - 4, true));
    }

    #[test]
    fn broken_chunks_are_malformed() {
        for text in [
            "x\r\n",
            "\r\n",
            "3\nabc",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "11111111111111111\r\n",
            "0\r\nx\n",
            "-3\r\nabc",
        ] {
            assert!(read(chunked(), &[text.as_bytes()]).is_err(), "{text:?}");
        }
        let endless = format!("3;{}", "x".repeat(SKIPPED_LIMIT as usize + 1));
        assert!(read(chunked(), &[endless.as_bytes()]).is_err());
    }

    #[test]
    fn a_stated_length_is_a_limit() {
        assert_eq!(read(Body::Length(3), &[b"ab", b"cd"]), Ok((b"abc".to_vec(), 3, true)));
        assert_eq!(read(Body::UntilClose, &[b"ab", b"cd"]), Ok((b"abcd".to_vec(), 4, false)));
        let mut body = Body::Length(9);
        assert_eq!(body.feed(b"ab", &mut |_| Err("no")), Err(FeedError::Refused("no")));
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            cut in 1_usize..20,
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = text.chunks(cut).collect();
            prop_assert_eq!(read(chunked(), &pieces), Ok((chunks.concat(), text.len(), true)));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(chunked(), &[&bytes]);
            let _ = Head::parse(&bytes);
        }
    }
}
