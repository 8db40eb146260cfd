//! The built pages for a browser on this machine; built again when a source has changed.

use crate::{build, folder};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Serves until it is interrupted.
///
/// # Errors
/// A port that is taken; a book that cannot be built.
pub fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("listen on port {port}"))?;
    let first = build::build()?;
    let pages = first.parent().context("the pages' folder")?.to_owned();
    let mut built = SystemTime::now();
    println!("http://{}/", listener.local_addr()?);
    for connection in listener.incoming() {
        if newest(&folder().join("src")) > built {
            built = SystemTime::now();
            if let Err(error) = build::build() {
                eprintln!("error: {error:#}");
            }
        }
        // A browser that goes away is its own affair.
        let _gone = connection.and_then(|stream| answer(stream, &pages));
    }
    Ok(())
}

fn newest(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let time = |path: PathBuf| match path.metadata() {
        Ok(meta) if meta.is_dir() => newest(&path),
        Ok(meta) => meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        Err(_) => SystemTime::UNIX_EPOCH,
    };
    entries.map(|entry| time(entry.path())).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn answer(mut stream: TcpStream, pages: &Path) -> std::io::Result<()> {
    let mut request = String::new();
    BufReader::new(&stream).read_line(&mut request)?;
    let path = request.split(' ').nth(1).unwrap_or("/").split(['?', '#']).next().unwrap_or("/");
    let path = Path::new(path.trim_start_matches('/'));
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = if path == Path::new("") { pages.join("index.html") } else { pages.join(path) };
    match std::fs::read(&file) {
        Ok(body) if inside || path == Path::new("") => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {}\r\n", kind(&file))?;
            write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
            stream.write_all(&body)
        }
        _ => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    }
}

fn kind(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
