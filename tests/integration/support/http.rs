//! A client by the library, for what is easier asked than written: HTTP/2, and HTTP/1.1 over other streams than TCP.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::within;

/// One connection.
pub(crate) enum Speaker {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) fields: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Told {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) async fn of(answer: Response<Incoming>) -> Self {
        let (head, body) = answer.into_parts();
        let body = within("the body of an answer", body.collect()).await.unwrap().to_bytes();
        Self { status: head.status.as_u16(), fields: head.headers, body }
    }
}

impl Speaker {
    /// Speaks HTTP/1.1; the task ends with the connection.
    pub(crate) async fn one<S>(stream: S) -> (Self, JoinHandle<hyper::Result<()>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        (Self::One(sender), tokio::spawn(connection))
    }

    /// Speaks HTTP/2, without asking first whether that is understood.
    pub(crate) async fn two<S>(stream: S) -> (Self, JoinHandle<hyper::Result<()>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        (Self::Two(sender), tokio::spawn(connection))
    }

    /// Sends a request whose answer is waited for elsewhere; dropping it takes the request back.
    pub(crate) fn begin(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + use<> {
        match self {
            Self::One(sender) => futures_util::future::Either::Left(sender.send_request(request)),
            Self::Two(sender) => futures_util::future::Either::Right(sender.send_request(request)),
        }
    }

    /// A request and its answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Told {
        let answer = self.begin(self.request(method, target, fields, body));
        Told::of(within("an answer", answer).await.unwrap()).await
    }

    /// A request in the words of this version.
    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Request<Full<Bytes>> {
        let builder = Request::builder().method(method);
        let mut builder = match self {
            Self::One(_) => builder.uri(target).header("host", "lrs.example"),
            Self::Two(_) => builder.uri(format!("http://lrs.example{target}")),
        };
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
    }
}
