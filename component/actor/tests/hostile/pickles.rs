//! Pickles, and the archives around them.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::{load, refused};

/// A dict of `count` items with different keys and the same value.
fn dict(count: u32, value: &[u8]) -> Vec<u8> {
    let mut items = b"}(".to_vec();
    for key in 0..count {
        items.extend([b"J".as_slice(), &key.to_le_bytes(), value].concat());
    }
    items.push(b'u');
    items
}

/// Memoizes an object, which `h\0` then gets.
fn kept(object: &[u8]) -> Vec<u8> {
    [object, b"q\0", b"0"].concat()
}

fn text(length: usize) -> Vec<u8> {
    [b"X", &(length as u32).to_le_bytes()[..], &vec![b'x'; length]].concat()
}

/// A file as `torch.save` wrote it before PyTorch 1.6, with this pickle and no storage.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    legacy_with(pickle, b"].")
}

/// The same with storages: the pickle of their keys, and their content.
fn legacy_with(pickle: &[u8], storages: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02";
    [head, pickle, b".\x80\x02", storages].concat()
}

/// A good file with more items in its dict.
fn with_items(items: &[u8]) -> Vec<u8> {
    let whole = sac_test_support::file("torch/legacy.pt");
    let end = whole.windows(4).rposition(|at| at == b".\x80\x02]").unwrap();
    [&whole[..end], items, &whole[end..]].concat()
}

#[test]
fn a_long_class_name_is_not_copied_for_each_object_of_the_class() {
    let class = [b"c".as_slice(), &vec![b'x'; 1 << 20], b"\nC\n"].concat();
    refused(legacy(&[kept(&class), dict(1000, b"h\0")].concat()));
}

#[test]
fn a_long_text_is_not_copied_for_each_reference_to_it() {
    refused(legacy(&[kept(&text(4096)), dict(65_000, b"h\0")].concat()));
}

#[test]
fn a_long_array_is_not_copied_for_each_reference_to_it() {
    let bytes = [b"B", &(1u32 << 20).to_le_bytes()[..], &vec![0; 1 << 20]].concat();
    let dtype = b"cnumpy\ndtype\nX\x02\0\0\0f8\x85R";
    for shape in [&b"J\0\0\x02\0\x85"[..], b"K\x01\x85"] {
        let array =
            [b"cnumpy.core.numeric\n_frombuffer\n(".as_slice(), &bytes, dtype, shape, b"X\x01\0\0\0CtR"].concat();
        refused(legacy(&[kept(&array), dict(1000, b"h\0")].concat()));
    }
}

#[test]
fn a_long_key_is_not_copied_for_each_item_below_it() {
    let items = [b"}(".as_slice(), &b"h\0N".repeat(200_000), b"u"].concat();
    refused(legacy(&[kept(&text(4 << 20)), items].concat()));
}

#[test]
fn a_long_storage_key_is_refused() {
    let key = text(4 << 20);
    let storage = [b"(X\x07\0\0\0storagectorch\nFloatStorage\n", &key[..], b"X\x03\0\0\0cpuK\x01tQ"].concat();
    let tensor = [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, b"K\0))tR"].concat();
    let storages = [b"]", &key[..], b"a.", &1u64.to_le_bytes(), &[0; 4]].concat();
    refused(legacy_with(&[kept(&tensor), dict(60_000, b"h\0")].concat(), &storages));
}

#[test]
fn an_object_with_many_items_and_attributes_takes_little_time() {
    let attributes = (0..150_000).map(|i| [b"X\x06\0\0\0", format!("{i:06}").as_bytes(), b"N"].concat());
    let attributes = [b"}(".as_slice(), &attributes.collect::<Vec<_>>().concat(), b"u"].concat();
    let items = [b"(".as_slice(), &b"K\x01N".repeat(150_000), b"u"].concat();
    refused(legacy(&[&b"cmodule\nC\n)\x81"[..], &items, &attributes, b"b"].concat()));
}

#[test]
fn many_classes_beside_an_actor_take_little_time() {
    let classes = (0..60_000).map(|i| [b"X\x06\0\0\0", format!("{i:06}").as_bytes(), b"h\0"].concat());
    let class = kept(b"ctorch.nn.modules.activation\nTanh\n");
    let items = [&class, &b"("[..], &classes.collect::<Vec<_>>().concat(), b"u"].concat();
    assert!(load(with_items(&items)).is_ok());
}

#[test]
fn values_of_a_stable_baselines_file_that_are_not_used_take_no_memory() {
    let many = format!(", \"x\": [{}0]}}", "{\"\":0},".repeat(2_000_000));
    let with_more = |data: &str| format!("{}{many}", &data[..data.rfind('}').unwrap()]);
    assert!(load(stable_baselines(with_more)).is_ok());
}

/// A call of `os.system`, which nothing makes.
const CALL: &[u8] = b"cos\nsystem\nX\x02\0\0\0id\x85R";

#[test]
fn a_call_is_not_made_and_only_what_depends_on_it_is_refused() {
    let reason = refused(legacy(CALL));
    assert!(reason.contains("no tensors"), "{reason}");
    // Beside an actor it is inert, as a value, a class, an object of that class, and with a state and items of its own.
    let state = [CALL, b"}X\x01\0\0\0aK\x01sbX\x01\0\0\0bK\x02s(K\x03e"].concat();
    let called = [CALL, b")R"].concat();
    let made = [CALL, b")\x81"].concat();
    let partial = [&b"cfunctools\npartial\n"[..], CALL, b"\x85R"].concat();
    for value in [CALL.to_vec(), state, called, made, partial] {
        let items = [b"(X\x06\0\0\0config", &value[..], b"u"].concat();
        assert!(load(with_items(&items)).is_ok());
    }
    // In the place of a storage, of a shape or of a parameter's data it is refused once the tensor is needed.
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ";
    let view = |storage: &[u8], shape: &[u8]| {
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], storage, b"K\0", shape, b"K\x01K\x01\x86tR"].concat()
    };
    let parameter = [&b"ctorch._utils\n_rebuild_parameter\n("[..], CALL, b"\x88NtR"].concat();
    let keys = b"](X\x01\0\0\x000e.\x01\0\0\0\0\0\0\0\0\0\0\0";
    for (tensor, keys, reason) in [
        (view(CALL, b"K\x01K\x01\x86"), &b"]."[..], "a storage that `os.system` makes, which is not called"),
        (view(storage, CALL), keys, "no known layout"),
        (parameter, b"].", "no known layout"),
    ] {
        let items =
            ["net.0.weight", "mean.weight", "log_std.weight"].map(|name| [&text_of(name)[..], &tensor].concat());
        let found = refused(legacy_with(&[b"}(", &items.concat()[..], b"u"].concat(), keys));
        assert!(found.contains(reason), "{found}");
    }
}

fn text_of(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn calls_within_calls_take_little_time_and_memory() {
    // getattr(getattr(…, "x"), "x"), each level of which has a name that is longer by the last.
    let attribute = [&text(4096)[..], b"q\x01"].concat();
    let level = [b"cbuiltins\ngetattr\n".as_slice(), b"h\0h\x01\x86Rq\x000"].concat();
    let deep = [kept(CALL), kept(&attribute), level.repeat(50_000), dict(60_000, b"h\0")].concat();
    refused(legacy(&deep));
    // An object whose class is the result of a call whose callee is the result of a call, and so on.
    let calls = [kept(CALL), b"h\0)Rq\x000".repeat(50_000), dict(60_000, b"h\0")].concat();
    refused(legacy(&calls));
    // Tensors that are rebuilt by a rebuilding function.
    let inner = b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nNh\0NtRq\x000";
    let nested = [kept(b")"), inner.repeat(20_000), dict(60_000, b"h\0")].concat();
    refused(legacy(&nested));
}

#[test]
fn an_object_with_many_attributes_is_visited_in_little_time() {
    let attributes = (0..100_000).map(|i| [&text_of(&format!("{i:06}"))[..], b"N"].concat()).collect::<Vec<_>>();
    let object = [b"cmodule\nC\n)\x81}(".as_slice(), &attributes.concat(), b"ub"].concat();
    let list = [b"](".as_slice(), &b"h\0".repeat(4000), b"e"].concat();
    refused(legacy(&[kept(&object), dict(200, &list)].concat()));
}

#[test]
fn a_pickle_of_python_itself_is_within_the_same_limits() {
    let pickle = |content: &[u8]| [b"\x80\x04", content, b"."].concat();
    refused(pickle(&b"(".repeat(1 << 20)));
    refused(pickle(&[b"N".as_slice(), &b"2".repeat(5 << 20)].concat()));
    refused(pickle(&[kept(&text(4 << 20)), [b"}(".as_slice(), &b"h\0N".repeat(200_000), b"u"].concat()].concat()));
    // Each tensor's storage is a file within the pickle, which refers to itself no further.
    let inner = legacy(b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01NtQ");
    let storage = [b"ctorch.storage\n_load_from_bytes\nB", &(inner.len() as u32).to_le_bytes()[..], &inner, b"\x85R"];
    let tensor =
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &kept(&storage.concat())[..0], b"h\0K\0K\x01\x85K\x01\x85tR"];
    refused(pickle(&[kept(&storage.concat()), kept(&tensor.concat()), dict(60_000, b"h\0")].concat()));
    // A config of d3rlpy that is cut short, that nests without end, that is too long, and that is long and says nothing.
    for (json, is_read) in [
        ("[{},".repeat(200_000), false),
        ("[".repeat(1 << 20), false),
        (format!("[{}0]", "[],".repeat(400_000)), false),
        (format!("[{}null]", "[],".repeat(300_000)), true),
    ] {
        let torch = sac_test_support::file("pendulum_00500.state_dict.pt");
        let torch = [text_of("torch"), [b"B", &(torch.len() as u32).to_le_bytes()[..], &torch].concat()].concat();
        let config = [text_of("config"), text_of(&json)].concat();
        assert_eq!(load(pickle(&[b"}(".as_slice(), &torch, &config, b"u"].concat())).is_ok(), is_read);
    }
}

#[test]
fn settings_of_stable_baselines_take_little_memory() {
    for kwargs in [format!("{{\"a\": [{}0]}}", "[],".repeat(4_000_000)), "[".repeat(200_000)] {
        assert!(!refused(stable_baselines(|data| with_kwargs(data, &kwargs))).is_empty());
    }
}

/// The settings in `data` with other `policy_kwargs`.
fn with_kwargs(data: &str, kwargs: &str) -> String {
    let others = data.replace("\"policy_kwargs\"", "\"others\"");
    format!("{}, \"policy_kwargs\": {kwargs}}}", &others[..others.rfind('}').unwrap()])
}

/// A model of Stable-Baselines3 whose member `data` is changed.
fn stable_baselines(change: impl Fn(&str) -> String) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(sac_test_support::file("torch/sb3_dict_arch.zip"))).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        let mut content = vec![];
        member.read_to_end(&mut content).unwrap();
        if member.name() == "data" {
            content = change(str::from_utf8(&content).unwrap()).into_bytes();
        }
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(member.name(), stored).unwrap();
        writer.write_all(&content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
