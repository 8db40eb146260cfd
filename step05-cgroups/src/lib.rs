//! Step 5, a share of the machine: limits on memory, processor time and the number of processes through cgroups,
//! v2 and v1. The library holds nothing yet: until the mechanism is here, `tara` has no flag for a limit, so that none
//! is promised and not kept.
