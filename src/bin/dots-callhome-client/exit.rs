//! What the exit code of a command says; the control socket tells the same number.

/// How a command has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something else is wrong; standard error says what.
    Other = 1,
    /// What was asked for is not understood, or of no use.
    Usage = 2,
    /// The router says no, or nobody may be asked for it.
    Refused = 3,
    /// There is no such router, request or key.
    Unknown = 4,
    /// It is kept and waits for the router.
    Waiting = 5,
    /// Another request is in its way.
    Conflict = 6,
    /// The program does not serve, or its store is away.
    Away = 7,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}
