//! Rules, options, cuts and a stream from arbitrary bytes: a head of fixed length, then the stream, as it is or a token
//! for each byte.

use arbitrary::Unstructured;
use sse_fast::{Comments, Condition, EmptyBlocks, Json, Keep, OnInvalid, Options, Rule, Rules};

use crate::agree::Agreement;
use crate::drive::{Random, describe, json, lengths, path, show};

/// Bytes of the head: two of options, two of cuts, one of the mode, and the rules.
const HEAD: usize = 5 + RULES * 5;

/// Bytes of the longest stream: enough for several events, few enough to try many.
const LONGEST: usize = 2048;

/// Rules of an input; some say nothing.
const RULES: usize = 4;

const STEPS: &[&str] =
    &["", "", "", ".a", ".b", ".c", ".model", ".usage", ".choices", "[0]", "[1]", "[*]", ".*", "..a", "..b", "..model"];

const NAMES: &[&str] = &[".a", ".b", ".c", ".model", ".usage", "['é']", "['']", ".z"];

const CONSTANTS: &[&str] = &["null", "1", "0", "true", r#""a""#, r#""x""#, "[]", r#"{"a":[1,{"b":null}]}"#];

/// What a byte stands for in a stream of tokens.
const TOKENS: &[&str] = &[
    "data: ",
    "\n",
    "\n\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"a\"",
    "\"b\"",
    "\"a\":",
    "\"b\":",
    "\"model\":",
    "1",
    "data:",
    "\r\n",
    "\r",
    "{\"a\":",
    "]}",
    "[1,",
    "]",
    ", ",
    " : ",
    "\\u0061",
    "\"\\u0061\":",
    "null",
    "true",
    "\"x\"",
    "\ndata: ",
    "\r\ndata:",
    "\rdata: ",
    ": c",
    "\n: c\ndata: ",
    "id: 1\n",
    "event: a\n",
    "NaN",
    "-Infinity",
    "1e-07",
    "0",
    "-",
    ".",
    "e",
    "\"\\ud800\"",
    "é",
    "\u{FEFF}",
    "[DONE]",
    " ",
    "\t",
    "x",
    "\\",
    "\ndata\n",
    "data",
    "\n\ndata: {",
    "}\n\n",
    "\"usage\":{",
    "\"choices\":[",
    "{}",
    "[]",
    ",\"a\":1",
    "\"c\":",
    "retry: 5\n",
    "data: {\"a\":1,\"b\":[1,{\"a\":2}]}\n\n",
];

pub(crate) struct Input {
    pub(crate) rules: Vec<Rule>,
    pub(crate) options: Options,
    pub(crate) stream: Vec<u8>,
    pub(crate) cuts: Vec<usize>,
}

impl Input {
    /// Reads an input; bytes that lack count as 0.
    pub(crate) fn read(data: &[u8]) -> Self {
        let mut bytes = Bytes(Unstructured::new(data));
        let options = bytes.options();
        let mut random = Random(u64::from(bytes.next()) << 8 | u64::from(bytes.next()));
        let is_tokens = bytes.next() % 2 == 1;
        let mut rules = Vec::new();
        for _ in 0..RULES {
            rules.extend(bytes.rule());
            // What conflicts with an earlier rule is left out.
            if Rules::new(rules.clone()).is_err() {
                rules.pop();
            }
        }
        let rest = bytes.0.take_rest();
        let mut stream: Vec<u8> = match is_tokens {
            true => rest.iter().flat_map(|&byte| TOKENS[usize::from(byte) % TOKENS.len()].bytes()).collect(),
            false => rest.to_vec(),
        };
        stream.truncate(LONGEST);
        let mut cuts: Vec<usize> = (0..random.below(6)).map(|_| random.below(stream.len() + 1)).collect();
        cuts.sort_unstable();
        Input { rules, options, stream, cuts }
    }

    /// Panics with all that it takes to see why.
    pub(crate) fn expect(&self, agreement: Agreement) {
        if let Err(difference) = agreement {
            let rules: Vec<String> = self.rules.iter().map(describe).collect();
            let (options, cuts) = (&self.options, &self.cuts);
            panic!("{difference}\n{rules:#?}\n{options:?}\nstream {}\ncuts {cuts:?}", show(&self.stream));
        }
    }
}

struct Bytes<'a>(Unstructured<'a>);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.next()) % list.len()]
    }

    fn options(&mut self) -> Options {
        let policies = self.next();
        Options {
            max_held: 1 + usize::from(self.next()),
            on_invalid: [OnInvalid::Pass, OnInvalid::Drop, OnInvalid::Raise, OnInvalid::Pass]
                [usize::from(policies % 4)],
            comments: match policies >> 2 & 3 {
                0 | 1 => Comments::Keep,
                2 => Comments::Drop,
                _ => Comments::Replace("ping".to_owned()),
            },
            empty_blocks: [EmptyBlocks::Keep, EmptyBlocks::Drop][usize::from(policies >> 4 & 1)],
        }
    }

    /// A rule of five bytes, or none.
    fn rule(&mut self) -> Option<Rule> {
        let kind = self.next() % 16;
        let (first, second) = (self.of(STEPS), self.of(STEPS));
        let any = || {
            path(&if first.is_empty() && second.is_empty() { "$.a".to_owned() } else { format!("${second}{first}") })
        };
        let name = NAMES[first.len() % NAMES.len()];
        let named = || path(&format!("${second}{name}"));
        let (one, two) = (self.of(CONSTANTS), self.of(CONSTANTS));
        let constant = |text: &str| -> Json { json(text) };
        Some(match kind {
            0 => return None,
            1 | 2 => Rule::Remove { path: any(), when: None },
            3 => Rule::Remove { path: any(), when: Some(constant(one)) },
            4 => Rule::Replace { path: any(), value: constant(one), when: None },
            5 => Rule::Replace { path: any(), value: constant(one), when: Some(constant(two)) },
            6 | 7 => Rule::Set { path: named(), value: constant(one) },
            8 => Rule::Default { path: named(), value: constant(one), null_counts_as_missing: two == "null" },
            9 | 10 => Rule::Rename {
                path: named(),
                key: NAMES[one.len() % NAMES.len()].trim_matches(['.', '[', ']', '\'']).to_owned(),
            },
            11 => {
                let pairs = vec![(constant("1"), constant(one)), (constant(r#""a""#), constant(two))];
                Rule::Map { path: any(), pairs, otherwise: (one == two).then(|| constant(two)) }
            }
            12 => Rule::Renumber { path: named(), start: (one == two).then_some(7) },
            13 => Rule::Capture {
                name: one.to_owned(),
                path: any(),
                keep: [Keep::Last, Keep::First, Keep::All][two.len() % 3],
                null_counts_as_missing: two.len() % 2 == 1,
            },
            14 => Rule::Transform { path: any(), function: lengths() },
            _ => {
                let condition = match two.len() % 4 {
                    0 => Condition::Equals(any(), constant(one)),
                    1 => Condition::Exists(any()),
                    2 => Condition::Missing(any()),
                    _ => Condition::EventIs(if one == "null" { "message" } else { "a" }.to_owned()),
                };
                Rule::DropEvent { conditions: vec![condition] }
            }
        })
    }
}

pub(crate) fn seeds(stream: &[u8], number: u64) -> Vec<Vec<u8>> {
    let mut random = Random(number);
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for mode in [0, 0, 0, 1] {
        let mut seed: Vec<u8> = (0..HEAD).map(|_| random.next() as u8).collect();
        seed[4] = mode;
        seed.extend(if mode == 0 { stream.to_vec() } else { tokens(stream) });
        seeds.push(seed);
    }
    seeds
}

/// The bytes that stand for a stream, but for what no token says.
fn tokens(mut stream: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !stream.is_empty() {
        let fitting = TOKENS.iter().enumerate().filter(|(_, token)| stream.starts_with(token.as_bytes()));
        match fitting.max_by_key(|(_, token)| token.len()) {
            Some((byte, token)) => {
                bytes.push(byte as u8);
                stream = &stream[token.len()..];
            }
            None => stream = &stream[1..],
        }
    }
    bytes
}
