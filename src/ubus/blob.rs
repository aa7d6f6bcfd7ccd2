//! Values of blobmsg, the bus's data format, as we write and read them.
//!
//! Nothing here or above descends by recursion, so nesting needs no bound: who reads a table inside a table says so.

use ubus::{BlobBuilder, BlobIter, BlobMsgTable, BlobValue};

/// Builds a table. Numbers are 64 bits wide, so that counters and times need no second thought.
#[derive(Default)]
pub(super) struct Writer(BlobBuilder);

impl Writer {
    /// The table that `fill` describes.
    pub(super) fn table_of(fill: impl FnOnce(&mut Self)) -> BlobMsgTable {
        let mut writer = Self::default();
        writer.table(None, fill);
        writer.0.finish_table()
    }

    pub(super) fn table(&mut self, name: Option<&str>, fill: impl FnOnce(&mut Self)) {
        self.0.open_table(name);
        fill(self);
        self.0.close_table();
    }

    /// A table that was built before.
    pub(super) fn put(&mut self, name: Option<&str>, table: &BlobMsgTable) {
        self.0.put_table(name, table);
    }

    /// An array, each element written by `each`.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.0.open_array(Some(name));
        for item in items {
            each(self, item);
        }
        self.0.close_array();
    }

    /// An array of what the items print.
    pub(super) fn texts<T: ToString>(&mut self, name: &str, items: impl IntoIterator<Item = T>) {
        self.list(name, items, |w, item| w.element(&item.to_string()));
    }

    /// An element of an array.
    pub(super) fn element(&mut self, text: &str) {
        self.0.put_str(None, &whole(text));
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.0.put_str(Some(name), &whole(text));
    }

    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A number; what exceeds a signed 64-bit integer is shown as the largest one.
    pub(super) fn number(&mut self, name: &str, number: impl Into<u64>) {
        self.0.put_i64(Some(name), signed(number.into()));
    }

    /// A number as an element of an array.
    pub(super) fn number_element(&mut self, number: impl Into<u64>) {
        self.0.put_i64(None, signed(number.into()));
    }

    /// A 32-bit integer: what ubusd itself reads, and types in a signature.
    pub(super) fn int32(&mut self, name: &str, number: i32) {
        self.0.put_i32(Some(name), number);
    }

    pub(super) fn boolean(&mut self, name: &str, truth: bool) {
        self.0.put_bool(Some(name), truth);
    }

    /// The bytes of what was written, without a table around it.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.finish()
    }
}

/// Strings end at a zero byte there; one inside would hide what follows.
fn whole(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The named entries of a table; ends where it is malformed, and leaves out values that are.
pub(super) fn entries(table: &[u8]) -> impl Iterator<Item = (&str, BlobValue<'_>)> {
    BlobIter::new(table).filter_map(|entry| Some((entry.name?, entry.value().ok()?)))
}

/// The elements of an array; ends where it is malformed, and leaves out values that are.
pub(super) fn elements(array: &[u8]) -> impl Iterator<Item = BlobValue<'_>> {
    BlobIter::new(array).filter_map(|element| element.value().ok())
}

/// An integer of any width: callers send the one that fits.
pub(super) fn integer(value: &BlobValue<'_>) -> Option<i64> {
    match *value {
        BlobValue::Int8(number) => Some(number.into()),
        BlobValue::Int16(number) => Some(number.into()),
        BlobValue::Int32(number) => Some(number.into()),
        BlobValue::Int64(number) => Some(number),
        _ => None,
    }
}

pub(super) fn text<'a>(value: &BlobValue<'a>) -> Option<&'a str> {
    match *value {
        BlobValue::String(text) => Some(text),
        _ => None,
    }
}

pub(super) fn array<'a>(value: &BlobValue<'a>) -> Option<&'a [u8]> {
    match *value {
        BlobValue::Array(elements) => Some(elements),
        _ => None,
    }
}

pub(super) fn table<'a>(value: &BlobValue<'a>) -> Option<&'a [u8]> {
    match *value {
        BlobValue::Table(entries) => Some(entries),
        _ => None,
    }
}
