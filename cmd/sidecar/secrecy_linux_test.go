package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// user is the sidecar's in a Pod, which has no privileges.
const user = 65532

// as lets a command run as a user. The tests are root.
func as(id uint32, cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	return cmd
}

// unprivileged is the command of the sidecar as it runs in a Pod, in a directory that
// is its own.
func (p *place) unprivileged(env ...string) *exec.Cmd {
	p.t.Helper()
	cmd := as(user, sidecar(p.t, env, p.args()...))
	cmd.Dir = filepath.Dir(p.state)
	// Nobody else can get to where the tests were built.
	program, err := os.ReadFile(cmd.Path)
	require.NoError(p.t, err)
	cmd.Path = filepath.Join(cmd.Dir, "sidecar")
	require.NoError(p.t, os.WriteFile(cmd.Path, program, 0o755))
	require.NoError(p.t, filepath.WalkDir(cmd.Dir, func(path string, _ fs.DirEntry, err error) error {
		require.NoError(p.t, err)
		return os.Chown(path, user, user)
	}))
	return cmd
}

// Neither another user nor another process of the same one sees anything of the
// memory, the environment or the files of a sidecar.
func TestProcShowsNothing(t *testing.T) {
	url, ca := newUpstream(t)
	p := newPlace(t, "team-a/cluster="+url)
	p.swap("..1", map[string]string{"token": "real-token", "ca.crt": ca})
	cmd := p.start(p.unprivileged())
	require.Contains(t, p.get(p.client(), url), "real-token")
	other := as(user, exec.CommandContext(t.Context(), "sleep", "3600"))
	require.NoError(t, other.Start())
	t.Cleanup(func() {
		other.Process.Kill()
		other.Wait()
	})

	look := func(id uint32, tool string, pid int, what string) (string, error) {
		look := as(id, exec.CommandContext(t.Context(), tool, fmt.Sprintf("/proc/%d/%s", pid, what)))
		look.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
		output, err := look.CombinedOutput()
		return string(output), err
	}
	for _, what := range []struct{ tool, path string }{
		{"cat", "mem"}, {"cat", "environ"}, {"cat", "maps"}, {"cat", "smaps"}, {"cat", "auxv"}, {"cat", "syscall"},
		{"ls", "fd"}, {"ls", "map_files"}, {"ls", "cwd/"}, {"ls", "root/"},
	} {
		for _, id := range []uint32{user, user + 1} {
			output, err := look(id, what.tool, cmd.Process.Pid, what.path)
			require.Error(t, err, "%s: %s", what.path, output)
			assert.Contains(t, output, "Permission denied", what.path)
		}
		if what.path != "mem" && what.path != "syscall" { // which some kernels keep from all that are no parents
			output, err := look(user, what.tool, other.Process.Pid, what.path)
			require.NoError(t, err, "it is not the sidecar that makes the difference: %s", output)
		}
	}
}

// However a sidecar dies, there is no core dump, and what Go prints on that occasion
// has no token in it.
func TestDeathLeavesNothing(t *testing.T) {
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_CORE, &limit))
	t.Cleanup(func() { assert.NoError(t, unix.Setrlimit(unix.RLIMIT_CORE, &limit)) })
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: limit.Max, Max: limit.Max}))
	url, ca := newUpstream(t)
	for _, signal := range []syscall.Signal{syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGSEGV, syscall.SIGSYS} {
		t.Run(signal.String(), func(t *testing.T) {
			p := newPlace(t, "team-a/cluster="+url)
			p.swap("..1", map[string]string{"token": "real-token", "ca.crt": ca})
			// With it, Go asks for a dump.
			cmd := p.start(p.unprivileged("GOTRACEBACK=crash"))
			client := p.client()
			require.Contains(t, p.get(client, url), "real-token")

			temporary, err := os.ReadFile(filepath.Join(p.state, "token"))
			require.NoError(t, err)

			require.NoError(t, cmd.Process.Signal(signal))
			require.Error(t, cmd.Wait())
			status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
			require.True(t, ok)
			assert.True(t, status.Signaled())
			assert.False(t, status.CoreDump())
			files, err := os.ReadDir(cmd.Dir)
			require.NoError(t, err)
			for _, file := range files {
				assert.False(t, strings.HasPrefix(file.Name(), "core"), file.Name())
			}
			assert.Contains(t, p.log.String(), "goroutine ")
			assert.NotContains(t, p.log.String(), "real-token")
			assert.NotContains(t, p.log.String(), strings.TrimSpace(string(temporary)))
		})
	}
}
