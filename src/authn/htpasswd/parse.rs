//! The lines of an htpasswd file.

use std::collections::HashMap;
use std::path::Path;

use super::HtpasswdError;
use crate::authn::password::PasswordHash;
use crate::authn::users::NewUser;
use crate::secret::Secret;
use crate::subject::UserName;

/// One thing that is wrong with a file. Never shows a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

/// The entries of a file: `user:hash` a line; empty lines and lines that begin with `#` are skipped.
pub(super) fn entries(text: &Secret, file: &Path) -> Result<Vec<NewUser>, HtpasswdError> {
    let mut users = Vec::new();
    let mut lines_of = HashMap::new();
    let mut problems = Vec::new();
    for (line, text) in (1..).zip(text.expose().lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match entry(text) {
            Ok(user) => {
                if let Some(first) = lines_of.insert(user.name.clone(), line) {
                    let what = format!("the user {:?} stands in line {first} already; remove one of them", user.name);
                    problems.push(Problem { line, what });
                }
                users.push(user);
            }
            Err(what) => problems.push(Problem { line, what }),
        }
    }
    if problems.is_empty() { Ok(users) } else { Err(HtpasswdError::Malformed { file: file.to_owned(), problems }) }
}

fn entry(text: &str) -> Result<NewUser, String> {
    let (name, hash) = text.split_once(':').ok_or("there is no colon; an entry is user:hash")?;
    let name = UserName::parse(name).map_err(|error| format!("this is no user name: {error}"))?;
    let hash = PasswordHash::parse(hash).map_err(|error| format!("the entry of {name:?}: {error}"))?;
    Ok(NewUser { name, hash, groups: Vec::new() })
}
