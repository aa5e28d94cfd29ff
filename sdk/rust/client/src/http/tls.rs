//! Whom a client trusts, and who it is itself, from PEM texts that are checked before anything is sent.

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::{Error, Result};

/// The PEM texts of a client; without any it trusts the authorities of the web and is nobody.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) ca_pem: Option<Vec<u8>>,
    pub(super) identity_pem: Option<Vec<u8>>,
}

impl Tls {
    pub(super) fn config(&self) -> Result<TlsConfig> {
        let mut config = TlsConfig::builder();
        if let Some(pem) = &self.ca_pem {
            let (certificates, _) = read(pem, "trusted certificates")?;
            let mut store = RootCertStore::empty();
            for certificate in &certificates {
                // One that is no authority's would be passed over, and then nobody be trusted.
                store.add(certificate.der().to_vec().into()).map_err(|_| {
                    Error::contract(
                        "trusted certificates: expected certificates, got one that cannot be read",
                    )
                })?;
            }
            config = config.root_certs(RootCerts::new_with_certs(&certificates));
        }
        if let Some(pem) = &self.identity_pem {
            let (certificates, key) = read(pem, "client certificate")?;
            let key = key.ok_or_else(|| {
                Error::contract("client certificate: expected a private key in PEM, got none")
            })?;
            check_pair(&certificates, pem)?;
            config = config.client_cert(Some(ClientCert::new_with_certs(&certificates, key)));
        }
        Ok(config.build())
    }
}

type Items = (Vec<Certificate<'static>>, Option<PrivateKey<'static>>);

/// The certificates and the key of a PEM text; at least one certificate.
fn read(pem: &[u8], what: &str) -> Result<Items> {
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    let mut key = None;
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(PemItem::PrivateKey(found)) => key = Some(found),
            Ok(_) => {}
            // The parser's own words may quote what stands there.
            Err(_) => {
                return Err(Error::contract(format!("{what}: expected PEM, got something else")));
            }
        }
    }
    if certificates.is_empty() {
        return Err(Error::contract(format!("{what}: expected a certificate in PEM, got none")));
    }
    Ok((certificates, key))
}

/// A key that is not the first certificate's would end the first request.
fn check_pair(certificates: &[Certificate<'static>], pem: &[u8]) -> Result<()> {
    let refused = || {
        Error::contract(
            "client certificate: expected its own private key, got another or none it can use",
        )
    };
    let chain = certificates.iter().map(|each| each.der().to_vec().into()).collect();
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| refused())?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|_| refused())?;
    Ok(())
}
