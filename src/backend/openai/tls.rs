//! TLS for https endpoints.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::io::Stamped;
use crate::error::Problem;

/// What is needed to speak TLS with one host.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts the authorities that browsers trust, and those in `extra_roots` (`SSL_CERT_FILE`).
    pub(super) fn new(host: &str, extra_roots: Option<&Path>) -> Result<Self, Problem> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Problem::new("backend.endpoint", format!("`{host}` cannot be a name in a certificate"))
        })?;
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = extra_roots {
            add_roots(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| Problem::new("backend.endpoint", format!("no TLS: {cause}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(super) async fn connect(&self, stream: Stamped) -> io::Result<TlsStream<Stamped>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), Problem> {
    let problem = |cause: String| {
        Problem::new("SSL_CERT_FILE", format!("{}: {cause}", path.display()))
            .hint("a PEM file of the certificate authorities to trust")
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause| problem(cause.to_string()))?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(problem("holds no certificate".to_owned())) } else { Ok(()) }
}
