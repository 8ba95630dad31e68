//! Whether what there is suffices, and the command that mends it.

use super::{
    Finding,
    facts::{Facts, Port},
    sockets::WANTED_BUFFER,
};

/// Judges everything, in the order in which it is shown.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    vec![
        port("tcp port", facts.port, "-t", &facts.tcp),
        port("udp port", facts.port, "-u", &facts.udp),
        buffer("receive buffer", facts.receive_buffer, "net.core.rmem_max"),
        buffer("send buffer", facts.send_buffer, "net.core.wmem_max"),
        offload("udp segmentation", facts.segmentation, "4.18"),
        offload("udp coalescing", facts.coalescing, "5.0"),
        clock_source(facts),
        clock_resolution(facts),
        descriptors(facts),
        threads(facts),
        governor(facts),
        congestion(facts),
        conntrack(facts),
        ipv6(facts),
        queueing(facts),
    ]
}

fn port(check: &'static str, number: u16, option: &str, port: &Port) -> Finding {
    let show = format!("ss -lnp {option} 'sport = :{number}'");
    match port {
        Port::Free => Finding::ok(check, format!("{number} is free")),
        Port::Held(Some((process, name))) => Finding::bad(
            check,
            format!("{number} is held by {name}, process {process}"),
            format!("kill {process}, or take another with polyperf server -p N"),
        ),
        Port::Held(None) => Finding::bad(
            check,
            format!("{number} is held by a process that this user may not see"),
            format!("sudo {show} tells which; or polyperf server -p N"),
        ),
        Port::Refused(why) => Finding::bad(
            check,
            format!("{number} cannot be had: {why}"),
            "polyperf server -p N, with a port from 1024 up",
        ),
    }
}

fn buffer(check: &'static str, granted: Option<u64>, name: &str) -> Finding {
    match granted {
        None => Finding::unknown(check, "no socket could be opened"),
        Some(bytes) if bytes >= WANTED_BUFFER => {
            Finding::ok(check, format!("{bytes} bytes of {WANTED_BUFFER} asked for"))
        }
        Some(bytes) => Finding::poor(
            check,
            format!("{bytes} bytes of {WANTED_BUFFER} asked for: bursts of datagrams are lost"),
            format!("sudo sysctl -w {name}={WANTED_BUFFER}"),
        ),
    }
}

fn offload(check: &'static str, there: Option<bool>, kernel: &str) -> Finding {
    match there {
        None => Finding::unknown(check, "no socket could be opened"),
        Some(true) => Finding::ok(check, "the kernel has it"),
        Some(false) => Finding::poor(
            check,
            "the kernel lacks it: each datagram costs a system call",
            format!("take Linux {kernel} or newer"),
        ),
    }
}

fn clock_source(facts: &Facts) -> Finding {
    let check = "clock source";
    let Some(source) = &facts.clock_source else {
        return Finding::unknown(check, "the system does not tell");
    };
    // Those that are read without a system call.
    if ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"]
        .contains(&source.as_str())
    {
        return Finding::ok(check, source);
    }
    Finding::poor(
        check,
        format!("{source}: reading the time is slow, which small blocks and latency show"),
        "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
    )
}

fn clock_resolution(facts: &Facts) -> Finding {
    let check = "clock resolution";
    match facts.clock_resolution_ns {
        None => Finding::unknown(check, "the system does not tell"),
        Some(ns) if ns <= COARSEST_NS => Finding::ok(check, format!("{ns} ns")),
        Some(ns) => Finding::poor(
            check,
            format!("{ns} ns: latency is no finer"),
            "boot without highres=off and nohz=off",
        ),
    }
}

fn descriptors(facts: &Facts) -> Finding {
    let check = "descriptors";
    match facts.descriptors {
        None => Finding::unknown(check, "the system does not tell"),
        Some(most) if most >= DESCRIPTORS => Finding::ok(check, up_to(most)),
        Some(most) => Finding::poor(
            check,
            format!("{most}: too few for a full queue and {DEFAULT_SESSIONS} tests"),
            format!("ulimit -n {DESCRIPTORS}, or LimitNOFILE={DESCRIPTORS} in the unit"),
        ),
    }
}

fn threads(facts: &Facts) -> Finding {
    let check = "threads";
    match facts.threads {
        None => Finding::unknown(check, "the system does not tell"),
        Some(most) if most >= THREADS => Finding::ok(check, up_to(most)),
        Some(most) => Finding::poor(
            check,
            format!("{most}: too few for {DEFAULT_SESSIONS} tests with several streams"),
            format!("ulimit -u {THREADS}, or TasksMax={THREADS} in the unit"),
        ),
    }
}

fn governor(facts: &Facts) -> Finding {
    let check = "processor governor";
    match facts.governors.as_slice() {
        [] => Finding::unknown(check, "the system does not tell, as in most virtual machines"),
        [one] if one == "performance" => Finding::ok(check, one),
        several => Finding::poor(
            check,
            format!("{}: the clock changes in the middle of a test", several.join(", ")),
            "sudo cpupower frequency-set -g performance",
        ),
    }
}

fn congestion(facts: &Facts) -> Finding {
    let check = "congestion controls";
    let Some(names) = &facts.congestion_controls else {
        return Finding::unknown(check, "the system does not tell");
    };
    let shown = names.join(", ");
    if names.iter().any(|name| name == "bbr") {
        return Finding::ok(check, shown);
    }
    Finding::poor(
        check,
        format!("{shown}: tests over tcp with -C bbr cannot be had"),
        "sudo modprobe tcp_bbr",
    )
}

fn conntrack(facts: &Facts) -> Finding {
    let check = "connection tracking";
    match facts.tracked {
        None => Finding::ok(check, "nothing is tracked"),
        Some((count, most)) if most >= TRACKED && count < most / 2 => {
            Finding::ok(check, format!("{count} of {most}"))
        }
        Some((count, most)) => {
            let more = most.saturating_mul(4).max(TRACKED);
            Finding::poor(
                check,
                format!("{count} of {most}: tests of connections fill it, and are cut off"),
                format!("sudo sysctl -w net.netfilter.nf_conntrack_max={more}"),
            )
        }
    }
}

fn ipv6(facts: &Facts) -> Finding {
    let check = "ipv6";
    match facts.ipv6 {
        None => Finding::unknown(check, "no socket could be opened"),
        Some(true) => Finding::ok(check, "there is a loopback"),
        Some(false) => Finding::poor(
            check,
            "there is none: the server listens on IPv4 alone",
            "sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0",
        ),
    }
}

fn queueing(facts: &Facts) -> Finding {
    let check = "queueing";
    match facts.queueing.as_deref() {
        None => Finding::unknown(check, "the system does not tell"),
        Some(name @ ("fq" | "fq_codel" | "cake")) => Finding::ok(check, name),
        Some(name) => Finding::poor(
            check,
            format!("{name}: a stream that fills the queue delays every other one"),
            "sudo sysctl -w net.core.default_qdisc=fq, for devices that come up after it",
        ),
    }
}

fn up_to(most: u64) -> String {
    if most == libc::RLIM_INFINITY { "no limit".to_owned() } else { format!("up to {most}") }
}

/// A hundredth of the shortest latency that loopback shows.
const COARSEST_NS: u64 = 1_000;
/// What a server permits unless it is told otherwise.
const DEFAULT_SESSIONS: u64 = 64;
/// Two and a bit for each stream, and one for who waits.
const DESCRIPTORS: u64 = 4_096;
/// Two for each stream of a test at both ends.
const THREADS: u64 = 2_048;
/// What a minute of new connections leaves in the table.
const TRACKED: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    /// Returns a host on which nothing is to be mended.
    fn fit() -> Facts {
        Facts {
            port: 5201,
            receive_buffer: Some(WANTED_BUFFER),
            send_buffer: Some(WANTED_BUFFER),
            segmentation: Some(true),
            coalescing: Some(true),
            clock_source: Some("tsc".to_owned()),
            clock_resolution_ns: Some(1),
            descriptors: Some(libc::RLIM_INFINITY),
            threads: Some(30_000),
            governors: vec!["performance".to_owned()],
            congestion_controls: Some(vec!["cubic".to_owned(), "bbr".to_owned()]),
            tracked: None,
            ipv6: Some(true),
            queueing: Some("fq".to_owned()),
            ..Facts::default()
        }
    }

    fn verdict(facts: &Facts, check: &str) -> (Verdict, Option<String>) {
        let findings = all(facts);
        let found = findings.iter().find(|finding| finding.check == check).unwrap();
        (found.verdict, found.remedy.clone())
    }

    #[test]
    fn nothing_is_said_against_a_fit_host() {
        for finding in all(&fit()) {
            assert_eq!((finding.verdict, finding.remedy.as_ref()), (Verdict::Ok, None));
        }
    }

    #[test]
    fn every_want_comes_with_the_command_that_mends_it() {
        let held = Port::Held(Some((42, "iperf3".to_owned())));
        let poor = Facts {
            port: 5201,
            tcp: held,
            udp: Port::Refused("not permitted".to_owned()),
            receive_buffer: Some(212_992),
            send_buffer: Some(212_992),
            segmentation: Some(false),
            coalescing: Some(false),
            clock_source: Some("hpet".to_owned()),
            clock_resolution_ns: Some(4_000_000),
            descriptors: Some(1_024),
            threads: Some(100),
            governors: vec!["performance".to_owned(), "powersave".to_owned()],
            congestion_controls: Some(vec!["reno".to_owned()]),
            tracked: Some((60_000, 65_536)),
            ipv6: Some(false),
            queueing: Some("pfifo_fast".to_owned()),
        };
        for finding in all(&poor) {
            assert!(matches!(finding.verdict, Verdict::Poor | Verdict::Bad), "{finding:?}");
            assert!(finding.remedy.is_some(), "{finding:?}");
        }
        let (verdict_of_port, remedy) = verdict(&poor, "tcp port");
        assert_eq!(verdict_of_port, Verdict::Bad);
        assert!(remedy.unwrap().starts_with("kill 42"));
        let (_, remedy) = verdict(&poor, "receive buffer");
        assert_eq!(remedy.as_deref(), Some("sudo sysctl -w net.core.rmem_max=4194304"));
        let (_, remedy) = verdict(&poor, "connection tracking");
        assert_eq!(remedy.as_deref(), Some("sudo sysctl -w net.netfilter.nf_conntrack_max=262144"));
    }

    #[test]
    fn what_cannot_be_seen_is_neither_good_nor_bad() {
        for check in ["receive buffer", "clock source", "threads", "processor governor", "ipv6"] {
            assert_eq!(verdict(&Facts::default(), check), (Verdict::Unknown, None), "{check}");
        }
    }
}
