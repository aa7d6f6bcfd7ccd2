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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_or_hides_is_gone_and_what_shows_stays() {
        let steering = "\u{1b}[2J \u{7} \n \r \t \u{7f} \u{9b}31m \u{85} \u{200b} \u{200e} \u{202e} \u{2028} \u{2066} \u{2069} \u{feff} \u{e0041} \u{ad} \u{61c}";
        assert!(printable(steering).chars().all(is_printable));
        assert_eq!(printable(steering).split_whitespace().collect::<Vec<_>>(), ["[2J", "31m"]);
        for shown in ["Küche (Kamera 2)", "冷蔵庫", "كاميرا", "दरवाज़ा", "e\u{301}", "📷 'x' \"y\" \\z"]
        {
            assert_eq!(printable(shown), shown);
        }
    }
}
