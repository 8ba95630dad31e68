//! polyperf's memory transport.
