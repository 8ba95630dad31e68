//! Blocking sockets of the standard library.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use crate::{Figures, SIZE, support::Result};

/// Answers requests on one connection after another, on a free port that is printed first.
pub(crate) fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut request = [0; SIZE];
        loop {
            match stream.read_exact(&mut request) {
                Ok(()) => stream.write_all(&request)?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error.into()),
            }
            // Whoever wants one answer alone says so by its first byte, and is left first.
            if request[0] == LAST {
                break;
            }
        }
    }
}

/// Asks again and again on one connection.
pub(crate) fn rr(addr: SocketAddr, time: Duration) -> Result<Figures> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut times = Vec::new();
    let mut bytes = [0; SIZE];
    let started = Instant::now();
    while started.elapsed() < time {
        let asked = Instant::now();
        stream.write_all(&[0; SIZE])?;
        stream.read_exact(&mut bytes)?;
        times.push(asked.elapsed());
    }
    Figures::of(&times, started.elapsed())
}

/// Connects, asks once, and closes, again and again.
pub(crate) fn churn(addr: SocketAddr, time: Duration) -> Result<Figures> {
    let mut times = Vec::new();
    let mut bytes = [0; SIZE];
    let started = Instant::now();
    while started.elapsed() < time {
        let began = Instant::now();
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(&[LAST; SIZE])?;
        stream.read_exact(&mut bytes)?;
        times.push(began.elapsed());
        // The server closes first, so that the client does not run out of ports.
        stream.read_exact(&mut bytes[..1]).expect_err("there is no second response");
    }
    Figures::of(&times, started.elapsed())
}

const LAST: u8 = 1;
