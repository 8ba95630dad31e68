//! Debian's iperf3, both ends of it, over emulated links.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs iperf3 over a link: its server on the near side, its client on the far one.
fn iperf3(preset: &str, options: &str) -> Value {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_program"))
        .args(["lab", "exec", preset, "--near", "iperf3 -s -1"])
        .args(["--far", &format!("iperf3 -c {{near}} -J {options}")])
        .stdin(Stdio::null())
        .output()
        .expect("this program runs");
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    assert!(status.success(), "{preset}: {status}: {stdout}{stderr}");
    let tier = stderr.lines().find(|line| line.contains("Link: "));
    println!("{}", tier.expect("it says what it ran over"));
    serde_json::from_str(&stdout).expect("iperf3 prints JSON")
}

fn received(result: &Value) -> f64 {
    let rate = result["end"]["sum_received"]["bits_per_second"].as_f64();
    rate.unwrap_or_else(|| panic!("{result}"))
}

#[test]
fn iperf3_runs_over_three_links_and_gets_what_each_lets_through() {
    // From the far side to the near one, which is down.
    for (preset, options, most) in [
        ("lossy-iid", "-t 2 -C bbr", 50e6),
        ("bufferbloat", "-t 2", 50e6),
        ("mobile-3g", "-t 2 -R", 0.5e6),
    ] {
        let result = iperf3(preset, options);
        let rate = received(&result);
        // What was in buffers when the test began or ended is counted, too.
        assert!(0.0 < rate && rate < most * 1.5, "{preset}: {rate}");
    }
}

#[test]
fn datagrams_of_iperf3_are_lost_as_the_link_loses_them() {
    let result = iperf3("lossy-iid", "-u -b 10M -t 4 -l 1400");
    let sum = &result["end"]["sum"];
    let (packets, lost) = (sum["packets"].as_f64(), sum["lost_packets"].as_f64());
    let (packets, lost) = packets.zip(lost).unwrap_or_else(|| panic!("{sum}"));
    let share = lost / packets;
    // One in a hundred of some 3,600: within five deviations.
    assert!(packets > 3_000.0 && (0.001..0.02).contains(&share), "{lost} of {packets}");
}
