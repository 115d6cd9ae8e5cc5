//! What must hold for any input: nothing panics, and what is printed reads back as the same tree.

use std::collections::BTreeMap;

use hydra_compose::{
    Dialect, Document, Interpolator, Key, KeyKind, Map, NoGroups, Node, Origin, Override, Value,
    apply_overrides, from_node, to_yaml,
};
use proptest::prelude::*;

/// Text that is likely to mean something to one of the grammars.
fn dense() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "${",
            "}",
            "{",
            "[",
            "]",
            "(",
            ")",
            ":",
            ": ",
            ",",
            ", ",
            "\n",
            "\n  ",
            "- ",
            "? ",
            "'",
            "\"",
            "\\",
            "\\\\",
            "#",
            " #",
            "&a ",
            "*a",
            "<<: ",
            "!!int ",
            "!!binary ",
            "! ",
            "|\n",
            ">-\n",
            "---",
            "\n---\n",
            "...",
            "%",
            "@",
            "`",
            "~",
            "=",
            "+",
            "++",
            ".",
            "..",
            "???",
            "null",
            "true",
            "1e3",
            "0x1F",
            "1_0",
            "-",
            "a",
            "b.c",
            "oc.env:",
            "oc.select:",
            "oc.decode:",
            "oc.create:",
            "\t",
            "\r\n",
            "\u{feff}",
            "é",
            "🦀",
            "\0",
            "\u{85}",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,4}".prop_map(|text| text),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => dense(),
        2 => "[a-z0-9 .:_'\"#-]{0,120}",
        1 => any::<String>(),
        1 => "[a-z]{1,9}( [a-z]{1,9}){10,30}",
        1 => "[ \na\t\"é]{0,100}",
    ]
}

fn node(value: Value) -> Node {
    Node::in_memory(value)
}

fn key() -> impl Strategy<Value = Key> {
    let kind = prop_oneof![
        8 => text().prop_map(KeyKind::Str),
        1 => any::<i64>().prop_map(|value| KeyKind::Int(value.into())),
        1 => any::<bool>().prop_map(KeyKind::Bool),
        1 => any::<f64>().prop_filter("NaN is no key", |f| !f.is_nan()).prop_map(KeyKind::Float),
    ];
    kind.prop_map(|kind| Key::new(kind, Origin::memory()))
}

/// Any tree that can be loaded: text that is a malformed interpolation cannot.
fn tree() -> impl Strategy<Value = Node> {
    let readable = |text: String| match Value::from_text(text) {
        Value::Interpolation(_) => Value::Interpolation("${a.b}".into()),
        value => value,
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        text().prop_map(readable),
        text().prop_map(readable),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Value::Bytes),
    ];
    leaf.prop_map(node).prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| node(Value::List(items))),
            prop::collection::vec((key(), inner), 0..5)
                .prop_map(|pairs| node(Value::Map(Map::from_iter(pairs)))),
        ]
    })
}

fn document() -> impl Strategy<Value = Node> {
    let entries = prop::collection::vec((key(), tree()), 0..5);
    entries.prop_map(|pairs| node(Value::Map(Map::from_iter(pairs))))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_reads_back_as_the_same_tree(document in document()) {
        let printed = to_yaml(&document);
        let again = Document::from_str(&printed, "printed.yaml");
        let again = again.map_err(|errors| TestCaseError::fail(format!("{errors}\n{printed}")))?;
        prop_assert_eq!(format!("{:?}", again), format!("{:?}", document), "{}", printed);
    }

    #[test]
    fn any_text_is_read_or_refused(text in text()) {
        for dialect in [Dialect::default(), Dialect { shell_defaults: true }] {
            match Document::with_dialect(&text, "any.yaml", dialect) {
                Ok(node) => {
                    let env = BTreeMap::new();
                    let resolved = Interpolator::new(&env).with_dialect(dialect).resolve(&node);
                    if let Err(errors) = &resolved {
                        prop_assert!(!errors.to_string().is_empty());
                    }
                    let _: Result<BTreeMap<String, Option<u8>>, _> =
                        from_node(&resolved.unwrap_or(node));
                }
                Err(errors) => prop_assert!(!errors.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn any_override_is_applied_or_refused(prefix in "(a|d.x|~l|\\+n|\\+\\+d.y.z|)=?", text in text()) {
        let mut tree = Document::from_str("a: 1\nl: [1]\nd: {x: 1}\nn: null\n", "c.yaml").unwrap();
        let text = format!("{prefix}{text}");
        if let Err(errors) = apply_overrides(&mut tree, std::slice::from_ref(&text)) {
            prop_assert!(!errors.to_string().is_empty());
        }
        let _ = Override::parse(&text);
    }

    #[test]
    fn any_interpolation_is_resolved_or_refused(text in text(), shell in any::<bool>()) {
        let mut tree = Document::from_str("a: 1\nb: {c: [1, {d: x}]}\n", "c.yaml").unwrap();
        let key = Key::new(KeyKind::Str("x".into()), Origin::memory());
        tree.as_map_mut().unwrap().insert(key, node(Value::from_text(format!("${{{text}}}"))));
        let env = BTreeMap::new();
        let dialect = Dialect { shell_defaults: shell };
        if let Err(errors) = Interpolator::new(&env).with_dialect(dialect).resolve(&tree) {
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn an_override_reads_back_from_its_canonical_text(value in "[a-z0-9 .:/*'\"\\\\{},-]{0,12}|\\[[a-z ,{}:1]{0,12}\\]") {
        let Ok(parsed) = Override::parse(&format!("a={value}")) else { return Ok(()) };
        prop_assume!(!parsed.is_sweep());
        let again = Override::parse(&parsed.canonical()).unwrap();
        prop_assert_eq!(&again.value, &parsed.value);
        prop_assert_eq!(again.canonical(), parsed.canonical());
    }

    #[test]
    fn a_range_of_floats_has_its_numbers(start in -100.0..100.0_f64, step in 0.01..10.0_f64, count in 0_u32..50) {
        let stop = step.mul_add(f64::from(count), start);
        let range = Override::parse(&format!("a=range({start:?},{stop:?},{step:?})")).unwrap();
        let values = range.sweep_values(&NoGroups).unwrap();
        // The end is a rounded number, so one value may come or go.
        prop_assert!(values.len().abs_diff(count as usize) <= 1, "{:?}", values);
        for (index, value) in values.iter().enumerate() {
            let value: f64 = value.parse().unwrap();
            prop_assert!((value - step.mul_add(index as f64, start)).abs() < 1e-9);
        }
    }

    #[test]
    fn any_command_line_is_read_or_refused(argv in prop::collection::vec("-{0,2}[a-z=,. -]{0,8}|--(cfg|info|config-name|run)(=[a-z]{0,4})?", 0..6)) {
        let _ = hydra_compose::app::Arguments::parse(&argv);
    }

    #[test]
    fn any_word_is_completed_or_not(word in "[a-z.=/+~0-9-]{0,12}") {
        let env = BTreeMap::new();
        let app = hydra_compose::app::App::new("app").with_environment(&env);
        for found in app.complete(&format!("app {word}")) {
            prop_assert!(!found.contains(' '), "{}", found);
        }
    }

    #[test]
    fn a_quoted_override_gives_its_text(text in text()) {
        let text = text.replace(['$', '?'], "");
        let mut tree = Document::from_str("a: 1\n", "c.yaml").unwrap();
        let quoted = format!("a='{}'", quote(&text));
        apply_overrides(&mut tree, &[quoted]).unwrap();
        prop_assert_eq!(tree.at("a").unwrap().as_str(), Some(text.as_str()));
    }
}

/// Escapes the quote and the backslashes before it or at the end.
fn quote(text: &str) -> String {
    let mut out = String::new();
    let mut backslashes = 0;
    for c in text.chars() {
        if c == '\'' {
            out.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        out.push(c);
    }
    out.push_str(&"\\".repeat(backslashes));
    out
}
