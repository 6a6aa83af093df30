//! The rules as a user states them, and what is wrong with a list of them.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::RuleError;
use crate::json::path::{Path, Segment};
use crate::json::value::Json;

/// What a transform does with a value: its JSON text in, the new text out, or `None` where it stays.
pub type Function = Arc<dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, Arc<dyn StdError + Send + Sync>> + Send + Sync>;

/// Which of several captured values to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The last one seen.
    Last,
    /// The first one seen.
    First,
    /// Every one, at most [`MAX_CAPTURED`](crate::MAX_CAPTURED).
    All,
}

/// One thing to change or to observe in each event.
#[derive(Clone)]
pub enum Rule {
    /// Replaces the value where the member or element exists.
    Replace {
        /// Where.
        path: Path,
        /// The new value.
        value: Json,
        /// Only where the value equals this one.
        when: Option<Json>,
    },
    /// Replaces the value, or inserts the member where the parent object exists.
    Set {
        /// Where; ends in a name.
        path: Path,
        /// The new value.
        value: Json,
    },
    /// Inserts the member where the parent object lacks it.
    Default {
        /// Where; ends in a name.
        path: Path,
        /// The value to insert.
        value: Json,
        /// Replace a `null`, too.
        null_counts_as_missing: bool,
    },
    /// Removes the member or element with one comma.
    Remove {
        /// Where.
        path: Path,
        /// Only where the value equals this one.
        when: Option<Json>,
    },
    /// Renames the member, where its object has none of that name.
    Rename {
        /// Where; ends in a name.
        path: Path,
        /// The new name.
        key: String,
    },
    /// Replaces a scalar by its image.
    Map {
        /// Where.
        path: Path,
        /// Pairs of a scalar and its image.
        pairs: Vec<(Json, Json)>,
        /// The image of every other scalar; `None` keeps them.
        otherwise: Option<Json>,
    },
    /// Replaces a value by what a function says.
    Transform {
        /// Where.
        path: Path,
        /// The function.
        function: Function,
    },
    /// Numbers the events that leave.
    Renumber {
        /// Where; ends in a name.
        path: Path,
        /// The first number; `None` takes the first one seen.
        start: Option<i64>,
    },
    /// Observes a value as it came in.
    Capture {
        /// The name to read it under.
        name: String,
        /// Where.
        path: Path,
        /// Which of several.
        keep: Keep,
        /// A null is passed over.
        null_counts_as_missing: bool,
    },
    /// Drops the whole block where all conditions hold.
    DropEvent {
        /// The conditions; at least one.
        conditions: Vec<Condition>,
    },
}

/// What `DropEvent` asks. The conditions on paths hold only for events whose payload is an object or an array.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Some value at the path equals this one.
    Equals(Path, Json),
    /// There is a value at the path.
    Exists(Path),
    /// There is none.
    Missing(Path),
    /// The event has this type; `"message"` is the type of an event that names none.
    EventIs(String),
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "{}({path})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// The values that a rule acts on, so that two rules on one path can be told apart.
enum Reach<'a> {
    Nothing,
    Only(Vec<&'a Json>),
    Everything,
}

impl Reach<'_> {
    fn overlaps(&self, other: &Reach<'_>) -> bool {
        match (self, other) {
            (Reach::Nothing, _) | (_, Reach::Nothing) => false,
            (Reach::Only(these), Reach::Only(those)) => these.iter().any(|a| those.contains(a)),
            _ => true,
        }
    }
}

impl Rule {
    fn name(&self) -> &'static str {
        match self {
            Rule::Replace { .. } => "Replace",
            Rule::Set { .. } => "Set",
            Rule::Default { .. } => "Default",
            Rule::Remove { .. } => "Remove",
            Rule::Rename { .. } => "Rename",
            Rule::Map { .. } => "Map",
            Rule::Transform { .. } => "Transform",
            Rule::Renumber { .. } => "Renumber",
            Rule::Capture { .. } => "Capture",
            Rule::DropEvent { .. } => "DropEvent",
        }
    }

    /// The path that the rule acts on; a `DropEvent` has none of its own.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
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

    /// True for a rule that inserts the member where it is missing.
    pub(crate) fn inserts(&self) -> bool {
        matches!(self, Rule::Set { .. } | Rule::Default { .. } | Rule::Renumber { .. })
    }

    /// True for a rule that may edit a value that exists.
    pub(crate) fn edits_value(&self) -> bool {
        !matches!(self.reach(), Reach::Nothing)
    }

    fn reach(&self) -> Reach<'_> {
        match self {
            Rule::Replace { when: Some(when), .. } | Rule::Remove { when: Some(when), .. } => Reach::Only(vec![when]),
            Rule::Default { null_counts_as_missing: true, .. } => Reach::Only(vec![null()]),
            Rule::Map { pairs, otherwise: None, .. } => Reach::Only(pairs.iter().map(|(old, _)| old).collect()),
            Rule::Default { .. } | Rule::Rename { .. } | Rule::Capture { .. } | Rule::DropEvent { .. } => {
                Reach::Nothing
            }
            _ => Reach::Everything,
        }
    }

    /// Checks what one rule shows by itself; [`Rules::new`](crate::Rules::new) does so, too.
    ///
    /// # Errors
    /// A path that the rule cannot act on, arguments that make no sense.
    pub fn check(&self) -> Result<(), RuleError> {
        if let Rule::DropEvent { conditions } = self {
            if conditions.is_empty() {
                return Err(RuleError::new(
                    "DropEvent without a condition would drop every event: give it at least one",
                ));
            }
            return Ok(());
        }
        let Some(path) = self.path() else { return Ok(()) };
        let problem = |text: &str| Err(RuleError::at_path(path.as_str(), format_args!("{} {text}", self.name())));
        match path.segments().last() {
            None if !matches!(self, Rule::Transform { .. } | Rule::Capture { .. }) => {
                return problem("cannot act on the whole payload, only Transform and Capture can");
            }
            Some(Segment::Name(_)) => {}
            Some(Segment::Descendant(_)) if self.inserts() => {
                return problem("cannot insert at '..name': name the parent object");
            }
            Some(Segment::Descendant(_)) => {}
            _ if self.inserts() || matches!(self, Rule::Rename { .. }) => {
                return problem("needs a path that ends in a name");
            }
            _ => {}
        }
        match self {
            Rule::Map { pairs, .. } if !pairs.iter().all(|(old, _)| old.is_scalar()) => {
                problem("maps scalars only, not arrays or objects")
            }
            _ => Ok(()),
        }
    }

    /// Checks what two rules show together: would both edit the same place? They stand at these offsets of the list.
    pub(crate) fn check_pair(&self, later: &Rule, offsets: (usize, usize)) -> Result<(), RuleError> {
        if let (Rule::Capture { name, .. }, Rule::Capture { name: other, .. }) = (self, later)
            && name == other
        {
            return Err(RuleError::new(format!("two Captures are named '{name}': give each its own name")));
        }
        let (Some(path), Some(other)) = (self.path(), later.path()) else { return Ok(()) };
        if path != other {
            return Ok(());
        }
        let both_rename = matches!((self, later), (Rule::Rename { .. }, Rule::Rename { .. }));
        if both_rename || (self.inserts() && later.inserts()) || self.reach().overlaps(&later.reach()) {
            let (first, second) = offsets;
            let problem = format_args!(
                "{} at offset {second} of the rules would edit the same place as {} at offset {first}, keep one of them",
                later.name(),
                self.name(),
            );
            return Err(RuleError::at_path(other.as_str(), problem));
        }
        Ok(())
    }
}

/// The constant `null`, to compare with.
fn null() -> &'static Json {
    static NULL: std::sync::OnceLock<Json> = std::sync::OnceLock::new();
    NULL.get_or_init(|| Json::new(b"null").expect("null is JSON"))
}

/// What one rule does with a value that it may edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Remove,
    /// Write [`Rule::text`] of this choice.
    Write(Choice),
    Number,
    Function,
}

/// Which of a rule's texts: the image of so many'th pair of a `Map`, or the only (or other) one.
pub(crate) type Choice = u32;

const ONLY: Choice = u32::MAX;

impl Rule {
    /// True where the rule edits whatever the value is, so that it need not be seen first.
    pub(crate) fn is_unconditional(&self) -> bool {
        matches!(
            self,
            Rule::Replace { when: None, .. }
                | Rule::Remove { when: None, .. }
                | Rule::Set { .. }
                | Rule::Renumber { .. }
        )
    }

    /// What the rule does with a value whatever it is; `Keep` where it would have to see it.
    pub(crate) fn blind_verdict(&self) -> Verdict {
        match self {
            Rule::Replace { when: None, .. } | Rule::Set { .. } => Verdict::Write(ONLY),
            Rule::Remove { when: None, .. } => Verdict::Remove,
            Rule::Renumber { .. } => Verdict::Number,
            _ => Verdict::Keep,
        }
    }

    /// What the rule does with the value whose JSON text is `raw`.
    pub(crate) fn verdict(&self, raw: &[u8]) -> Verdict {
        match self {
            Rule::Replace { when: Some(when), .. } if when.matches(raw) => Verdict::Write(ONLY),
            Rule::Remove { when: Some(when), .. } if when.matches(raw) => Verdict::Remove,
            Rule::Default { null_counts_as_missing: true, .. } if raw == b"null" => Verdict::Write(ONLY),
            Rule::Map { pairs, otherwise, .. } if !raw.starts_with(b"{") && !raw.starts_with(b"[") => {
                match pairs.iter().position(|(old, _)| old.matches(raw)) {
                    Some(pair) => Verdict::Write(pair as Choice),
                    None if otherwise.is_some() => Verdict::Write(ONLY),
                    None => Verdict::Keep,
                }
            }
            Rule::Transform { .. } => Verdict::Function,
            _ => self.blind_verdict(),
        }
    }

    /// The text that a verdict chose.
    pub(crate) fn text(&self, choice: Choice) -> &[u8] {
        match self {
            Rule::Replace { value, .. } | Rule::Set { value, .. } | Rule::Default { value, .. } => value.text(),
            Rule::Map { pairs, otherwise, .. } => match (pairs.get(choice as usize), otherwise) {
                (Some((_, new)), _) => new.text(),
                (None, Some(other)) => other.text(),
                (None, None) => b"null",
            },
            _ => b"null",
        }
    }
}
