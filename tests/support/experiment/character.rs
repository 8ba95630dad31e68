use polyperf::compare::experiment::LimitedBy;

/// What an arm does, more or less.
pub(super) struct Character {
    pub(super) up: f64,
    pub(super) down: f64,
    pub(super) idle: f64,
    pub(super) queue: f64,
    pub(super) first_reply: f64,
    pub(super) cpu: f64,
    pub(super) resent: Option<f64>,
    pub(super) loss: Option<f64>,
    pub(super) overhead: Option<f64>,
    /// How long it takes to get up to its rate, in seconds.
    pub(super) ramp: f64,
    pub(super) limited: Option<LimitedBy>,
}

pub(super) fn character(transport: &str) -> Character {
    let tcp = Character {
        up: 941e6,
        down: 935e6,
        idle: 20.1,
        queue: 61.0,
        first_reply: 40.3,
        cpu: 0.42,
        resent: Some(310.0),
        loss: None,
        overhead: Some(1.052),
        ramp: 0.22,
        limited: Some(LimitedBy::Congestion),
    };
    match transport {
        "udp" => Character {
            first_reply: 20.4,
            queue: 88.0,
            resent: None,
            loss: Some(0.0213),
            overhead: Some(1.043),
            ramp: 0.02,
            limited: Some(LimitedBy::Pacing),
            cpu: 0.71,
            up: 955e6,
            ..tcp
        },
        "rudp" => Character {
            up: 880e6,
            down: 872e6,
            queue: 33.0,
            first_reply: 20.9,
            cpu: 1.1,
            resent: Some(420.0),
            ramp: 0.3,
            ..tcp
        },
        "kcp" => Character {
            up: 412e6,
            down: 409e6,
            idle: 25.4,
            queue: 12.0,
            first_reply: 25.8,
            cpu: 2.31,
            resent: Some(5200.0),
            overhead: Some(1.172),
            ramp: 0.1,
            limited: Some(LimitedBy::FlowControl),
            ..tcp
        },
        "tokio-kcp" => Character {
            up: 148e6,
            down: 151e6,
            idle: 31.0,
            queue: 9.0,
            first_reply: 36.1,
            cpu: 6.9,
            resent: None,
            overhead: None,
            ramp: 0.1,
            limited: Some(LimitedBy::FlowControl),
            ..tcp
        },
        "quic" => Character {
            up: 593e6,
            down: 611e6,
            queue: 24.0,
            first_reply: 40.9,
            cpu: 1.62,
            resent: None,
            overhead: Some(1.061),
            ramp: 0.4,
            limited: Some(LimitedBy::Cpu),
            ..tcp
        },
        _ => tcp,
    }
}
