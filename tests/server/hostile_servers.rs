//! Servers that send garbage: a client distrusts them as much as they do it.

use std::{sync::Arc, time::Duration};

use polyperf::{
    Client, client,
    measure::SideSummary,
    outcome::{Ended, Failure, FailureCode, HostInfo, Outcome},
    protocol::native::{
        Agree, Busy, Limits, Message, Propose, Results, Token, TransportInfo, Welcome,
    },
    spec::{Limit, SpecFields, TestSpec},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    raw::{Raw, frame},
    support::{short, soon, spawn},
};

type Running = JoinHandle<Result<Arc<Outcome>, Failure>>;

struct Fake {
    listener: TcpListener,
    client: Running,
    control: Raw,
}

impl Fake {
    /// A server that a client has said its hello to.
    async fn reached(set: impl FnOnce(client::Builder) -> client::Builder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::builder("127.0.0.1").port(listener.local_addr().unwrap().port());
        let client = client.deadlines(short()).connect_timeout(Duration::from_millis(500));
        let client = spawn(set(client.time(Duration::from_millis(300))));
        let control = Raw::new(accept(&listener).await);
        Self { listener, client, control }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn welcome(&self) -> Message {
        let tcp = TransportInfo { name: "tcp".to_owned(), port: self.port(), identity: None };
        let (host, limits) = (HostInfo::default(), Limits::default());
        Message::Welcome(Welcome { host, transports: vec![tcp], limits, challenge: None })
    }

    /// A server that a proposal was made to.
    async fn asked(set: impl FnOnce(client::Builder) -> client::Builder) -> (Self, Propose) {
        let mut fake = Self::reached(set).await;
        let welcome = fake.welcome();
        fake.control.send(&welcome).await;
        match fake.control.hear().await {
            Some(Message::Propose(propose)) => (fake, *propose),
            other => panic!("{other:?}"),
        }
    }

    fn agree(&self, spec: TestSpec) -> Box<Agree> {
        let token = Token::from_bits(5).as_str().to_owned();
        let (session, changes) = ("x-1".to_owned(), Vec::new());
        Box::new(Agree { session, token, port: self.port(), spec, changes, proof: None })
    }

    async fn started(set: impl FnOnce(client::Builder) -> client::Builder) -> (Self, TcpStream) {
        let (mut fake, propose) = Self::asked(set).await;
        let fields = SpecFields { block: 1000, ..propose.spec.into_fields() };
        let agree = fake.agree(TestSpec::try_from(fields).unwrap());
        fake.control.send(&Message::Agree(agree)).await;
        let stream = accept(&fake.listener).await;
        fake.control.send(&Message::Start).await;
        (fake, stream)
    }

    async fn fails(self) -> Failure {
        let Self { client, listener, control } = self;
        let failure = soon(client).await.unwrap().unwrap_err();
        drop((listener, control));
        failure
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    soon(stream.read_exact(&mut [0; 37])).await.unwrap();
    stream
}

fn same(client: client::Builder) -> client::Builder {
    client
}

#[tokio::test]
async fn garbage_in_place_of_a_welcome_is_a_protocol_failure() {
    let cases = [
        vec![0; 8],
        [&[0, 1, 0, 1][..], &[0; 4]].concat(),
        frame(0, b"null"),
        frame(3, b"{\"type\":\"start\"}"),
        frame(0, b"{\"type\":\"start\"}"),
        frame(0, b"{\"type\":\"agree\",\"data\":{}}"),
        frame(0, &[b'['; 20_000]),
        frame(0, b"\xff\xff"),
    ];
    for case in cases {
        let mut fake = Fake::reached(same).await;
        fake.control.bytes(&case).await;
        assert_eq!(fake.fails().await.code, FailureCode::Protocol, "{case:?}");
    }
}

#[tokio::test]
async fn half_a_welcome_is_a_timeout() {
    let mut fake = Fake::reached(same).await;
    fake.control.bytes(&[0, 0, 0, 9, 0, 0]).await;
    assert_eq!(fake.fails().await.code, FailureCode::Timeout);
}

#[tokio::test]
async fn an_agreement_to_something_else_is_refused() {
    let changes: [fn(&mut Agree, SpecFields); 5] = [
        |agree, f| {
            agree.spec = TestSpec::try_from(SpecFields { streams: 99, block: 1, ..f }).unwrap()
        },
        |agree, f| {
            let limit = Limit::Endless;
            agree.spec = TestSpec::try_from(SpecFields { limit, block: 1, ..f }).unwrap();
        },
        |agree, _| agree.token = "../../etc/passwd".to_owned(),
        |agree, _| agree.token = String::new(),
        |agree, f| agree.spec = TestSpec::try_from(SpecFields { block: 0, ..f }).unwrap(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (mut fake, propose) = Fake::asked(same).await;
        let fields = propose.spec.clone().into_fields();
        let spec = TestSpec::try_from(SpecFields { block: 1000, ..fields.clone() }).unwrap();
        let mut agree = fake.agree(spec);
        change(&mut agree, fields);
        fake.control.send(&Message::Agree(agree)).await;
        let failure = fake.fails().await;
        assert_eq!(failure.code, FailureCode::Protocol, "{index}: {failure}");
    }
}

#[tokio::test]
async fn streams_that_cannot_be_opened_are_a_connect_failure() {
    let (mut fake, propose) = Fake::asked(same).await;
    let spec =
        TestSpec::try_from(SpecFields { block: 1000, ..propose.spec.into_fields() }).unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let agree = Agree { port: gone, ..*fake.agree(spec) };
    fake.control.send(&Message::Agree(Box::new(agree))).await;
    assert_eq!(fake.fails().await.code, FailureCode::Connect);
}

#[tokio::test]
async fn servers_that_stall_or_vanish_are_given_up() {
    let (fake, _) = Fake::asked(same).await;
    assert_eq!(fake.fails().await.code, FailureCode::Timeout, "no answer");
    let (mut fake, _) = Fake::asked(|c| c.queue_timeout(Duration::from_secs(60))).await;
    fake.control.send(&Message::Busy(Busy { position: 1, retry_after: None })).await;
    assert_eq!(fake.fails().await.code, FailureCode::PeerLost, "silence in the queue");
    let (mut fake, propose) = Fake::asked(same).await;
    let spec = TestSpec::try_from(SpecFields { block: 9, ..propose.spec.into_fields() }).unwrap();
    let agree = fake.agree(spec);
    fake.control.send(&Message::Agree(agree)).await;
    assert_eq!(fake.fails().await.code, FailureCode::Timeout, "no start");
    let (fake, _) = Fake::asked(same).await;
    let Fake { client, control, .. } = fake;
    drop(control);
    assert_eq!(soon(client).await.unwrap().unwrap_err().code, FailureCode::PeerLost);
}

#[tokio::test]
async fn a_running_test_that_breaks_has_something_to_show() {
    let lies = [
        Message::Welcome(Welcome {
            challenge: None,
            host: HostInfo::default(),
            transports: Vec::new(),
            limits: Limits::default(),
        }),
        Message::Start,
        Message::Results(Box::new(Results::new(SideSummary::default()))),
        Message::Sent(Vec::new()),
    ];
    for lie in lies {
        let (mut fake, stream) = Fake::started(client::Builder::reverse).await;
        fake.control.send(&lie).await;
        let outcome = soon(fake.client).await.unwrap().unwrap();
        match &outcome.ended {
            Ended::Failed(f) => assert_eq!(f.code, FailureCode::Protocol, "{f}"),
            other => panic!("{lie:?}: {other:?}"),
        }
        drop(stream);
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_in_the_test_is_given_up() {
    for set in [same, client::Builder::reverse] {
        let (fake, stream) = Fake::started(|c| set(c).spec(|s| s.limit = Limit::Endless)).await;
        let outcome = soon(fake.client).await.unwrap().unwrap();
        match &outcome.ended {
            Ended::Failed(f) => assert_eq!(f.code, FailureCode::PeerLost, "{f}"),
            other => panic!("{other:?}"),
        }
        drop(stream);
    }
}

#[tokio::test]
async fn a_server_that_is_killed_is_said_to_be_lost_whichever_end_breaks_first() {
    for set in [same, client::Builder::reverse] {
        for control_first in [false, true] {
            let (fake, stream) = Fake::started(|c| set(c).spec(|s| s.limit = Limit::Endless)).await;
            let Fake { listener, client, control } = fake;
            drop(listener);
            if control_first {
                drop(control);
                drop(stream);
            } else {
                drop(stream);
                tokio::time::sleep(Duration::from_millis(150)).await;
                drop(control);
            }
            let outcome = soon(client).await.unwrap().unwrap();
            match &outcome.ended {
                Ended::Failed(failure) => {
                    assert_eq!(failure.code, FailureCode::PeerLost, "{failure}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
