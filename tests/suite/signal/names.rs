//! Names and URIs of a request are shown to people, and must do nothing else.

use crate::support::signal::*;

/// They are answered with 4.00, and nothing is kept of them.
#[test]
fn names_that_do_not_show_are_refused() {
    for mut house in House::both() {
        for name in
            ["\u{1b}[2J.example", "a\u{202e}cod.example", "a\u{200b}.example", "a\nb.example", "a\u{9b}.example"]
        {
            for key in [11, 12] {
                let answer = house.want(1, &wanted(&format!("{key}:[\"{name}\"]")));
                assert!(answer.starts_with("4.00") && answer.contains("do not show"), "{answer}");
            }
        }
        assert!(
            house
                .want(1, &wanted("11:[\"a.example\",\"b\u{fc}cher.example\"],12:[\"https://a.example/b?c\"]"))
                .starts_with("2.01")
        );
    }
}
