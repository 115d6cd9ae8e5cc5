//! Lines of a file, numbered, with a bound on their length.

use std::io::{BufRead, Read};

use super::ReadError;

/// Longest line, so that a file without line ends does not fill the memory.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Reads lines without their ends; a byte order mark at the start is dropped.
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self { reader, number: 0, buffer: Vec::new() }
    }

    /// The next line with its number from 1.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, ReadError> {
        self.buffer.clear();
        let mut bounded = Read::by_ref(&mut self.reader).take(MAX_LINE_BYTES + 1);
        if bounded.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.len() as u64 > MAX_LINE_BYTES {
            return Err(ReadError::malformed(
                format!("line {}", self.number),
                format!("longer than {} MiB; is this a text file?", MAX_LINE_BYTES >> 20),
            ));
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = match self.number {
            1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            _ => line,
        };
        Ok(Some((self.number, line)))
    }
}

/// Whether a line holds nothing but white space.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut lines = Lines::new(bytes);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            found.push((number, line.to_vec()));
        }
        found
    }

    #[test]
    fn line_ends_and_byte_order_mark_are_dropped() {
        let lines = all(b"\xef\xbb\xbfa\r\n\nb");
        assert_eq!(lines, [(1, b"a".to_vec()), (2, Vec::new()), (3, b"b".to_vec())]);
    }

    #[test]
    fn a_last_line_end_opens_no_further_line() {
        assert_eq!(all(b"a\n").len(), 1);
        assert!(all(b"").is_empty());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let reader = std::io::BufReader::new(std::io::repeat(b'x'));
        let error = Lines::new(reader).next().map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("line 1: longer than 64 MiB"), "{error}");
    }
}
