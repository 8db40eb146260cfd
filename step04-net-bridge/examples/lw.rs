use std::time::Instant;
use step04_net_bridge::*;
fn main() {
    let networks = Networks::open("/dev/shm/lw".as_ref()).unwrap();
    let n = 300;
    let mut names = vec!["join", "netns", "connect", "conn+port", "unpub", "leave", "begin..netns", "..finish"];
    let mut t: Vec<Vec<u128>> = vec![vec![]; names.len()];
    for i in 0..n {
        let id = format!("{i:03x}aaaaaaaaaa");
        let mut b = Instant::now();
        let mut lap = |k: usize, t: &mut Vec<Vec<u128>>| {
            t[k].push(b.elapsed().as_nanos() / 1000);
            b = Instant::now();
        };
        let joined =
            networks.join(&Settings::default_network(), &Request { id: id.clone(), ..Default::default() }).unwrap();
        lap(0, &mut t);
        let netns = Netns::create().unwrap();
        lap(1, &mut t);
        let ports: Vec<PortSpec> = if i % 2 == 1 { vec![format!("{}:80", 8000 + i).parse().unwrap()] } else { vec![] };
        let end = Endpoint::connect(&joined, &netns, &ports).unwrap();
        lap(2 + i % 2, &mut t);
        end.unpublish_and_end().unwrap();
        lap(4, &mut t);
        drop(netns);
        networks.leave("bridge", &id).unwrap();
        lap(5, &mut t);
        drop(joined);
        std::thread::sleep(std::time::Duration::from_millis(3));
        let mut b = Instant::now();
        let id = format!("{i:03x}bbbbbbbbbb");
        let mut lap = |k: usize, t: &mut Vec<Vec<u128>>| {
            t[k].push(b.elapsed().as_nanos() / 1000);
            b = Instant::now();
        };
        let c = Connecting::begin(
            networks.clone(),
            Settings::default_network(),
            Request { id: id.clone(), ..Default::default() },
            vec![],
        )
        .unwrap();
        let w = c.netns().unwrap();
        lap(6, &mut t);
        let e = w.finish().unwrap();
        lap(7, &mut t);
        e.unpublish().unwrap();
        networks.leave("bridge", &id).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    for (n, v) in names.iter_mut().zip(&mut t) {
        v.sort();
        if !v.is_empty() {
            println!(
                "{n:14} min {} p10 {} med {} p90 {} max {}",
                v[0],
                v[v.len() / 10],
                v[v.len() / 2],
                v[v.len() * 9 / 10],
                v[v.len() - 1]
            );
        }
    }
    networks.remove("bridge").unwrap();
}
