//! The inputs of the target `checkpoint`: a checkpoint as it is, or parts of one.
//!
//! A part begins at a line `%% KIND [NAME]`. What stands before the first one is the checkpoint. The kinds `card`,
//! `vecnormalize` and `data` are its sidecars. Parts of the kind `member` are packed into a zip archive, which is the
//! checkpoint then, so that a mutant of a member is one in a whole archive. `policy.pth!archive/data.pkl` names a member
//! of an archive in the archive.

use std::collections::BTreeMap;

use sac_actor::{File, Sidecar, SidecarKind};

const MARK: &[u8] = b"\n%% ";

/// Makes a file of an input.
pub fn file(input: &[u8]) -> File {
    let mut parts = split(input).into_iter();
    let mut bytes = parts.next().unwrap_or_default().to_vec();
    let (mut sidecars, mut members) = (Vec::new(), Vec::new());
    for part in parts {
        let end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let (head, content) = (String::from_utf8_lossy(&part[..end]), &part[part.len().min(end + 1)..]);
        let (kind, name) = head.split_once(' ').unwrap_or((&head, ""));
        let kind = match kind {
            "card" => SidecarKind::Card,
            "vecnormalize" => SidecarKind::Vecnormalize,
            "data" => SidecarKind::ExternalData,
            _ => {
                members.push((name.to_owned(), content.to_vec()));
                continue;
            }
        };
        sidecars.push(Sidecar { kind, name: name.to_owned(), bytes: content.to_vec() });
    }
    if !members.is_empty() {
        bytes = archive(members);
    }
    File { bytes, sidecars }
}

fn split(mut input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = input.windows(MARK.len()).position(|window| window == MARK) {
        parts.push(&input[..at]);
        input = &input[at + MARK.len()..];
    }
    parts.push(input);
    parts
}

/// Packs members, and those of archives in the archive first.
fn archive(members: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let (mut packed, mut nested) = (Vec::new(), BTreeMap::<String, Vec<_>>::new());
    for (name, content) in members {
        match name.split_once('!') {
            Some((outer, inner)) => nested.entry(outer.to_owned()).or_default().push((inner.to_owned(), content)),
            None => packed.push((name, content)),
        }
    }
    packed.extend(nested.into_iter().map(|(name, members)| (name, archive(members))));
    zip(&packed)
}

/// Writes a zip archive without compression. The CRC of each member is 0, as `torch.save` writes it with `compute_crc32`
/// off.
fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let offset = (bytes.len() as u32).to_le_bytes();
        let size = (content.len() as u32).to_le_bytes();
        let length = (name.len() as u16).to_le_bytes();
        // The version, the flags, the method, the time and the date; the CRC; both sizes; the lengths of the name and of
        // what follows it.
        let common = [&[10, 0, 0, 0, 0, 0, 0, 0, 33, 0][..], &[0; 4], &size, &size, &length, &[0; 2]].concat();
        directory.extend([b"PK\x01\x02\x0a\x00", &common[..], &[0; 10], &offset, name.as_bytes()].concat());
        bytes.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
    }
    let count = (members.len() as u16).to_le_bytes();
    let (offset, size) = ((bytes.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    bytes.extend(&directory);
    bytes.extend([b"PK\x05\x06", &[0; 4][..], &count, &count, &size, &offset, &[0; 2]].concat());
    bytes
}
