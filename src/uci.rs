//! The reader of OpenWrt's configuration files.
//!
//! It takes a file for what `uci show` takes it for: quotes may span lines, a backslash takes the next character as it is, an
//! option set to nothing is not set, while a list may hold empty items. Of a file that `uci` refuses it still reads what it can:
//! a line that nobody understands harms the section it stands in, and no other.

use std::fmt;
use std::str::Chars;

/// The longest file read, in bytes; a home with hundreds of devices needs a tenth of it.
pub const MAX_LENGTH: usize = 64 * 1024;

/// Most faults of a file: behind them nothing is read, for each may have cost a look at all that follows it.
const MAX_ERRORS: usize = 64;

/// U+FEFF, with which some editors begin a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file is none of OpenWrt's configuration files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    line: u32,
    reason: Reason,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The file is longer than [`MAX_LENGTH`].
    TooLong,
    /// It starts with none of `config`, `option`, `list` and `package`.
    UnknownCommand,
    /// The kind of a section or the name of an option is missing.
    MissingArgument,
    /// Something follows the value.
    TooManyArguments,
    /// A kind with spaces or characters other than printable ASCII.
    BadKind,
    /// A name of other characters than letters, digits and underscores.
    BadName,
    /// An option before the first section.
    OutsideSection,
    /// A section of this name but of another kind came before.
    OtherKind,
    /// A quote that is never closed.
    OpenQuote,
    /// A zero byte, which no text holds.
    Zero,
    /// The file begins with a byte order mark.
    ByteOrderMark,
    /// Behind so many faults nothing more is read.
    TooManyErrors,
}

impl SyntaxError {
    /// Where, counted from 1.
    pub fn line(self) -> u32 {
        self.line
    }

    /// What is wrong there.
    pub fn reason(self) -> Reason {
        self.reason
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {})", self.reason, self.line)
    }
}

impl std::error::Error for SyntaxError {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the file is too long",
            Self::UnknownCommand => "the line starts with none of config, option and list",
            Self::MissingArgument => "the line is incomplete",
            Self::TooManyArguments => "there is too much on the line, a value with spaces needs quotes",
            Self::BadKind => "this is no kind of a section",
            Self::BadName => "a name has letters, digits and underscores only",
            Self::OutsideSection => "an option before the first section",
            Self::OtherKind => "another section of this name is of another kind",
            Self::OpenQuote => "a quote is never closed",
            Self::Zero => "a zero byte",
            Self::ByteOrderMark => "a byte order mark, which uci does not take: save the file without",
            Self::TooManyErrors => "what follows is not read: there are too many faults",
        })
    }
}

/// A `config` block with what stands below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    kind: String,
    name: Option<String>,
    line: u32,
    settings: Vec<Setting>,
    errors: Vec<SyntaxError>,
}

impl Section {
    /// Lines in it that can't be read, so that nobody knows what it says in full.
    pub fn errors(&self) -> &[SyntaxError] {
        &self.errors
    }

    /// One without settings.
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), name: Some(name.to_owned()), line: 0, settings: Vec::new(), errors: Vec::new() }
    }

    /// Sets an option or a list, in place of what was there.
    pub fn set_value(&mut self, name: &str, value: SettingValue) {
        match self.settings.iter_mut().find(|known| known.name == name) {
            Some(known) => known.value = value,
            None => self.settings.push(Setting { name: name.to_owned(), value, line: 0 }),
        }
    }

    /// Its kind: the first word after `config`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its name, if it bears one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it begins, counted from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// What is set, each name once, in the order of the first mention.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The later option takes the place of what was there; one without a value changes nothing.
    fn set(&mut self, name: String, value: String, line: u32) {
        if value.is_empty() {
            return;
        }
        let setting = Setting { name, value: SettingValue::Scalar(value), line };
        match self.settings.iter_mut().find(|known| known.name == setting.name) {
            Some(known) => *known = setting,
            None => self.settings.push(setting),
        }
    }

    /// An option of the same name becomes the first item.
    fn add(&mut self, name: String, item: String, line: u32) {
        match self.settings.iter_mut().find(|known| known.name == name) {
            Some(known) => known.value.add(item),
            None => self.settings.push(Setting { name, value: SettingValue::List(vec![item]), line }),
        }
    }
}

/// An option or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    name: String,
    value: SettingValue,
    line: u32,
}

impl Setting {
    /// The name of the option or list.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is set to.
    pub fn value(&self) -> &SettingValue {
        &self.value
    }

    /// Where, counted from 1: the last mention of an option, the first of a list.
    pub fn line(&self) -> u32 {
        self.line
    }
}

/// What an option is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// An `option`, never empty.
    Scalar(String),
    /// One or more `list` lines; items may be empty.
    List(Vec<String>),
}

impl SettingValue {
    fn add(&mut self, item: String) {
        match self {
            Self::List(items) => items.push(item),
            Self::Scalar(first) => *self = Self::List(vec![std::mem::take(first), item]),
        }
    }
}

/// Writes a configuration file, as `uci` would.
pub fn render(sections: &[Section]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let mut text = String::new();
    for section in sections {
        let name = section.name().map_or_else(String::new, |name| format!(" {}", quoted(name)));
        text += &format!("config {}{name}\n", section.kind());
        for setting in section.settings() {
            match setting.value() {
                SettingValue::Scalar(value) => text += &format!("\toption {} {}\n", setting.name(), quoted(value)),
                SettingValue::List(items) => {
                    items.iter().for_each(|item| text += &format!("\tlist {} {}\n", setting.name(), quoted(item)));
                }
            }
        }
        text.push('\n');
    }
    text
}

/// Reads a configuration file as `uci` does.
///
/// # Errors
/// The first line that `uci` would refuse.
pub fn parse(text: &str) -> Result<Vec<Section>, SyntaxError> {
    let (sections, errors) = read(text)?;
    let all = errors.into_iter().chain(sections.iter().flat_map(|section| section.errors.iter().copied()));
    all.min_by_key(|error| error.line).map_or(Ok(sections), Err)
}

/// Reads what can be read of a configuration file: its sections, and the lines outside of them that can't be read.
///
/// # Errors
/// [`Reason::TooLong`]
pub fn read(text: &str) -> Result<(Vec<Section>, Vec<SyntaxError>), SyntaxError> {
    if text.len() > MAX_LENGTH {
        return Err(SyntaxError { line: 1, reason: Reason::TooLong });
    }
    let mut sections = Sections::default();
    let marked = text.strip_prefix(BYTE_ORDER_MARK);
    if marked.is_some() {
        sections.errors.push(SyntaxError { line: 1, reason: Reason::ByteOrderMark });
    }
    let mut reader = Reader { rest: marked.unwrap_or(text).chars(), line: 1 };
    let mut count = 0;
    while reader.skip_to_command() {
        let (start, line) = (reader.clone(), reader.line);
        let Err(reason) = reader.command().and_then(|words| sections.take(words, line)) else { continue };
        // A quote that is never closed, or by the next one, may have swallowed lines that are good.
        reader = start;
        sections.blame(&reader.plain_word(), SyntaxError { line, reason });
        reader.skip_line();
        count += 1;
        if count >= MAX_ERRORS {
            sections.errors.push(SyntaxError { line: reader.line, reason: Reason::TooManyErrors });
            break;
        }
    }
    Ok((sections.all, sections.errors))
}

/// The words of one command.
#[derive(Clone)]
struct Reader<'a> {
    rest: Chars<'a>,
    line: u32,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line = self.line.saturating_add(1);
        }
        next
    }

    /// Whether there is another command.
    fn skip_to_command(&mut self) -> bool {
        while let Some(c) = self.peek() {
            match c {
                '#' => self.skip_line(),
                c if c == ';' || is_space(c) => {
                    self.next();
                }
                _ => return true,
            }
        }
        false
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    fn command(&mut self) -> Result<Vec<String>, Reason> {
        let mut words = vec![self.plain_word()];
        loop {
            match self.peek() {
                None | Some('\n' | ';' | '#') => return Ok(words),
                Some(c) if is_space(c) => {
                    self.next();
                }
                Some(_) => words.push(self.word()?),
            }
        }
    }

    /// The command itself: nothing is special in it.
    fn plain_word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| !matches!(c, ' ' | '\t' | '\n')) {
            word.push(c);
            self.next();
        }
        word
    }

    fn word(&mut self) -> Result<String, Reason> {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|&c| !is_space(c) && c != ';' && c != '#') {
            self.next();
            match c {
                '\'' => self.single_quoted(&mut word)?,
                '"' => self.double_quoted(&mut word)?,
                '\\' => self.escaped(&mut word)?,
                c => push(&mut word, c)?,
            }
        }
        Ok(word)
    }

    fn single_quoted(&mut self, word: &mut String) -> Result<(), Reason> {
        loop {
            match self.next().ok_or(Reason::OpenQuote)? {
                '\'' => return Ok(()),
                c => push(word, c)?,
            }
        }
    }

    fn double_quoted(&mut self, word: &mut String) -> Result<(), Reason> {
        loop {
            match self.next().ok_or(Reason::OpenQuote)? {
                '"' => return Ok(()),
                '\\' => self.escaped(word)?,
                c => push(word, c)?,
            }
        }
    }

    /// What follows a backslash: the end of a line is passed over, everything else taken as it is.
    fn escaped(&mut self, word: &mut String) -> Result<(), Reason> {
        if self.rest.as_str().starts_with("\r\n") {
            self.next();
        }
        match self.next() {
            None | Some('\n') => Ok(()),
            Some(c) => push(word, c),
        }
    }
}

fn push(word: &mut String, c: char) -> Result<(), Reason> {
    if c == '\0' {
        return Err(Reason::Zero);
    }
    word.push(c);
    Ok(())
}

/// White space as the C library sees it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// What has been read.
#[derive(Default)]
struct Sections {
    all: Vec<Section>,
    /// The section that options belong to.
    open: Option<usize>,
    /// The section's own line can't be read, so nobody knows whose its options are.
    is_lost: bool,
    errors: Vec<SyntaxError>,
}

impl Sections {
    fn take(&mut self, words: Vec<String>, line: u32) -> Result<(), Reason> {
        let mut words = words.into_iter();
        let command = words.next().unwrap_or_default();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let too_many = words.any(|word| !word.is_empty());
        match command.as_str() {
            "option" | "o" | "list" | "l" if self.is_lost => {}
            "config" | "c" | "option" | "o" | "list" | "l" if too_many => return Err(Reason::TooManyArguments),
            "config" | "c" => self.open_section(first, second, line)?,
            "option" | "o" => self.current()?.set(option_name(first)?, second, line),
            "list" | "l" => self.current()?.add(option_name(first)?, second, line),
            // The file's own name says the same.
            "package" | "p" => package(&first, &second)?,
            _ => return Err(Reason::UnknownCommand),
        }
        Ok(())
    }

    /// Notes a line that can't be read by the section it stands in, or as the line of one.
    fn blame(&mut self, command: &str, error: SyntaxError) {
        // A word with this letter is meant to begin a section.
        if command.starts_with(['c', 'C']) {
            self.open = None;
            self.is_lost = true;
        }
        match self.open.and_then(|open| self.all.get_mut(open)) {
            Some(section) => section.errors.push(error),
            None => self.errors.push(error),
        }
    }

    fn current(&mut self) -> Result<&mut Section, Reason> {
        self.open.and_then(|open| self.all.get_mut(open)).ok_or(Reason::OutsideSection)
    }

    fn open_section(&mut self, kind: String, name: String, line: u32) -> Result<(), Reason> {
        if kind.is_empty() {
            return Err(Reason::MissingArgument);
        }
        if !kind.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Reason::BadKind);
        }
        let name = if name.is_empty() { None } else { Some(checked(name)?) };
        let known = self.all.iter().position(|section| name.is_some() && section.name == name);
        if known.and_then(|known| self.all.get(known)).is_some_and(|section| section.kind != kind) {
            return Err(Reason::OtherKind);
        }
        self.is_lost = false;
        self.open = known.or(Some(self.all.len()));
        if known.is_none() {
            self.all.push(Section { kind, name, line, settings: Vec::new(), errors: Vec::new() });
        }
        Ok(())
    }
}

fn option_name(name: String) -> Result<String, Reason> {
    if name.is_empty() { Err(Reason::MissingArgument) } else { checked(name) }
}

/// Names are words of shell scripts.
fn checked(name: String) -> Result<String, Reason> {
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') { Ok(name) } else { Err(Reason::BadName) }
}

fn package(name: &str, rest: &str) -> Result<(), Reason> {
    if !rest.is_empty() {
        return Err(Reason::TooManyArguments);
    }
    // Unlike other names it may have a hyphen.
    option_name(name.replace('-', "_")).map(|_| ())
}
