//! Exit codes, and what is said on the way out.

use std::fmt::Write;

use crate::outcome::FailureCode;

/// Why no command is run: the text to print, and the code to leave with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Where the text belongs.
    pub stream: Stream,
    /// The exit code.
    pub code: u8,
    /// The text, with its last line ended.
    pub text: String,
}

/// A stream to print to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: the text is what the user asked for.
    Stdout,
    /// Standard error: the text says what is wrong.
    Stderr,
}

/// The test ran to its end.
pub const SUCCESS: u8 = 0;
/// The test started, but failed or was cut short by an error; of `polyperf config check`, the file
/// has mistakes; of `polyperf doctor`, something is to be mended; of `polyperf cert`, there is no such
/// identity or server, or an identity that is not replaced; of
/// `polyperf diff`, there is a regression; of `polyperf history`, there is no such test.
pub const FAILED: u8 = 1;
/// The command line is wrong, or what stands for it in the environment or the configuration file.
pub const USAGE: u8 = 2;
/// The server could not be reached.
pub const CANNOT_CONNECT: u8 = 3;
/// The server refused the test: busy, denied, draining or unsupported.
pub const REFUSED: u8 = 4;
/// The peer broke the protocol, or was lost before the test began.
pub const PEER: u8 = 5;
/// Local input or output failed.
pub const LOCAL_IO: u8 = 6;
/// The user interrupted.
pub const INTERRUPTED: u8 = 130;

/// Returns the exit code of a failure that left no outcome.
///
/// A failure in the middle of a test leaves one; its code is [`FAILED`], whatever failed.
#[must_use]
pub fn code_for(code: &FailureCode) -> u8 {
    match code {
        FailureCode::Connect => CANNOT_CONNECT,
        FailureCode::Busy
        | FailureCode::Draining
        | FailureCode::Denied
        | FailureCode::Unsupported => REFUSED,
        FailureCode::Protocol | FailureCode::PeerLost | FailureCode::Timeout => PEER,
        FailureCode::Stalled | FailureCode::Stream | FailureCode::Internal => FAILED,
        FailureCode::LocalIo => LOCAL_IO,
        FailureCode::Cancelled => INTERRUPTED,
    }
}

impl Exit {
    /// Returns a text that was asked for.
    pub(super) fn answer(text: String) -> Self {
        Self { stream: Stream::Stdout, code: SUCCESS, text }
    }

    /// Returns the complaint about a wrong command line.
    pub(super) fn usage(text: String) -> Self {
        Self { stream: Stream::Stderr, code: USAGE, text }
    }
}

/// Returns the section of a help text that lists the exit codes.
pub(super) fn section() -> String {
    listed(&MEANINGS)
}

/// Returns the same for `polyperf cert`, which runs no test.
pub(super) fn section_of_cert() -> String {
    listed(&MEANINGS_OF_CERT)
}

/// Returns the same for `polyperf config`.
pub(super) fn section_of_config() -> String {
    listed(&MEANINGS_OF_CONFIG)
}

/// Returns the same for what only writes a text.
pub(super) fn section_of_tools() -> String {
    listed(&[MEANINGS_OF_DOCTOR[0], MEANINGS_OF_DOCTOR[2], MEANINGS_OF_DOCTOR[3]])
}

/// Returns the same for `polyperf doctor`.
pub(super) fn section_of_doctor() -> String {
    listed(&MEANINGS_OF_DOCTOR)
}

/// Returns the same for what runs over an emulated link.
pub(super) fn section_of_lab() -> String {
    listed(&MEANINGS_OF_LAB)
}

/// Returns the same for `polyperf psk`, which runs no test either.
pub(super) fn section_of_psk() -> String {
    let can_be = |code: u8| [SUCCESS, USAGE, LOCAL_IO].contains(&code);
    let meanings: Vec<_> = MEANINGS.into_iter().filter(|(code, _)| can_be(*code)).collect();
    listed(&meanings)
}

/// Returns the same for `polyperf diff`, which runs no test either.
pub(super) fn section_of_diff() -> String {
    listed(&MEANINGS_OF_DIFF)
}

/// Returns the same for `polyperf history`, which runs no test either.
pub(super) fn section_of_history() -> String {
    listed(&MEANINGS_OF_HISTORY)
}

fn listed(meanings: &[(u8, &str)]) -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in meanings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {code:>3}  {meaning}");
    }
    text
}

const MEANINGS: [(u8, &str); 8] = [
    (SUCCESS, "success"),
    (FAILED, "the test started, but failed or was cut short by an error"),
    (USAGE, "the command line, the environment or the configuration file is wrong"),
    (CANNOT_CONNECT, "cannot connect"),
    (REFUSED, "refused by the server: busy, denied, draining or unsupported"),
    (PEER, "the peer broke the protocol, or was lost before the test began"),
    (LOCAL_IO, "local input or output failed"),
    (INTERRUPTED, "interrupted"),
];

const MEANINGS_OF_CERT: [(u8, &str); 4] = [
    (SUCCESS, "success"),
    (FAILED, "there is no such identity or server, or an identity that is not replaced"),
    (USAGE, "the command line is wrong"),
    (LOCAL_IO, "local input or output failed"),
];

const MEANINGS_OF_CONFIG: [(u8, &str); 4] = [
    (SUCCESS, "success"),
    (FAILED, "the file that was checked has mistakes, or there is none to check"),
    (USAGE, "the command line is wrong, or what is to be shown"),
    (LOCAL_IO, "a file cannot be read, or nothing can be printed"),
];

const MEANINGS_OF_DOCTOR: [(u8, &str); 4] = [
    (SUCCESS, "success"),
    (FAILED, "something is not as it should be; the command that mends it is shown"),
    (USAGE, "the command line is wrong"),
    (LOCAL_IO, "nothing can be written"),
];

const MEANINGS_OF_LAB: [(u8, &str); 4] = [
    (SUCCESS, "success"),
    (FAILED, "what ran over the link failed; its own exit code where it is another"),
    (USAGE, "the command line or the link's description is wrong"),
    (LOCAL_IO, "this machine permits no such link, or a file cannot be read or written"),
];

const MEANINGS_OF_DIFF: [(u8, &str); 4] = [
    (SUCCESS, "no regression shown"),
    (FAILED, "a regression: worse by more than the threshold, and of experiments not by chance"),
    (USAGE, "the command line is wrong"),
    (LOCAL_IO, "a file cannot be read, is no result, or has nothing in common with the other"),
];

const MEANINGS_OF_HISTORY: [(u8, &str); 4] = [
    (SUCCESS, "success"),
    (FAILED, "there is no such test"),
    (USAGE, "the command line is wrong"),
    (LOCAL_IO, "there is no history, it cannot be read or changed, or a file cannot be written"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_leave_with_the_code_of_what_can_be_done_about_them() {
        assert_eq!(code_for(&FailureCode::Connect), 3);
        assert_eq!(code_for(&FailureCode::Busy), 4);
        assert_eq!(code_for(&FailureCode::Unsupported), 4);
        assert_eq!(code_for(&FailureCode::PeerLost), 5);
        assert_eq!(code_for(&FailureCode::Stream), 1);
        assert_eq!(code_for(&FailureCode::LocalIo), 6);
        assert_eq!(code_for(&FailureCode::Cancelled), 130);
    }

    #[test]
    fn help_lists_every_code_in_order() {
        let text = section();
        let codes: Vec<_> =
            text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(codes, ["0", "1", "2", "3", "4", "5", "6", "130"]);
    }
}
