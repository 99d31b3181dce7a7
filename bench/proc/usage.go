package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is the CPU time, of user and of system, that the process has used. It
// is what /proc/PID/stat shows, read from the clock behind it, since stat rounds
// to 10 ms.
func (p *Process) CPUTime() (time.Duration, error) {
	// clock_getcpuclockid(3): the process's number, inverted, and the kind of
	// clock in the lowest three bits; 2 is the run time of all threads.
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^p.PID<<3|2), &spent); err != nil {
		return 0, fmt.Errorf("the CPU time of %s: %w", p.name, err)
	}
	return time.Duration(spent.Nano()), nil
}

// RSS is the resident memory in bytes: VmRSS of /proc/PID/status
// (proc_pid_status(5)).
func (p *Process) RSS() (int, error) { return p.status("VmRSS:") }

// AnonymousRSS is that part of RSS which is no file: the process's own, where the
// pages of the program can be shared and dropped.
func (p *Process) AnonymousRSS() (int, error) { return p.status("RssAnon:") }

// PeakRSS is the most that RSS has been.
func (p *Process) PeakRSS() (int, error) { return p.status("VmHWM:") }

func (p *Process) status(key string) (int, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), key); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(value, "kB")))
			return kilobytes * 1024, err
		}
	}
	return 0, errors.Join(fmt.Errorf("%s has no %s", p.name, key), lines.Err())
}

// SettledRSS is RSS once it has not changed for a second, or after five.
func (p *Process) SettledRSS(ctx context.Context) (int, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last, same := 0, 0
	for range 50 {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
		rss, err := p.RSS()
		if err != nil {
			return 0, err
		}
		if rss != last {
			last, same = rss, 0
			continue
		}
		if same++; same == 10 {
			break
		}
	}
	return last, nil
}
