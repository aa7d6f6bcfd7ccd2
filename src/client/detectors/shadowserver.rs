//! Reports of the Shadowserver Foundation: CSV with a header, times in UTC.

use std::net::IpAddr;

use super::{BadReport, Sighting, protocol};

/// Seconds after which a source port means another flow: routers remember ended ones for ten minutes.
pub(super) const PORT_AGE: u64 = 600;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line it begins in, or its number among reports, from 1.
    pub line: usize,
    /// When it was seen, seconds since 1970.
    pub at: u64,
    /// What was seen.
    pub sighting: Sighting,
    /// The malware or the kind of report, in the feed's words.
    pub what: String,
}

/// Reads a feed: each row, or what is wrong with it.
///
/// # Errors
/// The header lacks a column that is needed.
pub fn read_feed(text: &str, now: u64) -> Result<Vec<Result<Row, BadReport>>, BadReport> {
    let mut records = records(text).into_iter();
    let header = records.next().map(|(_, header)| header).unwrap_or_default();
    let column = |name: &str| header.iter().position(|column| column.trim_start_matches('\u{feff}') == name);
    let needed = |name: &'static str| column(name).ok_or(BadReport::Column(name));
    let (time, source, target) = (needed("timestamp")?, needed("src_ip")?, needed("dst_ip")?);
    let (source_port, target_port, name) = (column("src_port"), column("dst_port"), column("protocol"));
    let words = [column("infection"), column("family"), column("tag")];
    let row = |(line, record): (usize, Vec<String>)| {
        let text = |column: usize| record.get(column).map(String::as_str).unwrap_or_default();
        let wrong = |column, value: &str| BadReport::Value { line, column, value: value.to_owned() };
        let address = |index, column| text(index).parse::<IpAddr>().map_err(|_| wrong(column, text(index)));
        let port = |index: Option<usize>, column| match index.map(text).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| wrong(column, text)),
        };
        let at = unix(text(time)).ok_or_else(|| wrong("timestamp", text(time)))?;
        let source_port: Option<u16> = port(source_port, "src_port")?.filter(|_| now.saturating_sub(at) < PORT_AGE);
        let sighting = Sighting {
            source: address(source, "src_ip")?,
            source_ports: source_port.into_iter().collect(),
            target: address(target, "dst_ip")?,
            target_ports: port(target_port, "dst_port")?.into_iter().collect(),
            protocol: name.and_then(|name| protocol(text(name))),
        };
        let what = words.iter().flatten().map(|&index| text(index)).find(|text| !text.is_empty()).unwrap_or("unnamed");
        Ok(Row { line, at, sighting, what: what.to_owned() })
    };
    Ok(records.map(row).collect())
}

/// The records of a CSV text (RFC 4180), with the lines in which they begin; empty lines are none.
fn records(text: &str) -> Vec<(usize, Vec<String>)> {
    let (mut all, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begin, mut is_quoted) = (1, 1, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        line += usize::from(character == '\n');
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => field.push(character),
            ',' => record.push(std::mem::take(&mut field)),
            '\r' => {}
            '\n' => {
                finish(&mut all, begin, &mut record, &mut field);
                begin = line;
            }
            _ => field.push(character),
        }
    }
    finish(&mut all, begin, &mut record, &mut field);
    all
}

fn finish(all: &mut Vec<(usize, Vec<String>)>, begin: usize, record: &mut Vec<String>, field: &mut String) {
    if !record.is_empty() || !field.is_empty() {
        record.push(std::mem::take(field));
        all.push((begin, std::mem::take(record)));
    }
}

/// Seconds since 1970 of a time like `2026-11-28 21:14:07`, with a `T` and a `Z` too.
pub(super) fn unix(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches('Z');
    let (date, time) = text.split_once([' ', 'T'])?;
    let numbers =
        |text: &str, by: char| text.split(by).map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    let ([year, month, day], [hour, minute, second]) = (
        <[u64; 3]>::try_from(numbers(date, '-')?).ok()?,
        <[u64; 3]>::try_from(numbers(time.split('.').next()?, ':')?).ok()?,
    );
    let is_time = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_time || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // March is the first month, so that the day that some years have more is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}
