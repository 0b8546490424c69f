//! Which values of a file are secret, so that no message ever shows their line as it stands.
//!
//! This goes by names alone, whatever was found wrong: a secret under a misspelt key or of a wrong type is still one.

use super::source::{Source, Span};
use super::tree::{Table, Value};

/// Spans of the values that are secret: what stands under a key that sounds like one, and what stands where an account is
/// expected but is none. The `env` and `file` of a secret are no secrets.
pub(super) fn secrets(root: &Table<'_>) -> Vec<Span> {
    let mut spans = Vec::new();
    table(root, false, &mut spans);
    for (section, plain) in ACCOUNTS {
        if let Some((_, accounts)) = root.get(section) {
            account_holder(&accounts.value, accounts.span, plain, &mut spans);
        }
    }
    spans
}

/// Sections of accounts, and what of an account is no secret.
const ACCOUNTS: [(&str, &[&str]); 3] =
    [("users", &["groups"]), ("api_keys", &["groups", "expires"]), ("clients", &["groups"])];

fn account_holder(users: &Value<'_>, span: Span, plain: &[&str], spans: &mut Vec<Span>) {
    let Value::Table(users) = users else { return spans.push(span) };
    for (_, account) in users.iter() {
        match &account.value {
            Value::Table(fields) => secret_fields(fields, plain, spans),
            _ => spans.push(account.span),
        }
    }
}

/// Of an account, everything but these keys is taken for secret.
fn secret_fields(fields: &Table<'_>, plain: &[&str], spans: &mut Vec<Span>) {
    for (key, field) in fields.iter() {
        if !plain.contains(&&*key.text) {
            value(&field.value, field.span, true, spans);
        }
    }
}

fn table(fields: &Table<'_>, secret: bool, spans: &mut Vec<Span>) {
    for (key, field) in fields.iter() {
        let name: &str = &key.text;
        if name == "basic" {
            match &field.value {
                Value::Table(fields) => secret_fields(fields, &["username"], spans),
                _ => spans.push(field.span),
            }
        } else if secret && matches!(name, "env" | "file") {
            // Names the secret, does not hold it.
        } else {
            let secret = secret || sounds_secret(name) || maybe_account(name, &field.value);
            value(&field.value, field.span, secret, spans);
        }
    }
}

/// Whether a setting that takes no account seems to have one, with its password.
fn maybe_account(key: &str, value: &Value<'_>) -> bool {
    match value {
        Value::String(text) if key == "credentials" => text.contains(':'),
        Value::String(text) if matches!(key, "url" | "public_url" | "content_origins") => text.contains('@'),
        Value::Array(array) => array.items.iter().any(|item| maybe_account(key, &item.value)),
        _ => false,
    }
}

fn value(value_: &Value<'_>, span: Span, secret: bool, spans: &mut Vec<Span>) {
    match value_ {
        Value::Table(fields) => table(fields, secret, spans),
        Value::Array(array) => {
            for item in &array.items {
                value(&item.value, item.span, secret, spans);
            }
        }
        // Flags and small settings such as `limits.password_cache` are fine to show.
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Datetime(_) if secret => {
            spans.push(span);
        }
        _ => {}
    }
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let setting = matches!(key.as_str(), "password_hashing" | "password_cache" | "token_cache" | "pass_headers");
    !setting && ["pass", "pwd", "secret", "hash", "credential_value"].iter().any(|word| key.contains(word))
}

/// What to hide of a line that is no TOML: nothing is known of it but its text. A line that mentions a secret is shown up to
/// its first `=`; a line that neither assigns nor opens a table may be the middle of a secret text, and is not shown.
pub(super) fn broken_line(source: &Source<'_>, line: usize) -> Vec<Span> {
    let whole = source.line_span(line);
    let text = source.slice(whole);
    let trimmed = text.trim_start();
    let suspicious = sounds_secret(text)
        || text.contains("basic")
        || text.contains('@')
        || text.contains("$2")
        || text.contains("$argon2")
        || text.contains("sha256:")
        || text.contains("tgk_");
    match text.find('=') {
        Some(at) if suspicious => vec![Span { start: whole.start + at + 1, end: whole.end }],
        Some(_) => Vec::new(),
        // A list whose key stands on a line before it begins like a header.
        None if trimmed.is_empty() || (trimmed.starts_with('[') && !suspicious && !begins_with_text(trimmed)) => {
            Vec::new()
        }
        None => vec![whole],
    }
}

/// Whether a text in quotes is the first of what these brackets open.
fn begins_with_text(brackets: &str) -> bool {
    brackets.trim_start_matches(['[', ' ', '\t']).starts_with(['"', '\''])
}
