//! What the fuzz targets do with their bytes: the checks of `tests/core`, on input that `input.rs` makes of them.

#[path = "../../tests/core/agree.rs"]
mod agree;
#[path = "../../tests/core/drive.rs"]
#[allow(dead_code)]
mod drive;
mod input;
#[path = "../../tests/core/oracle/mod.rs"]
mod oracle;

use sse_fast::{Options, Rule};

use input::Input;

/// The output never depends on the cuts, be the events held or streamed.
pub fn chunk_invariance(data: &[u8]) {
    let input = Input::read(data);
    let Input { rules, options, stream, cuts } = &input;
    input.expect(agree::cuts(rules, options, stream, cuts));
    input.expect(agree::parser(stream, cuts));
}

/// Without rules nothing changes.
pub fn identity(data: &[u8]) {
    let input = Input::read(data);
    input.expect(agree::identity(input.options.max_held, &input.stream, &input.cuts));
}

/// The rewriter does what the oracle says, at once; where events stream, masks hold.
pub fn oracle(data: &[u8]) {
    let input = Input::read(data);
    let Input { rules, options, stream, cuts } = &input;
    let held = Options { max_held: Options::default().max_held, ..options.clone() };
    input.expect(agree::rewriter(rules, &held, stream));
    input.expect(agree::promptness(rules, &held, stream));
    let stats = oracle::rewrite(&[], &Options::default(), stream).stats;
    if stats.invalid == 0 && !stats.truncated {
        let masks: Vec<Rule> = rules.iter().filter(|rule| is_mask(rule)).cloned().collect();
        input.expect(agree::payloads(&masks, options, stream, cuts));
    }
}

fn is_mask(rule: &Rule) -> bool {
    matches!(rule, Rule::Remove { when: None, .. } | Rule::Replace { when: None, .. } | Rule::Set { .. })
}

/// What is JSON, and what becomes of it as a body.
pub fn scanner(data: &[u8]) {
    let input = Input::read(data);
    input.expect(agree::scanner(&input.stream));
    input.expect(agree::body(&input.rules, &input.stream));
}

/// What to seed the targets with: from the input of a test vector, inputs of all modes under several lists of rules.
pub fn seeds(stream: &[u8], number: u64) -> Vec<Vec<u8>> {
    input::seeds(stream, number)
}
