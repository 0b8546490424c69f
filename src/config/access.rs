//! `[[access]]`: rules, as the authorization reads them.

use http::Method;
use ipnet::IpNet;

use super::filter::predicate;
use super::item::Item;
use super::reader::Section;
use super::server::network;
use super::source::Span;
use crate::authz::{Effect, Methods, RepositoryPattern, Rule, Source, Target, Who};
use crate::registry::{Action, Actions};

/// A rule as it was written, for lints.
pub(super) struct Written<'a> {
    pub(super) who: Vec<Item<'a>>,
    /// Where `paths` stands.
    pub(super) paths: Option<Span>,
}

/// The rules; with `lints`, as they were written too.
pub(super) fn access(item: Option<Item<'_>>, lints: bool) -> (Vec<Rule>, Vec<Written<'_>>) {
    let Some(item) = item else { return (Vec::new(), Vec::new()) };
    let sections = item.sections();
    let (mut rules, mut written) = (Vec::with_capacity(sections.len()), Vec::new());
    for (rule, as_written) in sections.flatten().filter_map(rule) {
        rules.push(rule);
        if lints {
            written.push(as_written);
        }
    }
    (rules, written)
}

fn rule(mut section: Section<'_>) -> Option<(Rule, Written<'_>)> {
    let (reader, header) = (section.reader, section.header);
    let effects = [("allow", Effect::Allow), ("deny", Effect::Deny)];
    let effect = section.take("effect").map(|item| item.word(&effects));
    let who_items = section.require("who", "[\"group:dev\"]").and_then(|item| item.nonempty_list());
    let except_who_items = section.take("except_who").map_or_else(Vec::new, |item| item.list_or_one());
    let who = |items: &[Item<'_>]| {
        let mut who = Vec::with_capacity(items.len());
        for item in items {
            who.push(item.parse::<Who>("entry of `who`")?);
        }
        Some(who)
    };
    let (named, except_who) = (who_items.as_deref().map(who), who(&except_who_items));
    let from = section.take("from").map(|item| from(&item));
    let when = section.take("when").map(|item| predicate(&item));

    let about = About::take(&mut section);
    section.finish();
    let target = about.target(reader, header);
    let effect = effect.unwrap_or(Some(Effect::Allow))?;
    let written = Written { who: who_items.unwrap_or_default(), paths: about.paths.map(|item| item.key) };
    let from = match from {
        Some(from) => from?,
        None => Vec::new(),
    };
    let when = match when {
        Some(when) => Some(when?),
        None => None,
    };
    let source = Source { file: reader.source.name().clone(), line: reader.source.line(header.start) };
    Some((Rule { source, effect, who: named??, except_who: except_who?, target: target?, from, when }, written))
}

fn from(item: &Item<'_>) -> Option<Vec<IpNet>> {
    item.nonempty_list()?.iter().map(network).collect()
}

/// The keys that say what a rule is about.
struct About<'a> {
    repositories: Option<Item<'a>>,
    except: Option<Item<'a>>,
    registry: Option<Item<'a>>,
    paths: Option<Item<'a>>,
    actions: Option<Item<'a>>,
    methods: Option<Item<'a>>,
}

impl<'a> About<'a> {
    fn take(section: &mut Section<'a>) -> Self {
        Self {
            repositories: section.take("repositories"),
            except: section.take("except_repositories"),
            registry: section.take("registry"),
            paths: section.take("paths"),
            actions: section.take("actions"),
            methods: section.take("methods"),
        }
    }

    fn target(&self, reader: &super::reader::Reader<'_>, header: Span) -> Option<Target> {
        let kinds = [self.repositories, self.registry, self.paths];
        let named: Vec<_> = kinds.into_iter().flatten().collect();
        match named.as_slice() {
            [] => {
                let hint = "add `repositories = [\"shared/*\"]`, `registry = [\"catalog\"]` or `paths = [\"/api/**\"]`";
                reader.error("missing-key", header, "this rule is about nothing", hint);
                None
            }
            [_] => self.checked(reader, header),
            [first, others @ ..] => {
                for other in others {
                    let message = format!("a rule is about one kind of thing: this one has `{}` already", first.name);
                    reader.error("mixed-rule", other.key, message, "write two rules");
                }
                None
            }
        }
    }

    fn checked(&self, reader: &super::reader::Reader<'_>, header: Span) -> Option<Target> {
        let misplaced = |item: Option<Item<'_>>, kind: &str, hint: &str| {
            if let Some(item) = item {
                reader.error("mixed-rule", item.key, format!("`{}` has no meaning beside `{kind}`", item.name), hint);
            }
        };
        let missing = |key: &str, example: &str| {
            let message = format!("[[access]] needs the key `{key}`");
            reader.error("missing-key", header, message, format!("add, for example, `{key} = {example}`"));
        };
        if let Some(item) = self.repositories {
            misplaced(self.methods, "repositories", "say what may be done with `actions`");
            let patterns = parsed::<RepositoryPattern>(&item.nonempty_list().unwrap_or_default(), "repository pattern");
            let except = self.except.map_or_else(Vec::new, |item| item.list_or_one());
            let except = parsed::<RepositoryPattern>(&except, "repository pattern");
            if self.actions.is_none() {
                missing("actions", "[\"pull\"]");
            }
            let actions = actions(&self.actions?)?;
            return Some(Target::Repositories { patterns: patterns?, except: except?, actions });
        }
        misplaced(
            self.except,
            if self.registry.is_some() { "registry" } else { "paths" },
            "it takes names out of `repositories`",
        );
        if let Some(item) = self.registry {
            misplaced(self.methods, "registry", "leave it out");
            return catalog(&item, self.actions);
        }
        let item = self.paths?;
        misplaced(self.actions, "paths", "say what may be done with `methods`");
        let patterns = parsed(&item.nonempty_list().unwrap_or_default(), "path pattern");
        if self.methods.is_none() {
            missing("methods", "[\"read\"]");
        }
        let methods = methods(&self.methods?)?;
        Some(Target::Paths { patterns: patterns?, methods })
    }
}

/// All of them or none, but every problem.
fn parsed<T: std::str::FromStr>(items: &[Item<'_>], what: &str) -> Option<Vec<T>>
where
    T::Err: std::fmt::Display,
{
    let mut parsed = Vec::with_capacity(items.len());
    for item in items {
        parsed.extend(item.parse(what));
    }
    (parsed.len() == items.len()).then_some(parsed)
}

fn actions(item: &Item<'_>) -> Option<Actions> {
    const WORDS: [(&str, Actions); 4] =
        [("*", Actions::ALL), ("pull", Actions::NONE), ("push", Actions::NONE), ("delete", Actions::NONE)];
    let mut actions = Some(Actions::NONE);
    for item in item.nonempty_list()? {
        let word = item.word(&WORDS).and_then(|all| match item.text()?.parse::<Action>() {
            Ok(action) => Some(Actions::only(action)),
            Err(_) => Some(all),
        });
        actions = actions.zip(word).map(|(actions, word)| actions.union(word));
    }
    actions
}

fn catalog(item: &Item<'_>, actions: Option<Item<'_>>) -> Option<Target> {
    let items = item.nonempty_list()?;
    let good = items.iter().filter(|item| item.word(&[("catalog", ())]).is_some()).count() == items.len();
    for item in actions.map(|item| item.list_or_one()).unwrap_or_default() {
        if item.text()? != "*" {
            item.fail("wrong-value", "the catalog is granted as a whole", "write `actions = [\"*\"]`");
            return None;
        }
    }
    good.then_some(Target::Catalog)
}

fn methods(item: &Item<'_>) -> Option<Methods> {
    let mut methods = Vec::new();
    let (mut any, mut good) = (false, true);
    for item in item.nonempty_list()? {
        match item.text()? {
            "*" => any = true,
            "read" => methods.extend([Method::GET, Method::HEAD, Method::OPTIONS]),
            text => match method(&item, text) {
                Some(method) => methods.push(method),
                None => good = false,
            },
        }
    }
    let mut only: Vec<Method> = Vec::new();
    for method in methods {
        if !only.contains(&method) {
            only.push(method);
        }
    }
    good.then_some(if any { Methods::Any } else { Methods::Only(only) })
}

fn method(item: &Item<'_>, text: &str) -> Option<Method> {
    let fail = |hint: String| {
        item.fail("wrong-value", format!("\"{}\" is no method", item.shown()), hint);
        None
    };
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "CONNECT" | "TRACE") {
        return fail("CONNECT and TRACE are never let through".into());
    }
    if !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return fail("write \"*\", \"read\" or a name in capitals, as in \"POST\"".into());
    }
    Method::from_bytes(text.as_bytes()).ok().or_else(|| fail("write \"*\", \"read\" or a name such as \"POST\"".into()))
}
