use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// What a JSON object holds under the keys that are asked for.
///
/// Keys are compared without regard to case, the first of several counts, and others are passed
/// over: so what is kept is bounded by what is asked for.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Scalar)>);

/// Reads [`Fields`] with these keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys(pub(super) &'static [&'static str]);

/// A JSON value, without the inside of what is not a scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Array,
    Object,
}

/// A JSON number, both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    /// Without its fraction, and no further than 64 bits reach.
    pub(super) whole: i64,
    pub(super) real: f64,
}

impl Fields {
    pub(super) fn get(&self, key: &str) -> Option<&Scalar> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    pub(super) fn number(&self, key: &str) -> Option<Number> {
        match self.get(key) {
            Some(Scalar::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn keep(&mut self, key: &'static str, value: Scalar) {
        if self.get(key).is_none() {
            self.0.push((key, value));
        }
    }
}

impl Keys {
    /// Returns the key that is meant.
    pub(super) fn find(self, key: &str) -> Option<&'static str> {
        self.0.iter().copied().find(|known| known.eq_ignore_ascii_case(key))
    }
}

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<String>()? {
            match self.find(&key).filter(|key| fields.get(key).is_none()) {
                Some(key) => fields.keep(key, map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

impl Scalar {
    /// Returns what kind of value it is.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "the exact value stands beside it")]
    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(Number { whole: value, real: value as f64 }))
    }

    #[allow(clippy::cast_precision_loss, reason = "the exact value stands beside it")]
    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        let whole = i64::try_from(value).unwrap_or(i64::MAX);
        Ok(Scalar::Number(Number { whole, real: value as f64 }))
    }

    #[allow(clippy::cast_possible_truncation, reason = "the nearest value is wanted")]
    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(Number { whole: value as i64, real: value }))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}

/// Reads a JSON text with `seed`. What follows the value is passed over, as iperf3 does.
pub(super) fn read<'de, S: DeserializeSeed<'de>>(
    text: &'de [u8],
    seed: S,
) -> Result<S::Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    seed.deserialize(&mut deserializer).map_err(|error| error.to_string())
}
