//! The guarantees, each by its name; those of bounds, G6 and G7, are in `bounds.rs`.

use sse_fast::{Comments, EmptyBlocks, Fed, OnInvalid, Options, Rewriter, Rule, Rules};

use crate::bounds::many_rules;
use crate::drive::{
    Random, check_every_cut, every_byte, feed, json, path, pieces, remove, replace, rules, run, set, show,
};
use crate::oracle::{self, lines};

/// Everything that a stream may hold, in every spelling.
const ODD: &[u8] = b"\xEF\xBB\xBF: ping\r\n\r\nid: 7\nevent: e\nretry: 100\nfoo: bar\nbaz\ndata: { \"n\" : 1.0e+05 ,\
    \t\"u\":\"\\u00e9\\ud83d\\ude00\xF0\x9F\x98\x80\\ud800\",\"bad\":\"\xFF\xC3\" }\r\rdata:[1,\r\ndata: NaN,\n: c\n\
    data:-Infinity]\n\n\n\n\xFFdata: 1\n\ndata: not JSON {\"n\":1}\n\ndata: [DONE]\r\n\r\n";

fn none() -> Rules {
    rules(Vec::new())
}

#[test]
fn g1_identity_where_no_rule_matches() {
    let missing = vec![
        remove("$.absent"),
        remove("$..absent[*]"),
        Rule::Replace { path: path("$.n"), value: json("0"), when: Some(json("100001")) },
        Rule::Map { path: path("$.u"), pairs: vec![(json("1"), json("2"))], otherwise: None },
        set("$.absent.below", "1"),
    ];
    for list in [Vec::new(), missing] {
        let rules = rules(list);
        check_every_cut(ODD, |cuts| {
            let run = run(&rules, &Options::default(), ODD, cuts);
            assert_eq!(show(&run.output), show(ODD), "{cuts:?}");
            assert_eq!(run.stats.rewritten, 0);
        });
        let mut rewriter = Rewriter::new(&rules, Options::default());
        let mut output = Vec::new();
        assert_eq!(rewriter.feed(ODD, &mut output).unwrap(), Fed::Unchanged, "whole events are not even copied");
        assert!(output.is_empty());
    }
}

#[test]
fn g2_locality_of_every_edit() {
    const EVENT: &str =
        "id: 1\r\ndata:  { \"a\" : 1.50 ,\"b\":[ 1 ,{\"c\" :\tnull } ], \"d\":\"\\u00e9\" }\r\n: c\r\n\r\n";
    for (rule, old, new) in [
        (replace("$.a", "2"), "1.50", "2"),
        (replace("$.b", "{}"), "[ 1 ,{\"c\" :\tnull } ]", "{}"),
        (set("$.d", "[]"), "\"\\u00e9\"", "[]"),
        (set("$.e", "0"), "\"\\u00e9\" }", "\"\\u00e9\",\"e\":0 }"),
        (remove("$.a"), "\"a\" : 1.50 ,\"b\"", "\"b\""),
        (remove("$.b"), ",\"b\":[ 1 ,{\"c\" :\tnull } ]", ""),
        (remove("$.d"), ", \"d\":\"\\u00e9\"", ""),
        (remove("$.b[1]"), ",{\"c\" :\tnull }", ""),
        (remove("$..c"), "\"c\" :\tnull", ""),
        (Rule::Rename { path: path("$.a"), key: "z".into() }, "\"a\"", "\"z\""),
        (Rule::Renumber { path: path("$.a"), start: Some(5) }, "1.50", "5"),
        (
            Rule::Default { path: path("$.b[1].x"), value: json("1"), null_counts_as_missing: false },
            "null",
            "null,\"x\":1",
        ),
    ] {
        assert_eq!(EVENT.matches(old).count(), 1, "{old} is one place");
        let name = format!("{rule:?}");
        let run = run(&rules(vec![rule]), &Options::default(), EVENT.as_bytes(), &[]);
        assert_eq!(show(&run.output), show(EVENT.replace(old, new).as_bytes()), "{name}");
    }
}

#[test]
fn g3_chunk_invariance_inside_everything() {
    let stream = [ODD, b"data: {\"mod\\u0065l\":\"\\ud83d\\ude00\", \"n\":-12.5e-07,\r\ndata: \"x\":{\"secret\":\"\xC3\xA9\"}}\r\n\r\n"]
        .concat();
    let rules = rules(vec![
        replace("$.model", r#""alias""#),
        remove("$..secret"),
        Rule::Rename { path: path("$.n"), key: "m".into() },
        set("$.z", "true"),
    ]);
    for comments in [Comments::Keep, Comments::Drop, Comments::Replace("hi".into())] {
        for max_held in [Options::default().max_held, 16] {
            let options = Options { comments: comments.clone(), max_held, ..Options::default() };
            let whole = run(&rules, &options, &stream, &[]);
            check_every_cut(&stream, |cuts| assert_eq!(run(&rules, &options, &stream, cuts), whole, "{cuts:?}"));
        }
    }
}

#[test]
fn g4_promptness_an_event_leaves_with_its_last_byte() {
    let rules = rules(vec![replace("$.a", "0")]);
    for ending in ["\n\n", "\r\r", "\r\n\r\n", "\n\r\n", "\r\n\r"] {
        for event in ["data: {\"a\":1}", "data: {\"b\":1}", ": ping", "id: 1", "data: [DONE]", "data: text", ""] {
            let stream = format!("{event}{ending}").into_bytes();
            // With CRLF the CR completes the line; the LF is its second half.
            let complete = stream.len() - usize::from(ending.ends_with("\r\n"));
            let mut rewriter = Rewriter::new(&rules, Options::default());
            let mut output = Vec::new();
            for byte in stream[..complete - 1].chunks(1) {
                feed(&mut rewriter, byte, &mut output).unwrap();
            }
            let early = if event.is_empty() { output.len() } else { 0 };
            assert_eq!(output.len(), early, "{event:?} {ending:?}: nothing leaves too early");
            feed(&mut rewriter, &stream[complete - 1..complete], &mut output).unwrap();
            let expected = event.replace("\"a\":1", "\"a\":0") + ending;
            assert_eq!(show(&output), show(&expected.as_bytes()[..complete]), "{event:?} {ending:?}");
        }
    }
}

#[test]
fn g5_boundary_after_every_feed() {
    const HEARTBEAT: &[u8] = b": heartbeat\n\n";
    let stream = [ODD, b"data: {\"a\":1,\rdata: \"b\":2}\r\r"].concat();
    let rules = rules(vec![remove("$.a")]);
    let plain = run(&rules, &Options::default(), &stream, &[]).output;
    check_every_cut(&stream, |cuts| {
        let mut rewriter = Rewriter::new(&rules, Options::default());
        let mut output = Vec::new();
        for chunk in pieces(&stream, cuts) {
            feed(&mut rewriter, chunk, &mut output).unwrap();
            assert!(rewriter.at_boundary());
            // Within a BOM there has been no event yet.
            if output.len() >= 3 {
                output.extend(HEARTBEAT);
            }
        }
        assert_eq!(lines::dispatch(&output), lines::dispatch(&plain), "{cuts:?}");
    });
}

#[test]
fn g5_boundary_is_known_where_an_event_streams() {
    let options = Options { max_held: 16, ..Options::default() };
    let mut rewriter = Rewriter::new(&none(), options);
    let mut output = Vec::new();
    for (chunk, at_boundary) in [
        (&b"data: 1\n\n"[..], true),
        (b"data: \"0123456", true),
        (b"789abcdef", false),
        (b"\"\n", false),
        (b"\n", true),
    ] {
        rewriter.feed(chunk, &mut output).unwrap();
        assert_eq!(rewriter.at_boundary(), at_boundary, "{}", show(chunk));
    }
}

#[test]
fn g8_no_leak_by_any_spelling() {
    const SECRET: &str = "s3cret";
    let spelt: String = "model".bytes().map(|byte| format!("\\u{byte:04X}")).collect();
    let events = [
        "data: {\"model\":\"s3cret\"}\n\n".to_owned(),
        "data: {\"model\":\"s3cret\",\"model\":\"s3cret\",\"a\":1,\"model\":{\"x\":\"s3cret\"}}\n\n".to_owned(),
        format!("data: {{\"{spelt}\":\"s3cret\",\"mod\\u0065l\":[\"s3cret\"]}}\n\n"),
        "data: { \t\"model\" \t: \t\"s3cret\" \t}\n\n".to_owned(),
        "data: {\ndata: \"model\"\ndata: :\nid: 1\ndata: \"s3cret\"\ndata: }\n\n".to_owned(),
        "data: {\r\ndata:\"model\":[\r\ndata:\"s3cret\",\r\n: c\r\ndata: 1]}\r\n\r\n".to_owned(),
        "data: {\"model\":NaN,\"model\":\"s3cret\\ud800\"}\n\n".to_owned(),
        "data: {\"a\":{\"model\":1},\"model\":\"s3cret\"}".to_owned(),
    ];
    for rule in [remove("$.model"), replace("$.model", "0"), set("$.model", "0"), remove("$..model"), remove("$.*")] {
        let name = format!("{rule:?}");
        let rules = rules(vec![rule]);
        for event in &events {
            for max_held in [1, 2, 7, 20, 1 << 20] {
                let options = Options { max_held, ..Options::default() };
                check_every_cut(event.as_bytes(), |cuts| {
                    let run = run(&rules, &options, event.as_bytes(), cuts);
                    let output = String::from_utf8_lossy(&run.output);
                    assert!(!output.contains(SECRET), "{name}, max_held {max_held}, cut at {cuts:?}: {output:?}");
                    for event in lines::dispatch(&run.output).0 {
                        oracle::json::parse(event.data.as_bytes()).expect("still JSON");
                    }
                });
            }
        }
    }
}

#[test]
fn g8_no_leak_at_any_depth() {
    for depth in [1, 10, 511] {
        let event =
            format!("data: {}{{\"secret\":\"s3cret\"}}{}\n\n", "{\"secret_not\":[".repeat(depth), "]}".repeat(depth));
        for max_held in [16, 1 << 20] {
            let options = Options { max_held, ..Options::default() };
            let run = run(&rules(vec![remove("$..secret")]), &options, event.as_bytes(), &[]);
            assert_eq!(show(&run.output), show(event.replace("\"secret\":\"s3cret\"", "").as_bytes()));
        }
    }
}

#[test]
fn g9_nothing_lost_of_invalid_payloads() {
    let rules = many_rules();
    for payload in [
        "{\"secret\":1",
        "{\"secret\":1,}",
        "[{\"secret\":1}",
        "{\"secret\":1}}",
        "{\"secret\" 1}",
        "{\"secret\":01}",
        "{\"secret\":1\t\x01}",
        "{\"secret\":\"\x01\"}",
        "{\"secret\":1}x",
        "x{\"secret\":1}",
        "{\"secret\":1}{\"secret\":1}",
    ] {
        let stream = format!("data: {payload}\n\ndata: {{\"q\":1}}\n\n");
        let expected = format!("data: {payload}\n\ndata: {{\"q\":1,\"z\":1}}\n\n");
        check_every_cut(stream.as_bytes(), |cuts| {
            let run = run(&rules, &Options::default(), stream.as_bytes(), cuts);
            assert_eq!(show(&run.output), show(expected.as_bytes()));
            assert_eq!(run.stats.invalid, 1);
        });
    }
}

#[test]
fn g9_nothing_lost_at_the_depth_limit() {
    for (depth, invalid) in [(1024, 0), (1025, 1), (5000, 1)] {
        for (open, close) in [("[", "]"), ("{\"secret\":", "}")] {
            let stream = format!("data: {}0{}\n\n", open.repeat(depth), close.repeat(depth));
            let run = run(&rules(vec![remove("$.absent")]), &Options::default(), stream.as_bytes(), &[]);
            assert_eq!(show(&run.output), show(stream.as_bytes()));
            assert_eq!(run.stats.invalid, invalid, "{depth} x {open}");
        }
    }
}

#[test]
fn g9_nothing_lost_of_random_bytes() {
    const ALPHABET: &[u8] = b"data: {}[]\",:\\1\r\n\r\n\xFF\x00\xEF\xBB\xBFid";
    let mut random = Random(9);
    for _ in 0..2000 {
        let length = random.below(80);
        let stream: Vec<u8> = (0..length).map(|_| ALPHABET[random.below(ALPHABET.len())]).collect();
        let options = Options { max_held: 1 + random.below(40), ..Options::default() };
        let output = run(&none(), &options, &stream, &every_byte(&stream)).output;
        let ending = output.strip_prefix(&stream[..]).unwrap_or_else(|| panic!("{} lost", show(&stream)));
        assert!(ending.iter().all(|byte| b"\r\n".contains(byte)), "{}", show(&stream));
        for on_invalid in [OnInvalid::Drop, OnInvalid::Raise] {
            let options = Options { on_invalid, empty_blocks: EmptyBlocks::Drop, comments: Comments::Drop, ..options };
            run(&many_rules(), &options, &stream, &every_byte(&stream));
        }
    }
}

#[test]
fn g10_a_proper_end() {
    let rules = rules(vec![replace("$.a", "0")]);
    for (stream, expected) in [
        ("data: {\"a\":1}", "data: {\"a\":0}\n\n"),
        ("data: {\"a\":1}\n", "data: {\"a\":0}\n\n"),
        ("data: {\"a\":1}\n\n", "data: {\"a\":0}\n\n"),
        ("id: 1\r\ndata: {\"a\":1}", "id: 1\r\ndata: {\"a\":0}\r\n\r\n"),
        ("id: 1\rdata: {\"a\":1}\r", "id: 1\rdata: {\"a\":0}\r\r"),
        ("id: 1\r\ndata: {\"a\":1}\r", "id: 1\r\ndata: {\"a\":0}\r\n\r\n"),
        ("data: [DONE]", "data: [DONE]\n\n"),
        ("data: {\"a\":1}\ndata:", "data: {\"a\":0}\ndata:\n\n"),
        // Cut in the middle: what came passes, and no client sees half an event.
        ("data: {\"a\":1", "data: {\"a\":1"),
        ("data: {\"a\":1,\n", "data: {\"a\":1,\n"),
        ("data: [DON", "data: [DON"),
        ("data: 12", "data: 12"),
        ("data", "data"),
        (": ping", ": ping"),
        ("", ""),
    ] {
        check_every_cut(stream.as_bytes(), |cuts| {
            let run = run(&rules, &Options::default(), stream.as_bytes(), cuts);
            assert_eq!(show(&run.output), show(expected.as_bytes()), "{stream:?} cut at {cuts:?}");
            assert_eq!(run.stats.done, stream.contains("[DONE]"));
        });
    }
}
