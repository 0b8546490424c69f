//! jaq's values as compact JSON of a bounded length.

use jaq_json::{Num, Val};

use super::FilterError;

/// Compact JSON, in the order in which the filter put the keys.
pub(super) fn compact(value: &Val, limit: usize) -> Result<String, FilterError> {
    let mut out = String::new();
    write(value, &mut out, limit)?;
    check(&out, limit)?;
    Ok(out)
}

fn write(value: &Val, out: &mut String, limit: usize) -> Result<(), FilterError> {
    check(out, limit)?;
    match value {
        Val::Null => out.push_str("null"),
        Val::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Val::Num(Num::Float(number)) if !number.is_finite() => return Err(FilterError::NotJson),
        Val::Num(_) => out.push_str(&value.to_string()),
        Val::TStr(bytes) => text(bytes, out)?,
        Val::BStr(_) => return Err(FilterError::NotJson),
        Val::Arr(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write(item, out, limit)?;
            }
            out.push(']');
        }
        Val::Obj(entries) => {
            out.push('{');
            for (n, (key, item)) in entries.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                let Val::TStr(key) = key else { return Err(FilterError::NotJson) };
                text(key, out)?;
                out.push(':');
                write(item, out, limit)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn text(bytes: &[u8], out: &mut String) -> Result<(), FilterError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FilterError::NotJson)?;
    out.push_str(&serde_json::to_string(text).map_err(|_| FilterError::NotJson)?);
    Ok(())
}

fn check(out: &str, limit: usize) -> Result<(), FilterError> {
    if out.len() > limit { Err(FilterError::TooLong { limit }) } else { Ok(()) }
}
