package vectors_test

import (
	"os"
	"strings"
	"testing"

	"fractallba"
)

func TestTheVersionIsInStepWithTheProject(t *testing.T) {
	data, err := os.ReadFile("../../../../pyproject.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), "\nversion = \""+fractallba.SDKVersion+"\"\n") {
		t.Errorf("pyproject.toml: expected version %s, got another", fractallba.SDKVersion)
	}
}
