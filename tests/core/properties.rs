//! What holds for every stream, every list of rules and every cut; the same cases in every run.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};
use sse_fast::{Comments, Options, Rule, Rules};

use crate::agree::{self, Agreement};
use crate::drive::{check_every_cut, path, remove, replace, run, set};
use crate::strategies::*;

/// `SSE_FAST_CASES` asks for more cases, `SSE_FAST_SEED` for others.
fn config(cases: u32) -> Config {
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    Config {
        cases: given("SSE_FAST_CASES").map_or(cases, |cases| cases as u32),
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(given("SSE_FAST_SEED").unwrap_or(0)),
        failure_persistence: None,
        ..Config::default()
    }
}

fn check(agreement: Agreement) -> Result<(), TestCaseError> {
    agreement.map_err(TestCaseError::fail)
}

/// Less than most events have, so that they stream.
fn small_max_held() -> impl Strategy<Value = usize> {
    prop_oneof![1..8_usize, 1..200_usize, 200..400_usize]
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn cuts_never_show(rules in list(rule()), options in options(), stream in stream(), cuts in cuts()) {
        check(agree::cuts(&rules.0, &options, &stream.0, &at(&cuts, &stream.0)))?;
    }

    #[test]
    fn cuts_never_show_where_events_stream(
        rules in list(rule()), options in options(), max_held in small_max_held(), stream in stream(), cuts in cuts(),
    ) {
        let options = Options { max_held, ..options };
        check(agree::cuts(&rules.0, &options, &stream.0, &at(&cuts, &stream.0)))?;
    }

    #[test]
    fn without_rules_the_stream_is_the_same(stream in stream(), cuts in cuts(), max_held in small_max_held()) {
        for max_held in [max_held, Options::default().max_held] {
            check(agree::identity(max_held, &stream.0, &at(&cuts, &stream.0)))?;
        }
    }

    #[test]
    fn the_rewriter_agrees_with_the_oracle(rules in list(rule()), options in options(), stream in stream()) {
        check(agree::rewriter(&rules.0, &options, &stream.0))?;
    }

    #[test]
    fn what_is_complete_leaves_at_once(rules in list(rule()), options in options(), stream in stream()) {
        check(agree::promptness(&rules.0, &options, &stream.0))?;
    }

    #[test]
    fn masks_hold_where_events_stream(
        rules in list(mask()), max_held in small_max_held(), stream in valid_stream(), cuts in cuts(),
    ) {
        let options = Options { max_held, ..Options::default() };
        check(agree::payloads(&rules.0, &options, &stream.0, &at(&cuts, &stream.0)))?;
    }

    #[test]
    fn rules_on_small_values_hold_where_events_stream(
        rules in list(local()), max_held in 64..200_usize, stream in valid_stream(), cuts in cuts(),
    ) {
        let options = Options { max_held, ..Options::default() };
        let cuts = at(&cuts, &stream.0);
        let stats = run(&Rules::new(rules.0.clone()).unwrap(), &options, &stream.0, &cuts).stats;
        prop_assume!(stats.oversize == 0);
        check(agree::payloads(&rules.0, &options, &stream.0, &cuts))?;
    }

    #[test]
    fn a_body_is_rewritten_as_a_payload(rules in list(rule()), text in body()) {
        check(agree::body(&rules.0, &text.0))?;
    }

    #[test]
    fn the_parser_dispatches_as_the_standard_says(stream in stream(), cuts in cuts()) {
        check(agree::parser(&stream.0, &at(&cuts, &stream.0)))?;
    }

    #[test]
    fn the_scanner_takes_what_serde_takes(text in body()) {
        check(agree::scanner(&text.0))?;
    }
}

/// One event that streams in many ways, under every cut.
#[test]
fn a_streaming_event_under_every_cut() {
    let stream = b"id: 1\r\ndata: {\"a\":[1,{\"b\":\"\\u00e9\"}],\r\ndata: \"mod\\u0065l\":\"x\" , \"c\":1e5}\r\n\r\n\
        data: [DONE]\n\n";
    let rename = Rule::Rename { path: path("$.c"), key: "d".to_owned() };
    let list = vec![remove("$..b"), replace("$.model", r#""alias""#), set("$.z", "[1]"), rename];
    let rules = Rules::new(list).unwrap();
    for max_held in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144] {
        let options = Options { max_held, ..Options::default() };
        let whole = run(&rules, &options, stream, &[]);
        check_every_cut(stream, |cuts| assert_eq!(run(&rules, &options, stream, cuts), whole, "{cuts:?}"));
    }
}

/// Events that stream because the edits of them are more than may be held, whatever their own size, and then turn out
/// to be no JSON.
#[test]
fn crowded_events_where_they_begin_to_stream() {
    let rename = Rule::Rename { path: path("$..b"), key: "z".to_owned() };
    let rules = [remove("$.a"), remove("$.list[*]"), replace("$..c", "0"), rename];
    let comments = Comments::Replace("ping".to_owned());
    for (beginning, middle, end) in [
        ("data: {\"a\":", "\n: c\ndata: ", "1,x}\n\n"),
        ("data: {\"a\":1", "\n: c\ndata: ", ",x}\n\n"),
        ("data: {\"list\":[", "1,", "1],x\n\n"),
        ("data: {\"list\":[", "1,\n: c\ndata: ", "1],x\n\n"),
        ("data: {", "\"c\":1,", "\"d\":x}\n\n"),
        ("data: {\"d\":[", "{\"b\":1},", "x]}\n\n"),
        ("", ": c\n", "data: {\"a\":1,x}\n\n"),
    ] {
        for times in [10, 17, 25, 40] {
            let stream = format!("{beginning}{}{end}", middle.repeat(times));
            for max_held in (50..400).step_by(3) {
                let options = Options { max_held, comments: comments.clone(), ..Options::default() };
                let cuts: Vec<usize> = (0..stream.len()).step_by(7).collect();
                agree::cuts(&rules, &options, stream.as_bytes(), &cuts).unwrap_or_else(|e| panic!("{max_held}: {e}"));
            }
        }
    }
}
