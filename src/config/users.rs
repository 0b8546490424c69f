//! `[users]`, `[groups]` and `[[authn]]`: who can log in.

use std::path::PathBuf;
use std::sync::Arc;

use super::item::Item;
use super::reader::{Names, Section, Title, shown};
use super::source::Span;
use crate::authn::{NameFrom, PasswordHash};
use crate::subject::{GroupName, UserName};

/// One entry of `[[authn]]`.
#[derive(Debug)]
pub enum Member {
    /// The inline `[users]`.
    Users(Arc<Vec<User>>),
    /// An htpasswd file with bcrypt entries.
    Htpasswd {
        /// The file, already resolved against the configuration's directory.
        file: PathBuf,
    },
    /// Client certificates.
    ClientCertificate {
        /// Where the name of the user stands, in the order in which it is looked for. Never empty.
        names: Vec<NameFrom>,
        /// Groups of whoever comes with one.
        groups: Vec<GroupName>,
    },
}

/// What `kind` may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MemberKind {
    Users,
    Htpasswd,
    ClientCertificate,
}

const KINDS: [(&str, MemberKind); 3] = [
    ("users", MemberKind::Users),
    ("htpasswd", MemberKind::Htpasswd),
    ("client-certificate", MemberKind::ClientCertificate),
];

/// One entry of `[users]`.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: UserName,
    /// An argon2id or bcrypt hash in its usual text form.
    pub password_hash: PasswordHash,
    /// Groups of this user.
    pub groups: Vec<GroupName>,
}

/// The users of a file, with the names of those that are wrong too.
#[derive(Default)]
pub(super) struct Users<'a> {
    pub(super) list: Arc<Vec<User>>,
    pub(super) names: Names<'a>,
    /// Where the section begins; `None` when it is missing.
    pub(super) span: Option<Span>,
}

pub(super) fn users<'a>(item: Option<Item<'a>>, reserved: &[UserName]) -> Users<'a> {
    let Some(item) = item else { return Users::default() };
    let mut users = Users { span: Some(item.key), ..Users::default() };
    let Some(section) = item.section(Title::Header("users")) else { return users };
    users.names = section.names();
    let entries = section.entries();
    let mut list = Vec::with_capacity(entries.len());
    for (text, item) in entries {
        let name = user_name(text, item, reserved);
        let Some(mut section) = item.section(Title::Below("users", text)) else { continue };
        let password_hash = section.require("password_hash", "\"$argon2id$…\"").and_then(|item| hash(&item));
        let groups = group_names(&mut section);
        section.finish();
        if let (Some(name), Some(password_hash)) = (name, password_hash) {
            list.push(User { name, password_hash, groups });
        }
    }
    users.list = Arc::new(list);
    users
}

/// The name of somebody who comes with credentials: a user, an API key, a client.
pub(super) fn user_name(text: &str, item: Item<'_>, reserved: &[UserName]) -> Option<UserName> {
    let fail = |message: String, hint: &str| {
        item.reader.error("wrong-name", item.key, message, hint);
        None
    };
    match UserName::parse(text) {
        Err(error) => fail(format!("\"{}\" is no user name", shown(text)), &error.to_string()),
        Ok(_) if text.contains(':') => {
            fail(format!("\"{}\" is no user name", shown(text)), "Basic credentials end the name at the first colon")
        }
        // As the chain compares them.
        Ok(name) if reserved.iter().any(|reserved| is_same_name(reserved.as_str(), text)) => {
            let hint = "it is kept for what only the identity filter may produce (`identity.elevated`, and always `admin`): choose another";
            fail(format!("nobody can be called \"{name}\""), hint)
        }
        Ok(name) => Some(name),
    }
}

/// Whether names are the same but for their case.
fn is_same_name(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.to_lowercase() == other.to_lowercase()
}

fn hash(item: &Item<'_>) -> Option<PasswordHash> {
    item.secret_as(PasswordHash::parse)?
        .map_err(|error| {
            item.fail("wrong-value", "this is no password hash", error.to_string());
        })
        .ok()
}

/// `groups`, none when the key is missing.
pub(super) fn group_names(section: &mut Section<'_>) -> Vec<GroupName> {
    let item = section.take("groups");
    item.map_or_else(Vec::new, |item| item.list_or_one().iter().filter_map(group_name).collect())
}

fn group_name(item: &Item<'_>) -> Option<GroupName> {
    let text = item.text_as("the name of a group")?;
    GroupName::parse(text)
        .map_err(|error| item.fail("wrong-name", format!("\"{}\" is no group name", item.shown()), error.to_string()))
        .ok()
}

/// Reads `[groups]`: group to members. `known` are the users of this file if there can be no others.
pub(super) fn groups(item: Option<Item<'_>>, known: Option<&[Names<'_>]>) -> Vec<(GroupName, Vec<UserName>)> {
    let Some(section) = item.and_then(|item| item.section(Title::Header("groups"))) else { return Vec::new() };
    let mut groups = Vec::new();
    for (text, item) in section.entries() {
        let name = GroupName::parse(text).map_err(|error| {
            let message = format!("\"{}\" is no group name", shown(text));
            item.reader.error("wrong-name", item.key, message, error.to_string());
        });
        let items = item.list_or_one();
        if items.is_empty() {
            item.reader.warn("empty-group", item.key, format!("the group `{}` has no members", shown(text)), "");
        }
        let members = items.iter().filter_map(|item| group_member(item, known)).collect();
        if let Ok(name) = name {
            groups.push((name, members));
        }
    }
    groups
}

fn group_member(item: &Item<'_>, known: Option<&[Names<'_>]>) -> Option<UserName> {
    let text = item.text_as("a member such as \"user:bob\"")?;
    let Some(name) = text.strip_prefix("user:") else {
        let hint = if text.starts_with("group:") {
            "groups do not nest: list the users".into()
        } else {
            format!("write \"user:{}\"", shown(text))
        };
        item.fail("wrong-value", format!("\"{}\" is no member of a group", shown(text)), hint);
        return None;
    };
    if let Some(known) = known
        && !known.iter().any(|names| names.contains(name))
    {
        let message = format!("there is no user \"{}\"", shown(name));
        let mut known: Vec<_> = known.iter().flat_map(|names| names.iter()).collect();
        known.sort_unstable();
        let hint = match super::nearest::nearest(name, known) {
            Some(near) => format!("did you mean \"user:{near}\"?"),
            None => "nobody of this name can log in".into(),
        };
        item.reader.warn("unknown-user", item.span, message, hint);
    }
    UserName::parse(name)
        .map_err(|error| item.fail("wrong-name", format!("\"{}\" is no user name", shown(name)), error.to_string()))
        .ok()
}

/// Reads `[[authn]]`. Without it, and with `[users]`, those are who can log in.
pub(super) fn authn(sections: Option<Vec<Section<'_>>>, users: &Users<'_>) -> Vec<Member> {
    let Some(sections) = sections else {
        return if users.span.is_some() { vec![Member::Users(Arc::clone(&users.list))] } else { Vec::new() };
    };
    let mut members: Vec<Member> = Vec::new();
    for mut section in sections {
        let Some(item) = section.require("kind", "\"users\"") else { continue };
        match item.word(&KINDS) {
            Some(MemberKind::Users) => users_member(section, &item, users, &mut members),
            Some(MemberKind::Htpasswd) => htpasswd_member(section, &mut members),
            Some(MemberKind::ClientCertificate) => certificate_member(section, &item, &mut members),
            None => {}
        }
    }
    members
}

fn users_member(section: Section<'_>, kind: &Item<'_>, users: &Users<'_>, members: &mut Vec<Member>) {
    section.finish();
    if members.iter().any(|member| matches!(member, Member::Users(_))) {
        kind.fail(
            "duplicate",
            "another [[authn]] has `kind = \"users\"` already",
            "there is one [users], so one such member",
        );
        return;
    }
    if users.span.is_none() {
        kind.reader.warn(
            "no-users",
            kind.span,
            "there are no [users] for this member",
            "add [users.NAME] sections, or leave it out",
        );
    }
    members.push(Member::Users(Arc::clone(&users.list)));
}

fn htpasswd_member(mut section: Section<'_>, members: &mut Vec<Member>) {
    let file = section.require("file", "\"htpasswd\"").and_then(|item| item.path().map(|file| (item, file)));
    section.finish();
    let Some((item, file)) = file else { return };
    if members.iter().any(|member| matches!(member, Member::Htpasswd { file: other } if *other == file)) {
        item.fail("duplicate", "another [[authn]] reads this file already", "");
        return;
    }
    item.reader.note_secret_file(&file, item.span);
    members.push(Member::Htpasswd { file });
}

fn certificate_member(mut section: Section<'_>, kind: &Item<'_>, members: &mut Vec<Member>) {
    let places = [
        ("common-name", NameFrom::CommonName),
        ("dns", NameFrom::Dns),
        ("uri", NameFrom::Uri),
        ("email", NameFrom::Email),
    ];
    let names = match section.take("name") {
        Some(item) => item.nonempty_list().map(|items| items.iter().filter_map(|item| item.word(&places)).collect()),
        None => Some(vec![NameFrom::CommonName]),
    };
    let groups = group_names(&mut section);
    section.finish();
    if members.iter().any(|member| matches!(member, Member::ClientCertificate { .. })) {
        kind.fail("duplicate", "another [[authn]] takes client certificates already", "");
    }
    if let Some(names) = names {
        members.push(Member::ClientCertificate { names, groups });
    }
}
