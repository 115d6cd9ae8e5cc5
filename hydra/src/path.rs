//! Dotted paths: `scenario.input_shapes.batch_size`, `items[0].name`, `[a].b`.

/// The keys of a dotted path; `None` if it is malformed. An empty path has no keys.
pub(crate) fn split(dotted: &str) -> Option<Vec<&str>> {
    let mut keys = Vec::new();
    let mut rest = dotted;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (key, after) = inside.split_once(']')?;
            keys.push(key);
            rest = after.strip_prefix('.').unwrap_or(after);
            if rest.is_empty() && after.ends_with('.') {
                return None;
            }
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            keys.push(&rest[..end]);
            rest = match &rest[end..] {
                after if after.starts_with('.') => {
                    let after = &after[1..];
                    if after.is_empty() {
                        return None;
                    }
                    after
                }
                after => after,
            };
        }
    }
    keys.iter().all(|key| !key.is_empty()).then_some(keys)
}

/// The path of a key below another path.
pub(crate) fn join(at: &str, key: &str) -> String {
    let plain = !key.is_empty() && !key.contains(['.', '[', ']']);
    match (at.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{at}.{key}"),
        (_, false) => format!("{at}[{key}]"),
    }
}

/// The path of a list item.
pub(crate) fn index(at: &str, index: usize) -> String {
    format!("{at}[{index}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_brackets_split_and_nonsense_does_not() {
        assert_eq!(split(""), Some(vec![]));
        assert_eq!(split("a.b[0].c"), Some(vec!["a", "b", "0", "c"]));
        assert_eq!(split("[a][b.c]"), Some(vec!["a", "b.c"]));
        for bad in ["a.", ".a", "a..b", "a[", "[]", "a[0]."] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_joined_path_splits_again() {
        let path = index(&join(&join("", "a.b"), "c"), 2);
        assert_eq!(split(&path), Some(vec!["a.b", "c", "2"]));
    }
}
