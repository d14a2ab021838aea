// moments-f32: records of moments as a prompt's scorer makes them. Its twin for what a cache keeps is moments-f16. Needs D of its kernel, a multiple of 8.
alias Four = vec4f; // four pairs of a plane
fn unpackFour(stored: Four) -> vec4f { return stored; }

// Where a head's record begins, in Fours; each plane has D / 8.
fn recordOf(head: u32) -> u32 { return head * (7u * (D / 8u) + 1u); }
