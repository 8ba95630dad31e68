use tokio::sync::broadcast::Receiver;

use super::complain;
use crate::{
    event::Event,
    server::Handle,
    tui::{self, Screen, Source, Stage},
};

/// Takes the terminal for charts, if they are wanted and there is one that can show them. Without, what
/// is shown is what is shown without the option.
pub(super) fn open(
    stage: &Stage,
    wanted: bool,
    title: String,
    events: Receiver<Event>,
    server: Option<Handle>,
) -> Option<Screen> {
    if !wanted {
        return None;
    }
    if let Err(unfit) = tui::fits() {
        complain(&format!("no charts are shown, but lines: {unfit}"));
        return None;
    }
    match Screen::open(stage, Source { title, events, server }) {
        Ok(screen) => Some(screen),
        Err(error) => {
            complain(&format!(
                "no charts are shown, but lines: the terminal cannot be used: {error}"
            ));
            None
        }
    }
}
