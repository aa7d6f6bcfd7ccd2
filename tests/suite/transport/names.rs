//! A name is proven for each session anew, whatever was proven before.

use crate::support::dtls::*;
use dots_callhome::transport::Failure;
use dots_callhome::transport::dtls::DtlsChannel;

/// After a redirect another name is to be proven: what was saved of a session with the first one is no proof of it.
#[test]
fn a_saved_session_proves_no_other_name() {
    const OTHER: &str = "other.isp.example";
    let root = Authority::new("Root");
    let (server, config) = (server(&root, PROVIDER), client(&root, ROUTER));
    let mut first = World::between(&server, &config, None);
    first.connect();
    let session = first.client.session();
    assert!(session.is_some());
    let mut again = World::between(&server, &config, session);
    again.connect();
    assert!(again.client.is_resumed());

    let mut elsewhere = World::between(&server, &config, None);
    elsewhere.client = DtlsChannel::client(&config, OTHER, session, elsewhere.now).unwrap();
    let (failure, _) = elsewhere.fail();
    assert_eq!(failure, Some(Failure::WrongName(OTHER.into())));
}
