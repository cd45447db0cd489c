//! Tests of the machine: what pickles become, and which are refused.

use bytes::Bytes;

use super::opcode as op;
use super::{Node, Pickle, read};

fn refused(bytes: &[u8]) -> String {
    format!("{:#}", read(&Bytes::copy_from_slice(bytes)).err().expect("refused"))
}

/// Reads a pickle and looks at it.
fn with<T>(bytes: &[u8], look: impl Fn(&Pickle) -> T) -> T {
    look(&read(&Bytes::copy_from_slice(bytes)).unwrap())
}

#[test]
fn plain_data_is_read() {
    // pickle.dumps({"a": [1, -2, 2.5], "b": (None, True, 2**40)}, protocol=2)
    let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffG@\x04\x00\x00\x00\x00\x00\x00eX\x01\x00\x00\x00bq\x03N\x88\x8a\x06\x00\x00\x00\x00\x00\x01\x87q\x04u.";
    with(bytes, assert_is_plain_data);
}

#[test]
fn the_text_of_protocols_0_and_1_is_read() {
    // The same by protocol 0, and by protocol 1.
    let bytes = b"(dp0\nVa\np1\n(lp2\nI1\naI-2\naF2.5\nasVb\np3\n(NI01\nL1099511627776L\ntp4\ns.";
    with(bytes, assert_is_plain_data);
    let bytes = b"}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffG@\x04\x00\x00\x00\x00\x00\x00eX\x01\x00\x00\x00bq\x03(NI01\nL1099511627776L\ntq\x04u.";
    with(bytes, assert_is_plain_data);
    with(b"V\\u00e9\xe8 \\U0001f600\n.", |pickle| assert_eq!(pickle.text(pickle.root), Some("\u{e9}\u{e8} \u{1f600}")));
    with(b"S'a\\n\\x62\\'c'\n.", |pickle| assert_eq!(pickle.text(pickle.root), Some("a\nb'c")));
    let is_bytes =
        |pickle: &Pickle| assert!(matches!(pickle.node(pickle.root), Node::Bytes(found) if **found == [0xff]));
    with(b"S'\\xff'\n.", is_bytes);
    with(b"\x80\x02U\x01\xff.", is_bytes);
}

fn assert_is_plain_data(pickle: &Pickle) {
    let Node::Dict(items) = pickle.node(pickle.root) else { panic!("a dict") };
    let keys = items.iter().map(|(key, _)| pickle.text(*key).unwrap()).collect::<Vec<_>>();
    assert_eq!(keys, ["a", "b"]);
    let list = pickle.sequence(items[0].1).unwrap();
    assert_eq!((pickle.int(list[0]), pickle.int(list[1])), (Some(1), Some(-2)));
    assert!(matches!(pickle.node(list[2]), Node::Float(2.5)));
    let tuple = pickle.sequence(items[1].1).unwrap();
    assert!(matches!(pickle.node(tuple[1]), Node::Bool(true)));
    assert_eq!(pickle.int(tuple[2]), Some(1 << 40));
}

#[test]
fn an_object_of_an_unknown_class_is_data() {
    // c __main__ Config, () NEWOBJ, {"x": 1} BUILD; the same by protocol 0, by INST and by OBJ.
    for bytes in [
        &b"\x80\x02c__main__\nConfig\n)\x81}X\x01\x00\x00\x00xK\x01sb."[..],
        b"ccopy_reg\n_reconstructor\n(c__main__\nConfig\nc__builtin__\nobject\nNtR(dVx\nI1\nsb.",
        b"(i__main__\nConfig\n(dVx\nI1\nsb.",
        b"(c__main__\nConfig\no}X\x01\x00\x00\x00xK\x01sb.",
        b"\x80\x02ccopyreg\n__newobj__\nc__main__\nConfig\n\x85R}X\x01\x00\x00\x00xK\x01sb.",
    ] {
        with(bytes, |pickle| {
            let instance = pickle.instance(pickle.root).unwrap();
            assert_eq!(instance.class.to_string(), "__main__.Config");
            assert_eq!(pickle.int(pickle.item(instance.state.unwrap(), "x").unwrap()), Some(1));
        });
    }
}

#[test]
fn a_call_is_recorded_and_not_made() {
    with(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.", |pickle| {
        let instance = pickle.instance(pickle.root).unwrap();
        assert_eq!(instance.class.to_string(), "os.system");
        assert_eq!(pickle.text(pickle.sequence(instance.arguments).unwrap()[0]), Some("id"));
    });
    // The result of a call is called itself, and gets a state, items and elements.
    with(b"\x80\x02cm\nf\n)R)R}bK\x01K\x02s(K\x03e.", |pickle| {
        let instance = pickle.instance(pickle.root).unwrap();
        assert_eq!(instance.class, super::Global::UNNAMED);
        assert_eq!(pickle.instance(instance.callee).unwrap().class.to_string(), "m.f");
        assert_eq!((instance.items.len(), instance.elements.len(), instance.state.is_some()), (1, 1, true));
    });
}

#[test]
fn a_class_that_is_referred_to_from_outside_is_a_class() {
    // PyTorch before 1.6: ("module", class, path, source) BINPERSID, () NEWOBJ.
    with(b"\x80\x02(X\x06\x00\x00\x00modulecm\nNet\nX\x00\x00\x00\x00X\x00\x00\x00\x00tQ)\x81.", |pickle| {
        assert_eq!(pickle.instance(pickle.root).unwrap().class.to_string(), "m.Net");
    });
}

#[test]
fn a_broken_pickle_is_refused() {
    for bytes in [
        &b""[..],
        b"\x80",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02K",
        b"\x80\x02(.",
        b"\x80\x02t.",
        b"\x80\x02K\x01\x86.",
        b"\x80\x02(K\x01\x85e.",
        b"\x80\x02h\x00.",
        b"\x80\x02X\xff\xff\xff\xff.",
        b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x02}K\x01K\x02K\x03u.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02K\x01}b.",
        b"\x80\x02cos\n",
        b"\x80\x02cos\nsystem\nK\x01R.",
        b"(o.",
        b"(icos\n.",
        b"I1.5\n.",
        b"I\n.",
        b"Fx\n.",
        b"S'a\n.",
        b"S'\\x4'\n.",
        b"V\\u12\n.",
        b"V\\uzzzz\n.",
        b"g7\n.",
        b"pz\n.",
        b"\x82\x01.",
        b"\x97.",
    ] {
        assert!(!refused(bytes).is_empty(), "{bytes:?}");
    }
}

#[test]
fn every_truncation_is_refused_and_deep_nesting_is_harmless() {
    let mut bytes = b"\x80\x02)".to_vec();
    bytes.resize(500_000, op::TUPLE1);
    for end in [0, 1, 2, 3, 4, 400_000] {
        refused(&bytes[..end]);
    }
    bytes.push(op::STOP);
    with(&bytes, |_| ());
    bytes.pop();
    bytes.resize(2_000_000, op::TUPLE1);
    assert!(refused(&bytes).contains("more than 1048576 objects"));
}

#[test]
fn marks_references_and_the_memo_are_limited() {
    assert!(refused(&[op::MARK; 100_000]).contains("nests deeper than 65536"));
    let again = [b"\x80\x02N".as_slice(), &[op::DUP; 5_000_000]].concat();
    assert!(refused(&again).contains("more than 4194304 times"));
    let memoized = [b"\x80\x02N".as_slice(), &[op::MEMOIZE; 2_000_000]].concat();
    assert!(refused(&memoized).contains("more than 1048576 objects"));
}
