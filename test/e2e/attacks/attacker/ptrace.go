package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ptrace attaches to every process that it finds, and opens its memory. It starts one
// of its own, to show that it can.
func ptrace([]string) error {
	runtime.LockOSThread() // a tracer is a thread
	own := exec.Command("sleep", "60")
	if err := own.Start(); err != nil {
		return err
	}
	defer func() { _ = own.Process.Kill() }()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, process := range processes {
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil || pid == os.Getpid() {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		memory, memoryErr := os.Open(filepath.Join(process, "mem"))
		if memoryErr == nil {
			_ = memory.Close()
		}
		attachErr := unix.PtraceSeize(pid)
		fmt.Printf("%s: memory %v, attach %v\n", strings.ReplaceAll(string(name), "\x00", " "), memoryErr, attachErr)
	}
	return nil
}
