package client

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAServerThatRefusesTheClientsCertificateEndsACall(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	defer server.Close()
	trusting := server.Client().Transport.(*http.Transport).TLSClientConfig
	// The server's own certificate is no client's. Below TLS 1.3 the handshake
	// waits for what is said of it.
	config := &tls.Config{RootCAs: trusting.RootCAs, Certificates: server.TLS.Certificates, MaxVersion: tls.VersionTLS12}
	c, waits := opened(t, Config{URL: server.URL, TLS: config})
	_, err := c.Get(t.Context(), strings.Repeat("a", 64))
	var untrusted *UntrustedError
	words := "expected a server that takes this client, got one that refuses its certificate"
	if !errors.As(err, &untrusted) || !strings.HasSuffix(err.Error(), words) || len(*waits) > 0 {
		t.Fatalf("got %v after %d waits", err, len(*waits))
	}
}

func TestOnlyTheAlertsOfCertificatesAreFinal(t *testing.T) {
	for number := range 256 {
		said := refusal(tls.AlertError(number).Error())
		isFinal := number >= 42 && number <= 46 || number == 48 || number == 49 || number == 116
		if (said != "") != isFinal {
			t.Errorf("alert %d: got %q", number, said)
		}
	}
}
