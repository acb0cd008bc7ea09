//! What the store answers, before it is put into bytes.

/// An answer before it is put into bytes.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self { status, fields: Vec::new(), body: body.as_ref().to_vec() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn into_bytes(self, method: &str, chunks: bool) -> Vec<u8> {
        let reason = http::StatusCode::from_u16(self.status).unwrap().canonical_reason().unwrap_or("Unknown");
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let chunks = chunks && self.status == 200;
        match (chunks, self.status) {
            (true, _) => text.push_str("Transfer-Encoding: chunked\r\n\r\n"),
            (false, 204) => text.push_str("\r\n"),
            (false, _) => text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len())),
        }
        let mut bytes = text.into_bytes();
        match (method, chunks) {
            ("HEAD", _) => (),
            (_, false) => bytes.extend(self.body),
            (_, true) => {
                for piece in self.body.chunks(5) {
                    bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                    bytes.extend(piece);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
        }
        bytes
    }
}
