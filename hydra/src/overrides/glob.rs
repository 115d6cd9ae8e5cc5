//! File name patterns as Python's `fnmatch` reads them: `*`, `?`, `[abc]`, `[!a-z]`.

/// One piece of a pattern.
#[derive(Debug, PartialEq)]
enum Piece {
    /// `*`
    Any,
    /// `?`
    One,
    /// A character that stands for itself.
    Char(char),
    /// `[...]`
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Char(wanted) => *wanted == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated
            }
        }
    }
}

/// Whether the whole name matches.
///
/// Only the last `*` is ever tried again, so the time is the product of both lengths at most.
pub(super) fn matches(name: &str, pattern: &str) -> bool {
    let pieces = pieces(pattern);
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut piece) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match pieces.get(piece) {
            Some(Piece::Any) => {
                retry = Some((at, piece));
                piece += 1;
                continue;
            }
            Some(wanted) if name.get(at).is_some_and(|c| wanted.accepts(*c)) => {
                at += 1;
                piece += 1;
                continue;
            }
            None if at == name.len() => return true,
            _ => {}
        }
        match &mut retry {
            Some((from, star)) if *from < name.len() => {
                *from += 1;
                at = *from;
                piece = *star + 1;
            }
            _ => return false,
        }
    }
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    // Once one `[` is found to have no end, all later ones have none either.
    let mut closed = true;
    while let Some(c) = chars.get(at) {
        at += 1;
        match c {
            '*' if pieces.last() == Some(&Piece::Any) => {}
            '*' => pieces.push(Piece::Any),
            '?' => pieces.push(Piece::One),
            '[' if closed => match class_end(&chars, at) {
                Some(end) => {
                    pieces.push(class(&chars[at..end]));
                    at = end + 1;
                }
                None => {
                    closed = false;
                    pieces.push(Piece::Char('['));
                }
            },
            c => pieces.push(Piece::Char(*c)),
        }
    }
    pieces
}

/// Where the `]` of a class is; one that comes first is a member.
fn class_end(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    if chars.get(at) == Some(&'!') {
        at += 1;
    }
    if chars.get(at) == Some(&']') {
        at += 1;
    }
    (at..chars.len()).find(|at| chars[*at] == ']')
}

fn class(members: &[char]) -> Piece {
    let (negated, members) = match members {
        ['!', rest @ ..] => (true, rest),
        members => (false, members),
    };
    let mut ranges = Vec::new();
    let mut rest = members;
    loop {
        match rest {
            [] => return Piece::Class { negated, ranges },
            [first, '-', last, after @ ..] => {
                ranges.push((*first, *last));
                rest = after;
            }
            [only, after @ ..] => {
                ranges.push((*only, *only));
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_whole_names() {
        for (name, pattern, expected) in [
            ("mysql", "*", true),
            ("mysql", "my*", true),
            ("mysql", "*sql", true),
            ("mysql", "m*s*l", true),
            ("mysql", "my", false),
            ("mysql", "?ysql", true),
            ("mysql", "??", false),
            ("pg2", "pg[0-9]", true),
            ("pg2", "pg[!0-9]", false),
            ("pgx", "pg[!0-9]", true),
            ("a]", "a[]]", true),
            ("a-", "a[b-]", true),
            ("a[", "a[", true),
            ("ab", "a[z-a]b", false),
            ("ab", "a*b*c", false),
            ("", "*", true),
            ("", "", true),
            ("MYSQL", "my*", false),
        ] {
            assert_eq!(matches(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!matches(&"a".repeat(500), &"a*".repeat(200).replace("*a", "*b*")));
    }
}
