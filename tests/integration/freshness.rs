//! The right file serves, and the next request sees a change.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sac_serving::{Config, Identity};
use sac_tests::{
    Client, Owner, Server, Settings, at, both_owners, checkpoint, every_owner, odd, publish, set_modified,
};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const STATE: [f64; 3] = [0.3, -0.4, 0.5];

/// A folder, its server and a client.
struct Scene {
    folder: TempDir,
    client: Client,
    _server: Server,
}

impl Scene {
    async fn new(owner: Owner) -> Scene {
        let folder = tempdir().unwrap();
        let server = Server::start(owner, &Settings::folder(folder.path())).await;
        Scene { client: server.client().await, folder, _server: server }
    }

    fn put(&self, name: &str, policy: &str, seconds: u64) {
        let path = self.folder.path().join(name);
        publish(&path, &checkpoint(policy));
        set_modified(&path, at(seconds));
    }

    /// The name of the file in service.
    async fn serving(&mut self) -> String {
        let path = self.client.predict(&STATE).await["model_path"].clone();
        Path::new(path.as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned()
    }

    async fn sha256(&mut self) -> Value {
        self.client.info().await["sha256"].clone()
    }
}

every_owner!(a_file_with_an_older_mtime_serves_once_it_is_renamed_over_the_one_in_service);
async fn a_file_with_an_older_mtime_serves_once_it_is_renamed_over_the_one_in_service(owner: Owner) {
    let mut scene = Scene::new(owner).await;
    scene.put("model_a.onnx", "pendulum_00500", 100);
    let before = scene.sha256().await;
    let temporary = scene.folder.path().join("older");
    fs::write(&temporary, checkpoint("pendulum_02000")).unwrap();
    set_modified(&temporary, at(50));
    fs::rename(&temporary, scene.folder.path().join("model_a.onnx")).unwrap();
    assert_ne!(scene.sha256().await, before);
}

every_owner!(a_copy_that_keeps_an_older_mtime_serves);
async fn a_copy_that_keeps_an_older_mtime_serves(owner: Owner) {
    let mut scene = Scene::new(owner).await;
    scene.put("model_a.onnx", "pendulum_00500", 100);
    let before = scene.sha256().await;
    // `cp -p` writes into the same file, and then sets its times.
    let path = scene.folder.path().join("model_a.onnx");
    fs::write(&path, checkpoint("pendulum_02000")).unwrap();
    set_modified(&path, at(50));
    assert_ne!(scene.sha256().await, before);
}

every_owner!(a_rewrite_of_the_same_size_serves);
async fn a_rewrite_of_the_same_size_serves(owner: Owner) {
    let mut scene = Scene::new(owner).await;
    assert_eq!(checkpoint("pendulum_00500").len(), checkpoint("pendulum_02000").len());
    scene.put("model_a.onnx", "pendulum_00500", 100);
    let before = scene.sha256().await;
    fs::write(scene.folder.path().join("model_a.onnx"), checkpoint("pendulum_02000")).unwrap();
    assert_ne!(scene.sha256().await, before);
}

every_owner!(touching_an_older_checkpoint_rolls_back_to_it);
async fn touching_an_older_checkpoint_rolls_back_to_it(owner: Owner) {
    let mut scene = Scene::new(owner).await;
    scene.put("model_a.onnx", "pendulum_00500", 100);
    scene.put("model_b.onnx", "pendulum_08000", 200);
    assert_eq!(scene.serving().await, "model_b.onnx");
    set_modified(&scene.folder.path().join("model_a.onnx"), SystemTime::now());
    assert_eq!(scene.serving().await, "model_a.onnx");
}

every_owner!(a_deleted_file_gives_way_to_the_newest_of_the_others_and_the_last_one_stays_in_service);
async fn a_deleted_file_gives_way_to_the_newest_of_the_others_and_the_last_one_stays_in_service(owner: Owner) {
    let mut scene = Scene::new(owner).await;
    for (name, seconds) in [("model_a.onnx", 100), ("model_b.onnx", 200), ("model_c.onnx", 300)] {
        scene.put(name, "pendulum_00500", seconds);
    }
    for name in ["model_c.onnx", "model_b.onnx", "model_a.onnx"] {
        assert_eq!(scene.serving().await, name);
        fs::remove_file(scene.folder.path().join(name)).unwrap();
    }
    assert_eq!(scene.serving().await, "model_a.onnx", "the loaded policy stays in service");
    assert_eq!(scene.client.get("/sac/health").await.ok()["status"], "ok");
    let reload = scene.client.post("/sac/model/reload", json!({})).await;
    assert!(reload.detail(500).contains("no checkpoint at"), "{}", reload.json());
}

every_owner!(a_symlink_is_followed_when_it_is_swapped_as_kubernetes_does);
async fn a_symlink_is_followed_when_it_is_swapped_as_kubernetes_does(owner: Owner) {
    let folder = tempdir().unwrap();
    for (version, policy) in [("..v1", "pendulum_00500"), ("..v2", "pendulum_08000")] {
        fs::create_dir(folder.path().join(version)).unwrap();
        let path = folder.path().join(version).join("model_a.onnx");
        publish(&path, &checkpoint(policy));
        // All files of a ConfigMap have the same time.
        set_modified(&path, at(100));
    }
    symlink("..v1", folder.path().join("..data")).unwrap();
    symlink("..data/model_a.onnx", folder.path().join("model_a.onnx")).unwrap();
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let before = client.info().await;
    symlink("..v2", folder.path().join("..next")).unwrap();
    fs::rename(folder.path().join("..next"), folder.path().join("..data")).unwrap();
    let after = client.info().await;
    assert_ne!(before["sha256"], after["sha256"]);
    if owner.is_host() {
        let resolved = folder.path().join("..v2/model_a.onnx");
        assert_eq!(after["path"], resolved.to_str().unwrap(), "symlinks are resolved");
    }
    symlink("..v1", folder.path().join("..next")).unwrap();
    fs::rename(folder.path().join("..next"), folder.path().join("..data")).unwrap();
}

every_owner!(of_two_files_with_the_same_mtime_the_one_with_the_last_name_serves);
async fn of_two_files_with_the_same_mtime_the_one_with_the_last_name_serves(owner: Owner) {
    let mut scene = Scene::new(owner).await;
    scene.put("model_b.onnx", "pendulum_08000", 100);
    scene.put("model_a.onnx", "pendulum_00500", 100);
    assert_eq!(scene.serving().await, "model_b.onnx");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_does_not_exist_yet_serves_once_it_does() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("later");
    let server = Server::folder(&folder).await;
    let mut client = server.client().await;
    client.get("/sac/model/info").await.detail(503);
    fs::create_dir(&folder).unwrap();
    publish(&folder.join("model_a.onnx"), &checkpoint("pendulum_00500"));
    client.predict(&STATE).await;
}

both_owners!(a_missing_explicit_path_never_falls_through_to_the_folder);
async fn a_missing_explicit_path_never_falls_through_to_the_folder(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let model = folder.path().join("chosen.onnx");
    let settings = Settings { model: Some(model.clone()), ..Settings::folder(folder.path()) };
    let server = Server::start(owner, &settings).await;
    let mut client = server.client().await;
    assert_eq!(client.get("/sac/model/info").await.detail(503), "No SAC model loaded");
    publish(&model, &checkpoint("pendulum_08000"));
    assert_eq!(client.info().await["path"], model.to_str().unwrap());
    fs::remove_file(&model).unwrap();
    assert_eq!(client.info().await["path"], model.to_str().unwrap(), "the loaded policy stays in service");
}

both_owners!(a_blank_variable_is_unset);
async fn a_blank_variable_is_unset(owner: Owner) {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let settings = Settings { model: Some("  ".into()), ..Settings::folder(folder.path()) };
    Server::start(owner, &settings).await.client().await.predict(&STATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_within_one_tick_of_the_clock_is_noticed_once_the_file_has_aged() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model_a.onnx");
    publish(&path, &checkpoint("pendulum_00500"));
    let mut config = Settings::folder(folder.path()).config();
    // With a clock that does not tick, no write changes a file's times.
    config.source.identify = |stat| {
        let tick = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33);
        Identity { modified: tick, changed: tick, ..Identity::of(stat) }
    };
    config.source.limits.settle = Duration::from_millis(300);
    let server = Server::with_config(config).await;
    let mut client = server.client().await;
    let before = client.info().await["sha256"].clone();
    fs::write(&path, checkpoint("pendulum_08000")).unwrap();
    // Only a request looks at the file, and it compares the content once the file has aged.
    let deadline = SystemTime::now() + Duration::from_secs(300);
    while client.info().await["sha256"] == before {
        assert!(SystemTime::now() < deadline, "the rewrite was never noticed");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.service().loads(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_and_a_file_over_the_limit_are_refused_and_block_nothing() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_good.onnx"), &checkpoint("pendulum_00500"));
    set_modified(&folder.path().join("model_good.onnx"), at(0));
    let limit = checkpoint("pendulum_00500").len() as u64;
    let settings = Settings { max_checkpoint_bytes: limit, ..Settings::folder(folder.path()) };
    let server = Server::start(Owner::Host, &settings).await;
    let mut client = server.client().await;
    assert_eq!(client.info().await["stale"], false);

    let fifo = folder.path().join("model_fifo.onnx");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let info = client.info().await;
    assert_eq!((&info["stale"], &info["last_error"]["detail"]), (&json!(true), &json!("not a regular file")));
    fs::remove_file(fifo).unwrap();

    publish(&folder.path().join("model_large.onnx"), &checkpoint("stat_pair_01000"));
    let detail = client.info().await["last_error"]["detail"].clone();
    assert!(detail.as_str().unwrap().contains("over the limit"), "{detail}");
    assert_eq!(server.service().loads(), 1);
}

every_owner!(a_restart_beside_a_broken_newest_file_serves_the_older_good_one_as_stale);
async fn a_restart_beside_a_broken_newest_file_serves_the_older_good_one_as_stale(owner: Owner) {
    let folder = tempdir().unwrap();
    let good = folder.path().join("model_a.onnx");
    publish(&good, &checkpoint("pendulum_00500"));
    set_modified(&good, at(0));
    publish(&folder.path().join("model_b.onnx"), b"broken");
    let server = Server::start(owner, &Settings::folder(folder.path())).await;
    let mut client = server.client().await;
    let info = client.info().await;
    assert_eq!((info["path"].as_str(), &info["stale"]), (good.to_str(), &json!(true)));
    assert!(info["last_error"]["path"].as_str().unwrap().ends_with("model_b.onnx"));
    assert_eq!(client.get("/sac/health").await.ok(), json!({"status": "stale", "model_loaded": true}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_may_not_wait_for_a_reload_is_answered_by_the_model_in_service() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let settings = Settings::folder(folder.path());
    let server = Server::with_config(Config { reload_wait: Duration::ZERO, ..settings.config() }).await;
    let mut client = server.client().await;
    let old = client.predict(&STATE).await["model_path"].clone();
    publish(&folder.path().join("model_b.onnx"), &padded(checkpoint("pendulum_08000"), 30 << 20));
    assert_eq!(client.predict(&STATE).await["model_path"], old, "no request waits for the 30 MiB to load");
    let deadline = SystemTime::now() + Duration::from_secs(300);
    while client.predict(&STATE).await["model_path"] == old {
        assert!(SystemTime::now() < deadline, "the reload never ended");
    }
    assert_eq!(server.service().loads(), 2, "however many requests came meanwhile, there was one reload");
}

/// Appends a tensor of `bytes` bytes that nothing uses to an ONNX file: concatenated protobuf messages merge.
fn padded(mut onnx: Vec<u8>, bytes: usize) -> Vec<u8> {
    // TensorProto: dims = [bytes / 4], data_type = FLOAT, name = "unused", raw_data.
    let mut tensor = vec![0x08];
    varint(&mut tensor, bytes / 4);
    tensor.extend([0x10, 1, 0x42, 6]);
    tensor.extend(b"unused");
    tensor.push(0x4a);
    varint(&mut tensor, bytes);
    tensor.resize(tensor.len() + bytes, 0);
    // GraphProto.initializer, in ModelProto.graph.
    for field in [0x2a, 0x3a] {
        let mut outer = vec![field];
        varint(&mut outer, tensor.len());
        outer.append(&mut tensor);
        tensor = outer;
    }
    onnx.append(&mut tensor);
    onnx
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

every_owner!(a_swap_across_state_and_action_dimensions_is_seen_by_the_next_request);
async fn a_swap_across_state_and_action_dimensions_is_seen_by_the_next_request(owner: Owner) {
    let mut scene = Scene::new(owner).await;
    scene.put("model_a.onnx", "pendulum_00500", 100);
    assert_eq!(scene.client.info().await["state_dim"], 3);
    scene.put("model_b.onnx", "stat_pair_01000", 200);
    assert_eq!(scene.client.info().await["state_dim"], 28);
    publish(&scene.folder.path().join("model_c.onnx"), &odd("two_action_dims"));
    let info = scene.client.info().await;
    assert_eq!((&info["state_dim"], &info["action_dim"]), (&json!(3), &json!(2)));
}
