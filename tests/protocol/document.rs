//! The document says what the program does.

use std::{collections::BTreeSet, time::Duration};

use polyperf::{
    outcome::Side,
    protocol::native::{
        Deadlines, Encoder, HELLO_LEN, Hello, MAX_EARLY, MAX_FRAME, Message, Nonce, Opening, Prove,
        Token, Transcript,
    },
    spec::Direction,
};
use serde_json::Value;

use crate::{
    fixtures::{SECOND, one_of_each, timed},
    pair::Pair,
};

const DOCUMENT: &str = include_str!("../../docs/native-protocol.md");

/// Returns the contents of the blocks of code in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    let mut rest = DOCUMENT;
    let mut blocks = Vec::new();
    while let Some((_, after)) = rest.split_once(&start) {
        let (block, after) = after.split_once("```").expect("a block ends");
        blocks.push(block);
        rest = after;
    }
    blocks
}

#[test]
fn each_example_is_a_message_and_is_written_back_as_it_stands() {
    let mut names = BTreeSet::new();
    for block in blocks("json") {
        let message: Message =
            serde_json::from_str(block).unwrap_or_else(|e| panic!("{e}: {block}"));
        let (written, told): (Value, Value) =
            (serde_json::to_value(&message).unwrap(), serde_json::from_str(block).unwrap());
        assert_eq!(written, told);
        names.insert(message.name());
    }
    let all = one_of_each(&timed(Direction::Forward), Side::Client);
    assert_eq!(names, all.iter().map(Message::name).collect(), "an example of each");
}

/// Signed by a program of somebody else's, to the letter of the document.
#[test]
fn the_signature_in_the_document_is_one() {
    let proofs =
        blocks("json").into_iter().filter_map(|block| match serde_json::from_str(block).unwrap() {
            Message::Prove(prove) => prove.certificate.is_some().then_some(prove),
            _ => None,
        });
    let proofs: Vec<_> = proofs.collect();
    assert_eq!(proofs.len(), 1);
    for prove in proofs {
        let Prove { identity, nonce, proof, certificate, propose } = *prove;
        let signer = |server: u8, propose: &str| {
            let server = &Nonce::new([server; 32]);
            let (client, identity) = (&nonce, identity.as_str());
            let transcript = Transcript { server, client, identity, propose, channel: &[] };
            transcript.signer(certificate.as_ref()?, &proof)
        };
        assert_eq!(signer(1, &propose).map(|signer| signer.to_string()), Some(identity.clone()));
        assert_eq!((signer(2, &propose), signer(1, "{}")), (None, None));
    }
}

/// Returns who says what in a chart, from top to bottom.
fn chart(block: &str) -> Vec<String> {
    let said = |line: &str| {
        let column = line.split('|').nth(1)?;
        let side = if column.starts_with("  ") { "server" } else { "client" };
        let word = column.split_whitespace().next()?;
        let names = ["welcome", "propose", "agree", "start", "sent", "stop", "results", "bye"];
        names.contains(&word).then(|| format!("{side} {word}"))
    };
    block.lines().filter_map(said).collect()
}

#[test]
fn the_charts_show_what_the_machines_say() {
    let charts: Vec<_> = blocks("text").into_iter().map(chart).collect();
    let test = timed(Direction::Forward);
    let clean = Pair::new(test.clone()).run().conversation();
    let stopped = Pair::new(test).stop(Side::Client, 2 * SECOND).run().conversation();
    assert_eq!(charts, [clean, stopped[4..].to_vec()]);
}

#[test]
fn the_defaults_are_those_of_the_program() {
    let Deadlines { answer, streams, keepalive, silence, overrun, grace, stall, results, goodbye } =
        Deadlines::default();
    let rows = [
        ("answer", answer),
        ("streams", streams),
        ("keepalive", keepalive),
        ("silence", silence),
        ("overrun", overrun),
        ("grace", grace),
        ("stall", stall),
        ("results", results),
        ("goodbye", goodbye),
    ];
    for (name, value) in rows {
        assert!(DOCUMENT.contains(&format!("| `{name}` | {} |", text(value))), "{name} {value:?}");
    }
}

fn text(value: Duration) -> String {
    if value.subsec_millis() == 0 {
        format!("{} s", value.as_secs())
    } else {
        format!("{} ms", value.as_millis())
    }
}

#[test]
fn the_limits_are_those_of_the_program() {
    assert!(DOCUMENT.contains(&format!("{} KiB", MAX_EARLY >> 10)));
    assert!(DOCUMENT.contains(&format!("{} MiB", MAX_FRAME >> 20)));
    assert!(DOCUMENT.contains(&format!("{HELLO_LEN} bytes")));
}

#[test]
fn the_hellos_are_read_by_the_program() {
    let hellos: Vec<_> = blocks("hello").into_iter().flat_map(str::lines).collect();
    assert_eq!(hellos.len(), 2);
    for hello in hellos {
        let bytes = hello.replace("\\0", "\0").into_bytes().try_into().expect(hello);
        let Opening::Native(read) = Opening::parse(&bytes) else { panic!("{hello}") };
        assert_eq!(read.encode(), bytes);
        let token = match read {
            Hello::Control(token) | Hello::Attach(token, _) => token,
        };
        assert_eq!(Some(token), Token::parse(&bytes[10..34]));
    }
}

#[test]
fn the_frame_is_what_the_program_writes() {
    let bytes: Vec<u8> = blocks("hex")
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    assert_eq!(bytes, Encoder::default().encode(&Message::Start));
}
