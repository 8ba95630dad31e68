//! Policies and keys, from where the user keeps them.

use std::{fs::File, io::Read as _, path::Path};

use crate::{cli::Governance, registry::Registry, server::Policies};

/// Reads who may do what on a server that offers these transports.
pub(super) fn policies(args: &Governance, transports: &Registry) -> Result<Policies, String> {
    let policies = match &args.policies {
        Some(file) => of_file(file, &transports.names())?,
        None => Policies::default(),
    };
    Ok(if args.public { policies.public() } else { policies })
}

fn of_file(path: &Path, transports: &[&str]) -> Result<Policies, String> {
    let shown = path.display();
    let failed = |error| format!("cannot read the policies {shown}: {error}");
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Policies::parse(&text, transports).map_err(|mistakes| {
        let lines: Vec<_> =
            mistakes.iter().map(|m| format!("{shown}:{}: {}", m.line, m.problem)).collect();
        lines.join("\npolyperf: ")
    })
}

/// Some ten thousand policies.
const MAX_FILE: u64 = 4 << 20;
