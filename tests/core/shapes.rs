//! Learned shapes, the fast way, against one byte at a time, the slow way that learns nothing.
//!
//! Streams are made of a few events again and again, with some of their values changed: escaped and duplicate names, values
//! that rules look at, padding, IDs, and now and then a value that is none.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};
use sse_fast::{Condition, Keep, Options, Rule, Rules};

use crate::drive::{json, path, remove, replace, run, set};

/// Events with a mark for each value that varies, and for padding.
const EVENTS: [&str; 5] = [
    "data: {\"id\":@,\"model\":@,\"choices\":[{\"delta\":{\"role\":@,\"content\":@}~}],\"usage\":@~}\n\n",
    "event: delta\r\ndata: {\"n\":@,\"delta\":{\"text\":@,\"mod\\u0065l\":@}~}\r\n\r\n",
    "data: {\"model\":@,\"n\":@,\"model\":@,\"\\u006e\":@, \"b\" : [@,[@~], {\"n\":@}]~}\n\n",
    "id: #\ndata: {\"seq\":@,\"b\":@~}\n\n",
    "data:[@,{\"model\":@}~]\r\r",
];

const VALUES: [&str; 21] = [
    "1",
    "1",
    "2",
    "7",
    "-3",
    "1.50",
    "0",
    "\"m\"",
    "\"m\"",
    "\"q\"",
    "\"\"",
    "\"long text \u{1F600}\"",
    "\"\\u00e9\\n\"",
    "\"\\\"\"",
    "null",
    "null",
    "true",
    "1e3",
    "NaN",
    "{\"model\":1}",
    "[]",
];

const WRONG: [&str; 8] = ["\"\\x\"", "\"\\u12g4\"", "\"\t\"", "01", "1.", "-", "tru", ""];

fn rules() -> impl Strategy<Value = Rules> {
    let all = vec![
        set("$.model", "\"alias\""),
        replace("$..model", "\"deep\""),
        Rule::Replace { path: path("$.n"), value: json("0"), when: Some(json("1")) },
        Rule::Remove { path: path("$.usage"), when: Some(json("null")) },
        Rule::Remove { path: path("$.choices[*].delta.role"), when: Some(json("null")) },
        remove("$.b"),
        remove("$[0]"),
        Rule::Default { path: path("$.choices"), value: json("[]"), null_counts_as_missing: false },
        Rule::Default { path: path("$.usage"), value: json("{}"), null_counts_as_missing: true },
        Rule::Rename { path: path("$.n"), key: "m".to_owned() },
        Rule::Map { path: path("$.delta.text"), pairs: vec![(json("\"m\""), json("\"M\""))], otherwise: None },
        Rule::Renumber { path: path("$.seq"), start: None },
        Rule::Renumber { path: path("$.id"), start: Some(5) },
        Rule::Capture {
            name: "model".to_owned(),
            path: path("$..model"),
            keep: Keep::All,
            null_counts_as_missing: false,
        },
        Rule::Capture {
            name: "usage".to_owned(),
            path: path("$.usage"),
            keep: Keep::Last,
            null_counts_as_missing: true,
        },
        Rule::Capture {
            name: "first".to_owned(),
            path: path("$.choices"),
            keep: Keep::First,
            null_counts_as_missing: false,
        },
        Rule::DropEvent { conditions: vec![Condition::Equals(path("$.n"), json("7"))] },
        Rule::DropEvent { conditions: vec![Condition::EventIs("delta".to_owned()), Condition::Missing(path("$.n"))] },
    ];
    proptest::sample::subsequence(all, 0..7)
        .prop_shuffle()
        .prop_filter_map("rules that exclude each other", |rules| Rules::new(rules).ok())
}

/// One event of the structure chosen: mostly the values of the last one, one of them changed.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let change =
        (any::<Index>(), prop_oneof![30 => select(&VALUES[..]), 1 => select(&WRONG[..])], 0..3_usize, 0..12_usize);
    let event = (0..2_usize, proptest::collection::vec(change, 0..3));
    let structures = proptest::sample::subsequence(EVENTS.to_vec(), 2);
    (structures, proptest::collection::vec(event, 5..40)).prop_map(|(structures, events)| {
        let mut out = String::new();
        for (structure, changes) in events {
            let count = structures[structure].matches('@').count();
            let mut values = vec!["\"x\""; count];
            let (mut padding, mut id) = (0, 5);
            for (which, value, spaces, number) in changes {
                values[which.index(count)] = value;
                (padding, id) = (spaces, number);
            }
            let mut values = values.into_iter();
            for mark in structures[structure].split_inclusive(['@', '~', '#']) {
                out.push_str(mark.trim_end_matches(['@', '~', '#']));
                match mark.chars().last() {
                    Some('@') => out.push_str(values.next().unwrap_or("0")),
                    Some('~') => out.push_str(&" ".repeat(padding)),
                    Some('#') => out.push_str(&id.to_string()),
                    _ => {}
                }
            }
        }
        out.into_bytes()
    })
}

proptest! {
    #![proptest_config(Config {
        cases: 500,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn the_fast_way_is_the_slow_way(rules in rules(), stream in stream(), size in 60..2000_usize, small in any::<bool>()) {
        let options = Options { max_held: if small { 80 } else { 1 << 20 }, ..Options::default() };
        let bytewise: Vec<usize> = (1..stream.len()).collect();
        let slow = run(&rules, &options, &stream, &bytewise);
        prop_assert_eq!(&run(&rules, &options, &stream, &[]), &slow);
        let cuts: Vec<usize> = (size..stream.len()).step_by(size).collect();
        prop_assert_eq!(&run(&rules, &options, &stream, &cuts), &slow);
    }
}
