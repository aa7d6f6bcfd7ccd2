//! Where the provider's program listens.

use crate::programs::home::{Home, Isp};
use crate::support::certificates::ROUTER;
use crate::support::tls::{PROVIDER, router};

/// Proves SC-3-02, SC-3-03, CH-5.1-07, DR-4.1-01: on the port of Call Home, unless it is told another.
#[test]
fn an_address_without_a_port_has_that_of_call_home() {
    let mut isp = Isp::new("listening");
    isp.arguments.extend(["--listen", "127.46.47.3", "--listen", "127.46.47.3:4700"].map(str::to_owned));
    isp.start();
    let config = router(isp.root.issue(ROUTER), &isp.root);
    for port in [4647, 4700] {
        let called = Home::call(&config, PROVIDER, ([127, 46, 47, 3], port).into());
        assert!(called.is_ok(), "nobody listens on port {port}");
    }
}
