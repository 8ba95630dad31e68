//! The committed JSON schemas are those of the code.

use std::{fs, path::Path};

use polyperf::{compare, report};
use schemars::{Schema, schema_for};

#[test]
fn the_schema_of_a_result_is_that_of_the_code() {
    check("polyperf", report::SCHEMA, &schema_for!(report::Polyperf));
}

#[test]
fn the_schema_of_a_comparison_is_that_of_the_code() {
    check("compare", compare::experiment::SCHEMA, &schema_for!(compare::experiment::Experiment));
}

#[test]
fn the_schema_of_a_diff_is_that_of_the_code() {
    check("diff", compare::diff::SCHEMA, &schema_for!(compare::diff::Diff));
}

fn check(name: &str, version: u32, schema: &Schema) {
    let generated = serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n";
    let file = format!("docs/schema/{name}-{version}.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &generated).expect("docs/schema can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{file} is not what the code writes; if readers of the old one still understand it, run \
         UPDATE_SCHEMA=1 cargo test --test schema; if not, raise SCHEMA first"
    );
}
