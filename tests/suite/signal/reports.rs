//! Bodies of reports: what is written can be read.

use crate::support::signal::*;
use dots_callhome::signal::body::Report;

/// No body without its `scope`, as no request; a router that knows of nothing says 4.04.
#[test]
fn a_report_has_a_scope() {
    for (body, is_report) in
        [("{1:{}}", false), ("{}", false), ("{1:{2:{}}}", false), ("{1:{2:[]}}", false), ("{1:{2:[{5:1}]}}", true)]
    {
        let read = Report::parse_all(&diag::encode(body));
        assert_eq!(read.is_ok(), is_report, "{body}: {read:?}");
        if let Ok(reports) = read {
            assert_eq!(Report::parse_all(&Report::encode_all(&reports)), Ok(reports), "{body}");
        }
    }
}
