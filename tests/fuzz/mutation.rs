//! Random changes of bytes.

use fastrand::Rng;

/// The ends of the ranges that formats count with.
const EXTREMES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, i64::MAX as u64, 1 << 63, u64::MAX];

/// Makes one to four changes. A part of `other` may replace the end.
pub fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.usize(1..=4) {
        change(rng, bytes, other);
    }
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let place = rng.usize(0..=bytes.len());
    let few = rng.usize(0..=bytes.len().min(64));
    let end = bytes.len().min(place + few);
    match rng.u8(0..9) {
        0 => bytes.truncate(place),
        1 => drop(bytes.drain(place..end)),
        2 => {
            let part = bytes[place..end].to_vec();
            bytes.splice(place..place, part);
        }
        3 => {
            let start = rng.usize(0..=other.len());
            bytes.truncate(place);
            bytes.extend_from_slice(&other[start..]);
        }
        4 => {
            let noise = (0..few).map(|_| rng.u8(..)).collect::<Vec<_>>();
            bytes.splice(place..end, noise);
        }
        5 => {
            let extreme = EXTREMES[rng.usize(..EXTREMES.len())];
            let extreme = if rng.bool() { extreme.to_le_bytes() } else { extreme.to_be_bytes() };
            let size = [1, 2, 4, 8][rng.usize(..4)];
            for (byte, extreme) in bytes.iter_mut().skip(place).zip(&extreme[..size]) {
                *byte = *extreme;
            }
        }
        6 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = rng.u8(..);
            }
        }
        _ => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
    }
}

/// Picks one of these.
pub fn pick<'a, T: ?Sized>(rng: &mut Rng, from: &[&'a T]) -> &'a T {
    from[rng.usize(..from.len())]
}
