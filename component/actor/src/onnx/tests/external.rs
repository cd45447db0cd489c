//! External data comes from the files that were given, and from nowhere else.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, StringStringEntryProto, TensorProto};

use super::super::fixtures::{FREE, constant, model, node};
use super::super::read;

/// The model with `w` in an external file.
fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut proto = model(&FREE, vec![], &["squashed"]);
    make_external(&mut proto.graph.as_mut().unwrap().initializer[0], entries);
    proto.encode_to_vec()
}

fn make_external(tensor: &mut TensorProto, entries: &[(&str, &str)]) {
    tensor.float_data.clear();
    tensor.data_location = Some(DataLocation::External.into());
    let entry =
        |(key, value): &(&str, &str)| StringStringEntryProto { key: (*key).to_owned(), value: (*value).to_owned() };
    tensor.external_data = entries.iter().map(entry).collect();
}

fn weights() -> Vec<u8> {
    [2.0f32, 0.0, 0.0, 2.0].map(f32::to_le_bytes).concat()
}

#[test]
fn external_data_is_read_from_the_file_that_goes_by_its_name() {
    let (weights, other) = (weights(), [vec![7; 4], weights()].concat());
    let own = ("m.onnx.data", &weights[..]);
    for (entries, files) in [
        (&[("location", "m.onnx.data")][..], &[own][..]),
        (&[("location", "m.onnx.data"), ("offset", "0"), ("length", "16")], &[("other", &other[..]), own]),
        (&[("location", "m.onnx.data"), ("offset", "4")], &[("m.onnx.data", &other[..])]),
        // A trainer has renamed both files after the export.
        (&[("location", "tmp123.onnx.data")], &[own]),
    ] {
        let proto = read(&external(entries), files).unwrap();
        let tensor = &proto.graph.as_ref().unwrap().initializer[0];
        assert_eq!((&tensor.raw_data, tensor.data_location, tensor.external_data.len()), (&weights, None, 0));
    }
}

#[test]
fn external_data_that_is_missing_or_lies_elsewhere_is_refused() {
    let weights = weights();
    let files = &[("a", &weights[..]), ("b", &weights[..])][..];
    let missing = "the weights are in external data `m.onnx.data`, which is not beside it: copy it, or export with \
                   external_data=False";
    let shapeless = "without a folder is expected";
    for (entries, files, expected) in [
        (&[("location", "m.onnx.data")][..], &[][..], missing),
        (&[("location", "m.onnx.data")], files, missing),
        (&[("location", "../a")], files, shapeless),
        (&[("location", "/a")], files, shapeless),
        (&[("location", "./a")], files, shapeless),
        (&[("location", "C:a")], files, shapeless),
        (&[("location", "a\\b")], files, shapeless),
        (&[("location", "..")], files, shapeless),
        (&[], files, shapeless),
        (
            &[("location", "a"), ("offset", "4")],
            files,
            "16 bytes from 4 on are expected in the external data `a`, which has 16",
        ),
        (&[("location", "a"), ("offset", "18446744073709551615")], files, "which has 16 bytes"),
        (&[("location", "a"), ("offset", "18446744073709551616")], files, "a whole number is expected"),
        (&[("location", "a"), ("offset", "-1")], files, "a whole number is expected"),
        (
            &[("location", "a"), ("length", "12")],
            files,
            "12 bytes of external data stand for the shape [2, 2], 16 bytes",
        ),
        (&[("location", "a"), ("length", "18446744073709551615")], files, "16 bytes are expected"),
    ] {
        let reason = format!("{:#}", read(&external(entries), files).unwrap_err());
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn two_locations_do_not_share_the_only_file() {
    let mut proto = model(&FREE, vec![], &["squashed"]);
    let initializers = &mut proto.graph.as_mut().unwrap().initializer;
    make_external(&mut initializers[0], &[("location", "one")]);
    make_external(&mut initializers[1], &[("location", "two")]);
    let reason = format!("{:#}", read(&proto.encode_to_vec(), &[("three", &weights())]).unwrap_err());
    assert!(reason.contains("`one`, which is not beside it"), "{reason}");
}

#[test]
fn tensors_that_share_external_data_count_each() {
    let bytes = vec![0; 64 << 10];
    let mut proto = model(&FREE, vec![], &["squashed"]);
    let mut shared = constant("shared", &[128, 128], &[]);
    make_external(&mut shared, &[("location", "a")]);
    proto.graph.as_mut().unwrap().initializer.extend(vec![shared; 20_000]);
    let reason = format!("{:#}", read(&proto.encode_to_vec(), &[("a", &bytes)]).unwrap_err());
    assert_eq!(reason, "the external data takes 1310720000 bytes, 67108864 at most are expected");
    let mut vast = constant("vast", &[i64::MAX, 4], &[]);
    make_external(&mut vast, &[("location", "a")]);
    proto.graph.as_mut().unwrap().initializer = vec![vast];
    assert!(
        format!("{:#}", read(&proto.encode_to_vec(), &[("a", &bytes)]).unwrap_err()).contains("which no file can hold")
    );
}

#[test]
fn external_data_in_attributes_and_inner_graphs_is_read_too() {
    let mut tensor = constant("c", &[2, 2], &[]);
    make_external(&mut tensor, &[("location", "a")]);
    let attribute = AttributeProto { name: "value".to_owned(), t: Some(tensor.clone()), ..AttributeProto::default() };
    let inner = GraphProto { initializer: vec![tensor], ..GraphProto::default() };
    let graph = AttributeProto { name: "body".to_owned(), g: Some(inner), ..AttributeProto::default() };
    let nodes = vec![NodeProto { attribute: vec![attribute, graph], ..node("Constant", &[], "c") }];
    let mut proto = read(&model(&FREE, nodes, &["squashed"]).encode_to_vec(), &[("a", &weights())]).unwrap();
    let mut found = 0;
    super::super::external::each_tensor(proto.graph.as_mut().unwrap(), &mut |tensor| {
        found += usize::from(tensor.raw_data == weights());
        Ok(())
    })
    .unwrap();
    assert_eq!(found, 2);
}
