//! Tests of what files become: those of real libraries, and pickles that are made here.

use std::io::{Cursor, Write};

use bytes::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Contents, Decoded, Leaf, decode};
use crate::model::Format;

fn read(bytes: Vec<u8>) -> (Format, Contents) {
    match decode(&bytes.into()).unwrap() {
        Decoded::Tensors { format, contents } => (format, contents),
        _ => panic!("no tensors"),
    }
}

fn corpus(name: &str) -> (Format, Contents) {
    read(sac_test_support::file(&format!("corpus/{name}")))
}

fn refused(bytes: &[u8]) -> String {
    format!("{:#}", decode(&Bytes::copy_from_slice(bytes)).err().expect("refused"))
}

fn numbers(contents: &Contents, name: &str) -> Vec<f64> {
    contents.get(name).unwrap_or_else(|| panic!("{name}")).numbers().unwrap().unwrap()
}

fn shape(contents: &Contents, name: &str) -> Vec<usize> {
    match contents.get(name) {
        Some(Leaf::Tensor(tensor)) => tensor.shape.clone(),
        _ => panic!("`{name}` is no tensor"),
    }
}

fn word<'a>(contents: &'a Contents, name: &str) -> &'a str {
    match contents.get(name) {
        Some(Leaf::Text(word) | Leaf::Class(word)) => word,
        _ => panic!("`{name}` is no text"),
    }
}

#[test]
fn a_pickle_of_numpys_arrays_is_a_checkpoint() {
    let (format, contents) = corpus("rllib_sac_learner/module_state.pkl");
    assert_eq!((format, contents.root_class()), (Format::Pickle, None));
    assert_eq!(shape(&contents, "pi_encoder.net.mlp.0.weight"), [16, 3]);
    assert_eq!(shape(&contents, "pi.net.mlp.0.bias"), [4]);
    assert!(numbers(&contents, "pi.net.mlp.0.weight").iter().all(|weight| weight.is_finite()));
}

#[test]
fn a_file_of_d3rlpy_is_its_tensors_and_its_config() {
    let (format, contents) = corpus("d3rlpy_sac_minmax_d3/model.d3");
    assert_eq!(format, Format::Pickle);
    assert_eq!(shape(&contents, "policy._encoder._layers.0.weight"), [16, 3]);
    assert_eq!(word(&contents, "config.type"), "sac");
    assert_eq!(word(&contents, "config.actor_encoder_factory.params.activation"), "relu");
    assert_eq!(word(&contents, "config.observation_scaler.type"), "min_max");
    assert_eq!(numbers(&contents, "config.observation_scaler.params.minimum").len(), 3);
    assert_eq!(numbers(&contents, "config.observation_shape"), [3.0]);
}

#[test]
fn a_file_of_mushroom_is_its_attributes() {
    let (format, contents) = corpus("mushroom_sac_msh/agent.msh");
    assert_eq!(format, Format::MushroomRl);
    assert_eq!(contents.root_class(), Some("mushroom_rl.algorithms.actor_critic.deep_actor_critic.sac.SAC"));
    assert_eq!(shape(&contents, "policy._mu_approximator._impl.model.network._h1.weight"), [16, 3]);
    assert_eq!(numbers(&contents, "policy._log_std_min._initial_value"), [-20.0]);
    assert_eq!(numbers(&contents, "policy._central_a"), [0.5, -1.25]);
    assert_eq!(numbers(&contents, "mdp_info.action_space.low"), [-1.0, -3.0]);
}

#[test]
fn whole_modules_show_their_classes_and_functions() {
    let (_, contents) = corpus("rlkit_tanh_whole/policy.pt");
    assert_eq!(contents.root_class(), Some("rlkit.torch.sac.policies.gaussian_policy.TanhGaussianPolicy"));
    assert_eq!(word(&contents, "hidden_activation"), "torch.tanh");
    assert_eq!(word(&contents, "fc0"), "torch.nn.modules.linear.Linear");
    // `fcs` is a list of the same layers.
    assert!(!contents.has_below("fcs."));

    let (_, contents) = corpus("torchrl_sac_whole/policy.pt");
    assert_eq!(contents.root_class(), Some("torchrl.modules.tensordict_module.actors.ProbabilisticActor"));
    assert_eq!(shape(&contents, "0.0.4.weight"), [4, 16]);
    assert_eq!(word(&contents, "1.distribution_class"), "torchrl.modules.distributions.continuous.TanhNormal");
    assert_eq!(word(&contents, "0.1.scale_mapping"), "tensordict.nn.utils.biased_softplus");
    assert_eq!(numbers(&contents, "1.distribution_kwargs.low"), [-1.0, -3.0]);
    // `_det_part` refers to the same modules.
    assert!(!contents.has_below("_det_part.0."));

    let (_, contents) = corpus("tianshou2_policy_whole/policy.pth");
    assert_eq!(word(&contents, "actor"), "tianshou.utils.net.continuous.ContinuousActorProbabilistic");
    assert_eq!(numbers(&contents, "actor._unbounded"), [1.0]);
    assert_eq!(numbers(&contents, "action_space.high"), [2.0, 0.5]);
}

#[test]
fn a_policy_that_stable_baselines_saved_alone_has_its_arguments_beside_it() {
    let (format, contents) = corpus("oldsb3_policy_save/policy.pth");
    assert_eq!(format, Format::Torch);
    assert_eq!(shape(&contents, "state_dict.actor.mu.weight"), [2, 16]);
    assert_eq!(word(&contents, "data.activation_fn"), "torch.nn.modules.activation.ReLU");
    assert_eq!(word(&contents, "data.lr_schedule"), "stable_baselines3.common.policies.BasePolicy._dummy_schedule");
    assert_eq!(numbers(&contents, "data.action_space.low"), [-1.0, -3.0]);
    assert_eq!(word(&contents, "data.action_space.dtype"), "float32");
}

#[test]
fn a_model_of_stable_baselines_gives_its_facts() {
    let (_, contents) = read(sac_test_support::file("torch/sb3_gsde.zip"));
    assert_eq!(numbers(&contents, "use_sde"), [1.0]);
    assert_eq!(word(&contents, "policy_class"), "stable_baselines3.sac.policies.SACPolicy");
    assert!(word(&contents, "action_space.kind").ends_with("spaces.box.Box"));
    assert_eq!(word(&contents, "observation_space.dtype"), "float32");
    let (_, contents) = read(sac_test_support::file("torch/sb3_ppo.zip"));
    assert!(contents.get("activation").is_none(), "PPO's default is not SAC's");
}

/// `gym.spaces.Dict` of three Boxes: achieved_goal, desired_goal and observation, the last with bounds of two numbers.
const DICT_SPACE: &str = "\
    gAWVgwMAAAAAAACMD2d5bS5zcGFjZXMuZGljdJSMBERpY3SUk5QpgZR9lCiMBnNwYWNlc5SMC2NvbGxlY3Rpb25zlIwLT3JkZXJl\
    ZERpY3SUk5QpUpQojA1hY2hpZXZlZF9nb2FslIwOZ3ltLnNwYWNlcy5ib3iUjANCb3iUk5QpgZR9lCiMBWR0eXBllIwFbnVtcHmU\
    aBCTlIwCZjSUiYiHlFKUKEsDjAE8lE5OTkr/////Sv////9LAHSUYowFc2hhcGWUSwOFlIwDbG93lIwSbnVtcHkuY29yZS5udW1l\
    cmljlIwLX2Zyb21idWZmZXKUk5QolgwAAAAAAAAAAACA/wAAgP8AAID/lGgVSwOFlIwBQ5R0lFKUjARoaWdolGgdKJYMAAAAAAAA\
    AAAAgH8AAIB/AACAf5RoFUsDhZRoIHSUUpSMDWJvdW5kZWRfYmVsb3eUaB0olgMAAAAAAAAAAAAAlGgSjAJiMZSJiIeUUpQoSwOM\
    AXyUTk5OSv////9K/////0sAdJRiSwOFlGggdJRSlIwNYm91bmRlZF9hYm92ZZRoHSiWAwAAAAAAAAAAAACUaCxLA4WUaCB0lFKU\
    jApfbnBfcmFuZG9tlE51YowMZGVzaXJlZF9nb2FslGgNKYGUfZQoaBBoFWgYSwOFlGgaaB0olgwAAAAAAAAAAACA/wAAgP8AAID/\
    lGgVSwOFlGggdJRSlGgjaB0olgwAAAAAAAAAAACAfwAAgH8AAIB/lGgVSwOFlGggdJRSlGgoaB0olgMAAAAAAAAAAAAAlGgsSwOF\
    lGggdJRSlGgyaB0olgMAAAAAAAAAAAAAlGgsSwOFlGggdJRSlGg3TnVijAtvYnNlcnZhdGlvbpRoDSmBlH2UKGgQaBVoGEsLhZRo\
    GmgdKJYsAAAAAAAAAAAAgP8AAID/AACA/wAAgP8AAID/AACA/wAAgP8AAID/AACA/wAAgP8AAAAAlGgVSwuFlGggdJRSlGgjaB0o\
    liwAAAAAAAAAAACAfwAAgH8AAIB/AACAfwAAgH8AAIB/AACAfwAAgH8AAIB/AACAfwAAgD+UaBVLC4WUaCB0lFKUaChoHSiWCwAA\
    AAAAAAAAAAAAAAAAAAAAAZRoLEsLhZRoIHSUUpRoMmgdKJYLAAAAAAAAAAAAAAAAAAAAAAABlGgsSwuFlGggdJRSlGg3TnVidWgY\
    TmgQTmg3TnViLg==";

#[test]
fn the_parts_of_a_dict_of_observations_are_in_the_librarys_order() {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    let kind = "<class 'gym.spaces.dict.Dict'>";
    let policy = serde_json::json!({"__module__": "custom"});
    let data = serde_json::json!({
        "policy_class": policy,
        "action_space": {":type:": "<class 'gym.spaces.discrete.Discrete'>"},
        "observation_space": {":type:": kind, ":serialized:": DICT_SPACE},
        "policy_kwargs": {"net_arch": [64, 64], "clip_mean": 0.5},
    });
    let tensors = sac_test_support::file("pendulum_00500.state_dict.pt");
    for (name, content) in [("data", data.to_string().as_bytes()), ("policy.pth", &tensors)] {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(name, stored).unwrap();
        writer.write_all(content).unwrap();
    }
    let (format, contents) = read(writer.finish().unwrap().into_inner());
    assert_eq!(format, Format::StableBaselines3);
    assert_eq!(word(&contents, "observation_space.kind"), "gym.spaces.dict.Dict");
    assert_eq!(word(&contents, "action_space.kind"), "gym.spaces.discrete.Discrete");
    assert_eq!(word(&contents, "policy_class"), "custom.?");
    for (index, (key, length)) in
        [("achieved_goal", 3), ("desired_goal", 3), ("observation", 11)].into_iter().enumerate()
    {
        assert_eq!(numbers(&contents, &format!("observation_space.{key}.index")), [index as f64]);
        assert_eq!(shape(&contents, &format!("observation_space.{key}.low")), [length]);
        assert_eq!(numbers(&contents, &format!("observation_space.{key}.shape")), [length as f64]);
        assert_eq!(word(&contents, &format!("observation_space.{key}.dtype")), "float32");
    }
    assert_eq!(numbers(&contents, "policy_kwargs.clip_mean"), [0.5]);
    assert!(contents.get("activation").is_none() && contents.get("action_low").is_none());
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A file of `torch.save` before PyTorch 1.6 with one item, and the storages `0` to `3` of four bytes each.
fn legacy(value: &[u8], types: [&str; 4]) -> Vec<u8> {
    let storages = types.iter().enumerate().map(|(key, class)| {
        let size = if class.starts_with("Q") { 4u8 } else { 1 };
        [
            b"(",
            &text("storage")[..],
            b"ctorch\n",
            class.as_bytes(),
            b"\n",
            &text(&key.to_string()),
            &text("cpu"),
            &[b'K', size],
            b"tQ0",
        ]
        .concat()
    });
    let keys = (0..4).flat_map(|key| text(&key.to_string())).collect::<Vec<_>>();
    let content = types.iter().flat_map(|class| {
        let count = if class.starts_with("Q") { 4u64 } else { 1 };
        [&count.to_le_bytes()[..], &1.5f32.to_le_bytes()].concat()
    });
    [
        super::torch::LEGACY_MAGIC,
        b"\x80\x02M\xe9\x03.\x80\x02}.\x80\x02",
        &storages.collect::<Vec<_>>().concat(),
        b"}(",
        &text("w"),
        value,
        b"u.\x80\x02](",
        &keys,
        b"e.",
        &content.collect::<Vec<_>>(),
    ]
    .concat()
}

const STORAGE: &[u8] = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ";
const FLOATS: [&str; 4] = ["FloatStorage"; 4];

fn only(file: Vec<u8>) -> Result<Vec<f64>, String> {
    let (_, contents) = read(file);
    let leaf = contents.get("w").expect("a leaf");
    leaf.numbers().map(Option::unwrap_or_default).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_tensor_is_rebuilt_by_the_calls_that_pytorch_writes() {
    let plain = [b"ctorch._utils\n_rebuild_tensor_v2\n(", STORAGE, b"K\0K\x01\x85K\x01\x85\x89NtR"].concat();
    let arguments = [b"(", STORAGE, b"K\0K\x01\x85K\x01\x85\x89Nt"].concat();
    let size =
        [b"ctorch._utils\n_rebuild_tensor_v2\n(", STORAGE, b"K\0ctorch\nSize\nK\x01\x85\x85RK\x01\x85\x89NtR"].concat();
    let parameter = [&b"ctorch._utils\n_rebuild_parameter\n("[..], &plain, b"\x88NtR"].concat();
    let with_attributes = [
        &b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n"[..],
        &arguments,
        b"}tR",
    ]
    .concat();
    let array =
        b"cnumpy.core.numeric\n_frombuffer\n(C\x04\0\0\xc0?cnumpy\ndtype\nX\x02\0\0\0f4\x85RK\x01\x85X\x01\0\0\0CtR";
    let xla = [&b"ctorch._utils\n_rebuild_xla_tensor\n("[..], array, b"NX\x05\0\0\0xla:0\x89tR"].concat();
    let device =
        [&b"ctorch._utils\n_rebuild_device_tensor_from_numpy\n("[..], array, b"NX\x03\0\0\0mps\x89tR"].concat();
    for value in [plain, size, parameter, with_attributes, xla, device] {
        assert_eq!(only(legacy(&value, FLOATS)), Ok(vec![1.5]));
    }
}

#[test]
fn a_tensor_that_is_not_read_is_refused_when_it_is_needed() {
    let of = |class: &str| {
        let storage =
            [b"(", &text("storage")[..], b"ctorch\n", class.as_bytes(), b"\n", &text("0"), &text("cpu"), b"K\x04tQ"]
                .concat();
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, b"K\0K\x04\x85K\x01\x85\x89NtR"].concat()
    };
    let quantised = legacy(&of("QInt8Storage"), ["QInt8Storage", "FloatStorage", "FloatStorage", "FloatStorage"]);
    let (_, contents) = read(quantised.clone());
    assert_eq!(shape(&contents, "w"), [4]);
    assert!(only(quantised).unwrap_err().contains("has the type torch.QInt8Storage, which is not read"));
    let negative =
        [b"ctorch._utils\n_rebuild_tensor_v2\n(", STORAGE, b"K\0K\x01\x85K\x01\x85\x89N}X\x03\0\0\0neg\x88stR"]
            .concat();
    let meta = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\nK\x02\x85K\x01\x85\x89tR".to_vec();
    let sparse = b"ctorch._utils\n_rebuild_sparse_tensor\n(NNtR".to_vec();
    let view = [
        &b"ctorch._utils\n_rebuild_tensor_v2\n("[..],
        &STORAGE[..STORAGE.len() - 2],
        b"X\x01\0\0\0vK\0K\x01\x87tQK\0K\x01\x85K\x01\x85\x89NtR",
    ]
    .concat();
    for (value, reason) in [
        (negative, "a conjugate or negative view"),
        (meta, "torch._utils._rebuild_meta_tensor_no_storage"),
        (sparse, "torch._utils._rebuild_sparse_tensor"),
        (view, "a storage is a part of another"),
    ] {
        let found = only(legacy(&value, FLOATS)).unwrap_err();
        assert!(found.contains(reason), "{found}");
    }
}

#[test]
fn a_pickle_of_pythons_own_holds_pytorchs_tensors() {
    let inner = legacy(b"N", FLOATS);
    // The root is the storage `0`.
    let root = [
        super::torch::LEGACY_MAGIC,
        b"\x80\x02M\xe9\x03.\x80\x02}.\x80\x02",
        STORAGE,
        b".\x80\x02]X\x01\0\0\x000a.",
        &1u64.to_le_bytes(),
        &2.5f32.to_le_bytes(),
    ]
    .concat();
    let file = |storage: &[u8]| {
        let storage =
            [b"ctorch.storage\n_load_from_bytes\nB", &(storage.len() as u32).to_le_bytes()[..], storage, b"\x85R"]
                .concat();
        [
            b"\x80\x04}",
            &text("w")[..],
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            &storage,
            b"K\0K\x01\x85K\x01\x85\x89NtRs.",
        ]
        .concat()
    };
    assert_eq!(only(file(&root)), Ok(vec![2.5]));
    assert!(only(file(&inner)).unwrap_err().contains("something else"));
    assert!(only(file(b"x")).unwrap_err().contains("not one of torch.save"));
    // Protocol 0 has no mark of its own.
    let array = b"cnumpy.core.numeric\n_frombuffer\n(c_codecs\nencode\n(V\\u0000\\u0000\\u00c0?\nVlatin1\ntRcnumpy\ndtype\n(Vf4\ntR(I1\ntVC\ntR";
    assert_eq!(only([b"(dVw\n", &array[..], b"s."].concat()), Ok(vec![1.5]));
}

#[test]
fn what_is_no_checkpoint_is_said_by_name() {
    let instance = |class: &str| [b"\x80\x04c", class.as_bytes(), b"\n)\x81."].concat();
    let buffer = refused(&instance("stable_baselines3.common.buffers\nReplayBuffer"));
    assert!(buffer.contains("is a replay buffer (stable_baselines3.common.buffers.ReplayBuffer)"), "{buffer}");
    let statistics = refused(&instance("stable_baselines3.common.vec_env.vec_normalize\nVecNormalize"));
    assert!(statistics.contains("statistics of VecNormalize"), "{statistics}");
    assert!(refused(b"\x80\x04}.").contains("a pickle of a dict without any tensor"));
    assert!(
        refused(b"\x80\x04cos\nsystem\nX\x02\0\0\0id\x85R.").contains("a pickle of `os.system` without any tensor")
    );
    assert!(refused(b"version https://git-lfs.github.com/spec/v1\noid").contains("run `git lfs pull`"));
}

#[test]
fn a_crc_of_zero_is_not_compared() {
    let whole = sac_test_support::file("pendulum_00500.state_dict.pt");
    let mut unchecked = whole.clone();
    // The CRC is 16 bytes into a central record, and in the descriptor that PyTorch writes after each entry.
    for at in 0..whole.len() - 4 {
        if whole[at..].starts_with(b"PK\x01\x02") {
            unchecked[at + 16..at + 20].fill(0);
        } else if whole[at..].starts_with(b"PK\x07\x08") {
            unchecked[at + 4..at + 8].fill(0);
        }
    }
    let (before, after) = (read(whole).1, read(unchecked).1);
    for (name, tensor) in before.tensors() {
        assert_eq!(numbers(&after, name), tensor.numbers().unwrap());
    }
}

#[test]
fn damage_in_an_archive_within_an_archive_is_found_by_the_crc_of_either() {
    // Where the archive has the bytes of `policy.pth`.
    const POLICY_PTH: std::ops::Range<usize> = 11_955..11_955 + 102_083;
    let mut damaged = sac_test_support::file("pendulum_00500.sb3.zip");
    // A number of actor.latent_pi.2.weight.
    damaged[25_000] ^= 1;
    let refusal = refused(&damaged);
    assert!(refusal.contains("`policy.pth` of the zip archive is damaged: its CRC is another"), "{refusal}");

    // The CRC of `policy.pth` is 30 bytes before its name in the central record. It may be missing, or that of the damaged bytes
    // if the archive was packed again. That of a weight is checked when it is read.
    let name = damaged.windows(10).rposition(|bytes| bytes == b"policy.pth").unwrap();
    let packed_again = rawzip::crc32(&damaged[POLICY_PTH]);
    for crc in [0, packed_again] {
        damaged[name - 30..name - 26].copy_from_slice(&crc.to_le_bytes());
        let (_, contents) = read(damaged.clone());
        let weight = contents.get("actor.latent_pi.2.weight").unwrap();
        let refusal = format!("{:#}", weight.numbers().unwrap_err());
        assert!(refusal.contains("`archive/data/2` of the zip archive is damaged: its CRC is another"), "{refusal}");
    }
}
