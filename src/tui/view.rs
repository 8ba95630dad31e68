use std::{env, time::Duration};

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    symbols::Marker,
    text::{Line, Span},
    widgets::{Axis, Block, Chart, Dataset, GraphType, List, ListItem, Paragraph, Row, Table},
};

use super::model::{Model, Session, Stream, words};
use crate::{report::safe, units::BitRate};

/// How things are told from each other: never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Palette {
    colours: bool,
}

impl Palette {
    /// Returns one without colours where the user wants none ([NO_COLOR](https://no-color.org)).
    pub(super) fn of_environment() -> Self {
        Self { colours: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn way(self, up: bool) -> Style {
        match (self.colours, up) {
            (true, true) => Style::new().fg(Color::Cyan),
            (true, false) => Style::new().fg(Color::Yellow),
            (false, _) => Style::new(),
        }
    }

    fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, palette: Palette) {
    let log = (frame.area().height / 4).clamp(3, 12);
    let streams = model.selected().map_or(0, |(_, session)| session.streams.len());
    let most = frame.area().height.saturating_sub(log + 2) / 2;
    let streams = u16::try_from(streams).unwrap_or(u16::MAX).saturating_add(3).min(most);
    let [top, chart, table, bottom] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(4),
        Constraint::Length(streams),
        Constraint::Length(log),
    ])
    .areas(frame.area());
    head(frame, top, model, palette);
    match model.selected() {
        Some((_, session)) => {
            rates(frame, chart, session, palette);
            list(frame, table, session, palette);
        }
        None => {
            let text = Paragraph::new("no test yet").style(palette.faint()).centered();
            frame.render_widget(text.block(Block::bordered()), chart);
        }
    }
    journal(frame, bottom, model);
}

fn head(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let mut title = vec![Span::styled(
        safe::line(&model.title).into_owned(),
        Style::new().add_modifier(Modifier::BOLD),
    )];
    if let Some((running, waiting, served)) = model.counts {
        title.push(Span::raw(format!("  {running} running, {waiting} waiting, {served} served")));
    }
    let mut second = Vec::new();
    if let Some((at, session)) = model.selected() {
        let info = &session.info;
        second.push(Span::raw(format!(
            "test {} of {}: {} {} {}",
            at + 1,
            model.sessions.len(),
            safe::line(&info.session),
            info.peer,
            info.spec.transport
        )));
        let end = session.ended.as_deref().unwrap_or("running");
        second.push(Span::styled(format!("  {}  {end}", words(info)), palette.faint()));
    }
    second.push(Span::styled("  [Tab] next  [q] stop", palette.faint()));
    frame.render_widget(Paragraph::new(vec![Line::from(title), Line::from(second)]), area);
}

fn rates(frame: &mut Frame<'_>, area: Rect, session: &Session, palette: Palette) {
    let points: Vec<Vec<(f64, f64)>> =
        session.ways.iter().map(|way| way.iter().copied().collect()).collect();
    let all = || points.iter().flatten();
    let begin = all().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let (begin, end) = match all().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max) {
        end if end > begin => (begin, end),
        // A single point has the width of a second.
        end if end.is_finite() => (end - 1.0, end),
        _ => (0.0, 1.0),
    };
    let top = ceiling(all().map(|point| point.1).fold(0.0, f64::max));
    let names = ["↑ up (line)", "↓ down (dots)"];
    let mut title = vec![Span::raw("goodput")];
    for (way, points) in session.ways.iter().enumerate() {
        if let Some(&(_, rate)) = points.back() {
            let text = format!("  {} {}", names[way], BitRate(rate));
            title.push(Span::styled(text, palette.way(way == 0)));
        }
    }
    let markers = [Marker::Braille, Marker::Dot];
    let shown = points.iter().enumerate().filter(|(_, way)| !way.is_empty());
    let datasets = shown.map(|(way, data)| {
        Dataset::default()
            .marker(markers[way])
            .graph_type(GraphType::Line)
            .style(palette.way(way == 0))
            .data(data)
    });
    let seconds = [begin, end].map(|second| Line::from(format!("{second:.0} s")));
    let rates = [0.0, top / 2.0, top].map(|rate| Line::from(BitRate(rate).to_string()));
    let chart = Chart::new(datasets.collect())
        .block(Block::bordered().title(Line::from(title)))
        .x_axis(Axis::default().bounds([begin, end]).labels(seconds).style(palette.faint()))
        .y_axis(Axis::default().bounds([0.0, top]).labels(rates).style(palette.faint()));
    frame.render_widget(chart, area);
}

/// Returns the next of 1, 2 and 5 times a power of ten, so that the scale rarely changes.
fn ceiling(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= most).unwrap_or(10.0 * power)
}

fn list(frame: &mut Frame<'_>, area: Rect, session: &Session, palette: Palette) {
    let head = Row::new(["stream", "", "goodput", "RTT", "cwnd", "retr", "loss"])
        .style(Style::new().add_modifier(Modifier::BOLD));
    let rows = session
        .streams
        .iter()
        .map(|(flow, stream)| Row::new(cells(flow.0, stream)).style(palette.way(stream.up)));
    let widths = [7, 2, 14, 10, 10, 8, 8].map(Constraint::Length);
    let table = Table::new(rows, widths).header(head);
    frame.render_widget(table.block(Block::bordered().title("streams")), area);
}

/// Returns what is known of a stream; what is not is a dash.
fn cells(number: u16, stream: &Stream) -> [String; 7] {
    let dash = || "-".to_owned();
    let arrow = if stream.up { "↑" } else { "↓" };
    [
        number.to_string(),
        arrow.to_owned(),
        stream.goodput.map_or_else(dash, |rate| BitRate(rate).to_string()),
        stream.rtt.map_or_else(dash, milliseconds),
        stream.cwnd.map_or_else(dash, |bytes| format!("{} K", bytes / 1024)),
        stream.retransmits.map_or_else(dash, |count| count.to_string()),
        stream
            .datagrams
            .and_then(|of| of.loss())
            .map_or_else(dash, |ratio| format!("{:.2} %", ratio * 100.0)),
    ]
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn journal(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let rows = usize::from(area.height.saturating_sub(2));
    let first = model.log.len().saturating_sub(rows);
    let lines = model.log.iter().skip(first).map(|line| ListItem::new(line.as_str()));
    frame.render_widget(List::new(lines).block(Block::bordered().title("log")), area);
}

#[cfg(test)]
mod tests;
