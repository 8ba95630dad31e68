//! Many tests, a few at once.

use std::{collections::VecDeque, fmt::Display, future::Future, sync::Arc};

use tokio::task::JoinSet;

/// Runs `test` with each of `cells`, so many `at_once`.
///
/// # Panics
///
/// If one of them does, with what went wrong in each.
pub async fn run_all<C, F>(cells: Vec<C>, at_once: usize, test: impl Fn(Arc<C>) -> F)
where
    C: Display,
    F: Future<Output = Vec<String>> + Send + 'static,
{
    let mut waiting: VecDeque<Arc<C>> = cells.into_iter().map(Arc::new).collect();
    let (mut running, mut names, mut wrong) = (JoinSet::new(), Vec::new(), Vec::new());
    loop {
        while running.len() < at_once
            && let Some(cell) = waiting.pop_front()
        {
            let name = cell.to_string();
            let id = running.spawn(test(cell)).id();
            names.push((id, name));
        }
        let Some(ended) = running.join_next_with_id().await else { break };
        let (id, found) = match ended {
            Ok((id, found)) => (id, found),
            Err(error) => (error.id(), vec![panic_text(error)]),
        };
        let name = names.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone());
        let name = name.unwrap_or_default();
        wrong.extend(found.into_iter().map(|found| format!("{name}: {found}")));
    }
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "it was cancelled".to_owned() };
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}

/// Few enough for each to keep its rate while two processors run two tests of this crate at once.
pub const FEW: usize = 2;
