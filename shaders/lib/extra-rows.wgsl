// extra-rows: rows beside sinks and ring, in the layer's table: (G, markers), then (G, guests). Needs the uniform info.
// A marker: key and value in f16 pairs, then four words. A guest: codes of key and value, turned by a Hadamard matrix but not centred, (scale, zero) of each
// in f16, and its position, or NOWHERE in an empty row. While a page still holds the slot, in fewer bits, the guest waits: nothing attends to it until the layer is
// judged, which drops the slot and wakes the guest.
const EXTRA_WORDS = D + 4u;
const X_BIAS = D;             // f32, added to the row's logit; -1e30 in an empty row
const X_WEIGHT = D + 1u;      // f32: importance of all that a marker stands for
const X_COUNT = D + 2u;       // tokens that it stands for
const X_FIRST = D + 3u;       // position where its span begins, or NOWHERE; it ends where the next marker's begins
const NOWHERE = 0xFFFFFFFFu;
const WAITING = 0x80000000u;  // in a guest's position; in an empty row as well

// Words from the layer's table to a marker.
fn extraAt(head: u32, row: u32) -> u32 { return info.extraStart + (head * info.markers + row) * EXTRA_WORDS; }

// Words of a guest's codes, key and value; the scales follow, then the position.
fn guestCodes() -> u32 { return 2u * codeWords(info.guestBits); }

// Words from the layer's table to a guest.
fn guestAt(head: u32, row: u32) -> u32 { return info.extraStart + G * info.markers * EXTRA_WORDS + (head * info.guests + row) * (guestCodes() + 3u); }

// Words to its position.
fn guestPositionAt(head: u32, row: u32) -> u32 { return guestAt(head, row) + guestCodes() + 2u; }
