package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroupRoots are the mount points of all cgroup hierarchies: many with version
// 1, one with version 2, and both kinds on a hybrid machine.
func cgroupRoots() (v1, v2 []string, err error) {
	all, err := mounts()
	if err != nil {
		return nil, nil, err
	}
	for _, m := range all {
		switch m.fstype {
		case "cgroup":
			v1 = append(v1, m.point)
		case "cgroup2":
			v2 = append(v2, m.point)
		}
	}
	if len(v1)+len(v2) == 0 {
		return nil, nil, errors.New("no cgroup hierarchy is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup")
	}
	return v1, v2, nil
}

// makeCgroup makes the instance's cgroup in every hierarchy; the kubelet refuses
// a root that is missing in one.
func makeCgroup(i instance) error {
	v1, v2, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range v2 {
		if err := delegate(root); err != nil {
			return err
		}
	}
	for _, root := range slices.Concat(v1, v2) {
		if err := os.Mkdir(filepath.Join(root, i.cgroup()), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make cgroup: %w", err)
		}
	}
	return nil
}

// delegate lets the children of a version 2 root use its controllers. systemd
// does so for those that some unit asks for; the kubelet wants a few more.
func delegate(root string) error {
	content, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(content)) {
		if !slices.Contains([]string{"cpu", "cpuset", "io", "memory", "pids", "hugetlb"}, controller) {
			continue
		}
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			return fmt.Errorf("enable cgroup controller %s: %w", controller, err)
		}
	}
	return nil
}

// removeCgroup removes the instance's cgroups, which must be empty of
// processes.
func removeCgroup(i instance) error {
	v1, v2, err := cgroupRoots()
	if err != nil {
		return err
	}
	var errs []error
	for _, root := range slices.Concat(v1, v2) {
		errs = append(errs, removeCgroupTree(filepath.Join(root, i.cgroup())))
	}
	return errors.Join(errs...)
}

// removeCgroupTree removes directories only, from the leaves up: the files in
// them are the kernel's.
func removeCgroupTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeCgroupTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
