//! polyperf's tcp transport.
