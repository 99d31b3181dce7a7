package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// commands are those of the programs that take flags.
var commands = [][]string{{"webhook"}, {"controller"}, {"sidecar", "run"}, {"sidecar", "wait"}}

// flagsPage asks the programs themselves.
func flagsPage() (string, error) {
	dir, err := os.MkdirTemp("", "reference-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if output, err := exec.Command("go", "build", "-o", dir+"/", "./cmd/...").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, output)
	}
	b := &strings.Builder{}
	b.WriteString("# Flags\n\nEvery program says this itself, with `-h`.\n")
	for _, command := range commands {
		output, err := exec.Command(filepath.Join(dir, command[0]), append(command[1:], "-h")...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s -h: %w: %s", strings.Join(command, " "), err, output)
		}
		text := strings.ReplaceAll(string(output), "\t", "    ")
		fmt.Fprintf(b, "\n## %s\n\n```text\n%s\n```\n", strings.Join(command, " "), strings.TrimSpace(text))
	}
	return b.String(), nil
}
