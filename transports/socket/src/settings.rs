use std::io;

use polyperf_transport::Setting;

/// Returns what came of setting `option` to `asked`, with the `objection` that there is to what was
/// granted.
pub fn setting<A: ToString + Copy, G: ToString>(
    option: &str,
    asked: A,
    result: io::Result<G>,
    objection: impl Fn(A, &G) -> Option<&'static str>,
) -> Setting {
    let (granted, refused) = match result {
        Ok(granted) => (Some(granted.to_string()), objection(asked, &granted).map(str::to_owned)),
        Err(error) => (None, Some(error.to_string())),
    };
    Setting { option: option.to_owned(), asked: asked.to_string(), granted, refused }
}
