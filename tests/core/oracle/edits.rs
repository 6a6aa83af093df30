//! What a list of rules makes of one payload: the edits, each at its place in the payload.

use std::collections::BTreeSet;
use std::ops::Range;

use sse_fast::{Condition, Json, Path, Rule};

use super::json::{Kind, Name, Tree, equal, name};
use super::path::{Segment, segments, select};

/// Replaces a part of the payload.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) at: Range<usize>,
    pub(crate) text: Vec<u8>,
}

/// The counter of one `Renumber`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter {
    pub(crate) next: Option<i64>,
}

impl Counter {
    /// The counter of a rule at the start of a stream.
    pub(crate) fn of(rule: &Rule) -> Self {
        match rule {
            Rule::Renumber { start, .. } => Counter { next: *start },
            _ => Counter::default(),
        }
    }
}

/// One payload that is an object or an array, and the rules.
pub(crate) struct Payload<'a> {
    text: &'a [u8],
    tree: Tree,
    rules: &'a [Rule],
    /// What the path of each rule selects.
    selected: Vec<BTreeSet<usize>>,
}

/// What becomes of one value.
enum Fate {
    Removed,
    Becomes(Vec<u8>),
    /// The number of this `Renumber`.
    Numbered(usize),
}

impl<'a> Payload<'a> {
    pub(crate) fn new(text: &'a [u8], tree: Tree, rules: &'a [Rule]) -> Self {
        let selected = rules.iter().map(|rule| path(rule).map_or_else(BTreeSet::new, |p| select(&segments(p), &tree)));
        Payload { selected: selected.collect(), text, tree, rules }
    }

    fn value(&self, node: usize) -> &[u8] {
        &self.text[self.tree[node].span.clone()]
    }

    /// Whether one condition of a `DropEvent` on a path holds.
    pub(crate) fn holds(&self, condition: &Condition) -> bool {
        let selected = |path| select(&segments(path), &self.tree);
        match condition {
            Condition::Equals(path, json) => selected(path).iter().any(|&node| equal(json.text(), self.value(node))),
            Condition::Exists(path) => !selected(path).is_empty(),
            Condition::Missing(path) => selected(path).is_empty(),
            Condition::EventIs(_) => unreachable!("no condition on a path"),
        }
    }

    /// The texts that a `Capture` sees.
    pub(crate) fn captures(&self, rule: usize) -> Vec<Vec<u8>> {
        self.selected[rule].iter().map(|&node| self.value(node).to_vec()).collect()
    }

    /// A `Renumber` that has no number yet begins at the first integer it sees.
    pub(crate) fn start_counters(&self, counters: &mut [Counter]) {
        for (rule, counter) in counters.iter_mut().enumerate() {
            if let (Rule::Renumber { .. }, None) = (&self.rules[rule], counter.next) {
                let mut texts = self.selected[rule].iter().map(|&node| std::str::from_utf8(self.value(node)));
                counter.next = texts.find_map(|text| text.ok()?.parse().ok());
            }
        }
    }

    /// All edits, in the order of the payload.
    pub(crate) fn edits(&self, counters: &mut [Counter]) -> Vec<Edit> {
        let fates = self.fates();
        let mut edits = Vec::new();
        let mut numbered = BTreeSet::new();
        for (node, fate) in fates.iter().enumerate() {
            let span = self.tree[node].span.clone();
            match fate {
                Some(Fate::Becomes(text)) => edits.push(Edit { at: span, text: text.clone() }),
                Some(Fate::Numbered(rule)) => {
                    numbered.insert(*rule);
                    edits.push(Edit { at: span, text: number(&counters[*rule]) });
                }
                Some(Fate::Removed) | None => {}
            }
        }
        for node in 0..self.tree.len() {
            if self.tree[node].kind.is_container() && self.stays(node, &fates) {
                edits.extend(self.removals(node, &fates));
                if self.tree[node].kind == Kind::Object {
                    self.names(node, &fates, counters, &mut edits, &mut numbered);
                }
            }
        }
        for rule in numbered {
            counters[rule].next = Some(counters[rule].next.unwrap_or(0) + 1);
        }
        edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
        edits
    }

    /// The fate of each value: the first rule in the list wins, and inside an edited value nothing counts.
    fn fates(&self) -> Vec<Option<Fate>> {
        let mut fates = Vec::new();
        for node in 0..self.tree.len() {
            let fate = if self.tree[node].parent.is_none_or(|parent| self.stays(parent, &fates)) {
                let acting = (0..self.rules.len()).filter(|&rule| self.selected[rule].contains(&node));
                acting.filter_map(|rule| self.fate(rule, node)).next()
            } else {
                None
            };
            fates.push(fate);
        }
        fates
    }

    /// Whether a value and all that it is inside of stay as they are.
    fn stays(&self, node: usize, fates: &[Option<Fate>]) -> bool {
        let mut at = Some(node);
        while let Some(node) = at {
            if fates[node].is_some() {
                return false;
            }
            at = self.tree[node].parent;
        }
        true
    }

    fn fate(&self, rule: usize, node: usize) -> Option<Fate> {
        let value = self.value(node);
        let becomes = |json: &Json| Some(Fate::Becomes(json.text().to_vec()));
        let applies = |when: &Option<Json>| when.as_ref().is_none_or(|when| equal(when.text(), value));
        match &self.rules[rule] {
            Rule::Replace { value, when, .. } if applies(when) => becomes(value),
            Rule::Remove { when, .. } if applies(when) => Some(Fate::Removed),
            Rule::Set { value, .. } => becomes(value),
            Rule::Default { value: default, null_counts_as_missing: true, .. } if value == b"null" => becomes(default),
            Rule::Map { pairs, otherwise, .. } if !self.tree[node].kind.is_container() => {
                let pair = pairs.iter().find(|(old, _)| equal(old.text(), value));
                pair.map(|(_, new)| new).or(otherwise.as_ref()).and_then(becomes)
            }
            Rule::Renumber { .. } => Some(Fate::Numbered(rule)),
            Rule::Transform { function, .. } => {
                function(value).expect("a function that cannot fail").map(Fate::Becomes)
            }
            _ => None,
        }
    }

    /// The cuts that take the removed members or elements out of one container.
    fn removals(&self, container: usize, fates: &[Option<Fate>]) -> Vec<Edit> {
        let children = &self.tree[container].children;
        let is_removed = |child: usize| matches!(fates[child], Some(Fate::Removed));
        let mut survivor = false;
        let mut edits = Vec::new();
        for (i, &child) in children.iter().enumerate() {
            if !is_removed(child) {
                survivor = true;
                continue;
            }
            let (start, end) = (self.tree[child].start(), self.tree[child].span.end);
            let at = if survivor {
                let comma = self.text[..start].iter().rposition(|&byte| byte == b',').expect("a comma before it");
                comma..end
            } else if let Some(&next) = children.get(i + 1) {
                start..self.tree[next].start()
            } else {
                start..end
            };
            edits.push(Edit { at, text: Vec::new() });
        }
        edits
    }

    /// Renames and insertions in one object, in the order of the list.
    fn names(
        &self,
        object: usize,
        fates: &[Option<Fate>],
        counters: &[Counter],
        edits: &mut Vec<Edit>,
        numbered: &mut BTreeSet<usize>,
    ) {
        let members = &self.tree[object].children;
        let key = |member: usize| self.tree[member].key.as_ref().expect("a member has a key");
        let is_removed = |member: usize| matches!(fates[member], Some(Fate::Removed));
        let stands = |wanted: &Name| members.iter().any(|&member| key(member).name == *wanted);
        let mut taken: Vec<Name> = Vec::new();
        let mut renamed = BTreeSet::new();
        let mut comma = members.iter().any(|&member| !is_removed(member));
        let end = match members.last() {
            Some(&last) => self.tree[last].span.end,
            None => self.tree[object].span.start + 1,
        };
        for (i, rule) in self.rules.iter().enumerate() {
            match rule {
                Rule::Rename { key: new, .. } => {
                    let mut found = members.clone();
                    found.retain(|m| self.selected[i].contains(m) && !is_removed(*m) && !renamed.contains(m));
                    if found.is_empty() || stands(&name(new)) || taken.contains(&name(new)) {
                        continue;
                    }
                    taken.push(name(new));
                    edits.extend(found.iter().map(|&m| Edit { at: key(m).span.clone(), text: quote(new) }));
                    renamed.extend(found);
                }
                Rule::Set { path, .. } | Rule::Default { path, .. } | Rule::Renumber { path, .. } => {
                    let segments = segments(path);
                    let Some((Segment::Name(new), parents)) = segments.split_last() else { unreachable!() };
                    if !select(parents, &self.tree).contains(&object) || stands(new) || taken.contains(new) {
                        continue;
                    }
                    taken.push(new.clone());
                    let value = match rule {
                        Rule::Set { value, .. } | Rule::Default { value, .. } => value.text().to_vec(),
                        _ => {
                            numbered.insert(i);
                            number(&counters[i])
                        }
                    };
                    let new: String = new.iter().map(|&c| char::from_u32(c).expect("a character")).collect();
                    let mut text = if comma { b",".to_vec() } else { Vec::new() };
                    comma = true;
                    text.extend(quote(&new));
                    text.push(b':');
                    text.extend(value);
                    edits.push(Edit { at: end..end, text });
                }
                _ => {}
            }
        }
    }
}

fn number(counter: &Counter) -> Vec<u8> {
    counter.next.unwrap_or(0).to_string().into_bytes()
}

/// A name as a JSON string, no character escaped that need not be.
fn quote(name: &str) -> Vec<u8> {
    let mut text = String::from("\"");
    for c in name.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{C}' => text.push_str("\\f"),
            '\0'..='\u{1F}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => text.push(c),
        }
    }
    text.push('"');
    text.into_bytes()
}

fn path(rule: &Rule) -> Option<&Path> {
    match rule {
        Rule::Replace { path, .. }
        | Rule::Set { path, .. }
        | Rule::Default { path, .. }
        | Rule::Remove { path, .. }
        | Rule::Rename { path, .. }
        | Rule::Map { path, .. }
        | Rule::Transform { path, .. }
        | Rule::Renumber { path, .. }
        | Rule::Capture { path, .. } => Some(path),
        Rule::DropEvent { .. } => None,
    }
}
