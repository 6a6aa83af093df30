//! Rules to an automaton over names and indices.
//!
//! Theory of operation: each path is a small machine that has read so many of its segments. All paths are run at once:
//! a state is the set of all places where some path stands, found once and for all by the subset construction. At a
//! member one look-up of its name gives the next state, whatever the number of paths. State 0 is the empty set: nothing
//! can match inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::RuleError;
use crate::json::path::Segment;
use crate::json::string::write_string;
use crate::limits::MAX_STATES;

use super::rule::{Condition, Keep, Rule};

pub(crate) type StateId = u32;
/// Index of a rule in the list.
pub(crate) type RuleId = u32;
/// Index of a name whose presence an object must know.
pub(crate) type Slot = u32;

/// The state of which nothing can match.
pub(crate) const DEAD: StateId = 0;

/// A compiled list of rules: immutable, shared between streams and threads.
#[derive(Clone, Debug)]
pub struct Rules(pub(crate) Arc<Compiled>);

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) rules: Vec<Rule>,
    pub(crate) states: Vec<State>,
    pub(crate) start: StateId,
    /// Bytes of the longest name that matters.
    pub(crate) longest_name: usize,
    /// The rule of each capture.
    pub(crate) captures: Vec<Capture>,
    pub(crate) drops: Vec<Vec<Test>>,
    /// Number of conditions that look for a value.
    pub(crate) hits: usize,
    /// Per rule: what it writes where it inserts or renames (`"key":value`, `"key"`).
    pub(crate) members: Vec<Box<[u8]>>,
    /// The longest event type that a condition names, where one does.
    pub(crate) event_type_length: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) keep: Keep,
    pub(crate) skips_null: bool,
}

/// A condition of a `DropEvent`, ready to ask.
#[derive(Debug)]
pub(crate) enum Test {
    Hit(usize),
    NoHit(usize),
    EventIs(Box<[u8]>),
}

/// What is known at one place in a payload.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Names that lead elsewhere than any other name, or whose presence counts; by length, then bytes.
    edges: Vec<Edge>,
    any_member: StateId,
    indices: Vec<(u64, StateId)>,
    any_element: StateId,
    /// Number of names whose presence counts.
    pub(crate) slots: Slot,
    /// What is settled when the object ends, in list order.
    pub(crate) at_end: Vec<AtEnd>,
    /// True where something may match inside or at the end of a container.
    pub(crate) wants_inside: bool,
    /// True where a value that stands here matches something.
    pub(crate) wants_value: bool,
    /// Rules that may edit the value, in list order.
    pub(crate) edits: Vec<RuleId>,
    /// Rules that may rename the member, in list order.
    pub(crate) renames: Vec<RuleId>,
    pub(crate) captures: Vec<usize>,
    /// Conditions to look at: which, and the rule and condition to compare with.
    pub(crate) hits: Vec<Hit>,
    /// What happens depends on the value.
    pub(crate) looks: bool,
    /// One of `edits` is a `Remove`.
    pub(crate) may_remove: bool,
    /// The first of `edits` needs the value before it decides.
    pub(crate) undecided: bool,
}

#[derive(Debug)]
struct Edge {
    name: Box<[u8]>,
    child: StateId,
    slot: Option<Slot>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct AtEnd {
    pub(crate) rule: RuleId,
    pub(crate) slot: Slot,
    pub(crate) inserts: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) bit: usize,
    pub(crate) rule: RuleId,
    pub(crate) condition: usize,
}

impl State {
    /// Where a member's value stands, and the slot of its name.
    #[inline]
    pub(crate) fn member(&self, name: Option<&[u8]>) -> (StateId, Option<Slot>) {
        let Some(name) = name else { return (self.any_member, None) };
        let edge = if self.edges.len() <= 8 {
            self.edges.iter().find(|edge| *edge.name == *name)
        } else {
            let order = |edge: &Edge| (edge.name.len(), &*edge.name).cmp(&(name.len(), name));
            self.edges.binary_search_by(order).ok().map(|i| &self.edges[i])
        };
        edge.map_or((self.any_member, None), |edge| (edge.child, edge.slot))
    }

    /// Where an element stands.
    #[inline]
    pub(crate) fn element(&self, index: u64) -> StateId {
        match self.indices.iter().find(|(i, _)| *i == index) {
            Some((_, child)) => *child,
            None => self.any_element,
        }
    }
}

impl Compiled {
    pub(crate) fn rule(&self, id: RuleId) -> &Rule {
        &self.rules[id as usize]
    }

    pub(crate) fn state(&self, id: StateId) -> &State {
        &self.states[id as usize]
    }
}

impl Rules {
    /// Checks and compiles rules. Where two would edit one place the first wins, unless their paths are equal.
    ///
    /// # Errors
    /// A rule that its path cannot carry, or two rules that would always edit the same place.
    pub fn new(rules: Vec<Rule>) -> Result<Self, RuleError> {
        for (i, rule) in rules.iter().enumerate() {
            rule.check()?;
            for (j, earlier) in rules[..i].iter().enumerate() {
                earlier.check_pair(rule, (j, i))?;
            }
        }
        let mut builder = Builder::new(&rules);
        let at_root = (0..builder.uses.len() as u32).map(|id| (id, 0)).collect();
        let start = builder.intern(at_root)?;
        while let Some(set) = builder.sets.get(builder.states.len()).cloned() {
            let state = builder.build(&set)?;
            builder.states.push(state);
        }
        let Builder { states, captures, drops, hits, longest_name, .. } = builder;
        let event_types = rules.iter().flat_map(|rule| match rule {
            Rule::DropEvent { conditions } => conditions.as_slice(),
            _ => &[],
        });
        let event_type_length = event_types
            .filter_map(|condition| match condition {
                Condition::EventIs(name) => Some(name.len()),
                _ => None,
            })
            .max();
        let members = rules.iter().map(written_member).collect();
        let compiled =
            Compiled { states, start, longest_name, captures, drops, hits, members, event_type_length, rules };
        Ok(Rules(Arc::new(compiled)))
    }
}

/// What a rule writes besides a value: `"key":value` where it inserts, `"key"` where it renames. The counter of a
/// `Renumber` follows its `"key":`.
fn written_member(rule: &Rule) -> Box<[u8]> {
    let mut out = Vec::new();
    match (rule, rule.path().and_then(|path| path.segments().last())) {
        (Rule::Rename { key, .. }, _) => write_string(key, &mut out),
        (_, Some(Segment::Name(name))) if rule.inserts() => {
            write_string(name, &mut out);
            out.push(b':');
            if let Rule::Set { value, .. } | Rule::Default { value, .. } = rule {
                out.extend_from_slice(value.text());
            }
        }
        _ => {}
    }
    out.into()
}

/// A path and what happens where it matches.
struct Use<'a> {
    rule: RuleId,
    segments: &'a [Segment],
    end: End<'a>,
}

#[derive(Clone, Copy)]
enum End<'a> {
    /// Edit the value; insert it where missing, if the rule does that.
    Edit,
    Rename(&'a str),
    Capture(usize),
    Test(Hit),
}

/// A place: a use, and how many of its segments are read.
type Place = (u32, u32);

struct Builder<'a> {
    rules: &'a [Rule],
    uses: Vec<Use<'a>>,
    ids: BTreeMap<Vec<Place>, StateId>,
    sets: Vec<Vec<Place>>,
    states: Vec<State>,
    captures: Vec<Capture>,
    drops: Vec<Vec<Test>>,
    hits: usize,
    longest_name: usize,
}

impl<'a> Builder<'a> {
    fn new(rules: &'a [Rule]) -> Self {
        let mut builder = Builder {
            rules,
            uses: Vec::new(),
            ids: BTreeMap::from([(Vec::new(), DEAD)]),
            sets: vec![Vec::new()],
            states: Vec::new(),
            captures: Vec::new(),
            drops: Vec::new(),
            hits: 0,
            longest_name: 0,
        };
        for (id, rule) in rules.iter().enumerate() {
            builder.add(id as RuleId, rule);
        }
        builder
    }

    fn add(&mut self, rule_id: RuleId, rule: &'a Rule) {
        let end = match rule {
            Rule::DropEvent { conditions } => return self.add_tests(rule_id, conditions),
            Rule::Rename { key, .. } => End::Rename(key),
            Rule::Capture { name, keep, null_counts_as_missing, .. } => {
                self.captures.push(Capture { name: name.clone(), keep: *keep, skips_null: *null_counts_as_missing });
                End::Capture(self.captures.len() - 1)
            }
            _ => End::Edit,
        };
        let segments = rule.path().map_or(&[][..], |path| path.segments());
        self.uses.push(Use { rule: rule_id, segments, end });
    }

    fn add_tests(&mut self, rule: RuleId, conditions: &'a [Condition]) {
        let mut tests = Vec::new();
        for (i, condition) in conditions.iter().enumerate() {
            let bit = self.hits;
            let (path, test) = match condition {
                Condition::EventIs(name) => {
                    tests.push(Test::EventIs(name.as_bytes().into()));
                    continue;
                }
                Condition::Missing(path) => (path, Test::NoHit(bit)),
                Condition::Equals(path, _) | Condition::Exists(path) => (path, Test::Hit(bit)),
            };
            tests.push(test);
            self.hits += 1;
            let end = End::Test(Hit { bit, rule, condition: i });
            self.uses.push(Use { rule, segments: path.segments(), end });
        }
        self.drops.push(tests);
    }

    fn intern(&mut self, mut set: Vec<Place>) -> Result<StateId, RuleError> {
        set.sort_unstable();
        set.dedup();
        if let Some(&id) = self.ids.get(&set) {
            return Ok(id);
        }
        if self.sets.len() == MAX_STATES {
            return Err(RuleError::new(format!(
                "these rules need more than {MAX_STATES} states: use fewer '..name' segments in one path"
            )));
        }
        let id = self.sets.len() as StateId;
        self.ids.insert(set.clone(), id);
        self.sets.push(set);
        Ok(id)
    }

    /// The places reached from `set` by a step that `takes` says a segment takes. A descendant segment also stays.
    fn step(&mut self, set: &[Place], takes: impl Fn(&Segment) -> bool) -> Result<StateId, RuleError> {
        let mut next = Vec::new();
        for &(id, read) in set {
            let Some(segment) = self.uses[id as usize].segments.get(read as usize) else { continue };
            if matches!(segment, Segment::Descendant(_)) {
                next.push((id, read));
            }
            if takes(segment) {
                next.push((id, read + 1));
            }
        }
        self.intern(next)
    }

    fn build(&mut self, set: &[Place]) -> Result<State, RuleError> {
        let mut state = State::default();
        let mut slots: Vec<&'a str> = Vec::new();
        let mut names: Vec<&'a str> = Vec::new();
        let mut indices = Vec::new();
        for &(id, read) in set {
            let Use { rule, segments, end } = self.uses[id as usize];
            let Some(segment) = segments.get(read as usize) else {
                self.arrive(&mut state, rule, end);
                continue;
            };
            state.wants_inside = true;
            match segment {
                Segment::Name(name) | Segment::Descendant(name) => names.push(name),
                Segment::Index(index) => indices.push(*index),
                Segment::Wildcard => {}
            }
            // The object that stands here is the parent of the last segment's member.
            let watched = match (segment, end) {
                _ if read as usize + 1 != segments.len() => None,
                (_, End::Rename(target)) => Some((target, false)),
                (Segment::Name(name), End::Edit) if self.rules[rule as usize].inserts() => Some((name.as_str(), true)),
                _ => None,
            };
            if let Some((name, inserts)) = watched {
                let slot = slots.iter().position(|known| *known == name).unwrap_or_else(|| {
                    slots.push(name);
                    slots.len() - 1
                });
                state.at_end.push(AtEnd { rule, slot: slot as Slot, inserts });
            }
        }
        state.at_end.sort_by_key(|at_end| at_end.rule);
        state.slots = slots.len() as Slot;
        state.finish_value(self.rules);
        state.any_member = self.step(set, |segment| matches!(segment, Segment::Wildcard))?;
        state.any_element = state.any_member;
        names.extend_from_slice(&slots);
        names.sort_by_key(|name| (name.len(), *name));
        names.dedup();
        for name in names {
            let child = self.step(set, |segment| match segment {
                Segment::Name(wanted) | Segment::Descendant(wanted) => wanted == name,
                Segment::Wildcard => true,
                Segment::Index(_) => false,
            })?;
            let slot = slots.iter().position(|known| *known == name).map(|slot| slot as Slot);
            self.longest_name = self.longest_name.max(name.len());
            state.edges.push(Edge { name: name.as_bytes().into(), child, slot });
        }
        indices.sort_unstable();
        indices.dedup();
        for index in indices {
            let child =
                self.step(set, |s| matches!(s, Segment::Wildcard) || matches!(s, Segment::Index(i) if *i == index))?;
            state.indices.push((index, child));
        }
        Ok(state)
    }

    /// A value in this state is matched by a whole path.
    fn arrive(&self, state: &mut State, rule: RuleId, end: End<'a>) {
        match end {
            End::Edit if self.rules[rule as usize].edits_value() => state.edits.push(rule),
            End::Edit => {}
            End::Rename(_) => state.renames.push(rule),
            End::Capture(capture) => state.captures.push(capture),
            End::Test(hit) => state.hits.push(hit),
        }
    }
}

impl State {
    fn finish_value(&mut self, rules: &[Rule]) {
        self.edits.sort_unstable();
        self.renames.sort_unstable();
        self.wants_value =
            !(self.edits.is_empty() && self.captures.is_empty() && self.hits.is_empty() && self.renames.is_empty());
        self.may_remove = self.edits.iter().any(|&id| matches!(rules[id as usize], Rule::Remove { .. }));
        let first = self.edits.first().map(|&id| &rules[id as usize]);
        self.looks = !self.hits.is_empty() || first.is_some_and(|rule| !rule.is_unconditional());
        self.undecided = self.edits.first().is_some_and(|&id| {
            let rule = &rules[id as usize];
            // The first number seen must be read before the counter can begin there.
            !rule.is_unconditional() || matches!(rule, Rule::Renumber { start: None, .. })
        });
    }
}
