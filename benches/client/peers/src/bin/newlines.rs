//! The floor: reads the same streams from raw sockets and does nothing but look for line feeds.
//!
//! `newlines PORT STREAMS REQUESTS TOKENS`: so many streams at once on 127.0.0.1, each connection used again for
//! the next request. Prints what it saw as JSON; its processor time is for whoever started it to look at.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let &[port, streams, requests, tokens] = &numbers[..] else {
        return Err("usage: newlines PORT STREAMS REQUESTS TOKENS".into());
    };
    let body = format!(
        r#"{{"model":"mock","messages":[{{"role":"user","content":"hello"}}],"stream":true,"stream_options":{{"include_usage":true}},"max_tokens":{tokens}}}"#
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::new();
    for number in 0..streams.min(requests) {
        let mut socket = TcpStream::connect(("127.0.0.1", u16::try_from(port)?))?;
        socket.set_nodelay(true)?;
        socket.write_all(request.as_bytes())?;
        socket.set_nonblocking(true)?;
        epoll::add(&poll, &socket, epoll::EventData::new_u64(number), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        sockets.push(socket);
    }
    let (mut sent, mut done) = (sockets.len() as u64, 0);
    let (mut lines, mut bytes, mut reads) = (0_u64, 0_u64, 0_u64);
    let mut space = vec![0; 64 << 10];
    let mut events = Vec::with_capacity(1024);
    while done < requests {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            let socket = &mut sockets[usize::try_from(event.data.u64())?];
            loop {
                let count = match socket.read(&mut space) {
                    Ok(0) => return Err("the server hung up".into()),
                    Ok(count) => count,
                    Err(cause) if cause.kind() == ErrorKind::WouldBlock => break,
                    Err(cause) => return Err(cause.into()),
                };
                let read = &space[..count];
                reads += 1;
                bytes += count as u64;
                lines += memchr::memchr_iter(b'\n', read).count() as u64;
                if read.ends_with(b"0\r\n\r\n") {
                    done += 1;
                    if sent < requests {
                        sent += 1;
                        socket.write_all(request.as_bytes())?;
                    }
                }
                // As runtimes do: a read that did not fill its buffer left nothing behind.
                if count < space.len() {
                    break;
                }
            }
        }
    }
    println!(r#"{{"requests":{done},"lines":{lines},"bytes":{bytes},"reads":{reads}}}"#);
    Ok(())
}
