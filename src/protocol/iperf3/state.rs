use crate::outcome::Side;

/// A control message of one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Server: all streams are in.
    TestStart,
    /// Server: go.
    TestRunning,
    /// Client: the test is over.
    TestEnd,
    /// Server: tell me what you want.
    ParamExchange,
    /// Server: open the streams.
    CreateStreams,
    /// Server: I was told to stop.
    ServerTerminate,
    /// Client: I was told to stop.
    ClientTerminate,
    /// Server: tell me your results, and I tell mine.
    ExchangeResults,
    /// Server: you have everything.
    DisplayResults,
    /// Client: goodbye.
    IperfDone,
    /// Server: another test is running.
    AccessDenied,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::TestStart,
        Self::TestRunning,
        Self::TestEnd,
        Self::ParamExchange,
        Self::CreateStreams,
        Self::ServerTerminate,
        Self::ClientTerminate,
        Self::ExchangeResults,
        Self::DisplayResults,
        Self::IperfDone,
        Self::AccessDenied,
    ];

    /// Returns the byte on the wire.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::TestStart => 1,
            Self::TestRunning => 2,
            Self::TestEnd => 4,
            Self::ParamExchange => 9,
            Self::CreateStreams => 10,
            Self::ServerTerminate => 11,
            Self::ClientTerminate => 12,
            Self::ExchangeResults => 13,
            Self::DisplayResults => 14,
            Self::IperfDone => 16,
            Self::AccessDenied => 0xff,
        }
    }

    /// Returns the state that `sender` means by this byte; `None` where it may not send it.
    #[must_use]
    pub fn from_byte(byte: u8, sender: Side) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.byte() == byte && state.is_from(sender))
    }

    /// Returns the state's name, as iperf3 has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TestStart => "TEST_START",
            Self::TestRunning => "TEST_RUNNING",
            Self::TestEnd => "TEST_END",
            Self::ParamExchange => "PARAM_EXCHANGE",
            Self::CreateStreams => "CREATE_STREAMS",
            Self::ServerTerminate => "SERVER_TERMINATE",
            Self::ClientTerminate => "CLIENT_TERMINATE",
            Self::ExchangeResults => "EXCHANGE_RESULTS",
            Self::DisplayResults => "DISPLAY_RESULTS",
            Self::IperfDone => "IPERF_DONE",
            Self::AccessDenied => "ACCESS_DENIED",
        }
    }

    /// Returns whether an end may hear this from `sender`. Some clients repeat the server's start,
    /// and a server's goodbye means nothing: both are heard, and passed over.
    fn is_from(self, sender: Side) -> bool {
        match sender {
            Side::Client => matches!(
                self,
                Self::TestStart | Self::TestEnd | Self::ClientTerminate | Self::IperfDone
            ),
            Side::Server => !matches!(self, Self::TestEnd | Self::ClientTerminate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_may_say_its_own_bytes_alone() {
        let valid = |sender| -> Vec<u8> {
            (0..=u8::MAX).filter(|&byte| State::from_byte(byte, sender).is_some()).collect()
        };
        assert_eq!(valid(Side::Client), [1, 4, 12, 16]);
        assert_eq!(valid(Side::Server), [1, 2, 9, 10, 11, 13, 14, 16, 0xff]);
    }
}
