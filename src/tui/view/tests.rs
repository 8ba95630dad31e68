use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{
    event::Event,
    outcome::{Failure, FailureCode},
    report::testing,
    spec::Direction,
};

const PLAIN: Palette = Palette { colours: false };

fn drawn(model: &Model, width: u16, height: u16, palette: Palette) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, palette)).unwrap();
    terminal
}

fn text(model: &Model, width: u16, height: u16) -> String {
    let terminal = drawn(model, width, height, PLAIN);
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(usize::from(width));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

fn after(events: &[Event]) -> Model {
    let mut model = Model::new("server.example".to_owned());
    events.iter().for_each(|event| model.handle(event));
    model
}

#[test]
fn both_directions_are_drawn_and_named_without_colour() {
    let outcome = testing::outcome(Direction::Bidirectional, 1);
    let shown = text(&after(&testing::events(&outcome)), 100, 30);
    for part in ["server.example", "↑ up", "↓ down", "goodput", "streams", "RTT", "complete"] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn what_is_not_known_is_a_dash() {
    assert_eq!(cells(1, &Stream::default())[2..], ["-", "-", "-", "-", "-"]);
}

#[test]
fn no_colour_is_used_where_none_is_wanted_and_some_where_they_are() {
    let outcome = testing::outcome(Direction::Bidirectional, 1);
    let model = after(&testing::events(&outcome));
    let colours = |palette| {
        let terminal = drawn(&model, 100, 30, palette);
        terminal.backend().buffer().content.iter().any(|cell| cell.fg != Color::Reset)
    };
    assert!(!colours(PLAIN));
    assert!(colours(Palette { colours: true }));
}

#[test]
fn a_terminal_of_any_size_is_drawn_on() {
    let outcome = testing::outcome(Direction::Bidirectional, 8);
    let model = after(&testing::events(&outcome));
    for width in [1, 2, 10, 40, 300] {
        for height in [1, 2, 3, 8, 24, 100] {
            drop(drawn(&model, width, height, PLAIN));
            drop(drawn(&Model::default(), width, height, PLAIN));
        }
    }
}

#[test]
fn nothing_that_a_peer_says_moves_the_cursor() {
    let mut model = after(&testing::events(&testing::hostile()));
    let failure = Failure::new(FailureCode::Protocol, "\u{1b}[2J\u{7}\u{202e}gone");
    let failed = crate::event::FailedEvent {
        side: crate::outcome::Side::Client,
        session: None,
        peer: None,
        failure,
    };
    model.handle(&Event::Failed(std::sync::Arc::new(failed)));
    let shown = text(&model, 200, 60);
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown}");
    assert!(shown.contains("gone"), "{shown}");
}

#[test]
fn the_log_and_the_sessions_are_bounded() {
    let outcome = testing::outcome(Direction::Forward, 1);
    let mut model = Model::default();
    for number in 0..1000 {
        let mut info = (*outcome.info).clone();
        info.session = number.to_string();
        model.handle(&Event::Connected(std::sync::Arc::new(info)));
    }
    assert_eq!((model.sessions.len(), model.log.len()), (256, 200));
    let last = model.sessions.last().map(|session| session.info.session.as_str());
    assert_eq!(last, Some("999"));
}

#[test]
fn sessions_are_gone_through_in_a_circle() {
    let outcome = testing::outcome(Direction::Forward, 1);
    let mut model = Model::default();
    model.select(1);
    assert!(model.selected().is_none());
    for number in 0..3 {
        let mut info = (*outcome.info).clone();
        info.session = number.to_string();
        model.handle(&Event::Connected(std::sync::Arc::new(info)));
    }
    let mut at = |step| {
        model.select(step);
        model.selected().map(|(at, _)| at)
    };
    assert_eq!([at(-1), at(1), at(1), at(1), at(1)], [Some(2), Some(0), Some(1), Some(2), Some(0)]);
}

#[test]
fn the_scale_is_a_round_number_above_what_is_shown() {
    assert_eq!([0.0, 1.0, 3.0, 940e6, 1001.0].map(ceiling), [1.0, 1.0, 5.0, 1e9, 2000.0]);
}
