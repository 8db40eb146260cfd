//! `tara registry serve`.

use super::print;
use crate::container::Container;
use crate::engine::Engine;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use nix::sys::signal::{SigSet, Signal};
use std::net::SocketAddr;
use std::sync::Arc;
use step07_images::serve::Server;
use step07_images::{Digest, Store};

#[derive(Debug, Subcommand)]
pub(crate) enum Registry {
    /// Let others pull the images of this machine, and push to it.
    Serve(Serve),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Only pulls.
    #[arg(long)]
    read_only: bool,
}

impl Registry {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let Self::Serve(serve) = self;
        serve.run(engine)
    }
}

impl Serve {
    fn run(&self, engine: &Engine) -> Result<u8> {
        // Before there is a second thread: all have to leave these signals to the one that waits for them.
        let ends = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        ends.thread_block().context("block the signals that end it")?;
        let dirs = engine.dirs().clone();
        let store = Store::open(&dirs.root)?;
        let in_use = move |image: &Digest| {
            let containers = Container::all(&dirs).unwrap_or_default();
            let of_image = containers.iter().filter(|container| container.record.image_id == image.to_string());
            of_image.map(|container| container.record.id.chars().take(12).collect()).collect()
        };
        let server = Server::bind(store, self.listen, self.read_only, Box::new(in_use))?;
        let server = Arc::new(server);
        self.say(&server)?;
        let waiting = Arc::clone(&server);
        std::thread::spawn(move || {
            let _ended = ends.wait();
            waiting.stop();
        });
        server.run();
        Ok(0)
    }

    fn say(&self, server: &Server) -> Result<()> {
        let address = server.address()?;
        if !address.ip().is_loopback() {
            let may = if self.read_only {
                "get every image of this machine"
            } else {
                "get every image of this machine, and push others"
            };
            eprintln!(
                "warning: listening beyond this machine, without TLS and passwords: whoever reaches {address} may {may}"
            );
        }
        print(&format!("registry on {address}; what is pushed is called {}/NAME:TAG here\n", server.own_name()));
        Ok(())
    }
}
