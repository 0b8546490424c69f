//! HTTP/2 by hand, for clients that do not keep to the rules.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::test_support::{Client, TestServer, within};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames, and flags.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

// Errors.
pub(super) const CANCEL: u32 = 8;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// A client that writes frames.
pub(super) struct Frames(pub(super) Client);

impl Frames {
    /// Begins with these settings: pairs of identifier and value.
    pub(super) async fn begin(server: &TestServer, settings: &[(u16, u32)]) -> Self {
        let mut client = server.connect().await;
        client.send(PREFACE).await;
        let mut frames = Self(client);
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        frames.send(&frame(SETTINGS, 0, 0, &payload)).await;
        frames
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.send(bytes).await;
    }

    /// Sends what the server may not want to hear any more.
    pub(super) async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.0.0.write_all(bytes)).await
    }

    /// The next frame: type, stream and payload.
    pub(super) async fn next(&mut self) -> io::Result<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        within(self.0.0.read_exact(&mut head)).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        within(self.0.0.read_exact(&mut payload)).await?;
        Ok((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// Stream and payload of the next frame of this type. PINGs before it are answered.
    pub(super) async fn until(&mut self, kind: u8) -> (u32, Vec<u8>) {
        loop {
            let (found, stream, payload) = self.next().await.unwrap();
            self.acknowledge(found, &payload).await;
            if found == kind {
                return (stream, payload);
            }
        }
    }

    async fn acknowledge(&mut self, kind: u8, payload: &[u8]) {
        if kind == PING {
            self.send(&frame(PING, ACK, 0, payload)).await;
        }
    }

    /// Acknowledges what is to be, until the connection ends.
    pub(super) async fn part(&mut self) {
        while let Ok((kind, _, payload)) = self.next().await {
            self.acknowledge(kind, &payload).await;
        }
    }

    /// How the connection ends: with which error in a GOAWAY, or `None` when it ends without one, or is reset.
    pub(super) async fn end(&mut self) -> Option<u32> {
        let mut error = None;
        while let Ok((kind, _, payload)) = self.next().await {
            if kind == GOAWAY {
                error = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        error
    }
}

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// GET of `/`, by the indexes of HPACK's static table.
pub(super) fn get(stream: u32) -> Vec<u8> {
    let block = [&[0x82, 0x86, 0x84, 0x01, 1][..], b"x"].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// POST to the same, whose body is yet to come.
pub(super) fn post(stream: u32) -> Vec<u8> {
    let block = [&[0x83, 0x86, 0x84, 0x01, 1][..], b"x"].concat();
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// `RST_STREAM`.
pub(super) fn reset(stream: u32, error: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &error.to_be_bytes())
}
