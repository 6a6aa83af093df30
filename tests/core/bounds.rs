//! The guarantees of bounds: G6, what is retained, and G7, how long it takes.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use sse_fast::{Comments, Condition, MAX_DEPTH, Options, Rewriter, Rule, Rules};

use crate::agree;
use crate::drive::{every_byte, json, path, remove, replace, rules, run, set, show};
use crate::oracle::lines;

/// A rewriter whose heap is watched.
///
/// A thread keeps what an open event needs for the next one of any of its streams: that is not counted to this
/// stream, so another one has run on this thread before.
struct Watched {
    rewriter: Rewriter,
    output: Vec<u8>,
    /// Bytes on the heap, the output apart.
    retained: i64,
}

impl Watched {
    fn new(rules: &Rules, options: &Options) -> Self {
        let mut rewriter = None;
        let made = measure(|| rewriter = Some(Rewriter::new(rules, options.clone())));
        let rewriter = rewriter.expect("made");
        Watched { rewriter, output: Vec::with_capacity(1 << 16), retained: made.bytes_current }
    }

    /// Feeds a chunk and returns all that is retained.
    fn feed(&mut self, chunk: &[u8]) -> usize {
        let before = self.output.capacity() as i64;
        self.output.clear();
        let info = measure(|| {
            let result = self.rewriter.feed(chunk, &mut self.output);
            assert!(result.is_ok(), "{result:?}");
        });
        self.retained += info.bytes_current - (self.output.capacity() as i64 - before);
        size_of::<Rewriter>() + usize::try_from(self.retained).unwrap_or(0)
    }

    /// The most that is retained after any of the chunks, where other streams are in the middle of an event.
    fn most<'a>(rules: &Rules, options: &Options, chunks: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut neighbour = Rewriter::new(rules, options.clone());
        neighbour.feed(b"data: {", &mut Vec::new()).unwrap();
        let mut watched = Watched::new(rules, options);
        chunks.map(|chunk| watched.feed(chunk)).max().expect("a chunk")
    }
}

/// Rules of every kind that need to remember something.
pub(crate) fn many_rules() -> Rules {
    rules(vec![
        remove("$..secret"),
        replace("$.*.model", r#""alias""#),
        Rule::Rename { path: path("$.list[*].old"), key: "new".into() },
        Rule::Remove { path: path("$.list[*].x"), when: Some(json(r#"{"a":[1,2]}"#)) },
        Rule::Map { path: path("$..m"), pairs: vec![(json("1"), json("2"))], otherwise: Some(json("0")) },
        set("$.z", "1"),
        Rule::Default { path: path("$.list[*].d"), value: json("1"), null_counts_as_missing: true },
        Rule::DropEvent { conditions: vec![Condition::EventIs("none".into())] },
    ])
}

/// Beginnings and middles of events that have no end.
const ENDLESS: &[(&str, &str, &str)] = &[
    ("a string", "data: {\"a\":\"", "0123456789"),
    ("a string of escapes", "data: {\"a\":\"", "\\u00e9"),
    ("a name", "data: {\"", "0123456789"),
    ("a number", "data: {\"a\":", "1234567890"),
    ("white space", "data: {", " \t"),
    ("white space after a value", "data: {\"secret\":1", " \t"),
    ("elements", "data: [", "1,"),
    ("members", "data: {", "\"a\":1,"),
    ("members of many names", "data: {", "\"a\":{\"b\":{\"c\":null}},"),
    ("removed members", "data: {", "\"secret\":1,"),
    ("a removed value", "data: {\"secret\":[", "{\"secret\":1},"),
    ("a replaced value", "data: {\"q\":{\"model\":[", "1,"),
    ("edits", "data: {\"list\":[", "{\"old\":1,\"m\":1},"),
    ("conditions", "data: {\"list\":[", "{\"x\":{\"a\":[1,2]}},"),
    ("a value with a condition", "data: {\"list\":[{\"x\":[", "1,"),
    ("insertions", "data: {\"list\":[", "{},"),
    ("data lines", "data: [", "1,\ndata: "),
    ("data lines between others", "data: [", "1,\nid: 1\ndata: "),
    ("removed members over lines", "data: {", "\"secret\":1,\ndata: "),
    ("empty data lines", "", "data\n"),
    ("comments", "", ": ping\n"),
    ("a comment", ":", "0123456789"),
    ("an unknown field", "foo:", "0123456789"),
    ("a field name", "foo", "0123456789"),
    ("an event type", "event: ", "0123456789"),
    ("an id", "id: ", "0123456789"),
    ("ids", "", "id: 0123456789\n"),
    ("text", "data: ", "no JSON "),
];

#[test]
fn g6_bounded_memory_whatever_the_events_size() {
    const MAX_HELD: usize = 32 << 10;
    let rules = many_rules();
    for options in [
        Options { max_held: MAX_HELD, ..Options::default() },
        Options { max_held: MAX_HELD, comments: Comments::Drop, ..Options::default() },
        Options { max_held: MAX_HELD, comments: Comments::Replace("ping".into()), ..Options::default() },
    ] {
        for (name, beginning, middle) in ENDLESS {
            let chunk = middle.repeat(1460 / middle.len());
            let chunks = std::iter::repeat_n(chunk.as_bytes(), 20 * MAX_HELD / chunk.len());
            let most = Watched::most(&rules, &options, std::iter::once(beginning.as_bytes()).chain(chunks));
            assert!(most <= 2 * MAX_HELD + 4096, "{name}: {most} bytes");
        }
    }
}

#[test]
fn g6_bounded_memory_for_deep_nesting() {
    const MAX_HELD: usize = 1024;
    // Beside what is held, each container that is open costs this much, where rules can reach into it.
    const LEVEL: usize = 272;
    let options = Options { max_held: MAX_HELD, ..Options::default() };
    for (open, close) in [("[", "]"), ("{\"secret\":", "}"), ("{\"list\":", "}"), ("{\"a\":[", "]}")] {
        let depth = 1024 / open.matches(['[', '{']).count();
        let event = format!("data: {}1{}\n\n", open.repeat(depth), close.repeat(depth));
        let most = Watched::most(&many_rules(), &options, event.as_bytes().chunks(100));
        assert!(most <= 2 * MAX_HELD + 4096 + MAX_DEPTH * LEVEL, "{open}: {most} bytes");
    }
}

#[test]
fn g6_bounded_memory_once_an_event_is_through() {
    let event = format!("data: {{\"secret\":1,\"list\":[{}1]}}\n\n", "{\"old\":\"0123456789\",\"m\":1},".repeat(2000));
    for max_held in [1 << 20, 4096] {
        let options = Options { max_held, ..Options::default() };
        let mut streams = [(); 2].map(|()| Watched::new(&many_rules(), &options));
        for watched in &mut streams {
            for chunk in event.as_bytes().chunks(1000) {
                watched.feed(chunk);
            }
        }
        for event in [&b""[..], b"data: {\"a\":1}\n\n", b": ping\r\n\r\n"] {
            let retained = streams.each_mut().map(|watched| watched.feed(event));
            assert!(retained[1] <= 1024, "{retained:?} bytes");
        }
    }
}

#[test]
fn g6_bounded_memory_of_a_stream_that_waits() {
    let mut streams = [(); 2].map(|()| Watched::new(&many_rules(), &Options::default()));
    let retained = streams.each_mut().map(|watched| watched.feed(b""));
    assert!(retained[1] <= 1024, "{retained:?} bytes");
}

#[test]
fn g6_larger_events_are_still_rewritten() {
    let filler = "x".repeat(5000);
    let stream = format!(
        "data: {{\"model\":\"secret\",\"a\":\"{filler}\",\"m\\u006fdel\":[\"secret\",\"{filler}\"],\"b\":{{\"model\":1}}}}\n\n"
    );
    let expected =
        format!("data: {{\"model\":0,\"a\":\"{filler}\",\"m\\u006fdel\":0,\"b\":{{\"model\":1}},\"z\":1}}\n\n");
    let rules = rules(vec![replace("$.model", "0"), set("$.z", "1")]);
    let options = Options { max_held: 1024, ..Options::default() };
    for cuts in [Vec::new(), every_byte(stream.as_bytes()), (0..stream.len()).step_by(1460).skip(1).collect()] {
        let run = run(&rules, &options, stream.as_bytes(), &cuts);
        assert_eq!(show(&run.output), show(expected.as_bytes()));
        assert!(run.at_boundary);
    }
}

#[test]
fn g6_a_removal_behind_more_space_than_may_wait_leaves_null() {
    let options = Options { max_held: 200, ..Options::default() };
    for space in [" ".repeat(300), "\ndata: ".repeat(40), "\n: c\ndata: ".repeat(30)] {
        for (rule, payload, expected) in [
            ("$.a", format!(r#"{{"a":{space}"secret"}}"#), r#"{"a":null}"#),
            ("$.a", format!(r#"{{"a"{space}:[1,"secret"]}}"#), r#"{"a":null}"#),
            ("$.a", format!(r#"{{"b":1,{space}"a":"secret","c":2}}"#), r#"{"b":1,"a":null,"c":2}"#),
            ("$[1]", format!(r#"[1,{space}{{"secret":[]}}]"#), "[1,null]"),
        ] {
            let stream = format!("data: {payload}\n\n");
            let list = [remove(rule)];
            agree::payloads(&list, &options, stream.as_bytes(), &[]).unwrap();
            agree::cuts(&list, &options, stream.as_bytes(), &[7, 100, 101]).unwrap();
            let output = run(&rules(list.to_vec()), &options, stream.as_bytes(), &[]).output;
            let (events, ..) = lines::dispatch(&output);
            assert_eq!(events[0].data.split([' ', '\n']).collect::<String>(), expected);
        }
    }
}

/// How long this thread has worked, so that what else the machine does counts little.
fn worked() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = schedule.and_then(|text| text.split(' ').next()?.parse().ok());
    static START: OnceLock<Instant> = OnceLock::new();
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

fn time(work: impl FnOnce()) -> Duration {
    let start = worked();
    work();
    worked() - start
}

/// Feeds a beginning and so many bytes of a middle, in chunks.
fn feed_endless(rules: &Rules, options: &Options, beginning: &str, middle: &str, length: usize, chunk: usize) {
    let mut rewriter = Rewriter::new(rules, options.clone());
    let mut output = Vec::new();
    let stream = format!("{beginning}{}", middle.repeat(length / middle.len()));
    for chunk in stream.as_bytes().chunks(chunk) {
        rewriter.feed(chunk, &mut output).unwrap();
        output.clear();
    }
    rewriter.finish(&mut output).unwrap();
}

#[test]
fn g7_linear_time_under_any_cutting() {
    // Eight times the bytes take eight times the time. Were anything read anew with each chunk, it would be 64 times, every
    // time; a busy machine is slow once and again, so one good try in ten is proof.
    const LENGTH: usize = 16 << 10;
    let rules = many_rules();
    for (name, beginning, middle) in ENDLESS {
        for options in [Options::default(), Options { max_held: 2048, ..Options::default() }] {
            for chunk in [1, 1460] {
                let of = |length| time(|| feed_endless(&rules, &options, beginning, middle, length, chunk));
                let is_linear = |_| of(8 * LENGTH) < 24 * of(LENGTH) + Duration::from_millis(30);
                assert!((0..10).any(is_linear), "{name}, {chunk} bytes a chunk");
            }
        }
    }
}

#[test]
fn g7_linear_allocation_under_any_cutting() {
    const LENGTH: usize = 24 << 10;
    let rules = many_rules();
    for (name, beginning, middle) in ENDLESS {
        for options in [Options::default(), Options { max_held: 2048, ..Options::default() }] {
            for chunk in [1, 1460] {
                let of = |length| measure(|| feed_endless(&rules, &options, beginning, middle, length, chunk));
                let (once, four_times) = (of(LENGTH).bytes_total, of(4 * LENGTH).bytes_total);
                // Buffers that grow by doubling may be off by a factor of two.
                assert!(four_times < 8 * once + 65536, "{name}, {chunk} bytes a chunk: {once}, then {four_times}");
            }
        }
    }
}
