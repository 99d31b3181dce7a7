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

// Machine is CPU time of all processors of the machine. Two of them tell how much it
// was in between, as long as no child of this process ended there: with it goes what it
// has used.
type Machine struct {
	// Together is what this process and its children have used.
	Together time.Duration
	// Others is what has been spent on anything else.
	Others time.Duration
	// Stolen is what the machine wanted and its host did not give it.
	Stolen time.Duration
}

// MachineCPUTime is what has been used since the machine was started.
func MachineCPUTime() (Machine, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Machine{}, err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	// cpu user nice system idle iowait irq softirq steal; see proc_stat(5).
	columns := strings.Fields(line)
	if len(columns) < 9 {
		return Machine{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	ticks := make([]int, 9)
	for i := 1; i < len(ticks); i++ {
		if ticks[i], err = strconv.Atoi(columns[i]); err != nil {
			return Machine{}, err
		}
	}
	busy, stolen := ticks[1]+ticks[2]+ticks[3]+ticks[6]+ticks[7], ticks[8]
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return Machine{}, err
	}
	own := 0
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		own += ours(string(content))
	}
	return Machine{time.Duration(own) * tick, time.Duration(busy-own) * tick, time.Duration(stolen) * tick}, nil
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
