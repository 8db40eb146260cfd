//! Step 4, a network of one's own: a network namespace, a veth pair to a bridge, addresses, routes, masquerading
//! and published ports. The library holds nothing yet: the mechanism comes with the next issue, and until then `tara`
//! offers `--network none` and `--network host`.
