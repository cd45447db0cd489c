use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

const SOON: Duration = Duration::from_millis(20);
/// Longer than anything takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(600);

/// The bytes that wait between the two sides.
const PIPE_BYTES: usize = 1 << 10;

/// Frames of a client, whose mask is zero.
const PING: &[u8] = &[0x89, 0x81, 0, 0, 0, 0, b'p'];
const FIRST_HALF: &[u8] = &[0x01, 0x81, 0, 0, 0, 0, b'1'];
const SECOND_HALF: &[u8] = &[0x80, 0x81, 0, 0, 0, 0, b'2'];

fn patient() -> Limits {
    Limits { max_bytes: 1 << 10, message_time: PATIENCE, silence: PATIENCE, pong_time: PATIENCE, close_time: PATIENCE }
}

/// Returns a client, and the server's side, whose answers repeat the messages.
async fn conversation(
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> (WebSocketStream<DuplexStream>, JoinHandle<Result<()>>) {
    let (client, server) = duplex(PIPE_BYTES);
    let serving = tokio::spawn(serve(server, limits, async |message| message, stop));
    (WebSocketStream::from_raw_socket(client, Role::Client, None).await, serving)
}

async fn is_given_up(serving: JoinHandle<Result<()>>) -> bool {
    let ended = timeout(PATIENCE, serving).await.unwrap();
    matches!(ended.unwrap(), Err(Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut)
}

async fn end(client: &mut WebSocketStream<DuplexStream>) -> CloseFrame {
    loop {
        if let Message::Close(frame) = client.next().await.unwrap().unwrap() {
            return frame.unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_that_answers_pings_may_be_silent() {
    // A message in two parts with a ping between them leaves nothing open either.
    let limits = Limits { silence: SOON, message_time: SOON, ..patient() };
    let (mut client, serving) = conversation(limits, std::future::pending()).await;
    client.get_mut().write_all(&[FIRST_HALF, PING, SECOND_HALF].concat()).await.unwrap();
    let mut pings = 0;
    while pings < 3 {
        pings += usize::from(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
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
    let limits = Limits { silence: SOON, pong_time: SOON, ..patient() };
    let (_client, serving) = conversation(limits, std::future::pending()).await;
    assert!(is_given_up(serving).await);
}

#[tokio::test]
async fn a_client_that_sends_a_message_without_an_end_is_given_up_however_often_it_sends_a_byte() {
    let limits = Limits { silence: SOON, pong_time: SOON, max_bytes: usize::MAX, ..patient() };
    let (mut client, serving) = conversation(limits, std::future::pending()).await;
    let stream = client.get_mut();
    // The head of a frame that does not end while the test lasts.
    stream.write_all(&[0x81, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
    while stream.write_all(b" ").await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(is_given_up(serving).await);
}

#[tokio::test]
async fn a_message_that_does_not_end_in_time_ends_the_conversation_whatever_is_sent_beside_it() {
    let limits = Limits { message_time: SOON, ..patient() };
    let (mut client, serving) = conversation(limits, std::future::pending()).await;
    client.get_mut().write_all(FIRST_HALF).await.unwrap();
    let frame = loop {
        client.get_mut().write_all(PING).await.unwrap();
        if let Message::Close(frame) = client.next().await.unwrap().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Policy, "a message arrives within 0.02 s"));
    drop(client);
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_sends_pings_and_reads_nothing_is_not_read_any_further() {
    let (mut client, serving) = conversation(patient(), std::future::pending()).await;
    let stream = client.get_mut();
    let mut sent = 0;
    // Nothing waits anywhere but in the pipe, which is full at some time: then a write has to wait.
    while timeout(SOON, stream.write_all(PING)).await.is_ok() {
        sent += PING.len();
        assert!(sent < 16 * PIPE_BYTES, "{sent} bytes were read");
    }
    serving.abort();
}

#[tokio::test]
async fn a_client_sends_the_rest_of_a_message_that_is_refused_and_learns_the_reason() {
    let (mut client, serving) = conversation(patient(), std::future::pending()).await;
    // Far more than waits in the pipe.
    client.send(Message::text("x".repeat(1 << 20))).await.unwrap();
    let frame = end(&mut client).await;
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Size, "a message has at most 1024 bytes"));
    drop(client);
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_never_closes_its_side_does_not_hold_up_the_end() {
    let limits = Limits { close_time: SOON, ..patient() };
    let (mut client, serving) = conversation(limits, std::future::ready(())).await;
    let frame = end(&mut client).await;
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "the server stops"));
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
}
