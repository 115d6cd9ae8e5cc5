//! TLS, right or wrong on purpose. The certificate is made anew at each start: no key lies in the program.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// Which TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// With a certificate signed by itself: an error for clients that were not told to trust it, right for those that were
    /// ([`MockServer::certificate`](crate::MockServer::certificate)).
    SelfSigned,
    /// The same, but its time is over since 2020.
    Expired,
    /// The same, but for the name `wrong.invalid`.
    WrongName,
    /// The connection is broken off at the client's first byte.
    Abort,
}

/// What the listener needs.
#[derive(Clone)]
pub(crate) struct Tls {
    /// None where nothing is ever negotiated.
    pub config: Option<Arc<ServerConfig>>,
    /// The certificate in PEM.
    pub certificate: String,
}

/// Makes the certificate and the settings.
pub(crate) fn prepare(mode: TlsMode, address: IpAddr) -> Result<Tls, String> {
    let names = match mode {
        TlsMode::WrongName => vec!["wrong.invalid".to_owned()],
        _ => {
            let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
            if !address.is_unspecified() && !names.contains(&address.to_string()) {
                names.push(address.to_string());
            }
            names
        }
    };
    let mut params = CertificateParams::new(names).map_err(|cause| cause.to_string())?;
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = match mode {
        TlsMode::Expired => date_time_ymd(2020, 1, 1),
        _ => date_time_ymd(2100, 1, 1),
    };
    let key = KeyPair::generate().map_err(|cause| cause.to_string())?;
    let certificate = params.self_signed(&key).map_err(|cause| cause.to_string())?;
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| cause.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .map_err(|cause| cause.to_string())?;
    Ok(Tls {
        config: (mode != TlsMode::Abort).then(|| Arc::new(config)),
        certificate: certificate.pem(),
    })
}
