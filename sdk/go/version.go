// Package fractallba is the root of the Go SDK; see the packages below it: pcs
// for records, signals for what windows look like, client to send records and
// outbox to keep them until they are sent.
package fractallba

// SDKVersion is the version of the SDK, in step with those of the other
// languages.
const SDKVersion = "0.1.0"
