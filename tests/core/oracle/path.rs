//! Paths: read from their text, and what they select in a tree.

use std::collections::BTreeSet;

use sse_fast::Path;

use super::json::{self, Kind, Name, Tree, unescape};

pub(crate) enum Segment {
    Name(Name),
    Index(usize),
    Wildcard,
    Descendant(Name),
}

/// The segments of a path that the crate has taken, so that only its meaning matters here.
pub(crate) fn segments(path: &Path) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = path.as_str()[1..].trim_start();
    while !rest.is_empty() {
        let descendant = rest.starts_with("..");
        rest = rest.trim_start_matches('.');
        let segment;
        if let Some(inside) = rest.strip_prefix('[') {
            let inside = inside.trim_start();
            let quote = inside.chars().next().filter(|c| matches!(c, '\'' | '"'));
            let end = match quote {
                Some(quote) => 1 + closing(&inside[1..], quote),
                None => inside.find(']').expect("closed"),
            };
            segment = match quote {
                Some(_) => Segment::Name(quoted(&inside[1..end])),
                None if inside.starts_with('*') => Segment::Wildcard,
                None => Segment::Index(inside[..end].trim().parse().expect("an index")),
            };
            rest = inside[end..].trim_start_matches(['\'', '"']).trim_start().strip_prefix(']').expect("closed");
        } else {
            let end = rest.find(['.', '[', ' ']).unwrap_or(rest.len());
            segment = if rest[..end] == *"*" { Segment::Wildcard } else { Segment::Name(json::name(&rest[..end])) };
            rest = &rest[end..];
        }
        segments.push(match segment {
            Segment::Name(name) if descendant => Segment::Descendant(name),
            other => other,
        });
        rest = rest.trim_start();
    }
    segments
}

/// Where the quote stands that ends a quoted name.
fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.expect("closed")
}

/// The name inside quotes: its escapes are those of JSON and `\'`.
fn quoted(inside: &str) -> Name {
    unescape(inside.as_bytes())
}

/// The values that the segments lead to.
pub(crate) fn select(segments: &[Segment], tree: &Tree) -> BTreeSet<usize> {
    let mut selected = BTreeSet::from([0]);
    for segment in segments {
        selected = selected.iter().flat_map(|&node| step(segment, tree, node)).collect();
    }
    selected
}

fn step(segment: &Segment, tree: &Tree, node: usize) -> Vec<usize> {
    let children = &tree[node].children;
    let named = |name: &Name| {
        let is_named = |&child: &usize| tree[child].key.as_ref().is_some_and(|key| key.name == *name);
        children.iter().copied().filter(is_named).collect()
    };
    match segment {
        Segment::Name(name) => named(name),
        Segment::Index(index) if tree[node].kind == Kind::Array => children.get(*index).copied().into_iter().collect(),
        Segment::Index(_) => Vec::new(),
        Segment::Wildcard => children.clone(),
        Segment::Descendant(name) => {
            let mut found: Vec<usize> = named(name);
            found.extend(children.iter().flat_map(|&child| step(segment, tree, child)));
            found
        }
    }
}
