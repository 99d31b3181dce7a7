package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/stat and /proc/PID/stat, everywhere that Go runs on.
const tick = 10 * time.Millisecond

// LoadAverage is how many processes of the machine wanted to run, over the last
// minute.
func LoadAverage() (float64, error) {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(content), " ")
	return strconv.ParseFloat(first, 64)
}

// MachineCPUTime is the CPU time that this process and its children have used, and
// that the machine has spent on anything else. Two of them tell how much it was in
// between, as long as no child ended there: with it goes what it has used.
func MachineCPUTime() (together, others time.Duration, err error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	// cpu user nice system idle iowait irq softirq steal; see proc_stat(5). Stolen is
	// what others do outside this machine.
	columns := strings.Fields(line)
	if len(columns) < 9 {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	busy := 0
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.Atoi(columns[i])
		if err != nil {
			return 0, 0, err
		}
		busy += n
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0, err
	}
	own := 0
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		own += ours(string(content))
	}
	return time.Duration(own) * tick, time.Duration(busy-own) * tick, nil
}

// ours are the ticks that a process has used if it is this one or a child of it;
// see proc_pid_stat(5).
func ours(stat string) int {
	// The name, the second column, may hold spaces and parentheses.
	columns := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	pid, _, _ := strings.Cut(stat, " ")
	self := strconv.Itoa(os.Getpid())
	if pid != self && columns[1] != self {
		return 0
	}
	user, _ := strconv.Atoi(columns[11])
	system, _ := strconv.Atoi(columns[12])
	return user + system
}
