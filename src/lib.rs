//! One perf server for every transport.
