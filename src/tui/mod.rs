//! What happens, on a terminal, while it happens: rates as charts, streams as a table, and the log.
//!
//! It is drawn by a thread of its own from the events that anybody can subscribe to, and leaves the
//! terminal as it was, however the program ends.

mod keys;
mod model;
mod stage;
mod terminal;
mod view;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use self::{keys::Key, model::Model, terminal::Guard, view::Palette};
pub use self::{
    stage::{Paper, Stage},
    terminal::{Unfit, fits},
};
use crate::{event::Event, server::Handle};

/// What a screen shows.
#[derive(Debug)]
pub struct Source {
    /// What is written at its top.
    pub title: String,
    /// What happens.
    pub events: Receiver<Event>,
    /// The server, at one.
    pub server: Option<Handle>,
}

/// A terminal that shows what happens, until it is dropped.
#[derive(Debug)]
pub struct Screen {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// Where the terminal cannot be switched; it is as it was then.
    pub fn open(stage: &Stage, source: Source) -> io::Result<Self> {
        let guard = Guard::take(stage.clone())?;
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let stage = stage.clone();
        let show = move || show(source, guard, &stage, &told);
        let thread = thread::Builder::new().name("tui".to_owned()).spawn(show)?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it has panicked of has been told, and the terminal is its own again.
            let _ = thread.join();
        }
    }
}

fn show(mut source: Source, mut guard: Guard, stage: &Stage, over: &AtomicBool) {
    let palette = Palette::of_environment();
    let mut model = Model::new(source.title.clone());
    let mut drawn = Instant::now();
    let mut stale = true;
    while !over.load(Relaxed) {
        stale |= take(&mut source, stage, &mut model);
        if stale && guard.draw(|frame| view::draw(frame, &model, palette)).is_ok() {
            (drawn, stale) = (Instant::now(), false);
        }
        match keys::next(FRAME) {
            Some(key) => {
                stale = true;
                match key {
                    Key::Leave => leave(),
                    Key::Next => model.select(1),
                    Key::Previous => model.select(-1),
                    Key::Resized => {}
                }
            }
            None => stale |= drawn.elapsed() >= REFRESH,
        }
    }
}

/// Takes note of what has happened, and returns whether anything has.
fn take(source: &mut Source, stage: &Stage, model: &mut Model) -> bool {
    let mut news = false;
    loop {
        match source.events.try_recv() {
            Ok(event) => model.handle(&event),
            Err(TryRecvError::Lagged(missed)) => {
                model.note(format!("{missed} events came too fast to be shown"));
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
        news = true;
    }
    for line in stage.logged() {
        model.note(line);
        news = true;
    }
    if let Some(server) = &source.server {
        model.counts = Some((server.running(), server.waiting(), server.served()));
    }
    news
}

/// Does what Ctrl-C does on any other terminal.
fn leave() {
    // SAFETY: raising a signal that this process has a handler for touches no memory of ours.
    unsafe {
        libc::raise(libc::SIGINT);
    }
}

/// How long to wait for a key before it is looked whether there is anything new.
const FRAME: Duration = Duration::from_millis(100);
/// How often to draw when nothing is new, for what changes with time.
const REFRESH: Duration = Duration::from_secs(1);
