use std::path::Path;

use crate::report::{Polyperf, SCHEMA};

#[test]
fn the_committed_schema_is_that_of_the_code() {
    let schema = schemars::schema_for!(Polyperf);
    let generated = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/polyperf-{SCHEMA}.json"));
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not what the code writes; if readers of the old one still understand it, run \
         UPDATE_SCHEMA=1 cargo test -p polyperf schema; if not, raise SCHEMA first",
        path.display()
    );
}
