use std::fmt;

use crate::outcome::{Failure, FailureCode};

/// Why a server refuses or ends a test, as it tells its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub code: ErrorCode,
    /// What the server knows.
    pub failure: Failure,
}

macro_rules! codes {
    ($($name:ident = $number:literal, $kind:ident, $text:literal;)*) => {
        /// iperf3's numbers for what can go wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = concat!(stringify!($number), ": ", $text, ".")] $name,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the number on the wire.
            #[must_use]
            pub fn number(self) -> i32 {
                match self { $(Self::$name => $number,)* }
            }

            /// Returns what it means.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Returns what the caller can do about it.
            #[must_use]
            pub fn kind(self) -> FailureCode {
                match self { $(Self::$name => FailureCode::$kind,)* }
            }
        }
    };
}

codes! {
    NoRole = 1, Unsupported, "neither client nor server was asked for";
    ServerOnly = 2, Unsupported, "an option that only a server has";
    ClientOnly = 3, Unsupported, "an option that only a client has";
    BothRoles = 4, Unsupported, "client and server at once";
    Duration = 5, Denied, "the time is longer than a day";
    Streams = 6, Denied, "the number of streams is out of range";
    BlockSize = 7, Denied, "the block size is out of range";
    BufferSize = 8, Denied, "the window is out of range";
    Interval = 9, Denied, "the reporting interval is out of range";
    SegmentSize = 10, Denied, "the segment size is out of range";
    NoSendfile = 11, Unsupported, "zero copy is not possible";
    Omit = 12, Denied, "the omitted time is out of range";
    Unimplemented = 13, Unsupported, "the test is not possible here";
    File = 14, Unsupported, "the file cannot be opened";
    Burst = 15, Denied, "the burst is out of range";
    EndConditions = 16, Unsupported, "more than one limit";
    LogFile = 17, Unsupported, "the log file cannot be opened";
    NoSctp = 18, Unsupported, "SCTP is not available";
    UdpBlockSize = 20, Denied, "the datagram size is out of range";
    Tos = 21, Denied, "the type of service is out of range";
    ClientAuth = 22, Unsupported, "the client's credentials are incomplete";
    ServerAuth = 23, Unsupported, "the server's keys are incomplete";
    Format = 24, Unsupported, "an unknown format";
    ReverseBidirectional = 25, Unsupported, "reverse and bidirectional at once";
    Port = 26, Denied, "the port is out of range";
    TotalRate = 27, Denied, "the rate is beyond what the server permits";
    RateInterval = 28, Unsupported, "the interval for the rate limit is out of range";
    Skew = 29, Unsupported, "the permitted clock difference is out of range";
    IdleTimeout = 30, Unsupported, "the idle time is out of range";
    ReceiveTimeout = 31, Unsupported, "the receive timeout is out of range";
    ReverseReceiveTimeout = 32, Unsupported, "a receive timeout where nothing is received";
    SendTimeout = 33, Unsupported, "the send timeout is out of range";
    UdpFile = 34, Unsupported, "a file cannot be sent over UDP";
    UsersFile = 35, Unsupported, "the users file cannot be read";
    KeepaliveOption = 36, Unsupported, "the keepalive settings are out of range";
    MaxDuration = 37, Denied, "the test is longer than the server permits";
    Unit = 38, Unsupported, "an unknown unit";
    SkipReceiveCopy = 39, Unsupported, "receiving without a copy is not possible";
    Dscp = 40, Denied, "the DSCP is out of range";
    NewTest = 100, Internal, "the test could not be set up";
    Init = 101, Internal, "the test could not be initialized";
    Listen = 102, Connect, "the server cannot listen";
    Connect = 103, Connect, "the server cannot be reached";
    Accept = 104, Connect, "the connection cannot be accepted";
    SendCookie = 105, PeerLost, "the cookie cannot be sent";
    ReceiveCookie = 106, PeerLost, "no cookie arrived";
    ControlWrite = 107, PeerLost, "the control connection cannot be written to";
    ControlRead = 108, PeerLost, "the control connection cannot be read from";
    ControlClosed = 109, PeerLost, "the control connection was closed";
    UnknownMessage = 110, Protocol, "an unknown message on the control connection";
    SendMessage = 111, PeerLost, "a message cannot be sent";
    ReceiveMessage = 112, PeerLost, "a message was due and did not arrive";
    SendParams = 113, PeerLost, "the parameters cannot be sent";
    ReceiveParams = 114, Protocol, "the parameters cannot be read";
    PackageResults = 115, Internal, "the results cannot be put together";
    SendResults = 116, PeerLost, "the results cannot be sent";
    ReceiveResults = 117, Protocol, "the results cannot be read";
    Select = 118, Internal, "waiting for events failed";
    ClientTerminated = 119, Cancelled, "the client was told to stop";
    ServerTerminated = 120, Draining, "the server was told to stop";
    AccessDenied = 121, Busy, "the server is busy with another test; try again later";
    SetNoDelay = 122, Unsupported, "no delay cannot be set";
    SetSegmentSize = 123, Unsupported, "the segment size cannot be set";
    SetBuffer = 124, Unsupported, "the socket buffers cannot be set";
    SetTos = 125, Unsupported, "the type of service cannot be set";
    SetTrafficClass = 126, Unsupported, "the traffic class cannot be set";
    SetFlowLabel = 127, Unsupported, "the flow label cannot be set";
    ReuseAddress = 128, Internal, "the address cannot be used again";
    NonBlocking = 129, Internal, "the socket cannot be made non-blocking";
    SetWindow = 130, Unsupported, "the window cannot be set";
    Protocol = 131, Unsupported, "the protocol is not available";
    Affinity = 132, Unsupported, "the processor cannot be chosen";
    Daemon = 133, Internal, "the server cannot go to the background";
    SetCongestion = 134, Unsupported, "the congestion control cannot be set";
    PidFile = 135, Internal, "the process id cannot be written";
    V6Only = 136, Internal, "the address family cannot be set";
    SetSctpFragment = 137, Unsupported, "SCTP fragmentation cannot be set";
    SetSctpStreams = 138, Unsupported, "the number of SCTP streams cannot be set";
    BindSctp = 139, Unsupported, "SCTP addresses cannot be bound";
    SetPacing = 140, Unsupported, "the pacing rate cannot be set";
    BufferMismatch = 141, Unsupported, "the socket buffers are not as asked for";
    AuthFailed = 142, Denied, "user, password or time are not accepted";
    BindDevice = 143, Unsupported, "the device cannot be bound to";
    NoMessage = 144, Stalled, "no data arrived for too long";
    DontFragment = 145, Unsupported, "fragmentation cannot be forbidden";
    HostDevice = 146, Unsupported, "the device in the host cannot be bound to";
    HostDeviceFamily = 147, Unsupported, "a device in the host needs an IPv6 link-local address";
    UserTimeout = 148, Unsupported, "the user timeout cannot be set";
    ThreadAttributes = 150, Internal, "thread attributes cannot be set";
    ThreadCreate = 151, Internal, "a thread cannot be started";
    ThreadCancel = 152, Internal, "a thread cannot be stopped";
    ThreadJoin = 153, Internal, "a thread cannot be waited for";
    ThreadAttributesEnd = 154, Internal, "thread attributes cannot be released";
    Keepalive = 155, Unsupported, "keepalive cannot be set";
    KeepaliveIdle = 156, Unsupported, "the keepalive idle time cannot be set";
    KeepaliveInterval = 157, Unsupported, "the keepalive interval cannot be set";
    KeepaliveCount = 158, Unsupported, "the keepalive count cannot be set";
    SignalMask = 159, Internal, "the signal mask cannot be set";
    DurationExpired = 160, Timeout, "the test took longer than it was to take";
    CreateStream = 200, Connect, "a stream cannot be created";
    InitStream = 201, Connect, "a stream cannot be initialized";
    StreamListen = 202, Connect, "the server cannot listen for streams";
    StreamConnect = 203, Connect, "a stream cannot be connected";
    StreamAccept = 204, Timeout, "not all streams were opened";
    StreamWrite = 205, Stream, "a stream cannot be written to";
    StreamRead = 206, Stream, "a stream cannot be read from";
    StreamClosed = 207, Stream, "a stream was closed early";
    StreamId = 208, Protocol, "results of a stream that does not exist";
    NewTimer = 300, Internal, "a timer cannot be created";
    UpdateTimer = 301, Internal, "a timer cannot be changed";
}

impl ErrorCode {
    /// Returns the code with this number, if it is known.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// Returns the code that comes closest to a failure of this kind.
    #[must_use]
    pub fn closest(kind: FailureCode) -> Self {
        match kind {
            FailureCode::Connect => Self::StreamConnect,
            FailureCode::Busy => Self::AccessDenied,
            FailureCode::Draining => Self::ServerTerminated,
            FailureCode::Protocol => Self::UnknownMessage,
            FailureCode::PeerLost => Self::ControlClosed,
            FailureCode::Timeout => Self::ReceiveMessage,
            FailureCode::Stalled => Self::NoMessage,
            FailureCode::Stream => Self::StreamRead,
            FailureCode::Cancelled => Self::ClientTerminated,
            FailureCode::Internal => Self::Init,
            _ => Self::Unimplemented,
        }
    }

    /// Returns the failure that a client knows when its server has sent this number.
    #[must_use]
    pub fn failure_of(number: i32) -> Failure {
        match Self::from_number(number) {
            Some(code) => {
                let text = format!("the server ended the test with error {number}: {code}");
                Failure::new(code.kind(), text)
            }
            None => {
                let text =
                    format!("the server ended the test with error {number}, which is unknown");
                Failure::new(FailureCode::Protocol, text)
            }
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Refusal {
    /// Returns a refusal with this code and this explanation.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, failure: Failure::new(code.kind(), message) }
    }
}

/// Takes the code that comes closest. Where a limit was exceeded, say which: [`Refusal::new`].
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { code: ErrorCode::closest(failure.code), failure }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_number_of_its_own() {
        let numbers: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
            assert!(!code.text().ends_with('.'));
        }
        assert_eq!(ErrorCode::from_number(149), None);
    }

    #[test]
    fn an_error_from_a_server_is_told_with_what_it_means() {
        let failure = ErrorCode::failure_of(142);
        assert_eq!(failure.code, FailureCode::Denied);
        assert!(failure.message.contains("142: user, password"), "{failure}");
        assert_eq!(ErrorCode::failure_of(-7).code, FailureCode::Protocol);
        assert_eq!(ErrorCode::AccessDenied.kind(), FailureCode::Busy);
    }
}
