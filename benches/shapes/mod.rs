//! Seeded event streams in the shapes of the APIs, what the task makes of them, and how they are cut: `streams.py` and
//! `workloads.py` for the crate.

use sse_fast::{Fed, Json, Options, Path, Rewriter, Rule, Rules};

const ALIAS: &str = "our-model";
const TOKENS: [&str; 16] = [
    " the",
    " of",
    ",",
    ".",
    " stream",
    "ing",
    " 12",
    "é",
    " naïve",
    "日本",
    " 🙂",
    "\\n",
    "\\\"",
    " \\\"model\\\"",
    "\\u00e9",
    " {",
];
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";

/// A stream, the rules, the chunks.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) rules: Rules,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) expected: Vec<u8>,
}

impl Workload {
    pub(crate) fn rewriter(&self) -> Rewriter {
        Rewriter::new(&self.rules, Options::default())
    }

    /// Panics where the output is not the expected one.
    pub(crate) fn check(&self) {
        let mut rewriter = self.rewriter();
        let (mut all, mut out) = (Vec::new(), Vec::new());
        for chunk in &self.chunks {
            out.clear();
            match rewriter.feed(chunk, &mut out).expect("a sound stream") {
                Fed::Unchanged => all.extend_from_slice(chunk),
                Fed::Written => all.extend_from_slice(&out),
            }
        }
        assert!(all == self.expected, "{} gives another stream than expected", self.name);
    }
}

/// What is timed: every chunk into the rewriter, each output thrown away.
#[inline(never)]
pub(crate) fn feed_all(rewriter: &mut Rewriter, chunks: &[Vec<u8>], out: &mut Vec<u8>) {
    for chunk in chunks {
        out.clear();
        std::hint::black_box(rewriter.feed(chunk, out)).expect("a sound stream");
        std::hint::black_box(&*out);
    }
}

/// All workloads, of `count` events and one picture of `size` bytes.
pub(crate) fn workloads(count: usize, size: usize) -> Vec<Workload> {
    let mut all = Vec::new();
    for (name, shape) in [("chat", chat as Shape), ("messages", messages), ("responses", responses), ("gemini", gemini)]
    {
        all.push(one_by_one(name, rules(name), &shape(count)));
    }
    let quiet: Vec<Pair> = chat(count + 3)[1..=count].iter().map(|(given, _)| (given.clone(), given.clone())).collect();
    all.push(one_by_one("nothing matches", rules("nothing matches"), &quiet));
    all.push(one_by_one("mixed", rules("chat"), &mixed(count)));
    let chat = chat(count);
    all.push(cut("chat 16 KiB chunks", &chat, 16 << 10));
    all.push(cut("chat 64 KiB chunks", &chat, 64 << 10));
    all.push(cut("chat one byte per chunk", &chat[..count / 10], 1));
    all.push(cut("picture in 4 KiB chunks", &[picture(size)], 4 << 10));
    all
}

/// An event as it comes in and as it leaves.
type Pair = (String, String);
type Shape = fn(usize) -> Vec<Pair>;

fn one_by_one(name: &'static str, rules: Rules, events: &[Pair]) -> Workload {
    let chunks = events.iter().map(|(given, _)| given.clone().into_bytes()).collect();
    Workload { name, rules, chunks, expected: expected(events) }
}

fn cut(name: &'static str, events: &[Pair], size: usize) -> Workload {
    let body: String = events.iter().map(|(given, _)| given.as_str()).collect();
    let chunks = body.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
    Workload { name, rules: rules("chat"), chunks, expected: expected(events) }
}

fn expected(events: &[Pair]) -> Vec<u8> {
    events.iter().flat_map(|(_, wanted)| wanted.bytes()).collect()
}

fn rules(task: &str) -> Rules {
    let path = |path: &str| Path::parse(path).expect("a path");
    let json = |text: &str| Json::new(text.as_bytes()).expect("JSON");
    let set = |at: &str| Rule::Set { path: path(at), value: json(&format!("\"{ALIAS}\"")) };
    let default =
        |at: &str, value: &str| Rule::Default { path: path(at), value: json(value), null_counts_as_missing: false };
    let cost = |usage: &str| {
        ["cost", "cost_details", "is_byok"]
            .map(|key| Rule::Remove { path: path(&format!("{usage}.{key}")), when: None })
    };
    let mut rules = Vec::new();
    match task {
        "messages" => {
            rules.push(set("$.message.model"));
            rules.extend(cost("$.usage"));
            rules.push(default("$.message.usage.cache_read_input_tokens", "0"));
        }
        "responses" => {
            rules.push(set("$.response.model"));
            rules.extend(cost("$.response.usage"));
            rules.push(default("$.response.usage.input_tokens_details.cached_tokens", "0"));
        }
        "gemini" => {
            rules.push(set("$.modelVersion"));
            rules.extend(cost("$.usageMetadata"));
            rules.push(default("$.usageMetadata.cachedContentTokenCount", "0"));
        }
        _ => {
            rules.extend(cost("$.usage"));
            rules.push(default("$.usage.prompt_tokens_details.cached_tokens", "0"));
            if task == "chat" {
                rules.push(set("$.model"));
                rules.push(Rule::Remove { path: path("$.choices[*].delta.role"), when: Some(json("null")) });
                rules.push(default("$.choices", "[]"));
            }
        }
    }
    Rules::new(rules).expect("rules that agree")
}

/// A small generator of our own: the same streams on every machine.
struct Text(u64);

impl Text {
    fn upto(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn token(&mut self) -> &'static str {
        TOKENS[self.upto(TOKENS.len())]
    }

    fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(LETTERS[self.upto(LETTERS.len())])).collect()
    }
}

fn both(event: impl Fn(&str) -> String, model: &str) -> Pair {
    (event(model), event(ALIAS))
}

fn chat_event(rest: &str, text: &mut Text) -> Pair {
    let count = 1 + text.upto(9);
    let pad = text.letters(count);
    let event = |model: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-CyCUB9f5ss7JDY6BHZrVYb3oT2CLd\",\"object\":\"chat.completion.chunk\",\
             \"created\":1767225600,\"model\":\"{model}\",\"service_tier\":\"default\",\
             \"system_fingerprint\":\"fp_44add55e\",{rest},\"obfuscation\":\"{pad}\"}}\n\n"
        )
    };
    both(event, "gpt-4o-2024-08-06")
}

fn choice(delta: &str) -> String {
    format!(
        "\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null"
    )
}

fn chat(count: usize) -> Vec<Pair> {
    let mut text = Text(1);
    let mut events = vec![chat_event(&choice("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"), &mut text)];
    for _ in 3..count {
        let delta = choice(&format!("\"content\":\"{}\"", text.token()));
        events.push(chat_event(&delta, &mut text));
    }
    let usage =
        "\"choices\":[],\"usage\":{\"cost\":6.1e-07,\"prompt_tokens\":25,\"prompt_tokens_details\":{\"audio\":0}}";
    let rewritten =
        "\"choices\":[],\"usage\":{\"prompt_tokens\":25,\"prompt_tokens_details\":{\"audio\":0,\"cached_tokens\":0}}";
    let (given, wanted) = chat_event(usage, &mut text);
    events.push((given, wanted.replace(usage, rewritten)));
    events.push(("data: [DONE]\n\n".to_owned(), "data: [DONE]\n\n".to_owned()));
    events
}

/// Events of many forms in random order, so that none is like the one before.
fn mixed(count: usize) -> Vec<Pair> {
    let mut text = Text(6);
    let event = |_| {
        let (token, digit) = (text.token(), text.upto(9));
        let delta = match text.upto(4) {
            0 => format!("\"content\":\"{token}\""),
            1 => format!("\"role\":\"assistant\",\"content\":\"{token}\""),
            2 => format!("\"content\":\"\",\"reasoning_content\":\"{token}\""),
            _ => format!("\"tool_calls\":[{{\"index\":{digit},\"function\":{{\"arguments\":\"{token}\"}}}}]"),
        };
        let order = text.upto(3);
        let event = |model: &str| {
            let identity = "\"id\":\"gen-44add55e\",\"object\":\"chat.completion.chunk\",\"created\":1767225600";
            let mut members = [identity.to_owned(), format!("\"model\":\"{model}\""), choice(&delta)];
            members.rotate_left(order);
            format!("data: {{{}}}\n\n", members.join(","))
        };
        both(event, "deepseek/deepseek-chat-v3.1")
    };
    (0..count).map(event).collect()
}

fn messages(count: usize) -> Vec<Pair> {
    let mut text = Text(2);
    let start = |model: &str| {
        format!(
            "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"model\":\"{model}\",\
             \"id\":\"msg_01CDixhpAG3FUPqurbX1eif4\",\"usage\":{{\"cache_read_input_tokens\":3}}}}}}\n\n"
        )
    };
    let mut events = vec![both(start, "claude-sonnet-4-5-20250929")];
    for _ in 2..count {
        let pad = if text.upto(8) == 0 { 1 + text.upto(15) } else { 0 };
        let token = text.token();
        let delta = format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":\"{token}\"}}{:pad$}}}\n\n",
            ""
        );
        events.push((delta.clone(), delta));
    }
    let stop = |cost: &str| {
        format!(
            "event: message_delta\ndata: {{\"type\":\"message_delta\",\"usage\":{{\"output_tokens\":9{cost}}}}}\n\n"
        )
    };
    events.push((stop(",\"cost\":6.1e-07,\"is_byok\":false"), stop("")));
    events
}

fn responses(count: usize) -> Vec<Pair> {
    let mut text = Text(3);
    let whole = |name: &str, number: usize, usage: &str| {
        let (name, usage) = (name.to_owned(), usage.to_owned());
        move |model: &str| {
            format!(
                "event: response.{name}\ndata: {{\"type\":\"response.{name}\",\"sequence_number\":{number},\
                 \"response\":{{\"id\":\"resp_080ef7d1f38539e70068f9671f9b288190939b254f26dc197d\",\
                 \"error\":null,\"model\":\"{model}\",\"output\":[],\"usage\":{usage},\"metadata\":{{}}}}}}\n\n"
            )
        }
    };
    let mut events = vec![both(whole("created", 0, "null"), "gpt-4o-2024-08-06")];
    for number in 1..count - 1 {
        let (token, count) = (text.token(), 5 + text.upto(11));
        let delta = format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\
             \"sequence_number\":{number},\"item_id\":\"msg_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b\",\
             \"output_index\":0,\"content_index\":0,\"delta\":\"{token}\",\"logprobs\":[],\"obfuscation\":\"{}\"}}\n\n",
            text.letters(count)
        );
        events.push((delta.clone(), delta));
    }
    let usage = ["{\"input_tokens\":25,\"cost_details\":{\"a\":[1]}}", "{\"input_tokens\":25}"];
    let [given, wanted] = usage.map(|usage| both(whole("completed", count - 1, usage), "gpt-4o-2024-08-06"));
    events.push((given.0, wanted.1));
    events
}

fn gemini(count: usize) -> Vec<Pair> {
    let mut text = Text(4);
    let mut events = Vec::new();
    for number in 0..count {
        let content: String = (0..20 + text.upto(12)).map(|_| text.token()).collect();
        let cost = if number + 1 == count { ",\"cost\": 6.1e-07" } else { "" };
        let event = |model: &str, cost: &str, default: &str| {
            format!(
                "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"{content}\"}}],\"role\": \"model\"}},\
                 \"index\": 0}}],\"usageMetadata\": {{\"promptTokenCount\": 277,\"candidatesTokenCount\": {number}{cost},\
                 \"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 277}}],\
                 \"thoughtsTokenCount\": 570{default}}},\"modelVersion\": \"{model}\",\
                 \"responseId\": \"StkEarfIJY6_qtsP9tjeuQs\"}}\r\n\r\n"
            )
        };
        events.push((event("gemini-2.5-flash", cost, ""), event(ALIAS, "", ",\"cachedContentTokenCount\":0")));
    }
    events
}

fn picture(size: usize) -> Pair {
    let mut text = Text(5);
    let block = text.letters(3001);
    let base: String = block.chars().cycle().take(size).collect();
    let image = format!("\"images\":[{{\"image_url\":{{\"url\":\"data:image/png;base64,{base}\"}}}}]");
    chat_event(&choice(&image), &mut text)
}
