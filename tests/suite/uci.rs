//! The reader of OpenWrt's configuration files: what it takes a file for, and what it refuses.

use dots_callhome::uci::{self, MAX_LENGTH, Reason, Section, SettingValue};

/// As `uci show` prints it, with sections numbered where they have no name.
fn show(text: &str) -> String {
    let sections = uci::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let mut lines = String::new();
    for (index, section) in sections.iter().enumerate() {
        let name = section.name().map_or_else(|| index.to_string(), str::to_owned);
        lines += &format!("{name}={}\n", section.kind());
        for setting in section.settings() {
            let values = match setting.value() {
                SettingValue::Scalar(value) => vec![value.clone()],
                SettingValue::List(items) => items.clone(),
            };
            let values: Vec<String> =
                values.iter().map(|value| format!("'{}'", value.replace('\'', "'\\''"))).collect();
            lines += &format!("{name}.{}={}\n", setting.name(), values.join(" "));
        }
    }
    lines
}

fn refused(text: &str) -> (u32, Reason) {
    let error = uci::parse(text).expect_err(text);
    (error.line(), error.reason())
}

fn setting<'a>(sections: &'a [Section], name: &str) -> &'a SettingValue {
    let settings = sections.iter().flat_map(Section::settings);
    settings.filter(|setting| setting.name() == name).map(|setting| setting.value()).next_back().unwrap()
}

#[test]
fn a_file_as_uci_writes_it() {
    let text = "\npackage dots-callhome\n\nconfig globals 'globals'\n\toption enabled '1'\n\nconfig peer 'isp'\n\
        \tlist address '192.0.2.1'\n\tlist address '2001:db8::1'\n\toption name 'it'\\''s'\n\nconfig device\n\n";
    let shown = "globals=globals\nglobals.enabled='1'\nisp=peer\nisp.address='192.0.2.1' '2001:db8::1'\n\
        isp.name='it'\\''s'\n2=device\n";
    assert_eq!(show(text), shown);
}

#[test]
fn files_as_people_write_them() {
    let cases = [
        // Tabs, carriage returns, short words, comments, no quotes, no final newline.
        (
            "  config\tpeer  isp # mine\r\n# option x 1\n\n\to a 1#2\r\n\tl b \"x y\" # z",
            "isp=peer\nisp.a='1'\nisp.b='x y'\n",
        ),
        // Quotes side by side are one word, and what looks special in them is not.
        ("config a\noption b x'y z'\"#;'\\\"\"\\ w", "0=a\n0.b='xy z#;'\\''\" w'\n"),
        // Quotes span lines; a backslash takes the line's end away, but not within single quotes.
        ("config a\noption b 'x\ny\\\nz'\noption c \"x\\\ny\nz\"", "0=a\n0.b='x\ny\\\nz'\n0.c='xy\nz'\n"),
        ("config a\noption b x\\\ny\noption c x\\\r\ny\\\n", "0=a\n0.b='xy'\n0.c='xy'\n"),
        // An option set to nothing is not set, and takes nothing back; a list may hold nothing.
        ("config a\noption b ''\noption c\noption d 1\noption d ''\nlist e\nlist e ''", "0=a\n0.d='1'\n0.e='' ''\n"),
        // The last one counts; an option before a list is its first item; an option after a list replaces it.
        ("config a\noption b 1\noption b 2", "0=a\n0.b='2'\n"),
        ("config a\noption b 1\noption c 1\nlist b 2", "0=a\n0.b='1' '2'\n0.c='1'\n"),
        ("config a\nlist b 1\noption c 1\nlist b 2", "0=a\n0.b='1' '2'\n0.c='1'\n"),
        ("config a\nlist b 1\noption b 2", "0=a\n0.b='2'\n"),
        // A section of the same name goes on where it was; those without a name are each their own.
        ("config a x\noption b 1\nconfig a y\nconfig a x\noption c 2", "x=a\nx.b='1'\nx.c='2'\ny=a\n"),
        ("config a\nconfig a ''\noption b 1", "0=a\n1=a\n1.b='1'\n"),
        // Kinds may have hyphens and more, the file's name hyphens.
        ("package a-b\nconfig wifi-iface.2", "0=wifi-iface.2\n"),
        // Several commands on a line.
        ("config a b ; option c d ;", "b=a\nb.c='d'\n"),
        ("", ""),
        ("# nothing\n\n", ""),
    ];
    for (text, shown) in cases {
        assert_eq!(show(text), shown, "{text}");
    }
}

#[test]
fn what_is_no_configuration_is_refused_with_its_line() {
    let cases = [
        ("{\"json\": 1}", 1, Reason::UnknownCommand),
        ("config a\n\nconfiguration b", 3, Reason::UnknownCommand),
        ("config a\n''option b 1", 2, Reason::UnknownCommand),
        ("\\config a", 1, Reason::UnknownCommand),
        ("config", 1, Reason::MissingArgument),
        ("config a\noption", 2, Reason::MissingArgument),
        ("config a\noption '' x", 2, Reason::MissingArgument),
        ("package", 1, Reason::MissingArgument),
        ("config a b c", 1, Reason::TooManyArguments),
        ("config a\noption b c d", 2, Reason::TooManyArguments),
        ("config a\noption b 'c' 'd'", 2, Reason::TooManyArguments),
        ("package a b", 1, Reason::TooManyArguments),
        ("config 'a b'", 1, Reason::BadKind),
        ("config kamera-für-garage", 1, Reason::BadKind),
        ("config a b-c", 1, Reason::BadName),
        ("config a\noption b.c 1", 2, Reason::BadName),
        ("config a\nlist ä 1", 2, Reason::BadName),
        ("package a/b", 1, Reason::BadName),
        ("option b 1", 1, Reason::OutsideSection),
        ("list b 1", 1, Reason::OutsideSection),
        ("config a x\nconfig b x", 2, Reason::OtherKind),
        ("config a\noption b 'c\n\n\n", 2, Reason::OpenQuote),
        ("config a\noption b \"c\\\"", 2, Reason::OpenQuote),
        ("config a\noption b 'c\0d'", 2, Reason::Zero),
        ("config a\noption b c\0d", 2, Reason::Zero),
    ];
    for (text, line, reason) in cases {
        assert_eq!(refused(text), (line, reason), "{text}");
    }
}

/// A value over several lines counts where it begins, and what follows is counted right.
#[test]
fn lines_are_counted_through_values() {
    let sections = uci::parse("config a\noption b 'x\n\ny'\nlist c \\\\1\nlist c 2\n\nconfig a").unwrap();
    let lines: Vec<u32> = sections[0].settings().iter().map(|setting| setting.line()).collect();
    assert_eq!((lines, sections[1].line()), (vec![2, 5], 8));
}

#[test]
fn length_is_bounded() {
    let longest = format!("config a\noption b '{}'", "x".repeat(MAX_LENGTH - 20));
    assert_eq!(longest.len(), MAX_LENGTH);
    assert!(uci::parse(&longest).is_ok());
    assert_eq!(refused(&(longest + "\n")), (1, Reason::TooLong));
}

/// What is read from a file, written as uci writes it, is read again as the same.
fn written(sections: &[Section]) -> String {
    let quoted = |value: &str| format!("'{}'", value.replace('\'', "'\\''"));
    let mut text = String::new();
    for section in sections {
        text += &format!("config {} {}\n", quoted(section.kind()), quoted(section.name().unwrap_or_default()));
        for setting in section.settings() {
            match setting.value() {
                SettingValue::Scalar(value) => text += &format!("option {} {}\n", setting.name(), quoted(value)),
                SettingValue::List(items) => {
                    items.iter().for_each(|item| text += &format!("list {} {}\n", setting.name(), quoted(item)));
                }
            }
        }
    }
    text
}

#[test]
fn hostile_text_is_read_or_refused() {
    let text = "config a 'b'\n\toption c 'd\\e'\\''f'\n\tlist g \"h\\\"i\\\n\"\n\tlist g ''\n#;\nconfig a\r\n\toption j k;option l m\n";
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    for cut in 0..text.len() {
        drop(uci::parse(&text[..cut]));
    }
    let special = ['\'', '"', '\\', '\n', '#', ';', ' ', 'x', '\0', 'ü'];
    let mut read = 0;
    for _ in 0..20_000 {
        let mut hostile: Vec<char> = text.chars().collect();
        for _ in 0..=random(3) {
            let at = random(hostile.len());
            hostile[at] = special[random(special.len())];
        }
        let hostile: String = hostile.into_iter().collect();
        let Ok(sections) = uci::parse(&hostile) else { continue };
        read += 1;
        let again = uci::parse(&written(&sections)).unwrap_or_else(|error| panic!("{error}: {hostile}"));
        assert_eq!(show(&written(&again)), show(&hostile), "{hostile}");
    }
    assert!(read > 500, "{read} read");
}

/// A backslash is not decoded: what follows it is taken as it is.
#[test]
fn escapes_are_not_decoded() {
    let sections = uci::parse("config a\noption b \"x\\ny\"\noption c \\t\noption d '\\n'").unwrap();
    assert_eq!(setting(&sections, "b"), &SettingValue::Scalar("xny".to_owned()));
    assert_eq!(setting(&sections, "c"), &SettingValue::Scalar("t".to_owned()));
    assert_eq!(setting(&sections, "d"), &SettingValue::Scalar("\\n".to_owned()));
}

/// Its sections as `show` has them, and all lines that can't be read: of sections by their kind, of none.
fn recovered(text: &str) -> (String, Vec<(String, u32, Reason)>) {
    let (sections, errors) = uci::read(text).unwrap();
    let of = |kind: &str, error: &uci::SyntaxError| (kind.to_owned(), error.line(), error.reason());
    let mut all: Vec<_> = errors.iter().map(|error| of("", error)).collect();
    all.extend(sections.iter().flat_map(|section| section.errors().iter().map(|error| of(section.kind(), error))));
    let settings = |section: &Section| {
        section.settings().iter().map(|setting| setting.name().to_owned()).collect::<Vec<_>>().join(",")
    };
    let shown: Vec<String> =
        sections.iter().map(|section| format!("{}:{}", section.kind(), settings(section))).collect();
    (shown.join(" "), all)
}

/// What can't be read harms its own section: the lines before and behind it count.
#[test]
fn a_broken_line_harms_its_own_section() {
    let at = |kind: &str, line, reason| (kind.to_owned(), line, reason);
    for (text, shown, errors) in [
        // The quote is never closed, or by the next one.
        ("config a\no b 1\no c 'x\no d 2\nconfig e\no f 3\n", "a:b,d e:f", vec![at("a", 3, Reason::OpenQuote)]),
        ("config a\no b Ron's\no c 'x'\nconfig e\no f 'y'\n", "a:c e:f", vec![at("a", 2, Reason::OpenQuote)]),
        ("config a\nopton b 1\no c 2\n", "a:c", vec![at("a", 2, Reason::UnknownCommand)]),
        ("config a\n<<<<<<< x\no c 2\nconfig e\n", "a:c e:", vec![at("a", 2, Reason::UnknownCommand)]),
        (
            "config a\no b 1 2\nl c 1 2\no d-e 3\no f 4",
            "a:f",
            vec![
                at("a", 2, Reason::TooManyArguments),
                at("a", 3, Reason::TooManyArguments),
                at("a", 4, Reason::BadName),
            ],
        ),
        // Options of a section that nobody knows are nobody's.
        ("config a\no b 1\nconfg c\no d 2\nl e 3\nconfig f\no g 4", "a:b f:g", vec![at("", 3, Reason::UnknownCommand)]),
        ("config a\no b 1\nconfig c 'd d'\no e 2\n", "a:b", vec![at("", 3, Reason::BadName)]),
        ("config a x\no b 1\nconfig c x\no d 2\n", "a:b", vec![at("", 3, Reason::OtherKind)]),
        ("o b 1\nconfig a\no c 2\n", "a:c", vec![at("", 1, Reason::OutsideSection)]),
        ("\u{feff}config a\no b 1\n", "a:b", vec![at("", 1, Reason::ByteOrderMark)]),
        ("config a\no b x\0y\no c 1\n", "a:c", vec![at("a", 2, Reason::Zero)]),
        ("config a\no b '\u{fffd}'\n", "a:b", vec![]),
    ] {
        assert_eq!(recovered(text), (shown.to_owned(), errors), "{text:?}");
    }
}

/// However many quotes are open, the time it takes is bounded, and where it ends is told.
#[test]
fn faults_are_bounded() {
    let (shown, errors) = recovered(&format!("config a\n{}config b\n", "x\n".repeat(1000)));
    assert_eq!((shown.as_str(), errors.len()), ("a:", 65));
    assert!(errors.contains(&(String::new(), 66, Reason::TooManyErrors)));
}

/// What `uci` takes is read the same way, and what it refuses is told.
#[test]
fn both_readers_agree() {
    for text in ["", "config a\no b 1\n", "config a\nx\n", "config a 'b\n", "o a b", "package x y\nconfig a"] {
        let (sections, errors) = uci::read(text).unwrap();
        let is_whole = errors.is_empty() && sections.iter().all(|section| section.errors().is_empty());
        assert_eq!(uci::parse(text).is_ok(), is_whole, "{text:?}");
    }
}
