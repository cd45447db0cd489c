//! Each operator of this list gives the numbers of tract's, and each other one of tract's is refused by its name.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::ToDim;

use super::{parse, register};
use crate::onnx::fixtures::{constant, node, value};

/// Operators of tract's that are left out: what no policy of a trainer holds.
const REFUSED: &[&str] = &[
    "LSTM",
    "GRU",
    "RNN",
    "Scan",
    "STFT",
    "DFT",
    "Resize",
    "GridSample",
    "NonMaxSuppression",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "TopK",
    "NonZero",
    "EyeLike",
    "Hardmax",
    "BitwiseAnd",
    "BitShift",
    "QLinearConv",
    "MatMulInteger",
    "DynamicQuantizeLinear",
    "TreeEnsembleClassifier",
    "ConvTranspose",
    "Compress",
    "LRN",
    "MeanVarianceNormalization",
    "DepthToSpace",
    "SpaceToDepth",
];

/// A graph of nodes on the input `x`, with the output `y`.
struct Case {
    nodes: Vec<NodeProto>,
    shape: Vec<i64>,
    constants: Vec<TensorProto>,
    opset: i64,
}

impl Case {
    fn proto(&self) -> ModelProto {
        let shape = self.shape.iter().map(|dim| Some(*dim)).collect::<Vec<_>>();
        let graph = GraphProto {
            node: self.nodes.clone(),
            initializer: self.constants.clone(),
            input: vec![value("x", &shape)],
            output: vec![value("y", &[])],
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: self.opset }];
        ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }
    }

    fn dims(&self) -> Vec<usize> {
        self.shape.iter().map(|dim| *dim as usize).collect()
    }

    fn typed(&self, model: InferenceModel) -> TractResult<TypedModel> {
        let shape = self.dims().iter().map(ToDim::to_dim).collect::<TVec<_>>();
        let fact = InferenceFact::dt_shape(f32::datum_type(), shape);
        // Nothing infers the output from what the graph declares of it.
        model.with_input_fact(0, fact)?.with_output_fact(0, InferenceFact::default())?.into_typed()
    }

    /// Returns the shape and the numbers of the output.
    fn run(&self, model: InferenceModel, optimised: bool) -> TractResult<(Vec<usize>, Vec<f32>)> {
        let mut model = self.typed(model)?;
        if optimised {
            model = model.into_optimized()?;
        }
        let shape = self.dims();
        let numbers = (0..shape.iter().product()).map(|i| (i as f32 * 0.618_034).fract() * 4.0 - 2.0);
        let input = Tensor::from_shape(&shape, &numbers.collect::<Vec<_>>())?;
        let output = model.into_runnable()?.run(tvec![input.into()])?.remove(0);
        let numbers = output.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        Ok((output.shape().to_vec(), numbers))
    }

    #[track_caller]
    fn check(&self) {
        let proto = self.proto();
        let what = format!("{:?} of opset {}", self.nodes, self.opset);
        let expected = tract_onnx::onnx().with_ignore_value_info(true).parse(&proto, None).unwrap().model;
        let (shape, expected) = self.run(expected, false).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        for optimised in [false, true] {
            let found = parse(&proto).unwrap_or_else(|error| panic!("{what}: {error:?}")).model;
            let found = self.run(found, optimised).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(found.0, shape, "{what}");
            let near = found
                .1
                .iter()
                .zip(&expected)
                .all(|(a, b)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-5 * b.abs().max(1.0));
            assert!(near, "{what}: {:?}, expected {expected:?}", found.1);
        }
    }
}

fn case(nodes: Vec<NodeProto>, shape: &[i64], constants: Vec<TensorProto>) -> Case {
    Case { nodes, shape: shape.to_vec(), constants, opset: 17 }
}

/// A node with the attributes of a list: whole numbers, numbers and texts.
fn of(node: NodeProto, attributes: &[(&str, Attribute)]) -> NodeProto {
    let attribute = attributes.iter().map(|(name, attribute)| {
        let name = (*name).to_owned();
        let made = AttributeProto { name, ..AttributeProto::default() };
        match attribute {
            Attribute::I(i) => AttributeProto { i: *i, r#type: AttributeType::Int.into(), ..made },
            Attribute::F(f) => AttributeProto { f: *f, r#type: AttributeType::Float.into(), ..made },
            Attribute::S(s) => {
                AttributeProto { s: s.as_bytes().to_vec(), r#type: AttributeType::String.into(), ..made }
            }
            Attribute::Is(ints) => AttributeProto { ints: ints.to_vec(), r#type: AttributeType::Ints.into(), ..made },
        }
    });
    NodeProto { attribute: attribute.collect(), ..node }
}

enum Attribute {
    I(i64),
    F(f32),
    S(&'static str),
    Is(&'static [i64]),
}

use Attribute::{F, I, Is, S};

fn integers(name: &str, numbers: &[i64]) -> TensorProto {
    let (data_type, int64_data) = (DataType::Int64.into(), numbers.to_vec());
    TensorProto { data_type, int64_data, ..constant(name, &[numbers.len() as i64], &[]) }
}

fn scalar(name: &str, number: i64) -> TensorProto {
    TensorProto { dims: vec![], ..integers(name, &[number]) }
}

#[test]
fn every_operator_of_tract_is_in_the_list_or_refused_by_its_name() {
    let ours = register().0;
    let all = tract_onnx::onnx().op_register.0;
    assert!(ours.keys().all(|name| all.contains_key(name)));
    for name in REFUSED {
        assert!(all.contains_key(*name) && !ours.contains_key(*name), "{name}");
    }
    for name in all.keys().filter(|name| !ours.contains_key(*name)).map(String::as_str).chain(["Unknown"]) {
        let refused = case(vec![node(name, &["x"], "y")], &[1, 4], vec![]);
        let reason = format!("{:#}", parse(&refused.proto()).unwrap_err());
        assert!(reason.starts_with(&format!("the operator `{name}` is not supported")), "{reason}");
    }
}

#[test]
fn an_operator_in_a_graph_within_a_node_is_refused_by_its_name() {
    let inner = GraphProto { node: vec![node("LSTM", &["x"], "z")], ..GraphProto::default() };
    let branch = AttributeProto { name: "then_branch".to_owned(), g: Some(inner), ..AttributeProto::default() };
    let refused = case(vec![NodeProto { attribute: vec![branch], ..node("If", &["x"], "y") }], &[1, 4], vec![]);
    let reason = parse(&refused.proto()).unwrap_err().to_string();
    assert!(reason.starts_with("the operator `LSTM` is not supported: the policy is recurrent"), "{reason}");
}

#[test]
fn an_operator_without_its_inputs_is_an_error() {
    // Those that [`super::lowered`] makes.
    let names = "BatchNormalization Cast CastLike Clip Dropout Einsum Gelu Gemm GroupNormalization InstanceNormalization \
                 LayerNormalization LpNormalization Mish Mod OneHot PRelu Pad Pow RMSNormalization ReduceSum Shape \
                 Split Squeeze Trilu Unsqueeze";
    for name in names.split_whitespace() {
        for inputs in [&[][..], &["x"], &["x", "x"], &["", "x"]] {
            let attributes = [("num_groups", I(2)), ("to", I(1)), ("equation", S("ij->j"))];
            let odd = case(vec![of(node(name, inputs, "y"), &attributes)], &[1, 4], vec![]);
            // Some of them need no input. None of them may panic.
            let _ = parse(&odd.proto()).and_then(|found| odd.typed(found.model));
        }
    }
}

#[test]
fn operators_of_one_input_give_the_numbers_of_tract() {
    let unary = "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish \
                 IsInf IsNaN LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus \
                 Softsign Sqrt Swish Tan Tanh ThresholdedRelu Identity Dropout Flatten Softmax LogSoftmax Shape Size \
                 ArgMax ArgMin LpNormalization ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean \
                 ReduceMin ReduceProd ReduceSum ReduceSumSquare Squeeze Transpose Trilu Sum Max Min Mean Clip";
    for name in unary.split_whitespace() {
        for opset in [17, 18, 20] {
            Case { opset, ..case(vec![node(name, &["x"], "y")], &[1, 2, 3], vec![]) }.check();
        }
    }
    for (name, attributes) in [
        ("Elu", &[("alpha", F(0.5))][..]),
        ("LeakyRelu", &[("alpha", F(0.2))]),
        ("ThresholdedRelu", &[("alpha", F(0.3))]),
        ("HardSigmoid", &[("alpha", F(0.3)), ("beta", F(0.4))]),
        ("Selu", &[("alpha", F(1.5)), ("gamma", F(1.2))]),
        ("Shrink", &[("bias", F(0.1)), ("lambd", F(0.3))]),
        ("Gelu", &[("approximate", S("tanh"))]),
        ("IsInf", &[("detect_negative", I(0))]),
        ("Softmax", &[("axis", I(1))]),
        ("LogSoftmax", &[("axis", I(1))]),
        ("ArgMax", &[("axis", I(-1)), ("keepdims", I(0)), ("select_last_index", I(1))]),
        ("LpNormalization", &[("axis", I(1)), ("p", I(1))]),
        ("ReduceSum", &[("keepdims", I(0))]),
        ("ReduceSum", &[("noop_with_empty_axes", I(1))]),
        ("ReduceMean", &[("axes", Is(&[-1])), ("keepdims", I(0))]),
        ("Shape", &[("start", I(-2)), ("end", I(9))]),
        ("Transpose", &[("perm", Is(&[2, 0, 1]))]),
        ("Trilu", &[("upper", I(0))]),
        ("Cast", &[("to", I(7))]),
        ("Cast", &[("to", I(9))]),
        ("Flatten", &[("axis", I(2))]),
    ] {
        case(vec![of(node(name, &["x"], "y"), attributes)], &[1, 2, 3], vec![]).check();
    }
}

#[test]
fn older_forms_give_the_numbers_of_tract() {
    for (name, attributes, opset) in [
        ("Clip", &[("min", F(-0.5)), ("max", F(0.5))][..], 9),
        ("Squeeze", &[("axes", Is(&[0]))], 11),
        ("Unsqueeze", &[("axes", Is(&[0, 2]))], 11),
        ("ReduceSum", &[("axes", Is(&[1]))], 11),
        ("Softmax", &[("axis", I(1))], 11),
        ("LogSoftmax", &[], 11),
        ("Slice", &[("axes", Is(&[2])), ("starts", Is(&[1])), ("ends", Is(&[99]))], 9),
        ("Slice", &[("starts", Is(&[0, 1])), ("ends", Is(&[1, -1])), ("axes", Is(&[0, 2]))], 9),
        ("Pad", &[("pads", Is(&[0, 1, 0, 0, 2, 1])), ("value", F(0.5))], 9),
        ("Split", &[("axis", I(2)), ("split", Is(&[3]))], 11),
    ] {
        Case { opset, ..case(vec![of(node(name, &["x"], "y"), attributes)], &[1, 2, 3], vec![]) }.check();
    }
}

#[test]
fn operators_of_several_inputs_give_the_numbers_of_tract() {
    let row = || constant("b", &[3], &[0.5, -1.5, 2.0]);
    for name in
        ["Add", "Sub", "Mul", "Div", "Mod", "Pow", "Sum", "Max", "Min", "Mean", "PRelu", "Clip", "Equal", "Less"]
    {
        case(vec![node(name, &["x", "b"], "y")], &[1, 3], vec![row()]).check();
    }
    case(vec![of(node("Mod", &["x", "b"], "y"), &[("fmod", I(1))])], &[1, 3], vec![row()]).check();
    case(vec![node("Pow", &["x", "two"], "y")], &[2, 3], vec![scalar("two", 2)]).check();
    case(vec![node("Clip", &["x", "", "high"], "y")], &[2, 3], vec![constant("high", &[], &[0.25])]).check();
    case(vec![node("CastLike", &["x", "two"], "y")], &[2, 3], vec![scalar("two", 2)]).check();
    let matrix = || constant("w", &[3, 2], &[0.5, -1.5, 2.0, 0.1, 0.2, 0.3]);
    let shift = || constant("c", &[2], &[0.5, 1.5]);
    case(vec![node("MatMul", &["x", "w"], "y")], &[1, 3], vec![matrix()]).check();
    case(vec![node("Gemm", &["x", "w", "c"], "y")], &[2, 3], vec![matrix(), shift()]).check();
    let scaled = &[("alpha", F(0.5)), ("beta", F(2.0)), ("transA", I(1))];
    case(vec![of(node("Gemm", &["x", "w", "c"], "y"), scaled)], &[3, 2], vec![matrix(), shift()]).check();
    let transposed = &[("transB", I(1)), ("beta", F(0.0))];
    case(vec![of(node("Gemm", &["x", "w", "x"], "y"), transposed)], &[3, 2], vec![matrix()]).check();
    for (equation, shape) in [("ij,jk->ik", &[2, 3][..]), ("i, ij -> j", &[3])] {
        case(vec![of(node("Einsum", &["x", "w"], "y"), &[("equation", S(equation))])], shape, vec![matrix()]).check();
    }
}

#[test]
fn an_equation_with_an_ellipsis_is_a_product_of_matrices() {
    let weights = constant("w", &[3, 2], &[0.5, -1.5, 2.0, 0.1, 0.2, 0.3]);
    for (equation, shape) in
        [("...j,jk->...k", &[2, 2, 3][..]), ("...ij, ...jk->...ik", &[2, 3]), ("...j,jk->...k", &[3])]
    {
        let made = |node: NodeProto| {
            let case = case(vec![node], shape, vec![weights.clone()]);
            case.run(parse(&case.proto()).unwrap().model, true).unwrap()
        };
        let found = made(of(node("Einsum", &["x", "w"], "y"), &[("equation", S(equation))]));
        assert_eq!(found, made(node("MatMul", &["x", "w"], "y")), "{equation}");
    }
}

#[test]
fn operators_on_shapes_give_the_numbers_of_tract() {
    for (name, attributes, inputs, numbers) in [
        ("Reshape", &[][..], &["x", "a"][..], &[&[3, -1][..]][..]),
        ("Expand", &[], &["x", "a"], &[&[4, 1, 2, 3]]),
        ("Tile", &[], &["x", "a"], &[&[1, 2, 3]]),
        ("Squeeze", &[], &["x", "a"], &[&[0]]),
        ("Unsqueeze", &[], &["x", "a"], &[&[-1, 0]]),
        ("ReduceSum", &[], &["x", "a"], &[&[-1]]),
        ("ReduceSum", &[("keepdims", I(0))], &["x", "a"], &[&[1, 2]]),
        ("Split", &[("axis", I(-1))], &["x", "a"], &[&[3]]),
        ("Slice", &[], &["x", "a", "b"], &[&[0, 1], &[1, 2]]),
        ("Slice", &[], &["x", "a", "b", "c", "d"], &[&[-1], &[-9], &[2], &[-1]]),
        ("Pad", &[], &["x", "a"], &[&[0, 1, 0, 0, 2, 1]]),
        ("Pad", &[("mode", S("edge"))], &["x", "a"], &[&[0, 1, 0, 0, 2, 1]]),
        ("Gather", &[("axis", I(2))], &["x", "a"], &[&[2, 0]]),
    ] {
        let constants = ["a", "b", "c", "d"].iter().zip(numbers).map(|(name, numbers)| integers(name, numbers));
        case(vec![of(node(name, inputs, "y"), attributes)], &[1, 2, 3], constants.collect()).check();
    }
    let padded = vec![node("Pad", &["x", "a", "b"], "y")];
    case(padded, &[1, 2], vec![integers("a", &[0, 1, 0, 2]), constant("b", &[], &[0.5])]).check();
    case(vec![of(node("Concat", &["x", "x"], "y"), &[("axis", I(-1))])], &[1, 3], vec![]).check();
    let summed = vec![node("CumSum", &["x", "a"], "y")];
    case(summed, &[1, 3], vec![scalar("a", 1)]).check();
    let split = NodeProto { output: vec!["z".to_owned(), "y".to_owned()], ..node("Split", &["x", "a"], "y") };
    case(vec![of(split, &[("axis", I(1))])], &[1, 3], vec![integers("a", &[1, 2])]).check();
    // The size of a batch reaches a shape by way of constants.
    let sized = vec![
        node("Shape", &["x"], "shape"),
        node("Gather", &["shape", "zero"], "rows"),
        of(node("Cast", &["rows"], "whole"), &[("to", I(7))]),
        of(node("Concat", &["whole", "rest"], "sizes"), &[("axis", I(0))]),
        node("Reshape", &["x", "sizes"], "y"),
    ];
    case(sized, &[2, 3, 2], vec![integers("zero", &[0]), integers("rest", &[-1])]).check();
    let made = vec![
        node("Shape", &["x"], "shape"),
        node("ConstantOfShape", &["shape"], "zeros"),
        node("Add", &["x", "zeros"], "y"),
    ];
    case(made, &[1, 3], vec![]).check();
    let hot = vec![
        of(node("Cast", &["x"], "whole"), &[("to", I(7))]),
        of(node("OneHot", &["whole", "four", "off and on"], "y"), &[("axis", I(1))]),
    ];
    case(hot, &[1, 3], vec![scalar("four", 4), constant("off and on", &[2], &[0.5, 1.5])]).check();
}

#[test]
fn operators_that_normalise_give_the_numbers_of_tract() {
    let channels = |names: &[&str], count: i64| {
        let numbers = |i: usize| (0..count).map(|j| 0.3 + 0.2 * i as f32 + 0.1 * j as f32).collect::<Vec<_>>();
        names.iter().enumerate().map(|(i, name)| constant(name, &[count], &numbers(i))).collect::<Vec<_>>()
    };
    for shape in [&[2, 4][..], &[2, 4, 3]] {
        let names = ["scale", "shift", "mean", "variance"];
        let batch = node("BatchNormalization", &["x", "scale", "shift", "mean", "variance"], "y");
        case(vec![of(batch, &[("epsilon", F(0.1))])], shape, channels(&names, 4)).check();
    }
    let instance = node("InstanceNormalization", &["x", "scale", "shift"], "y");
    case(vec![instance], &[2, 4, 3], channels(&["scale", "shift"], 4)).check();
    for (opset, count, shape) in [(18, 2, &[2, 4, 3][..]), (21, 4, &[2, 4, 3]), (18, 2, &[1, 4]), (21, 4, &[1, 4])] {
        let group = of(node("GroupNormalization", &["x", "scale", "shift"], "y"), &[("num_groups", I(2))]);
        Case { opset, ..case(vec![group], shape, channels(&["scale", "shift"], count)) }.check();
    }
    for inputs in [&["x", "scale"][..], &["x", "scale", "shift"]] {
        let layer = of(node("LayerNormalization", inputs, "y"), &[("epsilon", F(0.01))]);
        case(vec![layer], &[2, 3, 4], channels(&["scale", "shift"], 4)).check();
    }
    let root = node("RMSNormalization", &["x", "scale"], "y");
    Case { opset: 23, ..case(vec![root], &[2, 4], channels(&["scale"], 4)) }.check();
}

#[test]
fn convolutions_and_pooling_give_the_numbers_of_tract() {
    let weights = |dims: &[i64]| {
        let count = dims.iter().product::<i64>();
        constant("w", dims, &(0..count).map(|i| (i as f32 * 0.324_718).fract() - 0.5).collect::<Vec<_>>())
    };
    let shift = constant("c", &[2], &[0.5, -0.5]);
    for attributes in [
        &[][..],
        &[("pads", Is(&[1, 0, 1, 0])), ("strides", Is(&[2, 1])), ("kernel_shape", Is(&[2, 2]))],
        &[("auto_pad", S("SAME_UPPER"))],
        &[("dilations", Is(&[2, 1])), ("auto_pad", S("VALID"))],
    ] {
        let conv = of(node("Conv", &["x", "w", "c"], "y"), attributes);
        case(vec![conv], &[1, 3, 5, 4], vec![weights(&[2, 3, 2, 2]), shift.clone()]).check();
    }
    let grouped = of(node("Conv", &["x", "w"], "y"), &[("group", I(2))]);
    case(vec![grouped], &[1, 2, 4, 4], vec![weights(&[2, 1, 2, 2])]).check();
    for name in ["MaxPool", "AveragePool"] {
        for attributes in [
            &[("kernel_shape", Is(&[2, 2]))][..],
            &[("kernel_shape", Is(&[2, 2])), ("strides", Is(&[2, 2])), ("ceil_mode", I(1))],
            &[("kernel_shape", Is(&[2, 2])), ("pads", Is(&[1, 1, 0, 0])), ("auto_pad", S("NOTSET"))],
        ] {
            case(vec![of(node(name, &["x"], "y"), attributes)], &[1, 2, 5, 4], vec![]).check();
        }
    }
    for name in ["GlobalAveragePool", "GlobalMaxPool"] {
        case(vec![node(name, &["x"], "y")], &[1, 2, 3, 3], vec![]).check();
    }
}
