//! TLS as a client of rustls sees it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use ai_energy_benchmarks_mockserver::{MockConfig, MockServer, TlsMode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::answers::quick;
use crate::client::{End, Got, chat_body};
use serde_json::json;

/// One streamed chat; the error is what the client's TLS says.
fn chat(server: &MockServer, trusts: bool) -> Result<Got, std::io::Error> {
    let mut roots = RootCertStore::empty();
    if trusts {
        let pem = server.certificate().unwrap();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(server.address()).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = StreamOwned::new(session, tcp);
    let body = chat_body(&json!({"max_tokens": 3_000, "ignore_eos": true})).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(Got { bytes, end: End::Whole })
}

fn secured(mode: TlsMode) -> MockServer {
    MockServer::start(MockConfig { tls: Some(mode), ..quick() }).unwrap()
}

/// What the client holds against the certificate.
fn complaint(error: &std::io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => Some(why),
        _ => None,
    }
}

#[test]
fn a_client_that_trusts_the_certificate_is_served_and_one_that_does_not_refuses() {
    let server = secured(TlsMode::SelfSigned);
    assert!(server.url().starts_with("https://"));
    let got = chat(&server, true).unwrap();
    assert_eq!((got.texts().len(), got.is_done()), (3_000, true));
    let error = chat(&server, false).unwrap_err();
    assert_eq!(complaint(&error), Some(&CertificateError::UnknownIssuer));
}

#[test]
fn expired_and_misnamed_certificates_are_refused_as_such() {
    let error = chat(&secured(TlsMode::Expired), true).unwrap_err();
    let why = complaint(&error).unwrap();
    assert!(
        matches!(why, CertificateError::Expired | CertificateError::ExpiredContext { .. }),
        "{why:?}"
    );
    let error = chat(&secured(TlsMode::WrongName), true).unwrap_err();
    let why = complaint(&error).unwrap();
    assert!(
        matches!(
            why,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ),
        "{why:?}"
    );
}

#[test]
fn an_aborted_handshake_breaks_off() {
    let error = chat(&secured(TlsMode::Abort), true).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error:?}"
    );
}

#[test]
fn plain_http_to_a_tls_port_is_answered_with_an_alert_and_the_server_goes_on() {
    let server = secured(TlsMode::SelfSigned);
    let mut tcp = TcpStream::connect(server.address()).unwrap();
    tcp.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let _ = tcp.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"));
    assert!(chat(&server, true).is_ok());
}
