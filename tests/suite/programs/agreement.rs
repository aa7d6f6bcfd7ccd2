//! The same credentials over both transports: what one takes the other takes too, and who is refused is told why in words.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use super::openssl::Openssl;
use crate::support::tls::{Authority, PROVIDER, ROUTER, clock};
use dots_callhome::model::Now;
use dots_callhome::transport::Channel;
use dots_callhome::transport::credentials::{Anchors, Identity};
use dots_callhome::transport::dtls::{ClientConfig, DtlsChannel};
use dots_callhome::transport::tls::TlsChannel;
use dots_callhome::transport::tls_config::client_config;

use crate::support::dtls::random;

const NAMED: &str = "subjectAltName=DNS:callhome.isp.example\nbasicConstraints=CA:FALSE\n";
const BETWEEN: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";

fn now() -> Now {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    Now { instant: Instant::now(), unix }
}

/// Calls a provider that shows this, with OpenSSL's server, and tells what the router says.
struct Call<'a> {
    openssl: &'a Openssl,
    anchors: &'a Anchors,
    leaf: &'a str,
    chain: Option<&'a str>,
}

impl Call<'_> {
    fn identity() -> Identity {
        Authority::new("Ours").issue(ROUTER)
    }

    fn tls(&self) -> Result<(), String> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = self.openssl.serve(port, false, self.leaf, self.chain);
        let mut stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(_) => {
                    assert!(server.is_running(), "OpenSSL's server has ended");
                    std::thread::yield_now();
                }
            }
        };
        let config = client_config(Self::identity(), self.anchors, clock(now().unix)).unwrap();
        let mut channel = TlsChannel::client(config.config, PROVIDER).unwrap();
        let mut bytes = [0; 4096];
        while !channel.is_established() {
            while let Some(out) = channel.poll_transmit() {
                stream.write_all(&out).map_err(|error| error.to_string())?;
            }
            let length = stream.read(&mut bytes).map_err(|error| error.to_string())?;
            assert_ne!(length, 0, "the server has gone");
            channel.handle_input(&bytes[..length], now()).map_err(|failure| failure.to_string())?;
        }
        Ok(())
    }

    fn dtls(&self) -> Result<(), String> {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = self.openssl.serve(port, true, self.leaf, self.chain);
        // Else a second passes until the first datagram is sent again.
        let bound = format!("0100007F:{port:04X} ");
        while !std::fs::read_to_string("/proc/self/net/udp").unwrap().contains(&bound) {
            assert!(server.is_running(), "OpenSSL's server has ended");
            std::thread::yield_now();
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        let config =
            ClientConfig::certificate(&Self::identity(), self.anchors, random(1)).map_err(|f| f.to_string())?;
        let mut channel = DtlsChannel::client(&config, PROVIDER, None, now()).unwrap();
        let mut bytes = [0; 4096];
        while !channel.is_established() {
            while let Some(out) = channel.poll_transmit() {
                // Nobody may be there yet; it is sent again.
                let _ = socket.send(&out);
            }
            let outcome = match socket.recv(&mut bytes) {
                Ok(length) => channel.handle_input(&bytes[..length], now()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
                    assert!(server.is_running(), "OpenSSL's server has ended");
                    channel.handle_timeout(now())
                }
                Err(error) => panic!("{error}"),
            };
            outcome.map_err(|failure| failure.to_string())?;
        }
        Ok(())
    }
}

/// Words are what people read: no names of the code's own, no numbers of a library's.
fn is_words(text: &str) -> bool {
    ["0x", "{", "Other(", "Error", "::"].iter().all(|odd| !text.contains(odd))
}

/// Both say the same of a provider that shows this, and return what.
fn agreed(openssl: &Openssl, ca: &str, leaf: &str, chain: Option<&str>) -> Result<(), String> {
    let anchors = Anchors::read(&openssl.read(ca)).unwrap();
    let call = Call { openssl, anchors: &anchors, leaf, chain };
    let (tls, dtls) = (call.tls(), call.dtls());
    assert_eq!(tls, dtls, "{ca}, {leaf}, {chain:?}");
    assert!(tls.as_ref().err().is_none_or(|why| is_words(why)), "{tls:?}");
    tls
}

/// What an authority signs itself with says nothing (RFC 5280 section 6.1); what it signs others with does.
#[test]
fn authorities_of_all_kinds() {
    let o = Openssl::new("authorities");
    let constrained = " -addext nameConstraints=critical,permitted;DNS:isp.example";
    for (name, kind, more) in [
        ("p256", "P-256", ""),
        ("p384", "P-384", ""),
        ("p521", "P-521", ""),
        ("rsa", "RSA", ""),
        ("sha1", "RSA", " -sha1"),
        ("ecdsa-sha1", "P-256", " -sha1"),
        ("md5", "RSA", " -md5"),
        ("sha512", "P-256", " -sha512"),
        ("pss", "RSA", " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20"),
        ("constrained", "P-256", constrained),
    ] {
        o.authority(name, kind, more);
        o.issue("leaf", "P-256", name, PROVIDER, NAMED, "");
        assert_eq!(agreed(&o, &format!("{name}.pem"), "leaf", None), Ok(()), "{name}");
    }
    o.authority("elsewhere", "P-256", " -addext nameConstraints=critical,permitted;DNS:other.example");
    o.issue("leaf", "P-256", "elsewhere", PROVIDER, NAMED, "");
    assert!(agreed(&o, "elsewhere.pem", "leaf", None).unwrap_err().contains("may not sign for its name"));
}

/// The signature of what is to be verified: each with each.
#[test]
fn signatures_of_all_kinds() {
    let o = Openssl::new("signatures");
    o.authority("rsa", "RSA", "");
    for kind in ["P-256", "P-384", "P-521"] {
        o.authority(kind, kind, "");
        for hash in ["sha256", "sha384", "sha512"] {
            o.issue("leaf", "P-384", kind, PROVIDER, NAMED, &format!(" -{hash}"));
            assert_eq!(agreed(&o, &format!("{kind}.pem"), "leaf", None), Ok(()), "{kind} {hash}");
        }
    }
    for hash in ["sha256", "sha384", "sha512"] {
        o.issue("leaf", "RSA", "rsa", PROVIDER, NAMED, &format!(" -{hash}"));
        assert_eq!(agreed(&o, "rsa.pem", "leaf", None), Ok(()), "{hash}");
        let pss = format!(" -{hash} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest");
        o.issue("leaf", "P-256", "rsa", PROVIDER, NAMED, &pss);
        assert_eq!(agreed(&o, "rsa.pem", "leaf", None), Ok(()), "PSS {hash}");
    }
    o.issue("leaf", "P-521", "P-256", PROVIDER, NAMED, "");
    assert_eq!(agreed(&o, "P-256.pem", "leaf", None), Ok(()), "a leaf on P-521");
    for (name, kind) in [("other", "P-521"), ("another", "P-256")] {
        o.authority(name, kind, "");
        o.run(&format!("req -x509 -new -key {name}.key -subj /CN={kind} -days 9 -out {name}.pem"));
        o.issue("leaf", "P-256", name, PROVIDER, NAMED, "");
        let why = agreed(&o, &format!("{kind}.pem"), "leaf", None).unwrap_err();
        assert!(why.contains("unknown authority"), "of the same name, but another: {why}");
    }
}

/// What is weak or unknown is refused by both, even if in other words: DTLS can't read it at all.
#[test]
fn weak_signatures_are_refused() {
    let o = Openssl::new("weak");
    o.authority("rsa", "RSA", "");
    o.authority("short", "RSA-1024", "");
    for hash in ["sha1", "md5"] {
        o.issue("leaf", "P-256", "rsa", PROVIDER, NAMED, &format!(" -{hash}"));
        let anchors = Anchors::read(&o.read("rsa.pem")).unwrap();
        let call = Call { openssl: &o, anchors: &anchors, leaf: "leaf", chain: None };
        for why in [call.tls().unwrap_err(), call.dtls().unwrap_err()] {
            assert!(why.starts_with("the peer's certificate") && is_words(&why), "{why}");
        }
    }
    for kind in ["RSA-PSS", "secp256k1", "ED448"] {
        o.authority(kind, kind, "");
        o.join("both.pem", &[&format!("{kind}.pem"), "rsa.pem", "short.pem"]);
        assert!(Anchors::read(&o.read(&format!("{kind}.pem"))).is_err(), "{kind}");
        let left_out: Vec<String> =
            Anchors::read(&o.read("both.pem")).unwrap().left_out().iter().map(ToString::to_string).collect();
        assert_eq!(left_out.len(), 2, "{left_out:?}");
        assert!(left_out[0].starts_with(&format!("certificate 1 ({kind}) is not used: nothing can be verified with")));
        assert_eq!(
            left_out[1],
            "certificate 3 (short) is not used: nothing can be verified with an RSA key of 1024 bits"
        );
    }
}

/// The order of a chain means nothing, nor what is too much in it (RFC 8446 section 4.4.2).
#[test]
fn chains_in_any_order() {
    let o = Openssl::new("chains");
    o.authority("ca", "P-256", "");
    o.authority("stranger", "RSA", " -sha1");
    o.issue("i1", "P-256", "ca", "One", BETWEEN, "");
    o.issue("i2", "RSA", "i1", "Two", BETWEEN, "");
    o.issue("leaf", "P-256", "i2", PROVIDER, NAMED, "");
    for (number, files) in [
        ["i2.pem", "i1.pem"].as_slice(),
        &["i1.pem", "i2.pem"],
        &["ca.pem", "i1.pem", "i2.pem"],
        &["i1.pem", "ca.pem", "stranger.pem", "i2.pem"],
        &["leaf.pem", "i1.pem", "i1.pem", "i2.pem", "i2.pem"],
    ]
    .iter()
    .enumerate()
    {
        let name = format!("chain-{number}.pem");
        o.join(&name, files);
        assert_eq!(agreed(&o, "ca.pem", "leaf", Some(&name)), Ok(()), "{files:?}");
    }
    for files in [["i1.pem"].as_slice(), &["i2.pem"], &["stranger.pem", "i2.pem"]] {
        o.join("short.pem", files);
        assert!(
            agreed(&o, "ca.pem", "leaf", Some("short.pem")).unwrap_err().contains("unknown authority"),
            "{files:?}"
        );
    }
    for bad in ["basicConstraints=CA:FALSE\n", "basicConstraints=critical,CA:TRUE\nkeyUsage=digitalSignature\n"] {
        o.issue("i3", "P-256", "ca", "Three", bad, "");
        o.issue("leaf", "P-256", "i3", PROVIDER, NAMED, "");
        assert!(agreed(&o, "ca.pem", "leaf", Some("i3.pem")).unwrap_err().contains("unknown authority"), "{bad}");
    }
}

/// What a leaf must not be.
#[test]
fn leaves_of_odd_kinds() {
    let o = Openssl::new("leaves");
    o.authority("ca", "P-256", "");
    o.authority("self", "P-256", " -addext subjectAltName=DNS:callhome.isp.example");
    assert!(agreed(&o, "self.pem", "self", None).unwrap_err().contains("(CA:TRUE)"));
    o.issue("leaf", "P-256", "ca", PROVIDER, &NAMED.replace("CA:FALSE", "critical,CA:TRUE"), "");
    assert!(agreed(&o, "ca.pem", "leaf", None).unwrap_err().contains("(CA:TRUE)"));
    o.issue("leaf", "P-256", "ca", PROVIDER, "", "");
    assert!(agreed(&o, "ca.pem", "leaf", None).unwrap_err().contains("old version"));
    o.issue("leaf", "P-256", "ca", PROVIDER, "basicConstraints=CA:FALSE\n", "");
    assert!(agreed(&o, "ca.pem", "leaf", None).unwrap_err().contains("is not for callhome.isp.example"));
    o.issue("leaf", "P-256", "ca", PROVIDER, &format!("{NAMED}extendedKeyUsage=clientAuth\n"), "");
    assert!(agreed(&o, "ca.pem", "leaf", None).unwrap_err().contains("for another use"));
    o.key("alone", "P-256");
    let alone = "req -x509 -new -key alone.key -subj /CN=Alone -days 9 -out alone.pem";
    let plain = "-addext basicConstraints=CA:FALSE -addext subjectAltName=DNS:callhome.isp.example";
    o.run(&format!("{alone} {plain}"));
    assert_eq!(agreed(&o, "alone.pem", "alone", None), Ok(()), "trusted itself");
}
