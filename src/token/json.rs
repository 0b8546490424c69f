//! The parts of a token as bytes and as JSON objects in which no name stands twice. `serde_json` on its own keeps the last, others
//! the first.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Part, TokenError};

/// Decodes a part. Without padding, white space and stray bits: one token has one spelling.
pub(super) fn decode(text: &str, part: Part) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Encoding(part))
}

/// Parses one object; `part` says whose fault it is.
pub(super) fn object(bytes: &[u8], part: Part) -> Result<Map<String, Value>, TokenError> {
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(Value::Object(members))) => Ok(members),
        // The visitor below takes any value, so its only complaint about well-formed JSON is the duplicate.
        Err(error) if error.is_data() => Err(TokenError::Duplicate(part)),
        Ok(_) | Err(_) => Err(TokenError::Json(part)),
    }
}

/// An object as a field of what is parsed otherwise.
pub(super) fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    match Strict::deserialize(deserializer)? {
        Strict(Value::Object(members)) => Ok(members),
        Strict(_) => Err(D::Error::custom("not an object")),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::object;
    use crate::token::{Part, TokenError};

    #[test]
    fn names_are_unique_at_every_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"b":2}]}"#, r#"{"a":1,"\u0061":2}"#]
        {
            assert_eq!(object(text.as_bytes(), Part::Payload), Err(TokenError::Duplicate(Part::Payload)), "{text}");
        }
        assert!(object(br#"{"a":{"a":1},"A":2}"#, Part::Payload).is_ok());
    }

    #[test]
    fn only_one_whole_object_will_do() {
        for text in ["", "null", "[]", "1", r#""{}""#, "{", "{}{}", "{} x", "{\"a\":1,}", "{\"a\":\"\u{1}\"}"] {
            assert_eq!(object(text.as_bytes(), Part::Header), Err(TokenError::Json(Part::Header)), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", Part::Header), Err(TokenError::Json(Part::Header)));
        let deep = format!("{}{}{}", "{\"a\":".repeat(500), 1, "}".repeat(500));
        assert_eq!(object(deep.as_bytes(), Part::Header), Err(TokenError::Json(Part::Header)));
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_unique_names(names in prop::collection::btree_map(".{0,8}", any::<i64>(), 0..8)) {
            let value = json!({"nested": names, "list": [names, null, true, 1.5, "x"]});
            let read = object(value.to_string().as_bytes(), Part::Payload).unwrap();
            prop_assert_eq!(Value::Object(read), value);
        }
    }
}
