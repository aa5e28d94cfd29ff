//! What a client is made of: a server's address, who is asking, whom to trust, how long to try.

use std::time::Duration;

use ureq::http::Uri;

use super::client::Client;
use super::exchange::Exchange;
use super::retry::RetryPolicy;
#[cfg(feature = "tls")]
use super::tls::Tls;
use crate::{Error, Result};

/// Longer than a server takes for a group commit on a struggling disk; a lost answer is fetched by a
/// repeat.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A token is 43 characters as the project makes them; a head of more would be refused.
const TOKEN_BYTES_MAX: usize = 4_096;

/// Settings of a [`Client`], from [`Client::builder`].
pub struct ClientBuilder {
    url: String,
    token: Option<String>,
    timeout: Duration,
    policy: RetryPolicy,
    #[cfg(feature = "tls")]
    tls: Tls,
}

impl std::fmt::Debug for ClientBuilder {
    /// Without the token.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ClientBuilder")
            .field("has_token", &self.token.is_some())
            .field("timeout", &self.timeout)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            token: None,
            timeout: TIMEOUT,
            policy: RetryPolicy::default(),
            #[cfg(feature = "tls")]
            tls: Tls::default(),
        }
    }

    /// The bearer token that names the caller; submitting works without one.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The bound of one attempt, connecting and reading its answer included; 30 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How a call is repeated until an answer is final.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Trust the certificates in this PEM text instead of the authorities of the web.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.ca_pem = Some(pem.into());
        self
    }

    /// Be known to the server by this certificate chain and private key, in one PEM text.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn identity_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.identity_pem = Some(pem.into());
        self
    }

    /// Make the client; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// `Contract`: the URL is none of a server, the token cannot be sent, or a PEM text holds no
    /// certificate, or a key that is not the certificate's.
    pub fn build(self) -> Result<Client> {
        let base = checked_url(&self.url)?;
        let token = self.token.as_deref().map(authorization).transpose()?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Following a redirect would carry a record to a host nobody configured.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("fractal-lba-client/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity");
        #[cfg(feature = "tls")]
        let config = config.tls_config(self.tls.config()?);
        let agent = ureq::Agent::new_with_config(config.build());
        Ok(Client::new(Exchange::new(agent, base, token, self.timeout), self.policy))
    }
}

/// The value of the header `Authorization`.
fn authorization(token: &str) -> Result<String> {
    let is_sendable = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !is_sendable {
        return Err(Error::contract(format!(
            "token: expected 1 to {TOKEN_BYTES_MAX} visible ASCII characters, got something else"
        )));
    }
    Ok(format!("Bearer {token}"))
}

/// A server's URL without the slashes at its end; nothing of it is said, as it may hold a password.
fn checked_url(text: &str) -> Result<String> {
    let refused = |got: &str| {
        Error::contract(format!(
            "server URL: expected http://HOST:PORT or https://HOST:PORT, got {got}"
        ))
    };
    if text.contains('#') {
        return Err(refused("one with a fragment"));
    }
    let uri: Uri = text.parse().map_err(|_| refused("something else"))?;
    let host = uri.authority().ok_or_else(|| refused("something else"))?;
    if host.as_str().contains('@') {
        return Err(refused("one with a user or password in it"));
    }
    if uri.query().is_some() {
        return Err(refused("one with a query"));
    }
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") if cfg!(feature = "tls") => {}
        Some("https") => return Err(refused("https, which the feature \"tls\" brings")),
        _ => return Err(refused("another scheme")),
    }
    if host.host().is_empty() {
        return Err(refused("no host"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_of_a_server_is_refused_without_repeating_it() {
        for url in [
            "",
            "127.0.0.1:8080",
            "ftp://host",
            "http://",
            "http://user:hunter2@host",
            "http://host?token=hunter2",
            "http://host/#hunter2",
            "http://ho st",
        ] {
            let refused = Client::builder(url).build().expect_err(url);
            assert_eq!(refused.kind(), crate::ErrorKind::Contract, "{url}");
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
        for url in ["http://127.0.0.1:8080", "http://[::1]:80/", "http://host/prefix/"] {
            assert!(Client::builder(url).build().is_ok(), "{url}");
        }
    }

    #[test]
    fn nothing_that_can_be_printed_holds_the_token() {
        let builder = Client::builder("http://host").token("hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let client = builder.build().expect("a client");
        assert!(!format!("{client:?}").contains("hunter2"));
        let refused = Client::builder("http://host").token("hunter2\r\nX: y").build();
        assert!(!refused.expect_err("refused").to_string().contains("hunter2"));
    }
}
