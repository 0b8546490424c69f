//! Finding the rules that may apply to a question without looking at all of them.
//!
//! Rules are filed by whom they name (an exact user or group, or a kind of caller) and, within that, by the text that
//! every matching name begins with. A question looks up only prefixes of its own name. What is found may still not
//! match; what is not found certainly does not.

use std::collections::{BTreeSet, HashMap};

use super::{Rule, Target, Who};
use crate::subject::Caller;

/// What a question is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    Repository(&'a str),
    Catalog,
    Path(&'a str),
}

#[derive(Debug, Default)]
pub(super) struct Index {
    anyone: Shelf,
    anonymous: Shelf,
    /// `authenticated`, and globs over names of users and groups.
    authenticated: Shelf,
    users: HashMap<Box<str>, Shelf>,
    groups: HashMap<Box<str>, Shelf>,
}

/// The rules for one kind of caller. Small while it holds few, since most are of a single user or group.
#[derive(Debug, Default)]
struct Shelf {
    few: Vec<Filed>,
    many: Option<Box<Many>>,
}

/// A rule by what it is about.
#[derive(Debug)]
struct Filed {
    kind: Kind,
    prefix: Box<str>,
    number: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Repository,
    Catalog,
    Path,
}

/// As many rules are looked at one after the other.
const FEW: usize = 8;

/// The shelf of many rules.
#[derive(Debug, Default)]
struct Many {
    repositories: Prefixes,
    paths: Prefixes,
    catalog: Vec<usize>,
}

/// Rules by literal prefix.
#[derive(Debug, Default)]
struct Prefixes {
    rules: HashMap<Box<str>, Vec<usize>>,
    lengths: BTreeSet<usize>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        let exact = |who: &Who| matches!(who, Who::User(glob) if glob.exact().is_some());
        index.users.reserve(rules.iter().filter(|rule| rule.who.iter().any(exact)).count());
        for (number, rule) in rules.iter().enumerate() {
            for who in &rule.who {
                index.shelf(who).file(number, &rule.target);
            }
        }
        index
    }

    /// Numbers of the rules that may apply, ascending and each once.
    pub(super) fn candidates(&self, caller: &Caller, about: About<'_>) -> Vec<usize> {
        let mut found = Vec::new();
        let mut look = |shelf: Option<&Shelf>| {
            if let Some(shelf) = shelf {
                shelf.find(about, &mut found);
            }
        };
        look(Some(&self.anyone));
        match caller {
            Caller::Anonymous => look(Some(&self.anonymous)),
            Caller::Known(subject) => {
                look(Some(&self.authenticated));
                look(self.users.get(subject.name.as_str()));
                for group in &subject.groups {
                    look(self.groups.get(group.as_str()));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn shelf(&mut self, who: &Who) -> &mut Shelf {
        match who {
            Who::Anyone => &mut self.anyone,
            Who::Anonymous => &mut self.anonymous,
            Who::Authenticated => &mut self.authenticated,
            Who::User(glob) => match glob.exact() {
                Some(name) => self.users.entry(name.into()).or_default(),
                None => &mut self.authenticated,
            },
            Who::Group(glob) => match glob.exact() {
                Some(name) => self.groups.entry(name.into()).or_default(),
                None => &mut self.authenticated,
            },
        }
    }
}

impl Shelf {
    fn file(&mut self, number: usize, target: &Target) {
        match target {
            Target::Catalog => self.add(Kind::Catalog, "", number),
            Target::Repositories { patterns, .. } => {
                for pattern in patterns {
                    self.add(Kind::Repository, pattern.literal_prefix(), number);
                }
            }
            Target::Paths { patterns, .. } => {
                for pattern in patterns {
                    self.add(Kind::Path, pattern.literal_prefix(), number);
                }
            }
        }
    }

    fn add(&mut self, kind: Kind, prefix: &str, number: usize) {
        if self.many.is_none() && self.few.len() < FEW {
            self.few.reserve_exact(1);
            self.few.push(Filed { kind, prefix: prefix.into(), number });
            return;
        }
        let many = self.many.get_or_insert_default();
        for Filed { kind, prefix, number } in std::mem::take(&mut self.few) {
            many.add(kind, &prefix, number);
        }
        many.add(kind, prefix, number);
    }

    fn find(&self, about: About<'_>, found: &mut Vec<usize>) {
        if let Some(many) = &self.many {
            return many.find(about, found);
        }
        let (kind, name) = match about {
            About::Repository(name) => (Kind::Repository, name),
            About::Path(path) => (Kind::Path, path),
            About::Catalog => (Kind::Catalog, ""),
        };
        let fits = |filed: &&Filed| filed.kind == kind && name.starts_with(&*filed.prefix);
        found.extend(self.few.iter().filter(fits).map(|filed| filed.number));
    }
}

impl Many {
    fn add(&mut self, kind: Kind, prefix: &str, number: usize) {
        match kind {
            Kind::Repository => self.repositories.file(number, prefix),
            Kind::Path => self.paths.file(number, prefix),
            Kind::Catalog => self.catalog.push(number),
        }
    }

    fn find(&self, about: About<'_>, found: &mut Vec<usize>) {
        match about {
            About::Repository(name) => self.repositories.find(name, found),
            About::Path(path) => self.paths.find(path, found),
            About::Catalog => found.extend(&self.catalog),
        }
    }
}

impl Prefixes {
    fn file(&mut self, number: usize, prefix: &str) {
        self.lengths.insert(prefix.len());
        self.rules.entry(prefix.into()).or_default().push(number);
    }

    fn find(&self, name: &str, found: &mut Vec<usize>) {
        for length in self.lengths.range(..=name.len()) {
            if let Some(rules) = name.get(..*length).and_then(|prefix| self.rules.get(prefix)) {
                found.extend(rules);
            }
        }
    }
}
