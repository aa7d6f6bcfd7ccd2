//! CBOR (RFC 8949) as DOTS uses it: a strict reader of bounded trees, and their writer.

use std::collections::BTreeMap;

use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};

/// Deepest nesting taken; DOTS itself needs 7.
const DEEPEST: u8 = 16;
/// The tag of a whole DOTS object (RFC 9132 section 10.5).
const DOTS: u64 = 271;
/// The tag of a decimal fraction (RFC 8949 section 3.4.4).
const DECIMAL_FRACTION: u64 = 4;

/// A data item. Maps are ordered by key, so the same content has the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Major type 0.
    Unsigned(u64),
    /// Major type 1, down to the smallest `i64`.
    Negative(i64),
    /// Major type 3.
    Text(String),
    /// Major type 4.
    Array(Vec<Value>),
    /// Major type 5.
    Map(BTreeMap<Value, Value>),
    /// Simple values 20 and 21.
    Bool(bool),
    /// Tag 4: `mantissa * 10^exponent`.
    Decimal {
        /// Power of ten.
        exponent: i64,
        /// Digits.
        mantissa: i64,
    },
    /// Anything DOTS has no use for, its content dropped.
    Other,
}

/// The bytes are no single well-formed item, nest too deeply, or repeat a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<minicbor::decode::Error> for Malformed {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

impl Value {
    /// Reads exactly one item; the DOTS tag around it is accepted and dropped.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let value = item(&mut decoder, DEEPEST)?;
        if decoder.position() == bytes.len() { Ok(value) } else { Err(Malformed) }
    }

    /// Writes it, with lengths stated.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        let Ok(()) = write(&mut encoder, self);
        encoder.into_writer()
    }

    /// A map with numbered keys.
    pub fn map<const N: usize>(entries: [(u16, Option<Self>); N]) -> Self {
        let some =
            entries.into_iter().filter_map(|(key, value)| value.map(|value| (Self::Unsigned(key.into()), value)));
        Self::Map(some.collect())
    }

    /// A map with one numbered key.
    pub fn only(key: u16, value: Self) -> Self {
        Self::map([(key, Some(value))])
    }

    /// An array; nothing for no items, as DOTS forbids empty ones (RFC 9132 section 4.4.1).
    pub fn list<T>(items: &[T], one: impl Fn(&T) -> Self) -> Option<Self> {
        (!items.is_empty()).then(|| Self::Array(items.iter().map(one).collect()))
    }
}

fn item(decoder: &mut Decoder<'_>, depth: u8) -> Result<Value, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed)?;
    Ok(match decoder.datatype()? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::Unsigned(decoder.u64()?),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => Value::Negative(decoder.i64()?),
        Type::Int => {
            decoder.int()?;
            Value::Other
        }
        Type::String => Value::Text(decoder.str()?.to_owned()),
        Type::StringIndef => {
            let pieces: Result<String, _> = decoder.str_iter()?.collect();
            Value::Text(pieces?)
        }
        Type::Array | Type::ArrayIndef => array(decoder, depth)?,
        Type::Map | Type::MapIndef => map(decoder, depth)?,
        Type::Bool => Value::Bool(decoder.bool()?),
        Type::Tag => tagged(decoder, depth)?,
        Type::Break | Type::Unknown(_) => return Err(Malformed),
        _ => {
            decoder.skip()?;
            Value::Other
        }
    })
}

/// Whether another item of a container follows.
fn follows(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, Malformed> {
    match left {
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
        None if decoder.datatype()? == Type::Break => {
            decoder.skip()?;
            Ok(false)
        }
        None => Ok(true),
    }
}

fn array(decoder: &mut Decoder<'_>, depth: u8) -> Result<Value, Malformed> {
    let mut left = decoder.array()?;
    let mut items = Vec::new();
    while follows(decoder, &mut left)? {
        items.push(item(decoder, depth)?);
    }
    Ok(Value::Array(items))
}

fn map(decoder: &mut Decoder<'_>, depth: u8) -> Result<Value, Malformed> {
    let mut left = decoder.map()?;
    let mut entries = BTreeMap::new();
    while follows(decoder, &mut left)? {
        let key = item(decoder, depth)?;
        if entries.insert(key, item(decoder, depth)?).is_some() {
            return Err(Malformed);
        }
    }
    Ok(Value::Map(entries))
}

fn tagged(decoder: &mut Decoder<'_>, depth: u8) -> Result<Value, Malformed> {
    let tag = decoder.tag()?.as_u64();
    let inner = item(decoder, depth)?;
    match (tag, &inner) {
        (DOTS, _) if depth == DEEPEST - 1 => Ok(inner),
        (DECIMAL_FRACTION, Value::Array(parts)) => match parts.as_slice() {
            [exponent, mantissa] => {
                let (Some(exponent), Some(mantissa)) = (integer(exponent), integer(mantissa)) else {
                    return Ok(Value::Other);
                };
                Ok(Value::Decimal { exponent, mantissa })
            }
            _ => Err(Malformed),
        },
        _ => Ok(Value::Other),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Unsigned(number) => i64::try_from(*number).ok(),
        Value::Negative(number) => Some(*number),
        _ => None,
    }
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(encoder: &mut Encoder<Vec<u8>>, value: &Value) -> Result<(), std::convert::Infallible> {
    // A vector takes all bytes, so no branch of this can fail.
    let _: Written = match value {
        Value::Unsigned(number) => encoder.u64(*number).map(drop),
        Value::Negative(number) => encoder.i64(*number).map(drop),
        Value::Text(text) => encoder.str(text).map(drop),
        Value::Bool(truth) => encoder.bool(*truth).map(drop),
        Value::Decimal { exponent, mantissa } => encoder
            .tag(Tag::new(DECIMAL_FRACTION))
            .and_then(|e| e.array(2))
            .and_then(|e| e.i64(*exponent))
            .and_then(|e| e.i64(*mantissa))
            .map(drop),
        Value::Other => encoder.null().map(drop),
        Value::Array(items) => {
            let begun = encoder.array(items.len() as u64).map(drop);
            for item in items {
                write(encoder, item)?;
            }
            begun
        }
        Value::Map(entries) => {
            let begun = encoder.map(entries.len() as u64).map(drop);
            for (key, value) in entries {
                write(encoder, key)?;
                write(encoder, value)?;
            }
            begun
        }
    };
    Ok(())
}
