//! Files that are known and are no checkpoints, by their first bytes. Each is refused by what it is and what to do.

use super::archive::Archive;

/// Returns what a file is and what to do, if it is known and no checkpoint.
pub fn refusal(bytes: &[u8]) -> Option<String> {
    let by_start = STARTS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, what)| (*what).to_owned());
    let is_tar = || bytes.get(257..262) == Some(b"ustar");
    by_start
        .or_else(|| is_tar().then(|| TAR.to_owned()))
        .or_else(|| is_msgpack(bytes).then(|| FLAX.to_owned()))
        .or_else(|| of_text(bytes))
}

/// The first bytes of files, and what is said of them.
const STARTS: &[(&[u8], &str)] = &[
    (
        b"version https://git-lfs.github.com/spec/",
        "the file is a Git LFS pointer, not the checkpoint: run `git lfs pull`",
    ),
    (b"\x1f\x8b", "the file is compressed by gzip: unpack it by `gunzip`"),
    (b"\x28\xb5\x2f\xfd", "the file is compressed by zstd: unpack it by `unzstd`"),
    (b"\xfd7zXZ\0", "the file is compressed by xz: unpack it by `unxz`"),
    (b"BZh", "the file is compressed by bzip2: unpack it by `bunzip2`"),
    (b"7z\xbc\xaf\x27\x1c", "the file is a 7z archive: unpack it, and give the checkpoint in it"),
    (b"Rar!", "the file is a RAR archive: unpack it, and give the checkpoint in it"),
    (
        b"\x89HDF\r\n\x1a\n",
        "the file is HDF5, as Keras saves weights, which is not read: export the actor to ONNX, with tf2onnx for one",
    ),
    (
        b"\x0c\xdb\x3a\x2a",
        "the file is a part of an Orbax checkpoint (JAX), which is not read: export the actor to ONNX",
    ),
    (b"\x93NUMPY", "the file is one array of numpy: save the state_dict by torch.save"),
    (b"GGUF", "the file is GGUF, a format of language models: a checkpoint of an actor is expected"),
    (b"\x7fELF", "the file is a program: a checkpoint of an actor is expected"),
    (b"SQLite format 3", "the file is an SQLite database: a checkpoint of an actor is expected"),
    (b"%PDF", "the file is a PDF: a checkpoint of an actor is expected"),
    (b"\x89PNG", "the file is an image: a checkpoint of an actor is expected"),
];

const TAR: &str = "the file is a tar archive: unpack it and give the checkpoint in it, or, if PyTorch before 0.2 saved it, \
                   load it there and save its state_dict anew";
const FLAX: &str = "the file is MessagePack, as Flax saves parameters, which is not read: export the actor to ONNX";

/// Returns `true` for a map of MessagePack whose first key is text. No other format that is read starts so.
fn is_msgpack(bytes: &[u8]) -> bool {
    let (key, rest) = match bytes {
        [0x81..=0x8f, key, rest @ ..] | [0xde, _, _, key, rest @ ..] | [0xdf, _, _, _, _, key, rest @ ..] => {
            (*key, rest)
        }
        _ => return false,
    };
    let text = match key {
        0xa1..=0xbf => rest.get(..usize::from(key & 0x1f)),
        0xd9 => rest.split_first().and_then(|(length, rest)| rest.get(..usize::from(*length))),
        _ => None,
    };
    text.is_some_and(|text| text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
}

/// The number of bytes that show if a file is text.
const MAX_SAMPLE: usize = 512;

fn of_text(bytes: &[u8]) -> Option<String> {
    let sample = &bytes[..bytes.len().min(MAX_SAMPLE)];
    let text = match std::str::from_utf8(sample) {
        Ok(text) => text,
        // The sample may end within a character.
        Err(error) if error.valid_up_to() + 4 > sample.len() => {
            std::str::from_utf8(&sample[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let lower = text.to_lowercase();
    let what = match text.as_bytes()[0] {
        _ if ["<!doctype html", "<html", "<head"].iter().any(|start| lower.starts_with(start)) => {
            return Some(
                "the file is a web page, not the checkpoint: the download gave an error or a login page, so get it anew"
                    .to_owned(),
            );
        }
        b'<' => "XML",
        b'{' | b'[' => "JSON",
        _ => "text",
    };
    // Nothing of it is repeated: a link may lead to any file, such as one with a token.
    Some(format!("the file is {what}: a checkpoint of an actor is expected"))
}

/// Returns what a zip archive is and what to do, if it is known and no checkpoint.
pub fn archive_refusal(archive: &Archive) -> Option<&'static str> {
    let has = |name: &str| archive.entry(name).is_some();
    let all_end_with = |end: &str| archive.names().all(|name| name.ends_with(end));
    if has("parameter_list") && has("parameters") {
        return Some(
            "the zip archive is of Stable-Baselines 2 (TensorFlow), which is not read: export the actor to ONNX, or train \
             with Stable-Baselines3",
        );
    }
    if has("model.weights.h5") || has("metadata.json") && has("config.json") {
        return Some("the zip archive is of Keras, which is not read: export the actor to ONNX, with tf2onnx for one");
    }
    if all_end_with(".npy") {
        return Some("the zip archive is of numpy.savez: save the state_dict by torch.save");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_known_file_is_refused_by_what_it_is() {
        let tar = [&[b'x'; 257][..], b"ustar  \0"].concat();
        for (bytes, what) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"[..], "run `git lfs pull`"),
            (b"\n<!DOCTYPE html><html>", "a web page"),
            (b"\x1f\x8b\x08\0", "gunzip"),
            (b"\x89HDF\r\n\x1a\n\0", "HDF5"),
            (b"{\"activation\": \"relu\"}", "the file is JSON: a checkpoint"),
            (b"algo: sac\nlr: 0.0003\n", "the file is text: a checkpoint"),
            (b"\x81\xa6params\x81\xa7Dense_0", "MessagePack"),
            (&tar, "a tar archive"),
        ] {
            let found = refusal(bytes).unwrap_or_default();
            assert!(found.contains(what), "{found}");
            assert!(!found.contains('\n'));
        }
        for bytes in [&b"\x08\x07\x12\x07pytorch"[..], b"\x80\x02}.", b"PK\x03\x04", b"\0\0\0", b"\n\x04abcd\x12"] {
            assert!(refusal(bytes).is_none(), "{bytes:?}");
        }
    }
}
