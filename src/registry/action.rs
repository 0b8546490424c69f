//! What can be done to a repository.

use std::fmt;
use std::str::FromStr;

/// One action on a repository, as scopes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Write manifests and blobs.
    Push,
    /// Remove manifests, tags and blobs.
    Delete,
}

impl Action {
    /// All actions, in the order in which they are printed.
    pub const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// The name in scopes and rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Pull => 1,
            Self::Push => 2,
            Self::Delete => 4,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such action; the actions are pull, push and delete")]
pub struct UnknownAction;

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or(UnknownAction)
    }
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actions(u8);

impl Actions {
    /// No action.
    pub const NONE: Self = Self(0);
    /// Pull, push and delete: what a requested `*` means.
    pub const ALL: Self = Self(7);

    /// The set of one action.
    pub fn only(action: Action) -> Self {
        Self(action.bit())
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the set holds this action.
    pub fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// Whether the set holds every action of the other.
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Actions that are in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Actions that are in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The actions in the order pull, push, delete.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        actions.into_iter().fold(Self::NONE, |set, action| set.union(Self::only(action)))
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, action) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            f.write_str(action.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_print_as_they_parse() {
        for action in Action::ALL {
            assert_eq!(action.to_string().parse(), Ok(action));
        }
        for bad in ["", "*", "Pull", "pull ", "pull,push"] {
            assert_eq!(bad.parse::<Action>(), Err(UnknownAction), "{bad}");
        }
    }

    #[test]
    fn sets_print_in_one_order() {
        let set: Actions = [Action::Delete, Action::Pull, Action::Delete].into_iter().collect();
        assert_eq!(set.to_string(), "pull,delete");
        assert_eq!(Actions::ALL.to_string(), "pull,push,delete");
        assert_eq!(Actions::NONE.to_string(), "");
        assert_eq!(Action::ALL.into_iter().collect::<Actions>(), Actions::ALL);
    }

    #[test]
    fn no_action_implies_another() {
        for held in Action::ALL {
            for asked in Action::ALL {
                assert_eq!(Actions::only(held).covers(Actions::only(asked)), held == asked, "{held} {asked}");
                assert_eq!(Actions::only(held).contains(asked), held == asked, "{held} {asked}");
            }
            assert!(Actions::ALL.covers(Actions::only(held)) && !Actions::only(held).covers(Actions::ALL));
        }
    }
}
