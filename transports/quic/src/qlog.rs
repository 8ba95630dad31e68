//! A log of each connection, in qlog's form (draft-ietf-quic-qlog-main-schema).

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    net::SocketAddr,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use quinn::{QlogConfig, TransportConfig};

/// Has a connection write its log to a file of its own in `folder`.
///
/// # Errors
///
/// That there can be no such file.
pub(crate) fn write(
    config: &mut TransportConfig,
    folder: &Path,
    side: &str,
    peer: SocketAddr,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let peer = peer.to_string().replace([':', '[', ']', '%'], "_");
    let random: u32 = rand::random();
    let name = format!("{}-{side}-{peer}-{random:08x}.sqlog", since.as_millis());
    let file = File::options().write(true).create_new(true).open(folder.join(name))?;
    let mut log = QlogConfig::default();
    log.writer(Box::new(BufWriter::new(file))).title(Some(format!("polyperf {side}")));
    config.qlog_stream(log.into_stream());
    Ok(())
}
