//! What rustls found wrong: a server that is not the one meant, or no TLS at all.
//!
//! Only what the next attempt would meet again is a fault. What a server says of itself, its names among
//! it, is not repeated.

use rustls::{AlertDescription, CertificateError};

use super::exchange::Fault;

/// The fault in an error, and how it reads behind the place; `None` where another attempt may go well.
pub(super) fn fault_of(error: &ureq::Error, has_answered: bool) -> Option<(Fault, String)> {
    let untrusted = |words: &str| Some((Fault::Untrusted, words.to_owned()));
    match rustls_error(error)? {
        rustls::Error::InvalidCertificate(why) => {
            Some((Fault::Untrusted, format!("expected a certificate {}", certificate_words(why))))
        }
        rustls::Error::AlertReceived(alert) => alert_words(*alert).and_then(untrusted),
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoCertificatesPresented => {
            untrusted("expected TLS 1.2 or 1.3 with a certificate, got a server without")
        }
        // A server that spoke TLS before has not changed its mind: bytes were bent on their way.
        rustls::Error::InvalidMessage(_) if !has_answered => {
            let words = "expected TLS, as https:// says, got something else: a server of plain HTTP \
                         has an http:// URL";
            Some((Fault::Scheme, words.to_owned()))
        }
        _ => None,
    }
}

/// What rustls said, also where it was carried through a stream.
fn rustls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn certificate_words(why: &CertificateError) -> &'static str {
    use CertificateError as Why;
    match why {
        Why::UnknownIssuer => "of an authority that is trusted, got one of another",
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            "for the host in the URL, got one for another name"
        }
        Why::Expired | Why::ExpiredContext { .. } => "that is valid now, got one that has expired",
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            "that is valid now, got one that is not valid yet"
        }
        Why::Revoked => "that is valid, got one that was revoked",
        _ => "that can be trusted, got one that cannot",
    }
}

/// What a server's alert says about the client or what both speak; `None` for what may pass.
fn alert_words(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as Alert;
    Some(match alert {
        Alert::CertificateRequired => {
            "expected a server that takes this client, got one that requires a client certificate"
        }
        Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => {
            "expected a server that takes this client, got one that refuses its certificate"
        }
        Alert::ProtocolVersion | Alert::InsufficientSecurity | Alert::HandshakeFailure => {
            "expected TLS 1.2 or 1.3, got a server that has no version or cipher in common"
        }
        Alert::UnrecognisedName => {
            "expected a server with the name in the URL, got one that does not know it"
        }
        _ => return None,
    })
}
