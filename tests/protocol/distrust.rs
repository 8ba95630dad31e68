//! The other end is not trusted.

use std::{slice, time::Duration};

use polyperf::{
    measure::{FlowId, Role, SideSummary},
    outcome::{Ended, Failure, FailureCode, Side},
    protocol::native::{
        Action, Admission, Agree, Client, Deadlines, Input, Message, Propose, Results, Sent, Server,
    },
    spec::{Direction, Limit, Rate, SpecFields, TestSpec},
};

use crate::fixtures::{
    SECOND, agree, busy, one_of_each, propose, results, sample, stopped, timed, welcome,
};

const NOW: Duration = Duration::ZERO;

/// A machine in a certain state.
enum Machine {
    Client(Box<Client>),
    Server(Box<Server>),
}

impl Machine {
    fn client(inputs: impl IntoIterator<Item = Input>) -> Self {
        Self::client_for(propose(&test()), inputs)
    }

    fn client_for(propose: Propose, inputs: impl IntoIterator<Item = Input>) -> Self {
        let client = Client::new(propose, 60 * SECOND, Deadlines::default(), NOW);
        let mut machine = Self::Client(Box::new(client));
        inputs.into_iter().for_each(|input| machine.handle(input));
        machine
    }

    fn server(inputs: impl IntoIterator<Item = Input>) -> Self {
        let mut server = Server::new(welcome(), 600 * SECOND, Deadlines::default(), NOW);
        for input in inputs {
            server.handle(input, NOW);
            server.admission(Admission::Grant(Box::new(agree(&test()))), NOW);
        }
        Self::Server(Box::new(server))
    }

    fn handle(&mut self, input: Input) {
        match self {
            Self::Client(client) => client.handle(input, NOW),
            Self::Server(server) => server.handle(input, NOW),
        }
    }

    /// Returns how it ended, if it did.
    fn ended(&mut self) -> Option<Ended> {
        let mut poll = || match self {
            Self::Client(client) => client.poll(),
            Self::Server(server) => server.poll(),
        };
        let mut actions = std::iter::from_fn(&mut poll);
        actions.find_map(|action| match action {
            Action::Conclude(ended, _) => Some(ended),
            _ => None,
        })
    }

    fn failure(&mut self) -> Failure {
        match self.ended() {
            Some(Ended::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }
}

fn test() -> TestSpec {
    timed(Direction::Bidirectional)
}

fn done() -> Input {
    Input::Done(results([]))
}

fn told(message: Message) -> Input {
    Input::Message(message)
}

fn to_client() -> [Input; 5] {
    let [welcome, busy, agree] = [
        Message::Welcome(welcome()),
        Message::Busy(busy(1)),
        Message::Agree(Box::new(agree(&test()))),
    ]
    .map(told);
    [welcome, busy, agree, told(Message::Start), Input::StreamsOpen]
}

fn stop(side: Side) -> Input {
    Input::Stop(stopped(side))
}

fn stopped_by_peer(side: Side) -> Input {
    told(Message::Stop(stopped(side.other())))
}

/// Every state of the client: how to get there, what it says of itself, and what it takes.
fn client_states() -> Vec<(Vec<Input>, &'static str, &'static str)> {
    let to = |steps: usize, more: &[Input]| [&to_client()[..steps], more].concat();
    let running = "ping progress sent stop fail";
    let opening = "streams were being opened";
    let (stopping, results) = ("the test was stopping", "its results were due");
    vec![
        (to(0, &[]), "its greeting was due", "welcome fail"),
        (to(1, &[]), "its answer to the proposal was due", "busy agree ping fail"),
        (to(2, &[]), "the test was in its queue", "busy agree ping fail"),
        (to(3, &[]), opening, "start ping fail"),
        (to(3, &[Input::StreamsOpen]), "its start was due", "start ping fail"),
        (to(4, &[]), opening, running),
        (to(5, &[]), "the test was running", running),
        (to(5, &[stop(Side::Client)]), stopping, running),
        (to(5, &[stopped_by_peer(Side::Client)]), stopping, "ping progress sent fail"),
        (to(5, &[done()]), results, "ping progress sent stop results fail"),
    ]
}

fn server_states() -> Vec<(Vec<Input>, &'static str, &'static str)> {
    let proposal = told(Message::Propose(Box::new(propose(&test()))));
    let to = |more: &[Input]| [slice::from_ref(&proposal), more].concat();
    let open = Input::StreamsOpen;
    let (running, stopping) = ("the test was running", "the test was stopping");
    let theirs = told(Message::Results(results([])));
    let all = "ping progress sent stop results fail";
    vec![
        (vec![], "its proposal was due", "propose prove ping fail"),
        (to(&[]), "streams were being opened", "ping fail"),
        (to(slice::from_ref(&open)), running, all),
        (to(&[open.clone(), stop(Side::Server)]), stopping, all),
        (
            to(&[open.clone(), stopped_by_peer(Side::Server)]),
            stopping,
            "ping progress sent results fail",
        ),
        (to(&[open.clone(), theirs.clone()]), running, "ping stop fail"),
        (to(&[open.clone(), done()]), "its results were due", all),
        (to(&[open, done(), theirs]), "its goodbye was due", "ping stop bye fail"),
    ]
}

/// Sends every message to a machine in this state, and checks that it takes these and no others.
fn try_all(side: Side, inputs: &[Input], state: &str, taken: &str) {
    for message in one_of_each(&test(), side.other()) {
        let mut machine = match side {
            Side::Client => Machine::client(inputs.to_vec()),
            Side::Server => Machine::server(inputs.to_vec()),
        };
        assert_eq!(machine.ended(), None, "{inputs:?}");
        machine.handle(told(message.clone()));
        let what = format!("`{}` to the {side:?} while {state}", message.name());
        let ended = machine.ended();
        if taken.split(' ').any(|name| name == message.name()) {
            let protocol =
                matches!(&ended, Some(Ended::Failed(f)) if f.code == FailureCode::Protocol);
            assert!(!protocol, "{what} was refused: {ended:?}");
        } else {
            let Some(Ended::Failed(failure)) = ended else { panic!("{what}: {ended:?}") };
            assert_eq!(failure.code, FailureCode::Protocol, "{what}");
            let text = format!("the other end sent `{}` while {state}", message.name());
            assert_eq!(failure.message, text);
        }
    }
}

#[test]
fn a_client_refuses_by_name_what_does_not_belong_to_its_state() {
    for (inputs, state, taken) in client_states() {
        try_all(Side::Client, &inputs, state, taken);
    }
}

#[test]
fn a_server_refuses_by_name_what_does_not_belong_to_its_state() {
    for (inputs, state, taken) in server_states() {
        try_all(Side::Server, &inputs, state, taken);
    }
}

#[test]
fn a_server_that_still_thinks_about_a_proposal_takes_nothing_but_signs_of_life() {
    for message in one_of_each(&test(), Side::Client) {
        let mut server = Server::new(welcome(), 600 * SECOND, Deadlines::default(), NOW);
        server.handle(told(Message::Propose(Box::new(propose(&test())))), NOW);
        let name = message.name();
        server.handle(told(message), NOW);
        let ended = Machine::Server(Box::new(server)).ended();
        match name {
            "ping" => assert_eq!(ended, None),
            _ => assert!(matches!(ended, Some(Ended::Failed(_))), "{name}: {ended:?}"),
        }
    }
}

/// Lets the server agree to what `change` makes of the test, and returns what the client says.
fn agreed(change: impl Fn(&mut SpecFields)) -> Option<Failure> {
    let fields = || SpecFields {
        rate: Some(Rate { bits_per_second: 1000, burst: None }),
        ..test().into_fields()
    };
    let asked: TestSpec = fields().try_into().unwrap();
    let mut changed = fields();
    change(&mut changed);
    let agree = Agree { spec: changed.try_into().unwrap(), ..agree(&test()) };
    let answers = [Message::Welcome(welcome()), Message::Agree(Box::new(agree))].map(told);
    match Machine::client_for(propose(&asked), answers).ended() {
        None => None,
        Some(Ended::Failed(failure)) => Some(failure),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_client_runs_no_other_test_than_it_asked_for() {
    type Change = fn(&mut SpecFields);
    let changes: [(&str, Change); 9] = [
        ("streams", |spec| spec.streams = 128),
        ("rate", |spec| spec.rate = None),
        ("rate", |spec| spec.rate = Some(Rate { bits_per_second: 1001, burst: None })),
        ("transport", |spec| spec.transport = "quic".to_owned()),
        ("direction", |spec| spec.direction = Direction::Forward),
        ("limit", |spec| spec.limit = Limit::Endless),
        ("omitted time", |spec| spec.omit = SECOND),
        ("block", |spec| spec.block = 1 << 20),
        ("settings", |spec| spec.tuning.no_delay = true),
    ];
    for (named, change) in changes {
        let failure = agreed(change).expect("it is another test");
        assert_eq!(failure.code, FailureCode::Protocol);
        assert!(failure.message.contains(named), "{}", failure.message);
        assert!(failure.message.contains("`agree`"), "{}", failure.message);
    }
}

#[test]
fn a_client_takes_a_lower_rate() {
    let lower = Rate { bits_per_second: 10, burst: Some(2) };
    assert_eq!(agreed(|spec| spec.rate = Some(lower)), None);
}

#[test]
fn a_client_takes_the_block_and_rate_that_it_left_open() {
    let asked = SpecFields { block: 0, ..test().into_fields() };
    let rate = Some(Rate { bits_per_second: 10, burst: None });
    let spec = SpecFields { block: 1 << 17, rate, ..asked.clone() }.try_into().unwrap();
    let agree = Agree { spec, ..agree(&test()) };
    let answers = [Message::Welcome(welcome()), Message::Agree(Box::new(agree))].map(told);
    let asked: TestSpec = asked.try_into().unwrap();
    assert_eq!(Machine::client_for(propose(&asked), answers).ended(), None);
}

#[test]
fn a_client_refuses_a_token_that_is_none() {
    for token in ["", "short", "ABCDEFGHIJKLMNOPQRSTUVWX", "aaaaaaaaaaaaaaaaaaaaaaa\n"] {
        let agree = Agree { token: token.to_owned(), ..agree(&test()) };
        let answers = [Message::Welcome(welcome()), Message::Agree(Box::new(agree))].map(told);
        assert_eq!(Machine::client(answers).failure().code, FailureCode::Protocol);
    }
}

#[test]
fn a_client_says_which_transports_there_are_if_its_own_is_missing() {
    let fields = SpecFields { transport: "quic".to_owned(), ..test().into_fields() };
    let asked: TestSpec = fields.try_into().unwrap();
    let welcome = told(Message::Welcome(welcome()));
    let failure = Machine::client_for(propose(&asked), [welcome]).failure();
    assert_eq!(failure.code, FailureCode::Unsupported);
    assert_eq!(failure.message, "the server does not offer quic; it offers tcp");
}

#[test]
fn lists_of_flows_that_a_test_does_not_have_are_refused() {
    let sent = |flow| Sent { flow: FlowId(flow), bytes: u64::MAX, datagrams: None };
    let each = |flow| (FlowId(flow), Role::Receiver, u64::MAX);
    // The test has four flows.
    let lists: [Vec<u16>; 4] = [vec![0], vec![5], vec![u16::MAX; 3], vec![1; 100_000]];
    for list in lists {
        let flows = || list.iter().copied();
        for message in [
            Message::Sent(flows().map(sent).collect()),
            Message::Progress(sample(flows().map(each))),
            Message::Results(results(flows().map(each))),
        ] {
            let mut machine = Machine::client([&to_client()[..], &[done()]].concat());
            let name = message.name();
            machine.handle(told(message));
            let failure = machine.failure();
            assert_eq!(failure.code, FailureCode::Protocol);
            assert!(failure.message.contains(name), "{}", failure.message);
        }
    }
}

#[test]
fn absurd_figures_overflow_nothing() {
    let side: SideSummary = results((1..=4).map(|n| (FlowId(n), Role::Receiver, u64::MAX))).summary;
    assert_eq!(side.total(Role::Receiver).map(|(bytes, _)| bytes), Some(u64::MAX));
    let mut machine = Machine::client([&to_client()[..], &[done()]].concat());
    machine.handle(told(Message::Ping { received: u64::MAX }));
    machine.handle(told(Message::Progress(sample([]))));
    machine.handle(told(Message::Results(Box::new(Results::new(side)))));
    assert_eq!(machine.ended(), Some(Ended::Complete));
}

#[test]
fn nobody_stops_a_test_in_the_name_of_the_other_end() {
    for ended in [stopped(Side::Client), Ended::Complete] {
        let mut machine = Machine::client(to_client());
        machine.handle(told(Message::Stop(ended)));
        assert_eq!(machine.failure().code, FailureCode::Protocol);
    }
}

#[test]
fn a_client_that_claims_to_receive_on_and_on_is_not_waited_for_without_end() {
    let proposal = told(Message::Propose(Box::new(propose(&test()))));
    let Machine::Server(mut server) = Machine::server([proposal, Input::StreamsOpen, done()])
    else {
        panic!("it is a server")
    };
    let mut ended = None;
    for second in 0..700 {
        let now = SECOND * second;
        server.handle(told(Message::Ping { received: u64::from(second) }), now);
        server.check(4, now);
        while let Some(action) = server.poll() {
            if let Action::Conclude(Ended::Failed(failure), _) = action {
                ended = Some((failure.code, second));
            }
        }
    }
    assert_eq!(ended, Some((FailureCode::Timeout, 610)));
}

#[test]
fn what_a_client_may_send_early_is_bounded() {
    let mut machine = Machine::client(to_client()[..4].to_vec());
    for _ in 0..10_000 {
        machine.handle(told(Message::Progress(sample([]))));
    }
    machine.handle(Input::StreamsOpen);
    let Machine::Client(client) = &mut machine else { panic!("it is a client") };
    let passed = std::iter::from_fn(|| client.poll())
        .filter(|action| matches!(action, Action::Progress(_)))
        .count();
    assert_eq!(passed, 16);
}
