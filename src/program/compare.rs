use super::complain;
use crate::cli::{CompareArgs, exit};

pub(super) async fn run(_: CompareArgs) -> u8 {
    complain("not wired yet");
    exit::LOCAL_IO
}
