//! The vectors of `tests/data`, which Rust and Python read alike: each case under every cut.

use std::fs;
use std::path::Path as FilePath;

use serde_json::Value;
use sse_fast::{Comments, Condition, EmptyBlocks, Keep, OnInvalid, Options, Path, Rule, Rules, Stats};

use crate::drive::{Run, check_every_cut, json, path, run, show};
use crate::oracle;

/// A case of a vector file.
struct Case {
    name: String,
    rules: Vec<Rule>,
    options: Options,
    input: Vec<u8>,
    output: Vec<u8>,
    stats: Value,
    captured: Value,
}

#[test]
fn every_case_under_every_cut() {
    let cases = cases();
    if cases.is_empty() {
        println!("tests/data holds no vectors: nothing was checked");
    }
    for case in &cases {
        let rules = Rules::new(case.rules.clone()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        check_every_cut(&case.input, |cuts| {
            let run = run(&rules, &case.options, &case.input, cuts);
            let name = &case.name;
            assert_eq!(show(&run.output), show(&case.output), "{name}: output, cut at {cuts:?}");
            check_stats(&run, case);
            check_captured(&run, case);
        });
    }
    println!("{} cases", cases.len());
}

/// The oracle against what was written by hand.
#[test]
fn the_oracle_agrees_with_every_case() {
    for case in cases() {
        let expected = oracle::rewrite(&case.rules, &case.options, &case.input);
        assert_eq!(show(&expected.output()), show(&case.output), "{}: output", case.name);
    }
}

fn check_stats(run: &Run, case: &Case) {
    for (name, expected) in case.stats.as_object().into_iter().flatten() {
        assert_eq!(stat(&run.stats, name), *expected, "{}: stats.{name}", case.name);
    }
}

fn stat(stats: &Stats, name: &str) -> Value {
    match name {
        "events" => stats.events.into(),
        "rewritten" => stats.rewritten.into(),
        "invalid" => stats.invalid.into(),
        "dropped" => stats.dropped.into(),
        "comments" => stats.comments.into(),
        "bytes_in" => stats.bytes_in.into(),
        "bytes_out" => stats.bytes_out.into(),
        "done" => stats.done.into(),
        "truncated" => stats.truncated.into(),
        "oversize" => stats.oversize.into(),
        _ => panic!("no such count: {name}"),
    }
}

fn check_captured(run: &Run, case: &Case) {
    for (name, expected) in case.captured.as_object().into_iter().flatten() {
        let texts = &run.captured[name];
        let is_list = case
            .rules
            .iter()
            .any(|rule| matches!(rule, Rule::Capture { name: other, keep: Keep::All, .. } if other == name));
        let expected: Vec<&Value> = match expected {
            Value::Array(values) if is_list => values.iter().collect(),
            Value::Null if texts.is_empty() => Vec::new(),
            value => vec![value],
        };
        let equal = |text: &Vec<u8>, value: &Value| oracle::json::equal(text, value.to_string().as_bytes());
        let agrees = texts.len() == expected.len() && texts.iter().zip(&expected).all(|(t, v)| equal(t, v));
        assert!(agrees, "{}: captured {name}: {:?}", case.name, texts.iter().map(|t| show(t)).collect::<Vec<_>>());
    }
}

fn cases() -> Vec<Case> {
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let entries = fs::read_dir(&folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read(&file).expect("a readable file");
        let vectors: Value = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
        cases.extend(vectors["cases"].as_array().expect("cases").iter().map(|case| read_case(&stem, case)));
    }
    cases
}

fn read_case(file: &str, case: &Value) -> Case {
    let bytes = |name: &str| match (&case[name], &case[format!("{name}_b64")]) {
        (Value::String(text), _) => text.clone().into_bytes(),
        (_, Value::String(text)) => base64(text),
        _ => panic!("{file}: a case without {name}: {case}"),
    };
    let rules = case["rules"].as_array().into_iter().flatten().map(read_rule).collect();
    Case {
        name: format!("{file}: {}", text(case, "name")),
        rules,
        options: read_options(&case["options"]),
        input: bytes("input"),
        output: bytes("output"),
        stats: case["stats"].clone(),
        captured: case["captured"].clone(),
    }
}

fn read_options(given: &Value) -> Options {
    let mut options = Options::default();
    for (name, value) in given.as_object().into_iter().flatten() {
        match (name.as_str(), value.as_str()) {
            ("max_held", _) => options.max_held = value.as_u64().expect("a number") as usize,
            ("on_invalid", Some("pass")) => options.on_invalid = OnInvalid::Pass,
            ("on_invalid", Some("drop")) => options.on_invalid = OnInvalid::Drop,
            ("on_invalid", Some("raise")) => options.on_invalid = OnInvalid::Raise,
            ("comments", Some("keep")) => options.comments = Comments::Keep,
            ("comments", Some("drop")) => options.comments = Comments::Drop,
            ("comments", Some(text)) => options.comments = Comments::Replace(text.to_owned()),
            ("empty_blocks", Some("keep")) => options.empty_blocks = EmptyBlocks::Keep,
            ("empty_blocks", Some("drop")) => options.empty_blocks = EmptyBlocks::Drop,
            _ => panic!("no such option: {name}: {value}"),
        }
    }
    options
}

/// A rule from its JSON form.
fn read_rule(rule: &Value) -> Rule {
    let at = || path(text(rule, "path"));
    let optional = |name: &str| rule.get(name).map(|value| json(&value.to_string()));
    let value = || optional("value").expect("a value");
    match text(rule, "op") {
        "replace" => Rule::Replace { path: at(), value: value(), when: optional("when") },
        "set" => Rule::Set { path: at(), value: value() },
        "default" => {
            let null_counts_as_missing = rule["null_counts_as_missing"].as_bool().unwrap_or(false);
            Rule::Default { path: at(), value: value(), null_counts_as_missing }
        }
        "remove" => Rule::Remove { path: at(), when: optional("when") },
        "rename" => Rule::Rename { path: at(), key: text(rule, "key").to_owned() },
        "map" => Rule::Map { path: at(), pairs: read_pairs(&rule["map"]), otherwise: optional("otherwise") },
        "renumber" => Rule::Renumber { path: at(), start: rule["start"].as_i64() },
        "capture" => {
            let keep = match rule["keep"].as_str() {
                Some("first") => Keep::First,
                Some("all") => Keep::All,
                _ => Keep::Last,
            };
            let null_counts_as_missing = rule["null_counts_as_missing"].as_bool().unwrap_or(false);
            Rule::Capture { name: text(rule, "name").to_owned(), path: at(), keep, null_counts_as_missing }
        }
        "drop_event" => {
            let conditions = rule["conditions"].as_array().expect("conditions");
            Rule::DropEvent { conditions: conditions.iter().map(read_condition).collect() }
        }
        other => panic!("no such rule: {other}"),
    }
}

fn read_pairs(map: &Value) -> Vec<(sse_fast::Json, sse_fast::Json)> {
    let constant = |value: &Value| json(&value.to_string());
    match map {
        Value::Object(images) => {
            images.iter().map(|(old, new)| (constant(&old.as_str().into()), constant(new))).collect()
        }
        pairs => {
            let pairs = pairs.as_array().expect("an object or a list of pairs");
            pairs.iter().map(|pair| (constant(&pair[0]), constant(&pair[1]))).collect()
        }
    }
}

fn read_condition(condition: &Value) -> Condition {
    let (name, argument) = condition.as_object().expect("an object").iter().next().expect("a condition");
    let at = || -> Path { path(argument.as_str().expect("a path")) };
    match name.as_str() {
        "equals" => Condition::Equals(at(), json(&condition["value"].to_string())),
        "exists" => Condition::Exists(at()),
        "missing" => Condition::Missing(at()),
        "event_is" => Condition::EventIs(argument.as_str().expect("a name").to_owned()),
        other => panic!("no such condition: {other}"),
    }
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_else(|| panic!("no text '{name}' in {object}"))
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |letter: u8| DIGITS.iter().position(|&digit| digit == letter).expect("base64") as u32;
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0, |bits, &letter| bits << 6 | digit(letter)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
