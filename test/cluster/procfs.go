package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a line of mountinfo.
type mount struct {
	point  string
	fstype string
}

// mounts are the mounts that this process sees, in the order they were made.
func mounts() ([]mount, error) {
	// Not /proc/self: that is the main thread's view.
	content, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(content))
}

// parseMounts reads the format of /proc/PID/mountinfo: the mount point is the
// fifth field, the type follows the separator "-" after a variable number of
// optional fields.
func parseMounts(content string) ([]mount, error) {
	var all []mount
	for line := range strings.Lines(content) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 1 {
			return nil, fmt.Errorf("mountinfo: cannot read line %q", line)
		}
		all = append(all, mount{point: unescape(left[4]), fstype: right[0]})
	}
	return all, nil
}

// unescape undoes the kernel's octal escapes for space, tab, newline and
// backslash.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// below tells whether path is dir or inside it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// inCgroup tells from the content of /proc/PID/cgroup whether the process is in
// the cgroup or below it, in any hierarchy.
func inCgroup(content, cgroup string) bool {
	for line := range strings.Lines(content) {
		// hierarchy:controllers:path, and the path may contain colons.
		if parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); len(parts) == 3 && below(parts[2], cgroup) {
			return true
		}
	}
	return false
}

// stat is what of /proc/PID/stat matters here.
type stat struct {
	name   string
	state  byte
	parent int
}

// parseStat reads /proc/PID/stat. The name stands in brackets and may contain
// brackets and spaces itself, so what follows is found from the end.
func parseStat(content string) (stat, error) {
	open, end := strings.IndexByte(content, '('), strings.LastIndexByte(content, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("stat: no name in %q", content)
	}
	fields := strings.Fields(content[end+1:])
	if len(fields) < 2 {
		return stat{}, fmt.Errorf("stat: cannot read %q", content)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, fmt.Errorf("stat: parent in %q: %w", content, err)
	}
	return stat{name: content[open+1 : end], state: fields[0][0], parent: parent}, nil
}

func statOf(pid int) (stat, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(content))
}

// foundProcess is a process that belongs to an instance.
type foundProcess struct {
	pid  int
	name string
}

// evidence is how processes of an instance are told from all others.
type evidence struct {
	marker string
	cgroup string
	netns  map[fileID]bool
	spared map[int]bool
}

// evidenceOf collects what is known of an instance now.
func evidenceOf(i instance) (evidence, error) {
	e := evidence{marker: marker + "=" + i.name, cgroup: i.cgroup(), netns: map[fileID]bool{}, spared: map[int]bool{}}
	machine, err := fileIDOf("/proc/thread-self/ns/net")
	if err != nil {
		return e, err
	}
	for _, name := range []string{i.homeNet(), i.tgtNet()} {
		id, err := fileIDOf(netnsFile(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return e, err
		}
		if id != machine {
			e.netns[id] = true
		}
	}
	// Whoever called is not to be killed, even from a shell inside.
	for pid := os.Getpid(); pid > 1; pid = parentOf(pid) {
		e.spared[pid] = true
	}
	return e, nil
}

// parentOf is 0 for a process that has ended.
func parentOf(pid int) int {
	s, err := statOf(pid)
	if err != nil {
		return 0
	}
	return s.parent
}

// fileID tells files, and so namespaces, apart.
type fileID struct{ device, inode uint64 }

func fileIDOf(path string) (fileID, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return fileID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return fileID{device: s.Dev, inode: s.Ino}, nil
}

// holds tells whether the process belongs to the instance. What cannot be read
// has ended meanwhile.
func (e evidence) holds(pid int) bool {
	if pid <= 1 || e.spared[pid] {
		return false
	}
	dir := "/proc/" + strconv.Itoa(pid)
	if environ, err := os.ReadFile(dir + "/environ"); err == nil {
		for value := range bytes.SplitSeq(environ, []byte{0}) {
			if string(value) == e.marker {
				return true
			}
		}
	}
	if cgroups, err := os.ReadFile(dir + "/cgroup"); err == nil && inCgroup(string(cgroups), e.cgroup) {
		return true
	}
	id, err := fileIDOf(dir + "/ns/net")
	return err == nil && e.netns[id]
}

// processes finds every process of the instance that has not ended. Zombies
// have: only their parent can do more about them.
func (e evidence) processes() ([]foundProcess, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []foundProcess
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || !e.holds(pid) {
			continue
		}
		if s, err := statOf(pid); err == nil && s.state != 'Z' && s.state != 'X' {
			found = append(found, foundProcess{pid: pid, name: s.name})
		}
	}
	return found, nil
}

// ContainerProcess finds a process of a container on the home node, by the ID that
// the container's status has.
func ContainerProcess(containerID string) (int, error) {
	id := strings.TrimPrefix(containerID, "containerd://")
	if id == "" {
		return 0, errors.New("the container has no ID; does it run?")
	}
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(content), id) {
			continue // it has ended, or is another's
		}
		return strconv.Atoi(filepath.Base(filepath.Dir(file)))
	}
	return 0, fmt.Errorf("no process is in container %s", id)
}
