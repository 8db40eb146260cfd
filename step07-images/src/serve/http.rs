//! HTTP/1.1 on one connection: request line, headers and body, each of a bounded size and in a bounded time.
//!
//! Source: RFC 9112.

use super::answer::{Answer, Content};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Request line and headers together.
const MOST_HEAD: usize = 32 << 10;
/// The first byte of a TLS connection (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// From its first byte to its end.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// A body may be slower for this long on the whole, and must have this many bytes a second after it.
const BODY_GRACE: Duration = Duration::from_secs(60);
const BODY_SLOWEST: u64 = 1024;

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
        self.body.left == Left::Bytes(0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Bytes(u64),
    /// So much of this chunk; then comes another, or the end.
    Chunk(u64),
}

/// The body of a request, of a known length or in chunks.
pub(super) struct Body<'c> {
    reader: &'c mut BufReader<TcpStream>,
    left: Left,
    /// The client waits for a word before it sends.
    expects: bool,
    begin: Instant,
    count: u64,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { reader: BufReader::with_capacity(64 << 10, stream) }
    }

    /// The next request; `None` when the client has gone, and why it is refused when it is none.
    pub(super) fn request(&mut self) -> io::Result<Option<Result<Request<'_>, &'static str>>> {
        let Some(head) = self.head()? else { return Ok(None) };
        Ok(Some(parse(&head).map(|parsed| parsed.with_body(&mut self.reader))))
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

struct Parsed {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    closes: bool,
    left: Left,
    expects: bool,
}

impl Parsed {
    fn with_body(self, reader: &mut BufReader<TcpStream>) -> Request<'_> {
        let body = Body { reader, left: self.left, expects: self.expects, begin: Instant::now(), count: 0 };
        Request {
            method: self.method,
            path: self.path,
            query: self.query,
            headers: self.headers,
            closes: self.closes,
            body,
        }
    }
}

fn parse(head: &str) -> Result<Parsed, &'static str> {
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default();
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err("the request line is none");
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err("only HTTP/1.1 is spoken here");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !path.starts_with('/') || path.contains('%') {
        return Err("the address has no place here");
    }
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or("a header has no colon")?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err("a header has no name");
        }
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let all = |wanted: &str| -> Vec<String> {
        let found = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_ascii_lowercase()).collect()
    };
    let left = match (&all("transfer-encoding")[..], &all("content-length")[..]) {
        ([], []) => Left::Bytes(0),
        ([], [length]) => Left::Bytes(length.parse().map_err(|_| "the length of the body is no number")?),
        ([encoding], []) if encoding == "chunked" => Left::Chunk(0),
        // Two lengths are a way to smuggle a second request past somebody in between.
        _ => return Err("the length of the body is not clear"),
    };
    let closes = version == "HTTP/1.0" || all("connection").iter().any(|value| value.contains("close"));
    let expects = all("expect").iter().any(|value| value == "100-continue");
    let (method, path) = (method.to_owned(), path.to_owned());
    Ok(Parsed { method, path, query: parameters(query)?, headers, closes, left, expects })
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, &'static str> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(value)?))
        })
        .collect()
}

/// `%3A` and `+`.
fn decoded(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "the query is not well encoded";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().ok_or(WRONG)?, rest.next().ok_or(WRONG)?];
                let digits = str::from_utf8(&digits).map_err(|_| WRONG)?;
                u8::from_str_radix(digits, 16).map_err(|_| WRONG)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}

impl Body<'_> {
    /// A line of the chunked form, at most so long.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.take(256).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        self.left = Left::Chunk(size);
        if size == 0 {
            // Trailers, of which there may be some, and none is looked at.
            for _ in 0..64 {
                if self.line()?.is_empty() {
                    self.left = Left::Bytes(0);
                    return Ok(());
                }
            }
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == Left::Bytes(0) || buffer.is_empty() {
            return Ok(0);
        }
        if std::mem::take(&mut self.expects) {
            self.reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let waited = self.begin.elapsed();
        if waited > BODY_GRACE && self.count < waited.as_secs() * BODY_SLOWEST {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.left == Left::Chunk(0) {
            self.next_chunk()?;
        }
        let left = match self.left {
            Left::Bytes(0) => return Ok(0),
            Left::Bytes(left) | Left::Chunk(left) => left,
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.count += count as u64;
        let rest = left - count as u64;
        self.left = match self.left {
            Left::Bytes(_) => Left::Bytes(rest),
            Left::Chunk(_) => {
                if rest == 0 && !self.line()?.is_empty() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Left::Chunk(rest)
            }
        };
        Ok(count)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let parsed = parse("GET /v2/a/tags/list?n=1&last=b%3Ac HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!((parsed.path.as_str(), parsed.left), ("/v2/a/tags/list", Left::Bytes(0)));
        assert_eq!(parsed.query, [("n".into(), "1".into()), ("last".into(), "b:c".into())]);
        for wrong in [
            "",
            "GET / HTTP/2\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\n\r\n",
            "GET /v2/%2e%2e/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "GET /?a=%zz HTTP/1.1\r\n\r\n",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
