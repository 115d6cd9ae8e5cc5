//! Server-sent events, parsed as the bytes arrive.
//!
//! The rules are those of the [HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html),
//! with three leniencies that real servers need: an event without a closing blank line still counts at the
//! end of the stream, a line that begins with `{` counts as data (some gateways put a bare JSON error into a
//! stream), and comments are handed on instead of dropped (some servers put figures there).
//!
//! How the bytes were cut into reads makes no difference to the events. In the common case, a whole event in
//! one read, nothing is copied and nothing allocated.

use memchr::{memchr, memchr2};

/// Largest line, and largest event, that is accepted: 16 MiB. Nothing honest comes near.
pub const EVENT_LIMIT: usize = 16 << 20;

/// What a stream consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// An event: its name (empty when it has none) and its data lines, joined by line feeds.
    Data {
        /// The `event:` field.
        name: &'a [u8],
        /// The `data:` fields.
        data: &'a [u8],
    },
    /// A comment line without its colon and the space after it.
    Comment(&'a [u8]),
}

/// A line or an event was larger than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {limit} bytes")]
pub struct TooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

/// An incremental parser; one a stream.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    /// How many bytes of a byte order mark were seen; 3 when past the beginning.
    mark: usize,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The event's name.
    name: Vec<u8>,
    /// The event's data, where it could not stay borrowed from the read.
    data: Vec<u8>,
    /// Whether `data` holds a data line (which may be empty).
    has_data: bool,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

impl Default for Parser {
    fn default() -> Self {
        Self::with_limit(EVENT_LIMIT)
    }
}

impl Parser {
    /// A parser that accepts lines and events of up to `limit` bytes.
    #[must_use]
    pub const fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            mark: 0,
            after_cr: false,
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
        }
    }

    /// Takes the next bytes and shows each event that they complete.
    ///
    /// # Errors
    /// [`TooLarge`], or what `visit` returned; the parser is of no use after either.
    pub fn feed<E: From<TooLarge>>(
        &mut self,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = self.skip_mark(bytes);
        let mut held = None;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.line.extend_from_slice(rest);
                self.check(self.line.len())?;
                break;
            };
            self.after_cr = rest[end] == b'\r';
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.line.is_empty() {
                self.take_line(line, &mut held, visit)?;
            } else {
                self.line.extend_from_slice(line);
                self.take_carried_line(visit)?;
            }
        }
        match held {
            Some(data) => self.keep(data).map_err(E::from),
            None => Ok(()),
        }
    }

    /// The stream has ended: shows an event that lacks only its closing blank line.
    ///
    /// # Errors
    /// As [`Parser::feed`].
    pub fn finish<E: From<TooLarge>>(
        &mut self,
        visit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.line.is_empty() {
            self.take_carried_line(visit)?;
        }
        self.dispatch(None, visit)
    }

    /// Drops a byte order mark at the very beginning, however it was cut.
    fn skip_mark<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while self.mark < BYTE_ORDER_MARK.len() && !bytes.is_empty() {
            if bytes[0] == BYTE_ORDER_MARK[self.mark] {
                self.mark += 1;
                bytes = &bytes[1..];
            } else {
                self.line.extend_from_slice(&BYTE_ORDER_MARK[..self.mark]);
                self.mark = BYTE_ORDER_MARK.len();
            }
        }
        bytes
    }

    /// Takes the line that was carried over from earlier reads.
    fn take_carried_line<E: From<TooLarge>>(
        &mut self,
        visit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut line = std::mem::take(&mut self.line);
        let mut held = None;
        self.take_line(&line, &mut held, visit)?;
        if let Some(data) = held {
            self.keep(data)?;
        }
        // The allocation serves the next carried line.
        line.clear();
        self.line = line;
        Ok(())
    }

    /// Takes one line. The first data line of an event stays borrowed in `held`.
    fn take_line<'b, E: From<TooLarge>>(
        &mut self,
        line: &'b [u8],
        held: &mut Option<&'b [u8]>,
        visit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check(line.len())?;
        let colon = memchr(b':', line);
        match colon {
            _ if line.is_empty() => return self.dispatch(held.take(), visit),
            Some(0) => return visit(Event::Comment(strip_space(&line[1..]))),
            _ if line[0] == b'{' => return Ok(self.add_data(line, held)?),
            _ => {}
        }
        let (field, value) = match colon {
            Some(at) => (&line[..at], strip_space(&line[at + 1..])),
            None => (line, &line[line.len()..]),
        };
        match field {
            b"data" => self.add_data(value, held)?,
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            // `id`, `retry` and whatever comes: nothing here needs them.
            _ => {}
        }
        Ok(())
    }

    fn add_data<'b>(
        &mut self,
        value: &'b [u8],
        held: &mut Option<&'b [u8]>,
    ) -> Result<(), TooLarge> {
        if held.is_none() && !self.has_data {
            *held = Some(value);
            return Ok(());
        }
        if let Some(first) = held.take() {
            self.keep(first)?;
        }
        self.keep(value)
    }

    /// Copies a data line into the event's own buffer.
    fn keep(&mut self, value: &[u8]) -> Result<(), TooLarge> {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
        self.check(self.data.len())
    }

    /// A blank line: shows the event, if there is one.
    fn dispatch<E>(
        &mut self,
        held: Option<&[u8]>,
        visit: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let shown = match held {
            Some(data) => visit(Event::Data { name: &self.name, data }),
            None if self.has_data => visit(Event::Data { name: &self.name, data: &self.data }),
            None => Ok(()),
        };
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        shown
    }

    const fn check(&self, length: usize) -> Result<(), TooLarge> {
        if length > self.limit { Err(TooLarge { limit: self.limit }) } else { Ok(()) }
    }
}

fn strip_space(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Events as owned text: name, data; comments with a name of `:`.
    fn events(limit: usize, pieces: &[&[u8]]) -> (Vec<(String, String)>, bool) {
        let mut parser = Parser::with_limit(limit);
        let mut seen = Vec::new();
        let mut visit = |event: Event<'_>| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.push(match event {
                Event::Data { name, data } => (text(name), text(data)),
                Event::Comment(comment) => (":".to_owned(), text(comment)),
            });
            Ok::<(), TooLarge>(())
        };
        let fed = pieces
            .iter()
            .try_for_each(|piece| parser.feed(piece, &mut visit))
            .and_then(|()| parser.finish(&mut visit));
        (seen, fed.is_ok())
    }

    fn data(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().map(|text| (String::new(), (*text).to_owned())).collect()
    }

    #[test]
    fn every_line_ending_and_spacing_gives_the_same_events() {
        for text in [
            "data: a\n\ndata: b\n\n",
            "data: a\r\n\r\ndata: b\r\n\r\n",
            "data: a\r\rdata: b\r\r",
            "data:a\n\ndata:b\n\n",
            "\u{feff}data: a\n\ndata: b\n\n",
            "\n\ndata: a\n\n\n\ndata: b\n\n\n",
            "id: 7\nretry: 10\ndata: a\n\nnonsense\ndata: b\n\n",
            "data: a\n\ndata: b\n",
            "data: a\n\ndata: b",
        ] {
            assert_eq!(events(99, &[text.as_bytes()]), (data(&["a", "b"]), true), "{text:?}");
        }
    }

    #[test]
    fn data_lines_join_and_names_and_comments_are_kept() {
        let text = "event: error\ndata: one\ndata:  two\n\n: ping\n:\ndata\n\n{\"a\":1}\n\n";
        let (seen, _) = events(99, &[text.as_bytes()]);
        let expected =
            [("error", "one\n two"), (":", "ping"), (":", ""), ("", ""), ("", "{\"a\":1}")];
        let expected: Vec<_> =
            expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_event_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
        assert!(events(10, &[b"data: 1234\n\n"]).1);
        assert!(!events(10, &[b"data: 12345\n\n"]).1);
        assert!(!events(10, &[b"data: 123", b"45"]).1);
        assert!(!events(10, &[b"data: 1234\ndata: 1234\ndata: 1234\n\n"]).1);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events_as_the_whole(
            lines in proptest::collection::vec("(data: ?|event: |: |\\{|)[a-z\u{e9}\u{1F600}: ]{0,6}(\n|\r\n|\r|\n\n|\r\r|\r\n\r\n)", 0..12),
            cuts in proptest::collection::vec(0.0_f64..1.0, 0..8),
            mark in any::<bool>(),
        ) {
            let text = format!("{}{}", if mark { "\u{feff}" } else { "" }, lines.concat());
            let bytes = text.as_bytes();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a short text")]
            let mut at: Vec<usize> = cuts.iter().map(|cut| (cut * bytes.len() as f64) as usize).collect();
            at.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for to in at.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..to]);
                from = to;
            }
            prop_assert_eq!(events(20, &pieces), events(20, &[bytes]));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(events(20, &single), events(20, &[bytes]));
        }
    }
}
