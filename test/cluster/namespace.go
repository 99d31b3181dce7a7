package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// onOwnThread runs f on a thread that is thrown away afterwards, so that f can
// change the thread's namespaces. Programs that f starts inherit them.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot be thrown away, and /proc/self shows its
			// namespaces as the program's. Keep it busy while another does it.
			defer runtime.UnlockOSThread()
			result <- onOwnThread(f)
			return
		}
		// Never unlocked: the thread ends with this goroutine.
		result <- f()
	}()
	return <-result
}

// enter moves this thread into the namespace that file stands for.
func enter(file string, kind int) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", file, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Setns(fd, kind); err != nil {
		return fmt.Errorf("enter namespace %s: %w", file, err)
	}
	return nil
}

// inNet runs f in a named network namespace.
func inNet(name string, f func() error) error {
	return onOwnThread(func() error {
		if err := enter(netnsFile(name), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// inMountsOf runs f in a named network namespace and in the mount namespace of
// a process.
func inMountsOf(pid int, netns string, f func() error) error {
	return inNet(netns, func() error {
		// A thread that shares its working directory and root with others
		// cannot change its mount namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare file system attributes: %w", err)
		}
		if err := enter(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.CLONE_NEWNS); err != nil {
			return err
		}
		return f()
	})
}

// nodeBin is where the node finds the programs that this package builds: their
// real directory may be below /var or /run, which the node has of its own.
const nodeBin = "/run/kube-connector-bin"

// kernelSettings are what the kubelet insists on, and would set for the whole
// machine if it found anything else.
var kernelSettings = map[string]string{
	"/proc/sys/vm/overcommit_memory":      "1",
	"/proc/sys/vm/panic_on_oom":           "0",
	"/proc/sys/kernel/panic":              "10",
	"/proc/sys/kernel/panic_on_oops":      "1",
	"/proc/sys/kernel/keys/root_maxkeys":  "1000000",
	"/proc/sys/kernel/keys/root_maxbytes": "25000000",
}

// inNewNode runs f in the home network namespace and in a new mount namespace,
// the node's. It lives as long as a process in it.
func inNewNode(i instance, binaries string, f func() error) error {
	if err := makeNodeDirs(i); err != nil {
		return err
	}
	return inNet(i.homeNet(), func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("new mount namespace: %w", err)
		}
		// First of all, nothing that happens in here may be seen outside.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		bind := func(from, to string) error {
			if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
				return fmt.Errorf("bind %s to %s: %w", from, to, err)
			}
			return nil
		}
		run := i.nodeRun()
		if err := bind(binaries, filepath.Join(run, filepath.Base(nodeBin))); err != nil {
			return err
		}
		// The kubelet finds the settings as it wants them, and the machine's
		// stay what they are.
		for setting := range kernelSettings {
			if err := bind(settingFile(i, setting), setting); err != nil {
				return err
			}
		}
		if err := errors.Join(bind(i.nodeVar(), "/var"), bind(run, "/run")); err != nil {
			return err
		}
		// Pods with bidirectional mount propagation need a shared root.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
			return fmt.Errorf("make mounts shared: %w", err)
		}
		return f()
	})
}

func settingFile(i instance, setting string) string {
	return filepath.Join(i.nodeRun(), "sysctl", filepath.Base(setting))
}

func makeNodeDirs(i instance) error {
	for _, dir := range []string{
		filepath.Join(i.nodeRun(), filepath.Base(nodeBin)),
		filepath.Join(i.nodeRun(), "sysctl"),
		filepath.Join(i.nodeVar(), "lib"),
		filepath.Join(i.nodeVar(), "log"),
		filepath.Join(i.nodeVar(), "tmp"),
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for setting, value := range kernelSettings {
		if err := os.WriteFile(settingFile(i, setting), []byte(value+"\n"), 0o644); err != nil {
			return err
		}
	}
	return os.Symlink("/run", filepath.Join(i.nodeVar(), "run"))
}
