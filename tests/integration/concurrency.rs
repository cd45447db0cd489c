//! Many requests at once, while checkpoints are swapped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sac_tests::{Golden, Owner, Server, Settings, at, checkpoint, publish, set_modified};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

const POLICIES: [&str; 3] = ["pendulum_00500", "pendulum_02000", "pendulum_08000"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_during_a_hundred_swaps_comes_from_the_checkpoint_that_it_names() {
    const SWAPS: usize = 100;
    let golden = Golden::read();
    let state = golden.policy(POLICIES[0]).states()[0].clone();
    // The action of each policy for the same state.
    let folder = tempdir().unwrap();
    let path = folder.path().join("chosen.onnx");
    let settings = Settings { model: Some(path.clone()), ..Settings::folder(folder.path()) };
    let server = Server::start(Owner::Host, &settings).await;
    let mut control = server.client().await;
    let mut expected = HashMap::new();
    for policy in POLICIES {
        publish(&path, &checkpoint(policy));
        expected.insert(policy, control.predict(&state).await["action"].clone());
    }
    let put = |swap: usize| {
        let temporary = folder.path().join("next");
        std::fs::write(&temporary, checkpoint(POLICIES[swap % 3])).unwrap();
        set_modified(&temporary, at(swap as u64));
        std::fs::rename(temporary, &path).unwrap();
    };
    put(0);
    control.predict(&state).await;

    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(Semaphore::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (mut client, state) = (server.client().await, state.clone());
        let (done, answered) = (done.clone(), answered.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                // A status other than 200 panics here.
                answers.push(client.predict(&state).await);
                answered.add_permits(1);
            }
            answers
        });
    }
    for swap in 1..=SWAPS {
        put(swap);
        let mtime = control.predict(&state).await["model_mtime_utc"].clone();
        assert_eq!(mtime, rfc3339(swap), "the next request is answered by the new file");
        // The next swap waits for two answers, so that there are some between any two.
        tokio::select! {
            permits = answered.acquire_many(2) => permits.unwrap().forget(),
            Some(client) = clients.join_next() => panic!("a client ended: {client:?}"),
        }
    }
    done.store(true, Ordering::Relaxed);
    for answer in clients.join_all().await.into_iter().flatten() {
        assert_eq!(answer["action"], expected[policy_of(&answer["model_mtime_utc"])], "{answer}");
    }
    assert_eq!(control.info().await["generation"], POLICIES.len() as u64 + 1 + SWAPS as u64);
}

/// The time [`at`] `swap`, as answers give it. 1,700,000,000 s is 22:13:20, so that a hundred more are the same day.
fn rfc3339(swap: usize) -> String {
    let second = 20 + swap;
    format!("2023-11-14T22:{:02}:{:02}.000000+00:00", 13 + second / 60, second % 60)
}

fn policy_of(mtime: &Value) -> &'static str {
    let swap = (0..=100).find(|swap| *mtime == rfc3339(*swap)).expect("the time of a swap");
    POLICIES[swap % 3]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_see_a_new_file_at_the_same_time_cause_one_read_and_one_publish() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let settings = Settings::folder(folder.path());
    let server = Server::start(Owner::Host, &settings).await;
    let mut clients = Vec::new();
    for _ in 0..32 {
        let mut client = server.client().await;
        client.info().await;
        clients.push(client);
    }
    let new = folder.path().join("model_b.onnx");
    publish(&new, &checkpoint("pendulum_08000"));
    let barrier = Arc::new(Barrier::new(clients.len()));
    let requests = clients.into_iter().map(|mut client| {
        let barrier = barrier.clone();
        tokio::spawn(async move {
            barrier.wait().await;
            client.info().await
        })
    });
    for request in requests.collect::<Vec<_>>() {
        let info = request.await.unwrap();
        assert_eq!((info["path"].as_str(), &info["generation"]), (new.to_str(), &json!(2)));
    }
    assert_eq!(server.service().loads(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_benchmark_delays_no_other_request_and_ends_on_the_generation_that_it_began_with() {
    let folder = tempdir().unwrap();
    let old = folder.path().join("model_a.onnx");
    publish(&old, &checkpoint("stat_pair_01000"));
    let server = Server::folder(folder.path()).await;
    let mut client = server.client().await;
    client.info().await;
    // There are as many as threads and instances, and they last long enough for the requests below.
    let mut benchmarks = Vec::new();
    for _ in 0..2 {
        let mut client = server.client().await;
        benchmarks.push(tokio::spawn(async move {
            client.post("/sac/benchmark", json!({"iterations": 1000, "batch_size": 256})).await.ok()
        }));
    }
    while !server.service().metrics().await.unwrap().contains("sac_requests_in_flight 2\n") {}
    let mut answered = 0;
    while !benchmarks.iter().all(|benchmark| benchmark.is_finished()) {
        client.predict(&[0.1; 28]).await;
        // A large batch takes long itself, and uses none of their threads.
        client.post("/sac/predict/batch", json!({"states": vec![[0.1; 28]; 300]})).await.ok();
        answered += 1;
        if answered == 1 {
            publish(&folder.path().join("model_b.onnx"), &checkpoint("stat_pair_03000"));
        }
    }
    // The number depends on the machine. Each is answered while a benchmark still runs.
    assert!(answered > 1, "{answered} predictions beside the benchmarks");
    // One runs at a time. The other began before the swap or after it.
    let mut paths = Vec::new();
    for benchmark in benchmarks {
        paths.push(benchmark.await.unwrap()["model_path"].clone());
    }
    assert!(paths.iter().any(|path| path == old.to_str().unwrap()), "{paths:?}");
}
