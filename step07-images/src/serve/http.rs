//! HTTP/1.1 on one connection: request line, headers and body, each of a bounded size and in a bounded time.
//!
//! Source: RFC 9112. `head` reads request lines and headers, `body` what follows them.

mod body;
mod head;

use super::answer::{Answer, Content};
use body::Body;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Request line and headers together.
const MOST_HEAD: usize = 32 << 10;
/// The first byte of a TLS connection (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// From its first byte to its end.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// One client.
pub(super) struct Connection {
    reader: BufReader<TcpStream>,
}

/// What a client asks for.
pub(super) struct Request<'c> {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub(super) closes: bool,
    pub(super) body: Body<'c>,
}

impl Request<'_> {
    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the body is read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.body.is_read()
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { reader: BufReader::with_capacity(64 << 10, stream) }
    }

    /// The next request; `None` when the client has gone, and why it is refused when it is none.
    pub(super) fn request(&mut self) -> io::Result<Option<Result<Request<'_>, &'static str>>> {
        let Some(head) = self.head()? else { return Ok(None) };
        Ok(Some(head::parse(&head).map(|parsed| parsed.with_body(&mut self.reader))))
    }

    /// Up to the empty line.
    fn head(&mut self) -> io::Result<Option<String>> {
        let (mut head, mut begin) = (Vec::new(), None);
        if self.reader.fill_buf()?.first() == Some(&TLS_HANDSHAKE) {
            // A client that tries TLS first: it has to hear at once that there is none.
            return Ok(Some(String::new()));
        }
        loop {
            let mut line = Vec::new();
            let most = (MOST_HEAD - head.len()) as u64;
            if (&mut self.reader).take(most).read_until(b'\n', &mut line)? == 0 {
                return Ok((head.len() >= MOST_HEAD).then(String::new));
            }
            let begin = begin.get_or_insert_with(Instant::now);
            if begin.elapsed() > HEAD_TIME {
                return Ok(None);
            }
            let is_end = matches!(&line[..], b"\r\n" | b"\n");
            if is_end && head.is_empty() {
                continue;
            }
            head.extend_from_slice(&line);
            if is_end {
                // What is no text is no request: the parser refuses the empty one.
                return Ok(Some(String::from_utf8(head).unwrap_or_default()));
            }
        }
    }

    pub(super) fn answer(&mut self, answer: &Answer, head_only: bool, stays: bool) -> io::Result<()> {
        let stream = self.reader.get_mut();
        let length = answer.content.length();
        let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, words(answer.status));
        head += "Docker-Distribution-Api-Version: registry/2.0\r\nX-Content-Type-Options: nosniff\r\n";
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if answer.status != 204 {
            head += &format!("Content-Length: {length}\r\n");
        }
        head += if stays { "\r\n" } else { "Connection: close\r\n\r\n" };
        stream.write_all(head.as_bytes())?;
        match &answer.content {
            _ if head_only => Ok(()),
            Content::Bytes(bytes) => stream.write_all(bytes),
            Content::File(file, range) => {
                let mut file = file.try_clone()?;
                io::Seek::seek(&mut file, io::SeekFrom::Start(range.start))?;
                // From file to socket inside the kernel: std uses sendfile(2).
                let sent = io::copy(&mut file.take(range.end - range.start), stream)?;
                if sent == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            }
        }
    }

    /// Lets the client read the answer before the connection goes, even if it is still sending.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.reader.get_ref().shutdown(Shutdown::Write)?;
        self.reader.get_ref().set_read_timeout(Some(Duration::from_secs(2)))?;
        io::copy(&mut (&mut self.reader).take(16 << 20), &mut io::sink()).map(drop)
    }
}

fn words(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        _ => "Internal Server Error",
    }
}
