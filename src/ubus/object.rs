//! Methods of an object: what they take, and whether that is what was given.
//!
//! The broker shows a method's arguments (`ubus -v list`) but checks nothing. Here an argument nobody asked for is an
//! error, as is one of another type, one given twice or one missing.

use ubus::{BlobIter, BlobType, BlobValue};

use super::blob::{Writer, array, integer, text};

/// Added by LuCI's bridge to every call, so every method takes it.
const SESSION: &str = "ubus_rpc_session";
/// Longest session identifier; rpcd's have 32 characters.
const LONGEST_SESSION: usize = 64;
/// CallArguments of one call take no more bytes.
const LONGEST: usize = 16 * 1024;

/// Why a call is answered without a reply: the statuses of the bus we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UbusStatus {
    /// An argument is missing, unknown, of the wrong type or of no use.
    InvalidArgument = 2,
    /// No such method.
    MethodNotFound = 3,
    /// No such mitigation or device.
    NotFound = 4,
    /// Not possible in this state.
    NotSupported = 8,
    /// The caller asks for more than can be sent.
    UnknownError = 9,
}

/// The type of an argument; the number is blobmsg's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArgumentType {
    /// An array of strings.
    Texts = 1,
    Text = 3,
    /// An integer of any width.
    Integer = 5,
}

/// One argument of a method.
#[derive(Debug)]
pub(super) struct Argument {
    name: &'static str,
    kind: ArgumentType,
    required: bool,
}

impl Argument {
    pub(super) const fn required(name: &'static str, kind: ArgumentType) -> Self {
        Self { name, kind, required: true }
    }

    pub(super) const fn optional(name: &'static str, kind: ArgumentType) -> Self {
        Self { name, kind, required: false }
    }
}

/// One method: its name, its arguments, and what makes a `T` of them.
#[derive(Debug)]
pub(super) struct ObjectMethod<T> {
    pub(super) name: &'static str,
    pub(super) policy: &'static [Argument],
    pub(super) read: fn(&CallArguments<'_>) -> Result<T, UbusStatus>,
}

/// What the broker shows of the methods.
pub(super) fn signature<T>(methods: &[ObjectMethod<T>]) -> Vec<u8> {
    let mut writer = Writer::default();
    for method in methods {
        writer.table(Some(method.name), |w| {
            for argument in method.policy {
                w.int32(argument.name, argument.kind as i32);
            }
        });
    }
    writer.into_bytes()
}

/// Finds the method and reads what it was given; the session too, if one was.
pub(super) fn read<T>(methods: &[ObjectMethod<T>], name: &str, data: &[u8]) -> Result<(T, Option<String>), UbusStatus> {
    let method = methods.iter().find(|method| method.name == name).ok_or(UbusStatus::MethodNotFound)?;
    let arguments = CallArguments::check(method.policy, data)?;
    let session = arguments.text(SESSION).map(str::to_owned);
    if session.as_ref().is_some_and(|session| session.len() > LONGEST_SESSION) {
        return Err(UbusStatus::InvalidArgument);
    }
    Ok(((method.read)(&arguments)?, session))
}

/// The arguments of one call, each of the type it must have.
#[derive(Debug)]
pub(super) struct CallArguments<'a>(Vec<(&'a str, BlobValue<'a>)>);

impl<'a> CallArguments<'a> {
    fn check(policy: &[Argument], data: &'a [u8]) -> Result<Self, UbusStatus> {
        if data.len() > LONGEST {
            return Err(UbusStatus::InvalidArgument);
        }
        let mut given = Self(Vec::new());
        let mut entries = BlobIter::new(data);
        while let Some(entry) = entries.try_next().map_err(|_| UbusStatus::InvalidArgument)? {
            let name = entry.name.ok_or(UbusStatus::InvalidArgument)?;
            let kind = if name == SESSION { Some(ArgumentType::Text) } else { kind_of(policy, name) };
            let kind = kind.filter(|_| given.get(name).is_none()).ok_or(UbusStatus::InvalidArgument)?;
            // JSON's null stands for an argument that is not given.
            if entry.ty != BlobType::Unspec {
                let value = entry.value().ok().filter(|value| fits(value, kind)).ok_or(UbusStatus::InvalidArgument)?;
                given.0.push((name, value));
            }
        }
        let complete = policy.iter().all(|argument| !argument.required || given.get(argument.name).is_some());
        if complete { Ok(given) } else { Err(UbusStatus::InvalidArgument) }
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(integer)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(text)
    }

    /// The strings of an array; an empty one, or one with anything else in it, is an error.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<&'a str>>, UbusStatus> {
        let Some(array) = self.get(name).and_then(array) else { return Ok(None) };
        let mut texts = Vec::new();
        let mut elements = BlobIter::new(array);
        while let Some(element) = elements.try_next().map_err(|_| UbusStatus::InvalidArgument)? {
            texts.push(element.as_str().ok_or(UbusStatus::InvalidArgument)?);
        }
        if texts.is_empty() { Err(UbusStatus::InvalidArgument) } else { Ok(Some(texts)) }
    }

    fn get(&self, name: &str) -> Option<&BlobValue<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

fn kind_of(policy: &[Argument], name: &str) -> Option<ArgumentType> {
    policy.iter().find(|argument| argument.name == name).map(|argument| argument.kind)
}

fn fits(value: &BlobValue<'_>, kind: ArgumentType) -> bool {
    match kind {
        ArgumentType::Texts => matches!(value, BlobValue::Array(_)),
        ArgumentType::Text => text(value).is_some(),
        ArgumentType::Integer => integer(value).is_some(),
    }
}
