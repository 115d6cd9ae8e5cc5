//! The text of a type -> [`Type`].

use super::{KeyType, Type};

/// Deepest nesting of brackets.
const MAX_NESTING: usize = 20;

/// What a name that is none of the usual ones stands for.
type Known<'k> = &'k dyn Fn(&str) -> Option<Type>;

pub(super) fn parse(text: &str, known: Known<'_>) -> Result<Type, String> {
    parse_at(text, known, 0)
}

fn parse_at(text: &str, known: Known<'_>, depth: usize) -> Result<Type, String> {
    if depth > MAX_NESTING {
        return Err(format!("a type nests deeper than {MAX_NESTING} levels"));
    }
    let text = text.trim();
    let Some((name, inside)) = text.split_once('[') else {
        return known(text).map_or_else(|| plain(text), Ok);
    };
    let Some(inside) = inside.strip_suffix(']') else {
        return Err(format!("`{text}` has no closing bracket"));
    };
    let arguments = split(inside)?;
    let inner = |text: &str| parse_at(text, known, depth + 1);
    match (name.trim().to_ascii_lowercase().as_str(), &arguments[..]) {
        ("optional", [one]) => inner(one).map(Type::optional),
        ("list", [item]) => inner(item).map(|item| Type::List(Box::new(item))),
        ("dict", [key, value]) => Ok(Type::Dict(key_type(key, known)?, Box::new(inner(value)?))),
        ("union", options) => union(options, inner),
        ("optional" | "list" | "dict", _) => {
            Err(format!("`{text}` has {} types in its brackets", arguments.len()))
        }
        (other, _) => Err(format!("`{other}` is not a type that takes others in brackets")),
    }
}

fn plain(name: &str) -> Result<Type, String> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "any" => Type::Any,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "float" => Type::Float,
        "str" => Type::Str,
        "bytes" => Type::Bytes,
        "path" => Type::Path,
        "list" => Type::List(Box::new(Type::Any)),
        "dict" => Type::Dict(KeyType::Any, Box::new(Type::Any)),
        _ => return Err(format!("`{name}` is not the name of a type")),
    })
}

fn key_type(name: &str, known: Known<'_>) -> Result<KeyType, String> {
    if let Some(Type::Enum(names)) = known(name.trim()) {
        return Ok(KeyType::Enum(names));
    }
    Ok(match name.trim().to_ascii_lowercase().as_str() {
        "any" => KeyType::Any,
        "str" => KeyType::Str,
        "int" => KeyType::Int,
        "float" => KeyType::Float,
        "bool" => KeyType::Bool,
        "bytes" => KeyType::Bytes,
        other => return Err(format!("`{other}` is not a type of keys")),
    })
}

/// A union of scalars; `null` among them makes it optional, and one that is alone is itself.
fn union(options: &[&str], inner: impl Fn(&str) -> Result<Type, String>) -> Result<Type, String> {
    let null = |text: &str| matches!(text.trim().to_ascii_lowercase().as_str(), "null" | "none");
    let optional = options.iter().any(|text| null(text));
    let mut types: Vec<Type> = Vec::new();
    for text in options.iter().filter(|text| !null(text)) {
        let one = inner(text)?;
        if !one.is_primitive() {
            return Err(format!("`{text}` is not a scalar, and only scalars go into a union"));
        }
        if !types.contains(&one) {
            types.push(one);
        }
    }
    let of_all = match (types.pop(), types.is_empty()) {
        (None, _) => return Err("a union of nothing".to_owned()),
        (Some(only), true) => only,
        (Some(last), false) => {
            types.push(last);
            Type::Union(types)
        }
    };
    Ok(if optional { of_all.optional() } else { of_all })
}

/// At the commas outside brackets.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => {
                depth = depth.checked_sub(1).ok_or_else(|| format!("`{text}`: stray bracket"))?;
            }
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(format!("`{text}` has no closing bracket"));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_prints_as_python_writes_it() {
        for (text, shown) in [
            ("int", "int"),
            ("optional[ str ]", "Optional[str]"),
            ("optional[any]", "Any"),
            ("dict[str,any]", "Dict[str, Any]"),
            (
                "optional[dict[int, list[optional[float]]]]",
                "Optional[Dict[int, List[Optional[float]]]]",
            ),
            ("union[bool,str]", "Union[bool, str]"),
            ("union[int,null]", "Optional[int]"),
            ("list", "List[Any]"),
        ] {
            assert_eq!(parse(text, &|_| None).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn nonsense_is_no_type() {
        let deep = "list[".repeat(10_000);
        for text in [
            "",
            "x",
            "list[",
            "list[int",
            "dict[str]",
            "int[int]",
            "union[]",
            "list[int]]",
            "union[list[int],str]",
            "optional[int,int]",
            &deep,
        ] {
            assert!(parse(text, &|_| None).is_err(), "{text}");
        }
    }
}
