use super::{super::samples, *};

#[test]
fn zz() {
    for (name, experiment) in [
        ("full", samples::full()),
        ("one", samples::of_one_arm()),
        ("stopped", samples::stopped_early()),
        ("vain", samples::in_vain()),
        ("hostile", samples::hostile()),
    ] {
        std::fs::write(format!("/tmp/report_out/{name}.html"), render(&experiment)).unwrap();
    }
}
