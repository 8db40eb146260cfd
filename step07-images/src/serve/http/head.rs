//! Request line and headers, read strictly: what two readers could read in two ways is refused.

use super::Request;
use super::body::{Body, Left, number};
use std::io::BufReader;
use std::net::TcpStream;

/// Request line and headers.
#[derive(Debug)]
pub(super) struct Parsed {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    closes: bool,
    left: Left,
    expects: bool,
}

impl Parsed {
    pub(super) fn with_body(self, reader: &mut BufReader<TcpStream>) -> Request<'_> {
        let body = Body::new(reader, self.left, self.expects);
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

pub(super) fn parse(head: &str) -> Result<Parsed, &'static str> {
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
        ([], [length]) => Left::Bytes(number(length, 10).ok_or("the length of the body is no number")?),
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
            "PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "GET /?a=%zz HTTP/1.1\r\n\r\n",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
