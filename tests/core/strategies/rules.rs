//! Rules, and lists of them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use sse_fast::{Condition, Json, Keep, Rule};

use super::List;
use crate::drive::{json, lengths, path};

/// Steps of paths.
const STEPS: &[&str] =
    &[".a", ".a", ".b", ".c", "['é']", "['']", "[\"model\"]", "[0]", "[1]", "[*]", ".*", "..a", "..b"];

/// Constants of rules.
const CONSTANTS: &[&str] = &[
    "null",
    "1",
    "0",
    "true",
    r#""a""#,
    r#""longer than what it replaces""#,
    "[]",
    r#"{"a":[1,{"b":null}]}"#,
    "1e-07",
];

fn steps(last: &'static [&'static str]) -> impl Strategy<Value = String> {
    (vec(select(STEPS), 0..3), select(last)).prop_map(|(steps, last)| format!("${}{last}", steps.concat()))
}

/// A path to anything but the whole.
fn any_path() -> impl Strategy<Value = String> {
    steps(STEPS)
}

/// A path that ends in a name.
fn name_path() -> impl Strategy<Value = String> {
    steps(&[".a", ".b", ".c", "['é']", "['']", ".model"])
}

fn constant() -> impl Strategy<Value = Json> {
    select(CONSTANTS).prop_map(json)
}

/// A rule that edits whatever it finds.
pub(crate) fn mask() -> impl Strategy<Value = Rule> {
    prop_oneof![
        any_path().prop_map(|at| Rule::Remove { path: path(&at), when: None }),
        (any_path(), constant()).prop_map(|(at, value)| Rule::Replace { path: path(&at), value, when: None }),
        (name_path(), constant()).prop_map(|(at, value)| Rule::Set { path: path(&at), value }),
    ]
}

fn default() -> impl Strategy<Value = Rule> {
    (name_path(), constant(), any::<bool>()).prop_map(|(at, value, null_counts_as_missing)| Rule::Default {
        path: path(&at),
        value,
        null_counts_as_missing,
    })
}

fn map() -> impl Strategy<Value = Rule> {
    let old = select(&["null", "1", "0", "true", r#""a""#, r#""""#, "2"][..]).prop_map(json);
    let parts = (any_path(), vec((old, constant()), 0..3), option::of(constant()));
    parts.prop_map(|(at, pairs, otherwise)| Rule::Map { path: path(&at), pairs, otherwise })
}

fn conditional() -> impl Strategy<Value = Rule> {
    prop_oneof![
        (any_path(), constant()).prop_map(|(at, when)| Rule::Remove { path: path(&at), when: Some(when) }),
        (any_path(), constant(), constant()).prop_map(|(at, value, when)| Rule::Replace {
            path: path(&at),
            value,
            when: Some(when)
        }),
    ]
}

fn rename() -> impl Strategy<Value = Rule> {
    let from = prop_oneof![name_path(), steps(&["..a", "..b"])];
    (from, select(&["a", "b", "z", "q\"\n"][..]))
        .prop_map(|(at, key)| Rule::Rename { path: path(&at), key: key.to_owned() })
}

fn renumber() -> impl Strategy<Value = Rule> {
    (name_path(), option::of(-2..100_i64)).prop_map(|(at, start)| Rule::Renumber { path: path(&at), start })
}

fn transform() -> impl Strategy<Value = Rule> {
    any_path().prop_map(|at| Rule::Transform { path: path(&at), function: lengths() })
}

fn capture() -> impl Strategy<Value = Rule> {
    let at = prop_oneof![4 => any_path(), 1 => Just("$".to_owned())];
    let keep = select(&[Keep::Last, Keep::First, Keep::All][..]);
    (select(&["one", "two", "three"][..]), at, keep, any::<bool>()).prop_map(
        |(name, at, keep, null_counts_as_missing)| Rule::Capture {
            name: name.to_owned(),
            path: path(&at),
            keep,
            null_counts_as_missing,
        },
    )
}

fn drop_event() -> impl Strategy<Value = Rule> {
    let condition = prop_oneof![
        (any_path(), constant()).prop_map(|(at, value)| Condition::Equals(path(&at), value)),
        any_path().prop_map(|at| Condition::Exists(path(&at))),
        any_path().prop_map(|at| Condition::Missing(path(&at))),
        select(&["message", "a", "b", "other"][..]).prop_map(|name| Condition::EventIs(name.to_owned())),
    ];
    vec(condition, 1..3).prop_map(|conditions| Rule::DropEvent { conditions })
}

/// Any rule.
pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        6 => mask(),
        2 => default(),
        2 => map(),
        3 => conditional(),
        3 => rename(),
        1 => renumber(),
        1 => transform(),
        2 => capture(),
        1 => drop_event(),
    ]
}

/// A rule whose edits depend on no more than one value, or on which members an object has before them. Not so a
/// `Renumber` that takes the first number it sees: where that comes late in an event that streams, it is too late.
pub(crate) fn local() -> impl Strategy<Value = Rule> {
    prop_oneof![
        3 => mask(),
        2 => default(),
        2 => map(),
        3 => conditional(),
        1 => (name_path(), 0..9_i64).prop_map(|(at, start)| Rule::Renumber { path: path(&at), start: Some(start) }),
        1 => transform(),
        1 => capture(),
    ]
}

/// A list of rules that the crate takes: what conflicts with an earlier one is left out.
pub(crate) fn list(rule: impl Strategy<Value = Rule>) -> impl Strategy<Value = List> {
    vec(rule, 0..5).prop_map(|rules| {
        let mut list = Vec::new();
        for rule in rules {
            list.push(rule);
            if sse_fast::Rules::new(list.clone()).is_err() {
                list.pop();
            }
        }
        List(list)
    })
}
