package vectors_test

import (
	"os"
	"path/filepath"
	"testing"

	"fractallba/internal/vectors"
)

const folder = "../../../../golden_vectors"

func TestEveryGoldenVectorHolds(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("golden_vectors: expected files, got %d (%v)", len(paths), err)
	}
	files, cases, failed := 0, 0, 0
	for _, path := range paths {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines, ran := vectors.Failures(name, data)
		for _, line := range lines {
			if len(line) > 600 {
				line = line[:600]
			}
			t.Errorf("%s %s", name, line)
		}
		failed += len(lines)
		if name == vectors.ServersFile {
			t.Logf("go: %s: %d cases known by name, for servers only", name, ran)
			continue
		}
		t.Logf("go: %s: %d cases", name, ran)
		files++
		cases += ran
	}
	t.Logf("go: %d files, %d cases, %d failed", files, cases, failed)
}
