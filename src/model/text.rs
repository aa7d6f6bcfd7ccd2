//! Texts of others, as they may be shown.

/// The text with a space for each character that does not show itself but does something: that steers a terminal, begins a line,
/// turns the direction of reading round, or hides.
pub fn printable(text: &str) -> String {
    text.replace(|c| !is_printable(c), " ")
}

/// Whether a character only shows itself.
pub(crate) fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
