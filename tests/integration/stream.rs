//! Streams of predictions: a control loop sends states over one WebSocket, and each gets the answer of /sac/predict.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use http::header::{AUTHORIZATION, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use sac_owner::settings::ModelName;
use sac_serving::{HttpConfig, Origins, Tokens};
use sac_tests::{Owner, Server, Settings, checkpoint, patient_http, publish};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

const STATE: [f64; 3] = [0.1, 0.2, 0.3];

/// The client's side of a stream.
pub(crate) struct Stream(WebSocketStream<TcpStream>);

impl Stream {
    async fn open(server: &Server) -> Stream {
        Stream::open_at(server.address, "/sac/stream", None).await.unwrap()
    }

    /// Returns the status of the response if it is no stream.
    pub(crate) async fn open_at(
        address: SocketAddr,
        path: &str,
        header: Option<(http::HeaderName, &str)>,
    ) -> Result<Stream, u16> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        request.headers_mut().extend(header.map(|(name, value)| (name, value.parse::<HeaderValue>().unwrap())));
        let connection = TcpStream::connect(address).await.unwrap();
        match tokio_tungstenite::client_async(request, connection).await {
            Ok((stream, _)) => Ok(Stream(stream)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        let answer = self.0.next().await.unwrap().unwrap();
        serde_json::from_str(answer.to_text().unwrap()).unwrap()
    }

    pub(crate) async fn predict(&mut self) -> Value {
        self.ask(json!({ "state": STATE })).await
    }

    /// The reason for which the server ends the stream, after the answers that it sends before.
    pub(crate) async fn end(&mut self) -> CloseFrame {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(Message::Text(_))) => {}
                other => panic!("not the end: {other:?}"),
            }
        }
    }
}

/// An answer without the time that it took.
fn timeless(mut answer: Value) -> Value {
    answer.as_object_mut().unwrap().remove("latency_ms").expect("a time");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_gets_the_answer_of_predict_and_the_next_one_that_of_the_checkpoint_that_came_between() {
    let folder = tempdir().unwrap();
    let server = Server::folder(folder.path()).await;
    let (mut client, mut stream) = (server.client().await, Stream::open(&server).await);
    assert_eq!(stream.predict().await["status"], 503, "no checkpoint is there");
    for name in ["pendulum_00500", "pendulum_08000"] {
        publish(&folder.path().join("model_a.onnx"), &checkpoint(name));
        let answer = stream.predict().await;
        assert_eq!(timeless(answer), timeless(client.predict(&STATE).await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_is_answered_with_its_status_and_the_stream_goes_on() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let (mut client, mut stream) = (server.client().await, Stream::open(&server).await);
    for body in [json!({ "state": [1] }), json!({}), json!(null), json!("x".repeat(60 << 10))] {
        let refused = client.post("/sac/predict", body.clone()).await;
        let mut expected = refused.json().clone();
        expected["status"] = refused.status.into();
        assert!((400..500).contains(&refused.status));
        assert_eq!(stream.ask(body).await, expected);
    }
    assert_eq!(timeless(stream.predict().await), timeless(client.predict(&STATE).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_count_as_predictions_and_the_stream_as_a_connection() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let server = Server::folder(folder.path()).await;
    let (mut client, mut stream) = (server.client().await, Stream::open(&server).await);
    for _ in 0..3 {
        stream.predict().await;
    }
    let metrics = client.get("/metrics").await.text().to_owned();
    for line in [
        r#"sac_requests_total{route="/sac/predict",status="200"} 3"#,
        r#"sac_requests_total{route="/sac/stream",status="101"} 1"#,
        "sac_connections 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_client_with_the_token_gets_a_stream_and_a_token_that_is_withdrawn_answers_no_more() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let tokens = folder.path().join("tokens");
    publish(&tokens, b"first\nsecond\n");
    let mut config = Settings::folder(folder.path()).config();
    config.tokens = Tokens::new([]).with_file(&tokens).unwrap();
    let server = Server::with_config(config).await;
    let open = |token: Option<&'static str>| {
        Stream::open_at(server.address, "/sac/stream", token.map(|token| (AUTHORIZATION, token)))
    };
    assert_eq!(open(None).await.err(), Some(401));
    assert_eq!(open(Some("Bearer third")).await.err(), Some(401));
    let mut stream = open(Some("Bearer second")).await.unwrap();
    assert!(stream.predict().await["model_path"].is_string());
    publish(&tokens, b"first\n");
    assert_eq!(stream.predict().await["status"], 401);
}

/// A page can name protocols, and no headers.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_offers_its_token_as_a_protocol() {
    let folder = tempdir().unwrap();
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let mut config = Settings::folder(folder.path()).config();
    config.tokens = Tokens::new(["secret".to_owned()]);
    let server = Server::with_config(config).await;
    let open = |offer| Stream::open_at(server.address, "/sac/stream", Some((SEC_WEBSOCKET_PROTOCOL, offer)));
    assert_eq!(open("sac").await.err(), Some(401));
    assert_eq!(open("sac, bearer.other").await.err(), Some(401));
    // The client fails if the response does not choose one of its protocols.
    let mut stream = open("sac, bearer.secret").await.unwrap();
    let answer = stream.predict().await;
    assert!(answer["model_path"].is_string(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_of_a_root_has_a_stream() {
    let root = tempdir().unwrap();
    for (policy, name) in [("a", "pendulum_00500"), ("b", "pendulum_08000")] {
        std::fs::create_dir(root.path().join(policy)).unwrap();
        publish(&root.path().join(policy).join("model_a.onnx"), &checkpoint(name));
    }
    let mut root_settings = sac_tests::RootSettings::folder(root.path());
    root_settings.default = Some("b".parse::<ModelName>().unwrap());
    let settings = Settings { root: Some(root_settings), ..Settings::folder(root.path()) };
    let server = Server::start(Owner::Host, &settings).await;
    for (prefix, policy) in [("/policies/a", "/a/"), ("/policies/b", "/b/"), ("", "/b/")] {
        let mut stream = Stream::open_at(server.address, &format!("{prefix}/sac/stream"), None).await.unwrap();
        let answer = stream.predict().await;
        assert!(answer["model_path"].as_str().unwrap().contains(policy), "{answer}");
        let mut client = server.client().await.with_prefix(prefix);
        assert_eq!(timeless(answer), timeless(client.predict(&STATE).await));
    }
    assert_eq!(Stream::open_at(server.address, "/policies/c/sac/stream", None).await.err(), Some(404));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_web_socket_is_426_or_405_and_a_page_of_another_site_is_403() {
    let folder = tempdir().unwrap();
    let http = HttpConfig { refuse_other_sites: true, ..patient_http() };
    let server = Server::with_http(Settings::folder(folder.path()).config(), http).await;
    let mut client = server.client().await;
    let answer = client.get("/sac/stream").await;
    assert_eq!((answer.header("upgrade"), answer.header("sec-websocket-version")), (Some("websocket"), Some("13")));
    assert!(answer.detail(426).contains("RFC 6455"));
    let post = client.send(Method::POST, "/sac/stream", "{}").await;
    assert_eq!((post.detail(405), post.header("allow")), ("Method Not Allowed", Some("GET")));
    let old = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    client.send_with(Method::GET, "/sac/stream", &format!("{old}sec-websocket-version: 8\r\n"), "").await.detail(426);
    let from = |origin| Stream::open_at(server.address, "/sac/stream", Some((ORIGIN, origin)));
    assert_eq!(from("https://example.com").await.err(), Some(403));
    assert!(Stream::open_at(server.address, "/sac/stream", None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_the_server_and_of_allowed_origins_open_streams_although_others_may_send_requests() {
    let folder = tempdir().unwrap();
    let origins = Origins::new(["https://app.example.com".parse().unwrap()]);
    let (open, allowing) = (patient_http(), HttpConfig { cors_origins: Some(origins), ..patient_http() });
    for (http, is_allowed) in [(open, false), (allowing, true)] {
        let server = Server::with_http(Settings::folder(folder.path()).config(), http).await;
        let own = format!("http://{}", server.address);
        for (origin, is_accepted) in [
            (own.as_str(), true),
            ("https://app.example.com", is_allowed),
            ("https://example.com", false),
            ("null", false),
        ] {
            let stream = Stream::open_at(server.address, "/sac/stream", Some((ORIGIN, origin))).await;
            assert_eq!(stream.err(), (!is_accepted).then_some(403), "{origin}");
            let mut client = server.client().await;
            let answer = client.send_with(Method::GET, "/healthz", &format!("origin: {origin}\r\n"), "").await;
            assert_eq!(answer.status, 200, "{origin}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_ends_the_stream_and_says_why() {
    let folder = tempdir().unwrap();
    let settings = Settings { max_body_bytes: 1 << 10, ..Settings::folder(folder.path()) };
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    let (small, plain) = (Server::start(Owner::Host, &settings).await, Server::folder(folder.path()).await);
    for (server, bytes) in [(&small, 1 << 10), (&plain, 64 << 10)] {
        let mut stream = Stream::open(server).await;
        assert_eq!(stream.ask(json!("x".repeat(bytes - 2))).await["status"], 422);
        // The server refuses the message by its head, and reads the rest, so that the client learns why.
        stream.0.send(Message::text("x".repeat(8 << 20))).await.unwrap();
        let CloseFrame { code, reason } = stream.end().await;
        assert_eq!((code, reason.as_str()), (CloseCode::Size, format!("a message has at most {bytes} bytes").as_str()));
    }
    let mut stream = Stream::open(&plain).await;
    stream.0.send(Message::binary(vec![0; 8])).await.unwrap();
    assert_eq!(stream.end().await.code, CloseCode::Unsupported);
}
