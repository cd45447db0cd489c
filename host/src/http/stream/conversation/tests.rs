use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;

const SOON: Duration = Duration::from_millis(20);
/// Longer than anything takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(600);

/// Returns a client, and the server's side, whose answers repeat the messages.
async fn conversation(
    pong_time: Duration,
    stop: impl Future<Output = ()> + Send + 'static,
) -> (WebSocketStream<DuplexStream>, JoinHandle<Result<()>>) {
    let (client, server) = duplex(1 << 10);
    let limits = Limits { max_bytes: 1 << 10, silence: SOON, pong_time };
    let serving = tokio::spawn(serve(server, limits, async |message| message, stop));
    (WebSocketStream::from_raw_socket(client, Role::Client, None).await, serving)
}

async fn is_given_up(serving: JoinHandle<Result<()>>) -> bool {
    matches!(serving.await.unwrap(), Err(Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut)
}

#[tokio::test]
async fn a_client_that_answers_pings_may_be_silent() {
    let (mut client, serving) = conversation(PATIENCE, std::future::pending()).await;
    for _ in 0..3 {
        assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
        // The pong is written by then.
        client.flush().await.unwrap();
    }
    client.send(Message::text("1")).await.unwrap();
    while client.next().await.unwrap().unwrap() != Message::text("1") {}
    client.close(None).await.unwrap();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_given_up() {
    let (_client, serving) = conversation(SOON, std::future::pending()).await;
    assert!(is_given_up(serving).await);
}

#[tokio::test]
async fn a_client_that_sends_a_message_without_an_end_is_given_up() {
    let (mut client, serving) = conversation(SOON, std::future::pending()).await;
    let stream = client.get_mut();
    // The first bytes of a frame of sixteen.
    for byte in [0x81, 0x8a, 0, 0, 0, 0, b' ', b' '] {
        // It fails once the server has given up.
        let _ = stream.write_all(&[byte]).await;
        sleep(SOON / 2).await;
    }
    assert!(is_given_up(serving).await);
}

#[tokio::test]
async fn a_client_that_never_closes_its_side_does_not_hold_up_the_end() {
    let (mut client, serving) = conversation(PATIENCE, std::future::ready(())).await;
    let Message::Close(Some(frame)) = client.next().await.unwrap().unwrap() else { panic!("no close") };
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "the server stops"));
    let start = Instant::now();
    serving.await.unwrap().unwrap();
    assert!(start.elapsed() < PATIENCE);
}
